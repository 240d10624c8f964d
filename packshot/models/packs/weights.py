"""Build a pack's classes from their configs, and load their weights strictly from safetensors files.

Only `convert_pth` reads pickle files. It uses `weights_only=True`, after the hash was checked. Torch and the model
libraries are imported when a model is built.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packshot.errors import PackRefused
from packshot.models.engines.chat_tokenizer import ChatTokenizer
from packshot.models.engines.word_tokenizer import ClipTokenizer, Tokenizer, WordTokenizer
from packshot.models.packs.manifest import RoleSpec
from packshot.models.packs.roles import ClassName
from packshot.models.packs.tensors import read_tensors

if TYPE_CHECKING:
    import torch
    from torch import nn

TRANSFORMERS = (
    "BlipForConditionalGeneration",
    "CLIPVisionModelWithProjection",
    "DepthAnythingForDepthEstimation",
    "GroundingDinoForObjectDetection",
    "Qwen3Model",
    "Sam2Model",
    "VitMatteForImageMatting",
)
"""The classes of transformers that are built from their config class alone."""
CLIP_TEXT = ("CLIPTextModel", "CLIPTextModelWithProjection")
MOGE_REMEDY = "pip install git+https://github.com/microsoft/MoGe.git installs it (MIT), or leave the role geometry out"
OWN = ("GeometryHead", "IPAdapter", "NameFinder", "RRDBNet", "SRVGGNetCompact", "SceneEncoder", "SceneJudge")
"""The networks of Packshot."""


def missing_package(class_name: ClassName) -> str | None:
    """What to do about the package that a class comes from and that is not here; None when nothing is missing."""
    missing = class_name == "MoGeModel" and importlib.util.find_spec("moge") is None
    return f"MoGeModel must have its package moge, which is not installed; {MOGE_REMEDY}" if missing else None


def build(class_name: ClassName, config: dict[str, Any]) -> Any:
    """Build a network or scheduler from its config. A network's parameters have shapes, and no values yet.

    They are on the meta device, except the few that the class fills itself. `load_module` assigns them all. Raises
    PackRefused (pack_mismatch) when the class cannot be built from the config.
    """
    try:
        with _no_init():
            if class_name in CLIP_TEXT:
                return _clip_text(class_name, config)
            if class_name == "Sam":
                return _sam(config)
            if class_name in OWN:
                return _own(class_name, config)
            if class_name == "MoGeModel":
                return _moge(config)
            if class_name in TRANSFORMERS:
                return _transformers(class_name, config)
            return _diffusers(class_name, config)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        detail = f"{class_name} must be buildable from its config, got {error}; correct `config` in the manifest"
        raise PackRefused("pack_mismatch", detail) from error


def _diffusers(class_name: str, config: dict[str, Any]) -> Any:
    import diffusers

    module, unused = getattr(diffusers, class_name).from_config(config, return_unused_kwargs=True)
    unknown = sorted(key for key in unused if not key.startswith("_"))
    if unknown:
        detail = f"{class_name} must have only config keys that it defines, got {unknown}; correct the manifest"
        raise PackRefused("pack_mismatch", detail)
    return module


def _clip_text(class_name: str, config: dict[str, Any]) -> Any:
    import transformers

    return getattr(transformers, class_name)(transformers.CLIPTextConfig(**config))


def _sam(config: dict[str, Any]) -> Any:
    from packshot.models.segment.network import build_sam

    return build_sam(config)


def _own(class_name: str, config: dict[str, Any]) -> Any:
    """A network of Packshot."""
    from packshot.models.detect.network import NameFinder
    from packshot.models.judge import SceneJudge
    from packshot.models.references.adapter import IPAdapter
    from packshot.models.references.scene_encoder import SceneEncoder
    from packshot.models.understand.network import GeometryHead
    from packshot.models.upscale.network import RRDBNet, SRVGGNetCompact

    classes: tuple[type[Any], ...]
    classes = (GeometryHead, IPAdapter, NameFinder, RRDBNet, SRVGGNetCompact, SceneEncoder, SceneJudge)
    return {one.__name__: one for one in classes}[class_name](**config)


def _moge(config: dict[str, Any]) -> Any:
    """A MoGe-2 network. Its package is in no registry, so it is installed from its repository."""
    if missing := missing_package("MoGeModel"):
        raise PackRefused("pack_mismatch", missing)
    from moge.model.v2 import MoGeModel

    return MoGeModel(**config)


def _transformers(class_name: str, config: dict[str, Any]) -> Any:
    """A model of transformers. Its backbone is a part of its config, so nothing is looked up on the hub."""
    import transformers

    model = getattr(transformers, class_name)
    return model(model.config_class(**config))


def _no_init() -> Any:
    """A context in which parameters take no memory, because weights will be assigned to them from files.

    Layers make their parameters with torch.empty or torch.randn, which give meta tensors here, and fill them with
    torch.nn.init, which does nothing. What a class computes for itself, such as tables of positions in buffers, has its
    values.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class NoInit(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if getattr(func, "__module__", None) == "torch.nn.init":
                return args[0] if args else kwargs["tensor"]
            if func in (torch.Tensor.normal_, torch.Tensor.uniform_):
                return args[0]
            if func in (torch.empty, torch.randn) and kwargs.get("device") is None:
                kwargs = kwargs | {"device": "meta"}
            if func is torch.Tensor.mul and args[0].is_meta and isinstance(args[1], (int, float)):
                return args[0]  # a scaled randn. To multiply on the device meta, torch imports its compiler: 2 s
            return func(*args, **kwargs)

    return NoInit()


def load_module(
    spec: RoleSpec, files: Sequence[Path], device: torch.device, dtype: torch.dtype, *, fp32: tuple[str, ...] = ()
) -> nn.Module:
    """Load a role's network in `dtype` on `device`, in eval mode and without gradients.

    `files` are safetensors files, the shards of one state. Tensors whose names begin with one of `fp32` stay in fp32.
    The host holds at most the weights in their final format, and one tensor as the file has it. Raises PackRefused:
    pack_corrupt for an invalid file, and pack_mismatch when a tensor is missing, not in the network, or of another
    shape.
    """
    import torch

    module: Any = build(spec.class_name, spec.config)
    renamed = spec.class_name in TRANSFORMERS
    place = torch.device("cpu") if renamed else device
    state = read_tensors(files, place, lambda name: torch.float32 if name.startswith(fp32) else dtype)
    try:
        if renamed:
            state = _present_names(spec.class_name, state)
            module, missing, unexpected = _renamed(module, state, torch.float32 if fp32 else dtype)
        else:
            found = module.load_state_dict(_present_names(spec.class_name, state), strict=False, assign=True)
            missing, unexpected = found.missing_keys, found.unexpected_keys
    except RuntimeError as error:
        detail = f"{spec.class_name}: tensors must have the config's shapes: {str(error)[:500]}"
        raise PackRefused("pack_mismatch", detail) from error
    if missing or unexpected:
        detail = (
            f"{spec.class_name}: the files must hold exactly the network's tensors; {len(missing)} missing "
            f"{missing[:3]}, {len(unexpected)} unexpected {unexpected[:3]}"
        )
        raise PackRefused("pack_mismatch", detail)
    unset = [name for name, buffer in module.named_buffers() if buffer.is_meta]
    assert not unset, f"{spec.class_name} makes {unset[:3]} with torch.empty and does not save them"
    # For the buffers that the class computed. nn.Module.to, because diffusers' own logs a warning.
    ready: nn.Module = torch.nn.Module.to(module, device)
    return ready.eval().requires_grad_(requires_grad=False)


def _renamed(module: Any, state: dict[str, torch.Tensor], dtype: torch.dtype) -> tuple[nn.Module, list[str], list[str]]:
    """A model of transformers with its weights, and the names of missing and of unexpected tensors.

    Only `from_pretrained` translates the names of the hub's files to those of the installed classes, and ties weights.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    loaded, found = type(module).from_pretrained(
        None, config=module.config, state_dict=state, dtype=dtype, output_loading_info=True
    )
    return loaded, sorted(found["missing_keys"]), sorted(found["unexpected_keys"])


_OLD_ATTENTION = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


def _present_names(class_name: ClassName, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors under the names that the present classes use. Checkpoints of 2022 have older names."""
    if class_name in CLIP_TEXT:
        if class_name == "CLIPTextModel":
            state = {name.removeprefix("text_model."): tensor for name, tensor in state.items()}
        for prefix in ("", "text_model."):
            state.pop(f"{prefix}embeddings.position_ids", None)  # a buffer that older versions saved
    elif class_name == "Qwen3Model":  # a language model's file also has its head, which no engine uses
        state = {name.removeprefix("model."): tensor for name, tensor in state.items() if name != "lm_head.weight"}
    elif class_name == "AutoencoderKL":
        for name in [name for name in state if ".attentions." in name]:
            for old, new in _OLD_ATTENTION.items():
                if old in name:
                    state[name.replace(old, new)] = state.pop(name)
    return state


def load_tokenizer(spec: RoleSpec, files: dict[str, Path]) -> Tokenizer:
    """Load a role's tokenizer. `files` maps the manifest's file names to paths.

    Raises PackRefused (pack_mismatch) when the files are not those of the class.
    """
    if spec.class_name == "WordTokenizer":
        if len(files) != 1:
            raise PackRefused("pack_mismatch", f"WordTokenizer must have one file, got {sorted(files)}")
        return WordTokenizer.from_files(next(iter(files.values())))
    by_name = {Path(name).name: path for name, path in files.items()}
    if spec.class_name == "Qwen2Tokenizer":
        if "tokenizer.json" not in by_name:
            raise PackRefused("pack_mismatch", f"Qwen2Tokenizer must have tokenizer.json, got {sorted(by_name)}")
        return ChatTokenizer(by_name["tokenizer.json"], **spec.config)
    if not {"vocab.json", "merges.txt"} <= by_name.keys():
        raise PackRefused("pack_mismatch", f"CLIPTokenizer must have vocab.json and merges.txt, got {sorted(by_name)}")
    from transformers import CLIPTokenizer

    config = {"model_max_length": 77} | spec.config
    return ClipTokenizer(CLIPTokenizer(vocab=str(by_name["vocab.json"]), merges=str(by_name["merges.txt"]), **config))


def convert_pth(source: Path, out: Path) -> Path:
    """Convert a `.pth`, `.pt` or `.bin` file to the safetensors file `out`, and return `out`.

    The caller must have checked the sha256 of `source`. Raises PackRefused (pack_mismatch) when the file does not hold
    a flat dictionary of tensors.
    """
    import torch
    from safetensors.torch import save_file

    state = torch.load(source, map_location="cpu", weights_only=True)
    held = next((name for name in ("state_dict", "params_ema", "params", "model") if name in state), None)
    state = state if held is None else state[held]
    if not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise PackRefused("pack_mismatch", f"{source.name} must hold a flat dictionary of tensors")
    out.parent.mkdir(parents=True, exist_ok=True)
    # Write to a temporary name and rename it: two processes may convert at once, and neither may read a partial file.
    handle, partial = tempfile.mkstemp(dir=out.parent, suffix=".partial")
    os.close(handle)
    save_file({name: tensor.contiguous().clone() for name, tensor in state.items()}, partial)
    os.replace(partial, out)
    return out


__all__ = ["build", "convert_pth", "load_module", "load_tokenizer", "missing_package"]
