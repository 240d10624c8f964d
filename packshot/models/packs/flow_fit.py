"""Whether the parts of a flow-matching pack fit together, as its manifest states them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from packshot.errors import PackRefused
from packshot.models.packs.manifest import PackManifest
from packshot.models.packs.roles import ClassName, Recipe, RoleName

__all__ = ["CONTROL_LAYER", "EDIT_LAYERS", "FLOW_CLASSES", "flow_fits", "pixels_per_token"]

EDIT_LAYERS = (9, 18, 27)
"""The hidden states of the chat model that a text of the recipe flow_edit is made of."""
CONTROL_LAYER = -2
"""The hidden states of the chat model that a text of the recipe flow_control is: those before its last layer."""
PATCH = 2
"""Latents of the VAE on each side of one token of the transformers."""
FLOW_CLASSES: dict[Recipe, dict[RoleName, ClassName]] = {
    "flow_edit": {
        "tokenizer": "Qwen2Tokenizer",
        "text_encoder": "Qwen3Model",
        "vae": "AutoencoderKLFlux2",
        "transformer": "Flux2Transformer2DModel",
        "scheduler": "FlowMatchEulerDiscreteScheduler",
    },
    "flow_control": {
        "tokenizer": "Qwen2Tokenizer",
        "text_encoder": "Qwen3Model",
        "vae": "AutoencoderKL",
        "transformer": "ZImageTransformer2DModel",
        "controlnet": "ZImageControlNetModel",
        "scheduler": "FlowMatchEulerDiscreteScheduler",
    },
}
"""The class of each role. A recipe's engine is written for these alone."""
ControlKey = tuple[str, Any]
SHARED: tuple[ControlKey, ...] = (("dim", 3840), ("n_heads", 30), ("n_kv_heads", 30), ("n_refiner_layers", 2))
"""What Z-Image's ControlNet and transformer must have alike, with the classes' defaults."""

Same = Callable[[RoleName, str, Any, Any, str], None]


def pixels_per_token(vae_factor: int) -> int:
    """The pixels of one token on each side; a bucket's sides are multiples of it."""
    return vae_factor * PATCH


def flow_fits(manifest: PackManifest) -> None:
    """Check the networks and the scheduler of a pack of the recipe flow_edit or flow_control.

    Raises PackRefused (pack_mismatch) with both values.
    """

    def config(role: RoleName, key: str, default: Any = None) -> Any:
        return manifest.roles[role].config.get(key, default)

    def same(role: RoleName, key: str, found: object, wanted: object, owner: str) -> None:
        if found != wanted:
            detail = f"{role}.{key} must be {wanted} ({owner}), got {found!r}"
            raise PackRefused("pack_mismatch", f"pack {manifest.name!r}: {detail}; correct the manifest")

    for role, class_name in FLOW_CLASSES[manifest.recipe].items():
        same(role, "class_name", manifest.roles[role].class_name, class_name, f"recipe {manifest.recipe}")
    same("scheduler", "prediction_type", manifest.prediction_type, "flow_prediction", "a flow-matching scheduler")
    for key in ("stochastic_sampling", "invert_sigmas"):
        same("scheduler", key, bool(config("scheduler", key, False)), False, "the engine takes plain Euler steps")
    channels, width = config("vae", "latent_channels"), config("text_encoder", "hidden_size")
    if manifest.recipe == "flow_edit":
        _edit_fits(config, same, channels, width)
    else:
        _control_fits(config, same, channels, width)


def _edit_fits(config: Callable[..., Any], same: Same, channels: int, width: int) -> None:
    tokens = PATCH**2 * channels
    owner = f"{PATCH} x {PATCH} of the VAE's latent channels"
    same("vae", "patch_size", list(config("vae", "patch_size", (PATCH, PATCH))), [PATCH, PATCH], "the engine's patches")
    same("transformer", "patch_size", config("transformer", "patch_size", 1), 1, "the VAE makes the patches")
    same("transformer", "in_channels", config("transformer", "in_channels", 128), tokens, owner)
    out = config("transformer", "out_channels") or tokens
    same("transformer", "out_channels", out, tokens, owner)
    text = len(EDIT_LAYERS) * width
    owner = f"{len(EDIT_LAYERS)} x the text encoder's hidden_size"
    same("transformer", "joint_attention_dim", config("transformer", "joint_attention_dim", 15360), text, owner)
    guided = config("transformer", "guidance_embeds", True)
    same("transformer", "guidance_embeds", guided, False, "klein's guidance is classifier-free or distilled")


def _control_fits(config: Callable[..., Any], same: Same, channels: int, width: int) -> None:
    same("transformer", "in_channels", config("transformer", "in_channels", 16), channels, "the VAE's latent channels")
    text = config("transformer", "cap_feat_dim", 2560)
    same("transformer", "cap_feat_dim", text, width, "the text encoder's hidden_size")
    patches = list(config("transformer", "all_patch_size", (PATCH,)))
    same("transformer", "all_patch_size", patches, [PATCH], "the engine's")
    inputs = 2 * channels + 1
    owner = "a map's latents, the mask, and the masked picture's latents"
    same("controlnet", "control_in_dim", config("controlnet", "control_in_dim"), inputs, owner)
    for key, default in SHARED:
        wanted = config("transformer", key, default)
        same("controlnet", key, config("controlnet", key, default), wanted, "the transformer's")
    for key in ("shift_factor", "scaling_factor"):
        if not isinstance(config("vae", key), float | int):
            same("vae", key, config("vae", key), "stated", "latents are scaled by it")
