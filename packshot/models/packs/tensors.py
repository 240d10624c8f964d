"""Read weights from safetensors files without holding them twice: each tensor is cast and moved as it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from packshot.errors import PackRefused

if TYPE_CHECKING:
    import torch

CastTo = Callable[[str], "torch.dtype"]
"""The number format of the tensor with this name in the file. Tensors of integers keep theirs."""


def read_tensors(files: Sequence[Path], device: torch.device, cast_to: CastTo) -> dict[str, torch.Tensor]:
    """Read every tensor of safetensors files, which are the shards of one state, onto `device`.

    The files are read, not mapped: a mapped file's pages would count as this process's memory beside the copies.
    Raises PackRefused: pack_corrupt for an invalid file, pack_mismatch when two files hold the same tensor.
    """
    state: dict[str, torch.Tensor] = {}
    for file in files:
        twice: list[str] = []
        for name, tensor in _each(file):
            if name in state:
                twice.append(name)
            dtype = cast_to(name) if tensor.is_floating_point() else tensor.dtype
            state[name] = tensor.to(device, dtype)
        if twice:
            raise PackRefused(
                "pack_mismatch", f"shards must not share tensors, {file.name} repeats {sorted(twice)[:3]}"
            )
    return state


def _each(file: Path) -> Iterator[tuple[str, torch.Tensor]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt", device="cpu", backend="pread") as opened:
            for name in opened.keys():  # noqa: SIM118 - it is no mapping
                yield name, opened.get_tensor(name)
    except SafetensorError as error:
        detail = f"{file.name} must be a complete safetensors file, got {error}; fetch it again"
        raise PackRefused("pack_corrupt", detail) from error


__all__ = ["CastTo", "read_tensors"]
