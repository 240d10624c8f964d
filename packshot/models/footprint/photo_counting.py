"""The footprints of the stages that look at photos: segmenter, detector and geometry, counted on the meta device."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import torch
from torch import nn

from packshot.models.detect.detector import LONGER_PX, PROPOSALS, SHORTER_PX
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
from packshot.models.packs.pack import Pack
from packshot.models.segment.attention import attend_piecewise
from packshot.models.segment.segmenter import DETAIL, SETS_PER_CALL
from packshot.models.understand.geometry import DEPTH_PX
from packshot.models.understand.network import OUTLINE

__all__ = ["detector_footprint", "geometry_footprint", "segmenter_footprints"]

SET_TOKENS = 8
"""Assumed tokens of a prompt set: clicks and a box. The thousands of image tokens make their number unimportant."""

WORD_PIECES = 16
"""Assumed pieces of a search's words."""


def segmenter_footprints(pack: Pack, dtype: torch.dtype = torch.bfloat16) -> tuple[Footprint, Footprint]:
    """The footprints of the image encoder in `dtype` and of the mask decoder in fp32.

    A row of the encoder is a photo, and a row of the decoder is a prompt set. A call of the decoder has at most
    SETS_PER_CALL prompt sets.
    """
    sam = _meta_segmenter(pack)
    decoder = bytes_of(sam.prompt_encoder) + bytes_of(sam.mask_decoder)
    decode = cost_of(partial(_decode, sam, SETS_PER_CALL))
    encoder = nn.Module.to(sam.image_encoder, dtype)
    loading = bytes_of(encoder) + decoder
    attend_piecewise(encoder)
    few, many = (cost_of(partial(_encode, encoder, sam.packshot_config, dtype, photos)) for photos in (FEW, MANY))
    return (
        linear_footprint(few, many, weights=bytes_of(encoder), loading=loading),
        Footprint(
            weights_gib=decoder / GIB,
            loading_gib=loading / GIB,
            base_gib=decode.peak_bytes / GIB,
            row_gib=0,
            row_tflop=decode.flop / SETS_PER_CALL / TERA,
            row_gb=decode.moved_bytes / SETS_PER_CALL / GIGA,
        ),
    )


def _meta_segmenter(pack: Pack) -> Any:
    """The segmenter in SAM's parts, on the meta device in fp32."""
    sam = meta_network(pack, "segmenter", torch.float32)
    if pack.role("segmenter").class_name == "Sam2Model":
        from packshot.models.segment.sam2 import Sam2

        return Sam2(sam)
    return sam


def _encode(encoder: Any, keys: dict[str, Any], dtype: torch.dtype, photos: int) -> object:
    pixels = torch.empty(photos, 3, keys["image_size"], keys["image_size"], dtype=dtype, device="meta")
    return encoder.encode_with_maps(pixels) if hasattr(encoder, "encode_with_maps") else encoder(pixels)


def _decode(sam: Any, sets: int) -> object:
    keys = sam.packshot_config
    channels, side = keys["out_chans"], keys["image_size"] // keys["patch_size"]
    features, positions, tokens, no_mask = (
        torch.empty(shape, device="meta")
        for shape in (
            (sets, channels, side, side),
            (1, channels, side, side),
            (sets, SET_TOKENS, channels),
            (1, channels, 1, 1),
        )
    )
    sides = [keys["image_size"] // 2 ** (level + 1) for level in range(len(DETAIL))]
    maps = [
        torch.empty(sets, wide, side, side, device="meta")
        for wide, side in zip(keys["detail"], sides, strict=False)
        if keys["image_size"] // side >= keys["mask_stride"]
    ]
    return sam.mask_decoder.decode(features, positions, tokens, no_mask, maps)


def geometry_footprint(pack: Pack, dtype: torch.dtype = torch.bfloat16) -> Footprint:
    """The footprint of the pack's geometry. A row is a cutout. A head runs in fp32, after the encoder in `dtype`."""
    if pack.role("geometry").class_name == "GeometryHead":
        sam, head = _meta_segmenter(pack), meta_network(pack, "geometry", torch.float32)
        decoder = bytes_of(sam.prompt_encoder) + bytes_of(sam.mask_decoder)
        encoder = nn.Module.to(sam.image_encoder, dtype)
        loading = bytes_of(encoder) + decoder + bytes_of(head)
        attend_piecewise(encoder)
        call = partial(_head_geometry, encoder, head, sam.packshot_config, dtype)
        weights = bytes_of(encoder) + bytes_of(head)
    else:
        network = meta_network(pack, "geometry", dtype)
        call, weights = partial(_depth, network, dtype), bytes_of(network)
        loading = weights
    few, many = (cost_of(partial(call, cutouts)) for cutouts in (FEW, MANY))
    return linear_footprint(few, many, weights=weights, loading=loading)


def _head_geometry(encoder: Any, head: Any, keys: dict[str, Any], dtype: torch.dtype, cutouts: int) -> object:
    pixels = torch.empty(cutouts, 3, keys["image_size"], keys["image_size"], dtype=dtype, device="meta")
    features, maps = encoder.encode_with_maps(pixels)
    quarter, eighth = (one.float() for one in maps[-2:])
    outline = torch.empty(cutouts, OUTLINE, *quarter.shape[-2:], device="meta")
    return head(features.float(), quarter, eighth, outline)


def _depth(network: Any, dtype: torch.dtype, cutouts: int) -> object:
    return network(pixel_values=torch.empty(cutouts, 3, DEPTH_PX, DEPTH_PX, dtype=dtype, device="meta"))[0]


def detector_footprint(pack: Pack, dtype: torch.dtype = torch.bfloat16) -> Footprint:
    """The footprint of the pack's detector. A row is a photo with its words. A head runs in fp32, on embeddings."""
    if pack.role("detector").class_name == "NameFinder":
        network, keys = meta_network(pack, "detector", torch.float32), pack.role("segmenter").config
        few, many = (cost_of(partial(_find_names, network, keys, photos)) for photos in (FEW, MANY))
        return linear_footprint(few, many, weights=bytes_of(network), loading=bytes_of(network))
    network = meta_network(pack, "detector", dtype)
    one = cost_of(partial(_ground, network, dtype))  # it looks at one photo after another
    return Footprint(
        weights_gib=bytes_of(network) / GIB,
        loading_gib=bytes_of(network) / GIB,
        base_gib=one.peak_bytes / GIB,
        row_gib=0,
        row_tflop=one.flop / TERA,
        row_gb=one.moved_bytes / GIGA,
    )


def _find_names(network: Any, keys: dict[str, Any], photos: int) -> object:
    side = keys["image_size"] // keys["patch_size"]
    features = torch.empty(photos, keys["out_chans"], side, side, device="meta")
    eighth = torch.empty(photos, keys["detail"][-1], 2 * side, 2 * side, device="meta")
    joined = network.joined(features, eighth)
    network.proposed(joined)
    boxes = torch.empty(PROPOSALS * photos, 4, device="meta")
    rows = torch.zeros(PROPOSALS * photos, dtype=torch.long, device="meta")
    asked = torch.empty(photos, len(network.phrases), device="meta")
    return network.scores(network.numbers(joined, network.mended(joined, boxes, rows), rows), asked)


def _ground(network: Any, dtype: torch.dtype) -> object:
    pixels = torch.empty(1, 3, SHORTER_PX, LONGER_PX, dtype=dtype, device="meta")
    ids = torch.zeros(1, WORD_PIECES, dtype=torch.long, device="meta")
    os.environ["TRANSFORMERS_DISABLE_TORCH_CHECK"] = "1"  # its checks read values, which tensors of meta have none of
    try:
        return network.model(pixel_values=pixels, input_ids=ids)  # the heads after it are small
    finally:
        del os.environ["TRANSFORMERS_DISABLE_TORCH_CHECK"]
