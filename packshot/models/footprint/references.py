"""The footprint of the image encoder of reference pictures."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from packshot.models.footprint.counting import FEW, MANY, bytes_of, cost_of, linear_footprint, meta_network
from packshot.models.footprint.stage_footprint import Footprint
from packshot.models.packs.pack import Pack

__all__ = ["encoder_footprint"]


def encoder_footprint(pack: Pack, dtype: torch.dtype = torch.bfloat16) -> Footprint:
    """The footprint of the pack's image encoder. A row is a reference picture."""
    network = meta_network(pack, "image_encoder", dtype)
    clip = pack.role("image_encoder").class_name == "CLIPVisionModelWithProjection"
    side = int(network.config.image_size if clip else network.size_px)
    few, many = (cost_of(partial(_encode, network, side, dtype, clip, pictures)) for pictures in (FEW, MANY))
    return linear_footprint(few, many, weights=bytes_of(network), loading=bytes_of(network))


def _encode(network: Any, side: int, dtype: torch.dtype, clip: bool, pictures: int) -> object:
    pixels = torch.empty(pictures, 3, side, side, dtype=dtype, device="meta")
    return network(pixel_values=pixels).image_embeds if clip else network(pixels)
