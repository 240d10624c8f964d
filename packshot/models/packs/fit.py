"""Whether the parts of a pack fit together: channels, widths and sizes, as its manifest states them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from packshot.contract.shot_spec import ConditionKind
from packshot.errors import PackRefused
from packshot.models.packs.flow_fit import flow_fits, pixels_per_token
from packshot.models.packs.manifest import PackManifest, RoleSpec
from packshot.models.packs.roles import RoleName

__all__ = ["SIZE_NUMBERS", "check_fit", "role_of", "vae_factor"]


TEXT_WIDTH = "the text encoder's hidden_size, of two their sum"
SIZE_NUMBERS = 6
"""The numbers that tell a UNet of two text encoders a picture's original size, its crop and its target size."""
UNION_TYPES = 6
"""ControlNetUnionModel's own default of num_control_type."""


def role_of(manifest: PackManifest, role: RoleName) -> RoleSpec:
    """The role's entry in the manifest. Raises PackRefused (pack_mismatch) when the pack does not have the role."""
    if role not in manifest.roles:
        _refuse(manifest, f"the pack must have the role {role}, got only {', '.join(manifest.roles)}")
    return manifest.roles[role]


def vae_factor(manifest: PackManifest) -> int:
    """The number of pixels of one latent on each side. Raises PackRefused (pack_mismatch)."""
    spec = role_of(manifest, "vae")
    key = "encoder_block_out_channels" if spec.class_name == "AutoencoderTiny" else "block_out_channels"
    blocks = spec.config.get(key)
    if not isinstance(blocks, list | tuple):
        _refuse(manifest, f"vae.{key} must be a list of channels, got {blocks!r}")
    return int(2 ** (len(blocks) - 1))


def check_fit(manifest: PackManifest, controls: Sequence[ConditionKind]) -> None:
    """Check that the networks of a renderable pack fit together. `controls` are the conditions that it serves.

    Raises PackRefused (pack_mismatch) with both values.
    """
    _heads_fit(manifest)
    match manifest.recipe:
        case "unet_controlnet":
            _unet_fits(manifest, controls)
            factor = vae_factor(manifest)
        case "flow_edit" | "flow_control":
            flow_fits(manifest)
            factor = pixels_per_token(vae_factor(manifest))
        case "remote":
            return  # no network paints
    odd = [bucket for bucket in manifest.buckets if bucket[0] % factor or bucket[1] % factor]
    if odd:
        _refuse(manifest, f"buckets must be multiples of {factor}, the pixels of a latent or token, got {odd}")


def _unet_fits(manifest: PackManifest, controls: Sequence[ConditionKind]) -> None:
    """Check the UNet, its ControlNets and its scheduler against the VAE and the text encoder."""
    channels = _number(manifest, "vae", "latent_channels")
    inpaint = 2 * channels + 1
    owner = f"the VAE's {channels} latent channels, or 2c + 1 for inpainting"
    _same(manifest, "unet", "in_channels", (channels, inpaint), owner)
    _same(manifest, "unet", "out_channels", (channels,), "the VAE's latent channels")
    width = _text_width(manifest)
    _same(manifest, "unet", "cross_attention_dim", (width,), TEXT_WIDTH)
    further: tuple[RoleName, ...] = ("controlnet_inpaint",) if "controlnet_inpaint" in manifest.roles else ()
    for role in dict.fromkeys((*further, *(manifest.control_role(kind) for kind in controls))):
        _control_fits(manifest, role, channels, width)
    predicted = manifest.prediction_type
    _same(manifest, "scheduler", "prediction_type", (predicted,), "the manifest's")


def _text_width(manifest: PackManifest) -> int:
    """The channels of an encoded text. Check what a second text encoder needs: its tokenizer, and the UNet's inputs."""
    width = _number(manifest, "text_encoder", "hidden_size")
    second: tuple[RoleName, ...] = ("tokenizer_2", "text_encoder_2")
    has = [role for role in second if role in manifest.roles]
    pooled = "text_time"
    owner = "two text encoders" if has else "one text encoder"
    added = role_of(manifest, "unet").config.get("addition_embed_type")
    if (added == pooled) != bool(has) or len(has) == 1:
        rule = f"a UNet with addition_embed_type {pooled} must have {' and '.join(second)}, and no other may"
        _refuse(manifest, f"{rule}; got {added!r} with {owner}")
    if not has:
        return width
    size = SIZE_NUMBERS * _number(manifest, "unet", "addition_time_embed_dim")
    inputs = _number(manifest, "text_encoder_2", "projection_dim") + size
    owner = f"the second text encoder's projection_dim and {SIZE_NUMBERS} x addition_time_embed_dim"
    _same(manifest, "unet", "projection_class_embeddings_input_dim", (inputs,), owner)
    return width + _number(manifest, "text_encoder_2", "hidden_size")


def _control_fits(manifest: PackManifest, role: RoleName, channels: int, width: int) -> None:
    """Check a ControlNet against the VAE's latent channels, the text encoder's width and the UNet."""
    _same(manifest, role, "in_channels", (channels,), "the VAE's latent channels")
    _same(manifest, role, "cross_attention_dim", (width,), TEXT_WIDTH)
    for key in ("block_out_channels", "layers_per_block", "addition_embed_type"):
        _same(manifest, role, key, (role_of(manifest, "unet").config.get(key),), "the UNet's")
    control = role_of(manifest, role)
    types = control.config.get("num_control_type", UNION_TYPES)
    strange = {kind: place for kind, place in control.control_types.items() if place >= types}
    if strange:
        _refuse(manifest, f"{role}.control_types must be below num_control_type {types}, got {strange}")
    named, got = len(control.control_channels), control.config.get("conditioning_channels", 3)
    if got != named:
        rule = f"{role}.conditioning_channels must be {named}, the number of control_channels"
        _refuse(manifest, f"{rule}, got {got}")
    if control.config.get("controlnet_conditioning_channel_order", "rgb") != "rgb":
        _refuse(manifest, f"{role}.controlnet_conditioning_channel_order must be rgb, got bgr")


def _heads_fit(manifest: PackManifest) -> None:
    """Check that the heads on the segmenter's features read as many channels as it has."""
    heads: tuple[tuple[RoleName, slice], ...] = (("geometry", slice(-2, None)), ("detector", slice(-1, None)))
    for role, details in heads:
        spec = manifest.roles.get(role)
        if spec is None or spec.class_name not in ("GeometryHead", "NameFinder"):
            continue
        segmenter = role_of(manifest, "segmenter").config
        _same(manifest, role, "feature_channels", (segmenter.get("out_chans"),), "the segmenter's out_chans")
        detail = list(segmenter.get("detail", ()))[details]
        wanted: Any = detail if role == "geometry" else next(iter(detail), None)
        _same(manifest, role, "detail_channels", (wanted,), "the segmenter's last `detail`")


def _number(manifest: PackManifest, role: RoleName, key: str) -> int:
    value = role_of(manifest, role).config.get(key)
    if not isinstance(value, int):
        _refuse(manifest, f"{role}.{key} must be stated in the manifest, got {value!r}")
    return value


def _same(manifest: PackManifest, role: RoleName, key: str, allowed: tuple[Any, ...], owner: str) -> None:
    value = role_of(manifest, role).config.get(key)
    if value not in allowed:
        wanted = " or ".join(map(str, allowed))
        _refuse(manifest, f"{role}.{key} must be {wanted} ({owner}), got {value!r}")


def _refuse(manifest: PackManifest, detail: str) -> NoReturn:
    raise PackRefused("pack_mismatch", f"pack {manifest.name!r}: {detail}; correct the manifest")
