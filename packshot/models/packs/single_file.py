"""A checkpoint in one file, in the layout of the original Stable Diffusion: taken apart to diffusers' layout.

diffusers' own conversion renames the tensors. The sizes come from a pack of the same family.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from packshot.errors import PackRefused
from packshot.models.packs.pack import Pack
from packshot.models.packs.roles import RoleName

FAMILIES = {
    "v1": "sd15",
    "inpainting": "sd15",
    "v2": "sd2",
    "inpainting_v2": "sd2",
    "xl_base": "sdxl",
    "xl_inpaint": "sdxl",
}
"""The family by diffusers' name for the kind of checkpoint."""
UNET = "model.diffusion_model."
FIRST = f"{UNET}input_blocks.0.0.weight"
State = dict[str, Any]


def family_of(state: State) -> str:
    """The family of a checkpoint, by its tensors. Raises PackRefused (pack_mismatch) for one that no pack can be."""
    from diffusers.loaders.single_file_utils import infer_diffusers_model_type

    kind = infer_diffusers_model_type(state) if FIRST in state else ""
    if kind not in FAMILIES:
        what = f"one of {kind}" if kind else f"without {FIRST}"
        rule = "a checkpoint in one file must be of Stable Diffusion 1.5, 2 or XL"
        raise PackRefused("pack_mismatch", f"{rule}, got {what}; a pack of another kind needs a manifest of its own")
    return FAMILIES[kind]


def unpack(state: State, base: Pack, folder: Path, prediction: str = "") -> None:
    """Write the networks of a checkpoint to `folder` in diffusers' layout.

    `base` is a pack of its family. `prediction` is what the UNet predicts; "" = as the base pack's. What the checkpoint
    does not hold is not written. Raises PackRefused (pack_mismatch) when its blocks are not the base pack's.
    """
    from safetensors.torch import save_file

    from packshot.models.packs.weights import build

    unet = base.role("unet").config | {"in_channels": int(state[FIRST].shape[1])}
    for role, (convert, file) in _conversions(base, unet).items():
        try:
            tensors = convert(state)
        except (KeyError, IndexError, AttributeError, RuntimeError) as error:
            detail = f"{role} of the checkpoint must have the blocks of pack {base.name!r}, got {type(error).__name__}"
            raise PackRefused("pack_mismatch", f"{detail}: {error}; pass --like PACK of its family") from error
        if not tensors:
            continue
        spec = base.role(role)
        config = unet if role == "unet" else spec.config
        known = {
            f"{prefix}{name}" for name in build(spec.class_name, config).state_dict() for prefix in ("", "text_model.")
        }
        own = {name: tensor.contiguous().clone() for name, tensor in tensors.items() if name in known}
        (folder / role).mkdir(parents=True)
        save_file(own, folder / role / file)
        named = {"_class_name": spec.class_name} | config
        (folder / role / "config.json").write_text(json.dumps(named), "utf-8")
    if prediction:
        (folder / "scheduler").mkdir()
        scheduler = json.dumps({"prediction_type": prediction})
        (folder / "scheduler/scheduler_config.json").write_text(scheduler, "utf-8")


def _conversions(base: Pack, unet: State) -> dict[RoleName, tuple[Callable[[State], State], str]]:
    """For each network of the base pack: what makes its tensors of the checkpoint's, and the name of its file."""
    from diffusers.loaders import single_file_utils as files

    from packshot.models.packs.weights import build

    def open_clip(role: RoleName, prefix: str) -> Callable[[State], State]:
        spec = base.role(role)
        model = build(spec.class_name, spec.config)
        return lambda state: dict(files.convert_open_clip_checkpoint(model, state, prefix=prefix))

    def vae(state: State) -> State:
        if not any(name.startswith(tuple(files.LDM_VAE_KEYS)) for name in state):
            return {}
        return dict(files.convert_ldm_vae_checkpoint(state, base.role("vae").config))

    diffusion, text = "diffusion_pytorch_model.safetensors", "model.safetensors"
    made: dict[RoleName, tuple[Callable[[State], State], str]] = {
        "unet": (lambda state: dict(files.convert_ldm_unet_checkpoint(state, unet)), diffusion),
        "vae": (vae, diffusion),
    }
    if base.manifest.family == "sd2":
        made["text_encoder"] = (open_clip("text_encoder", "cond_stage_model.model."), text)
    else:
        first = "conditioner.embedders.0.transformer."
        made["text_encoder"] = (lambda state: dict(files.convert_ldm_clip_checkpoint(state, first)), text)
    if base.manifest.family == "sdxl":
        made["text_encoder_2"] = (open_clip("text_encoder_2", "conditioner.embedders.1.model."), text)
    return made


__all__ = ["FAMILIES", "family_of", "unpack"]
