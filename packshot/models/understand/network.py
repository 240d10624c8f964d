"""The mini pack's geometry head: normals and depth of a cutout from the segmenter's features.

    features (B, C, s, s) ──> blocks ─┐
    eighth (B, c8, 2s, 2s) ───────────┴─> block ─┐
    quarter (B, c4, 4s, 4s) ─┐                   │
    outline (B, 5, 4s, 4s) ──┴───────────────────┴─> block ─> normals (B, 3, 4s, 4s), depth (B, 1, 4s, 4s)

The outline is the mask with the normals and the height of its inflation (`inflation.py`): what the silhouette alone
says. The head corrects it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from packshot.models.blocks import Block

OUTLINE = 5
"""Channels of the outline: mask 0 or 1, normals x, y, z, height 0..1."""


class GeometryHead(nn.Module):
    """The network of the drawing above.

    `feature_channels` (C) and `detail_channels` (c4, c8) are the segmenter's; `width` is that of the coarse blocks.
    """

    def __init__(
        self, *, feature_channels: int, detail_channels: tuple[int, int], width: int = 128, depth: int = 3
    ) -> None:
        super().__init__()
        quarter, eighth = detail_channels
        self.enter = nn.Conv2d(feature_channels + OUTLINE, width, 1)
        self.coarse = nn.Sequential(*(Block(width) for _ in range(depth)))
        self.to_middle = nn.ConvTranspose2d(width, 64, kernel_size=2, stride=2)
        self.skip_middle = nn.Conv2d(eighth, 64, 1)
        self.middle = nn.Sequential(Block(64), Block(64))
        self.to_fine = nn.ConvTranspose2d(64, 32, kernel_size=2, stride=2)
        self.skip_fine = nn.Conv2d(quarter + OUTLINE, 32, 1)
        self.fine = Block(32)
        self.out = nn.Conv2d(32, 4, 1)
        for weights in self.out.parameters():
            nn.init.zeros_(weights)  # an untrained head gives the inflation

    def forward(self, features: Tensor, quarter: Tensor, eighth: Tensor, outline: Tensor) -> tuple[Tensor, Tensor]:
        """Normals of length 1 in the camera's frame (x right, y up, z to the camera), and depth, near = 1."""
        small = functional.adaptive_avg_pool2d(outline, features.shape[-1])
        x = self.coarse(self.enter(torch.cat([features, small], 1)))
        x = self.middle(self.to_middle(x) + self.skip_middle(eighth))
        x = self.fine(self.to_fine(x) + self.skip_fine(torch.cat([quarter, outline], 1)))
        change = self.out(x)
        return functional.normalize(outline[:, 1:4] + change[:, :3], dim=1), outline[:, 4:] + change[:, 3:]


__all__ = ["OUTLINE", "GeometryHead"]
