"""From files to modules: build a pack's class from its config and fill it, strictly, from safetensors.

Nothing is unpickled here but in `convert_pth`, which reads with `weights_only=True` and only after the hash matched.
Torch and the model libraries are imported when a model is built.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packshot.errors import PackRefused
from packshot.models.engines.word_tokenizer import ClipWords, Tokenizer, WordTokenizer
from packshot.models.packs.manifest import ClassName, RoleSpec

if TYPE_CHECKING:
    import torch
    from torch import nn


def build(class_name: ClassName, config: dict[str, Any]) -> Any:
    """The class's network or scheduler with the config's sizes; a network's weights are not initialised."""
    try:
        with _no_init():
            if class_name == "CLIPTextModel":
                return _clip_text(config)
            if class_name == "Sam":
                return _sam(config)
            return _diffusers(class_name, config)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        detail = f"{class_name} must be buildable from its config, which fails: {error}; mend `config` in the manifest"
        raise PackRefused("pack_mismatch", detail) from error


def _diffusers(class_name: str, config: dict[str, Any]) -> Any:
    import diffusers

    made, unused = getattr(diffusers, class_name).from_config(config, return_unused_kwargs=True)
    unknown = sorted(key for key in unused if not key.startswith("_"))
    if unknown:
        raise PackRefused("pack_mismatch", f"{class_name} does not know the config keys {unknown}; mend the manifest")
    return made


def _clip_text(config: dict[str, Any]) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(CLIPTextConfig(**config))


def _sam(config: dict[str, Any]) -> Any:
    from packshot.models.segment.network import build_sam

    return build_sam(config)


def _no_init() -> Any:
    """While it is entered, torch.nn.init leaves tensors as they are: the weights are about to be read from files."""
    import torch
    from torch.overrides import TorchFunctionMode

    class NoInit(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if getattr(func, "__module__", None) == "torch.nn.init":
                return args[0] if args else (kwargs or {})["tensor"]
            if func in (torch.Tensor.normal_, torch.Tensor.uniform_):
                return args[0]
            return func(*args, **(kwargs or {}))

    return NoInit()


def load_module(spec: RoleSpec, files: Sequence[Path], device: torch.device, dtype: torch.dtype) -> nn.Module:
    """The role's network in `dtype` on `device`, frozen, in eval mode. `files`: safetensors, the shards of one state.

    Raises PackRefused (pack_mismatch) when a tensor is missing, left over or of another shape.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from torch import nn

    state: dict[str, torch.Tensor] = {}
    for file in files:
        try:
            shard = load_file(file)
        except SafetensorError as error:
            raise PackRefused(
                "pack_corrupt", f"{file.name} must be a whole safetensors file: {error}; fetch it again"
            ) from error
        twice = sorted(state.keys() & shard.keys())
        if twice:
            raise PackRefused("pack_mismatch", f"shards must not share tensors, {file.name} repeats {twice[:3]}")
        state.update(shard)
    # torch's own `to`: diffusers' would log that it keeps no module in fp32
    module: nn.Module = nn.Module.to(build(spec.class_name, spec.config), dtype)
    try:
        found = module.load_state_dict(_present_names(spec.class_name, state), strict=False)
    except RuntimeError as error:
        detail = f"{spec.class_name}: tensors must have the config's shapes: {str(error)[:500]}"
        raise PackRefused("pack_mismatch", detail) from error
    if found.missing_keys or found.unexpected_keys:
        detail = (
            f"{spec.class_name}: the files must hold exactly the config's tensors; {len(found.missing_keys)} missing "
            f"{found.missing_keys[:3]}, {len(found.unexpected_keys)} left over {found.unexpected_keys[:3]}"
        )
        raise PackRefused("pack_mismatch", detail)
    return nn.Module.to(module, device).eval().requires_grad_(requires_grad=False)


_OLD_ATTENTION = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


def _present_names(class_name: ClassName, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors under the names that today's classes use; checkpoints of 2022 carry older ones."""
    if class_name == "CLIPTextModel":
        prefix = "text_model."
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
        state.pop("embeddings.position_ids", None)  # a buffer that older versions saved
    elif class_name == "AutoencoderKL":
        for name in [name for name in state if ".attentions." in name]:
            for old, new in _OLD_ATTENTION.items():
                if old in name:
                    state[name.replace(old, new)] = state.pop(name)
    return state


def load_tokenizer(spec: RoleSpec, files: dict[str, Path]) -> Tokenizer:
    """The role's tokenizer. `files`: the manifest's file names to paths."""
    if spec.class_name == "WordTokenizer":
        if len(files) != 1:
            raise PackRefused("pack_mismatch", f"WordTokenizer must have one file, got {sorted(files)}")
        return WordTokenizer.from_files(next(iter(files.values())))
    by_name = {Path(name).name: path for name, path in files.items()}
    if not {"vocab.json", "merges.txt"} <= by_name.keys():
        raise PackRefused("pack_mismatch", f"CLIPTokenizer must have vocab.json and merges.txt, got {sorted(by_name)}")
    from transformers import CLIPTokenizer

    config = {"model_max_length": 77} | spec.config
    return ClipWords(CLIPTokenizer(vocab=str(by_name["vocab.json"]), merges=str(by_name["merges.txt"]), **config))


def convert_pth(source: Path, out: Path) -> Path:
    """Keep what a `.pth` or `.bin` holds as safetensors at `out`. The caller has checked the source's sha256."""
    import torch
    from safetensors.torch import save_file

    state = torch.load(source, map_location="cpu", weights_only=True)
    state = state.get("state_dict", state)
    if not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise PackRefused("pack_mismatch", f"{source.name} must hold a flat table of tensors")
    out.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own, then one rename: two processes may convert at once, and neither may read half a file.
    handle, partial = tempfile.mkstemp(dir=out.parent, suffix=".partial")
    os.close(handle)
    save_file({name: tensor.contiguous().clone() for name, tensor in state.items()}, partial)
    os.replace(partial, out)
    return out


__all__ = ["build", "convert_pth", "load_module", "load_tokenizer"]
