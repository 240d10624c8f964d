"""The footprint of a flow-matching engine: the calls of its transformer, counted on the meta device.

A row is a batch row of a denoising step without reference pictures: `FlowEditEngine.rows` counts a row with them as
several.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from packshot.models.footprint.counting import (
    FEW,
    GIB,
    GIGA,
    MANY,
    TERA,
    bytes_of,
    cost_of,
    linear_footprint,
    meta_network,
)
from packshot.models.footprint.stage_footprint import Footprint
from packshot.models.packs.flow_fit import EDIT_LAYERS, PATCH
from packshot.models.packs.pack import Pack
from packshot.models.packs.roles import RoleName

__all__ = ["flow_footprint"]

TEXT_TOKENS = 512
"""Tokens of a text, without padding where a recipe leaves it out: most prompts are shorter."""
Size = tuple[int, int]


def flow_footprint(pack: Pack, dtype: torch.dtype = torch.bfloat16) -> Footprint:
    """The footprint of the generator of a pack with the recipe flow_edit or flow_control.

    With a ControlNet, a row has the edges alone. Each further condition is another call of the same network, one after
    the other, so it needs no more memory.
    """
    names: tuple[RoleName, ...] = ("text_encoder", "vae", "transformer")
    if pack.manifest.recipe == "flow_control":
        names = (*names, "controlnet")
    parts: dict[RoleName, Any] = {name: meta_network(pack, name, dtype) for name in names}
    weights = sum(map(bytes_of, parts.values()))
    step = partial(_control_step, pack, parts, dtype)
    if "controlnet" in parts:
        parts["controlnet"].from_transformer(parts["controlnet"], parts["transformer"])
    else:
        step = partial(_edit_step, pack, parts, dtype)
    largest = max(pack.manifest.buckets, key=lambda bucket: bucket[0] * bucket[1])
    native = pack.manifest.native_px
    few, many = (cost_of(partial(step, largest, rows)) for rows in (FEW, MANY))
    row = cost_of(partial(step, native, 1))
    text = cost_of(partial(_text, parts))
    encode, decode = (cost_of(partial(call, pack, parts, dtype, native)) for call in (_encode, _decode))
    pictures = 3 if "controlnet" in parts else 1  # a map, the masked picture and a known one; or the scene's picture
    peaks = [cost_of(partial(call, pack, parts, dtype, largest)).peak_bytes for call in (_encode, _decode)]
    return linear_footprint(few, many, weights=weights, loading=weights).model_copy(
        update={
            "row_tflop": row.flop / TERA,
            "row_gb": row.moved_bytes / GIGA,
            "scene_tflop": (text.flop + pictures * encode.flop + decode.flop) / TERA,
            "scene_gb": (text.moved_bytes + pictures * encode.moved_bytes + decode.moved_bytes) / GIGA,
            "scene_gib": _scene_bytes(pack, dtype, largest) / GIB,
            "text_gib": bytes_of(parts["text_encoder"]) / GIB,
            "alone_gib": max(text.peak_bytes, *peaks) / GIB,
        }
    )


def _edit_step(pack: Pack, parts: dict[RoleName, Any], dtype: torch.dtype, size: Size, rows: int) -> object:
    """The window and the scene's picture, each of this many tokens, and the text."""
    tokens = size[0] * size[1] // (PATCH * pack.vae_factor) ** 2
    config = parts["transformer"].config
    empty = partial(torch.empty, device="meta")
    return parts["transformer"](
        hidden_states=empty(rows, 2 * tokens, config.in_channels, dtype=dtype),
        encoder_hidden_states=empty(rows, TEXT_TOKENS, config.joint_attention_dim, dtype=dtype),
        timestep=empty(rows, dtype=dtype),
        img_ids=empty(2 * tokens, 4, dtype=torch.long),
        txt_ids=empty(TEXT_TOKENS, 4, dtype=torch.long),
        return_dict=False,
    )[0]


def _control_step(pack: Pack, parts: dict[RoleName, Any], dtype: torch.dtype, size: Size, rows: int) -> object:
    """A call of the ControlNet, and one of the transformer with its residuals."""
    width, height = (side // pack.vae_factor for side in size)
    empty = partial(torch.empty, device="meta", dtype=dtype)
    config = parts["transformer"].config
    latents = list(empty(rows, config.in_channels, 1, height, width))
    texts = [empty(TEXT_TOKENS, config.cap_feat_dim) for _ in range(rows)]
    images = [empty(parts["controlnet"].config.control_in_dim, 1, height, width) for _ in range(rows)]
    times = torch.empty(rows, device="meta")
    residuals = parts["controlnet"](latents, times, texts, images, conditioning_scale=empty(rows, 1, 1))
    return parts["transformer"](latents, times, texts, controlnet_block_samples=residuals, return_dict=False)[0]


def _text(parts: dict[RoleName, Any]) -> object:
    ids = torch.zeros(1, TEXT_TOKENS, dtype=torch.long, device="meta")
    # a whole mask: transformers would look at the values of a short one
    mask = torch.ones(1, 1, TEXT_TOKENS, TEXT_TOKENS, dtype=torch.bool, device="meta")
    network = parts["text_encoder"]
    return network(ids, attention_mask=mask, output_hidden_states=True, use_cache=False).hidden_states


def _encode(pack: Pack, parts: dict[RoleName, Any], dtype: torch.dtype, size: Size) -> object:
    return parts["vae"].encode(torch.empty(1, 3, size[1], size[0], dtype=dtype, device="meta"))


def _decode(pack: Pack, parts: dict[RoleName, Any], dtype: torch.dtype, size: Size) -> object:
    width, height = (side // pack.vae_factor for side in size)
    latents = torch.empty(1, parts["vae"].config.latent_channels, height, width, dtype=dtype, device="meta")
    return parts["vae"].decode(latents, return_dict=False)[0]


def _scene_bytes(pack: Pack, dtype: torch.dtype, size: Size) -> int:
    """The bytes that a `Denoising` holds between its steps."""
    positions = size[0] * size[1] // pack.vae_factor**2
    channels = pack.role("vae").config["latent_channels"]
    width = pack.role("text_encoder").config["hidden_size"]
    if pack.manifest.recipe == "flow_edit":
        width *= len(EDIT_LAYERS)
        seen = positions * channels
    else:
        seen = len(pack.controls) * positions * (2 * channels + 1)
    in_fp32 = positions * 5 * channels  # latents, noise, known, predicted; mask
    return int((seen + TEXT_TOKENS * width) * dtype.itemsize + in_fp32 * torch.float32.itemsize)
