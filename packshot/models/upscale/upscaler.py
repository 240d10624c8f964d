"""Enlarge a painted scene in tiles, so that the memory does not grow with the scene."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor
from torch.nn import functional

from packshot.models.upscale.network import RRDBNet, SRVGGNetCompact

if TYPE_CHECKING:
    from packshot.models.packs.pack import Pack

__all__ = ["TILE_PX", "USEFUL_FROM", "Upscaler", "load_upscaler"]

TILE_PX = 256
"""Side of a tile before its context, pixels of the scene."""
CONTEXT_PX = 16
"""What a tile sees of its neighbours on each side, pixels of the scene."""
USEFUL_FROM = 1.25
"""A scene that the canvas enlarges by less is left to Lanczos, which shows no softness there."""


class Upscaler:
    """Enlarges pictures `scale` times on a device. `network` is one of packshot/models/upscale/network.py."""

    def __init__(self, network: RRDBNet | SRVGGNetCompact, name: str, device: torch.device, dtype: torch.dtype) -> None:
        self.name = name
        self.scale = network.scale
        self._network = network
        self._device = device
        self._dtype = dtype

    @torch.inference_mode()
    def enlarge(self, picture: Tensor) -> Tensor:
        """The picture (1, 3, H, W), -1..1, `scale` times as large on each side, fp32 -1..1."""
        unit = (picture.to(self._device, torch.float32).clamp(-1, 1) + 1) / 2
        height, width = unit.shape[-2:]
        out = torch.empty((1, 3, height * self.scale, width * self.scale), device=self._device)
        padded = functional.pad(unit, [CONTEXT_PX] * 4, mode="replicate")
        for top in range(0, height, TILE_PX):
            for left in range(0, width, TILE_PX):
                rows, columns = min(TILE_PX, height - top), min(TILE_PX, width - left)
                tile = padded[..., top : top + rows + 2 * CONTEXT_PX, left : left + columns + 2 * CONTEXT_PX]
                large = self._network(_even(tile).to(self._dtype)).float()
                first = CONTEXT_PX * self.scale
                large = large[..., first : first + rows * self.scale, first : first + columns * self.scale]
                y, x = top * self.scale, left * self.scale
                out[..., y : y + rows * self.scale, x : x + columns * self.scale] = large
        return out.clamp(0, 1) * 2 - 1


def _even(tile: Tensor) -> Tensor:
    """The tile with even sides, which networks that fold their input need."""
    height, width = tile.shape[-2:]
    return functional.pad(tile, [0, width % 2, 0, height % 2], mode="replicate") if height % 2 or width % 2 else tile


def load_upscaler(pack: Pack, device: torch.device, dtype: torch.dtype) -> Upscaler | None:
    """Load the pack's upscaler; None without the role. Raises PackRefused as `Pack.load` does."""
    if "upscaler" not in pack.manifest.roles:
        return None
    network = cast(RRDBNet | SRVGGNetCompact, pack.load("upscaler", device, dtype))
    return Upscaler(network, pack.role("upscaler").class_name, device, dtype)
