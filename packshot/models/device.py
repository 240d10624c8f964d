"""Which device and arithmetic a model runs with, on the machine at hand."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from packshot.errors import BadInput, PackRefused

if TYPE_CHECKING:
    import torch


CUDA_CONTEXT_GIB = 0.6
"""Memory of one process's CUDA context, outside PyTorch's allocator (design: 0.4-0.6 GB; the upper end is planned)."""


def allocator_fraction(share: float, device_gib: float) -> float:
    """What of a device PyTorch's allocator may take in a process whose share it is:
    the CUDA context lies outside of it.

    Raises BadInput for a share that the context alone would fill.
    """
    fraction = share - CUDA_CONTEXT_GIB / device_gib
    if fraction <= 0:
        raise BadInput(
            "bad_usage",
            f"a GPU share must be more than a CUDA context ({CUDA_CONTEXT_GIB} GiB), got {share:g} of "
            f"{device_gib:.1f} GiB; "
            "raise gpu_share in the profile, or take a larger GPU",
        )
    return fraction


def use_threads(threads: int) -> None:
    """Give the calling thread's torch kernels so many threads (OpenMP counts per thread); 0 = torch's own choice."""
    import torch

    if threads:
        torch.set_num_threads(threads)


def model_thread(threads: int) -> ThreadPoolExecutor:
    """The one thread that calls a process's model; so many of torch's threads work for it (0 = torch's own choice).

    Call this before the model is built, and let no other thread run kernels: every thread that does gets a pool of its
    own, and with more pools than cores libgomp's threads sleep between kernels instead of spinning (a step of the
    embedded pack: 110 instead of 75 ms).
    """
    import torch

    torch.set_num_threads(1)  # the calling thread's kernels need no pool
    return ThreadPoolExecutor(1, thread_name_prefix="model", initializer=use_threads, initargs=(threads,))


def pick_device(wanted: str = "auto") -> torch.device:
    """The torch device for `auto`, `cpu` or `cuda`."""
    import torch

    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise PackRefused(
            "pack_mismatch", f"device must be at hand, got {wanted!r} without CUDA; set PACKSHOT_DEVICE=cpu"
        )
    return torch.device(wanted)


def pick_dtype(device: torch.device, wanted: str = "auto") -> torch.dtype:
    """The arithmetic for `auto`, `fp32`, `bf16` or `fp16`.

    `auto` is bf16 on CUDA and on CPUs with bf16 units (AMX, AVX512-BF16: 6-10x fp32 there), else fp32: on a CPU without
    them bf16 is emulated and 4x slower than fp32 (docs/measurements.md, 2026-11-21).
    """
    import torch

    named = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if wanted != "auto":
        if wanted not in named:
            raise PackRefused("pack_mismatch", f"dtype must be one of auto, {', '.join(named)}, got {wanted!r}")
        return named[wanted]
    if device.type == "cuda":
        return torch.bfloat16
    has_bf16_units = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if has_bf16_units else torch.float32
