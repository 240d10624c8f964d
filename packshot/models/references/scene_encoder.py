"""The embedded pack's image encoder: a picture's surface, backdrop, light and colours as one vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from packshot.models.judge import WIDTHS, Block

__all__ = ["SceneEncoder"]


class SceneEncoder(nn.Module):
    """Embeds pictures of scenes. `size_px` is the side to which they are resized, and `dim` the vector's length.

    The blocks are those of the pack's judge (`packshot.models.judge.SceneJudge`), from which training starts. They see
    no mask, because a reference picture has none.
    """

    def __init__(self, size_px: int = 128, dim: int = 256) -> None:
        super().__init__()
        self.size_px = size_px
        self.blocks = nn.Sequential(*(Block(a, b) for a, b in zip((3, *WIDTHS[:-1]), WIDTHS, strict=True)))
        self.out = nn.Linear(4 * WIDTHS[-1], dim)

    def forward(self, pictures: Tensor) -> Tensor:
        """The vectors (B, dim) of pictures (B, 3, S, S) in -1..1."""
        seen = self.blocks(pictures)  # (B, C, S / 32, S / 32)
        halves = seen.split(seen.shape[2] // 2, 2)  # surfaces are in the lower half, backdrops in the upper
        pooled = torch.cat([pool for half in halves for pool in (half.mean((2, 3)), half.amax((2, 3)))], 1)
        out: Tensor = self.out(pooled)
        return out
