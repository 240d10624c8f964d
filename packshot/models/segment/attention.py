"""SAM's image attention in pieces that stay in a processor's cache.

segment_anything writes every query's scores against every key at once: at 1024 px 805 MB for one global layer, read and
written four times over (scores, two relative positions, softmax). Here a piece of some queries goes the whole way
before the next one begins. The arithmetic is the original's, and so are the parameters' names; only `torch.bmm` may sum
in another order.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from packshot.models.segment.sam_modules import Attention, get_rel_pos

SCORES = 1 << 20
"""Scores of a piece: 4 MB in fp32. Two million cost 5 % more, sixteen million twice the time (docs/measurements.md)."""


class PiecewiseAttention(Attention):  # type: ignore[misc]  # segment_anything has no types
    """`Attention` of segment_anything; pieces on a CPU, the original elsewhere."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, D) -> (B, H, W, D): attention within each of the B pictures or windows."""
        if x.device.type != "cpu":
            out: Tensor = super().forward(x)
            return out
        batch, height, width, _ = x.shape
        tokens, slices = height * width, batch * self.num_heads
        qkv = self.qkv(x).view(batch, tokens, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        queries, keys, values = qkv.reshape(3, slices, tokens, -1).unbind(0)  # each (B * heads, H * W, d)
        keys = keys.transpose(1, 2)
        grid = queries.view(slices, height, width, -1)
        down, across = self._relative(grid) if self.use_rel_pos else (None, None)
        seen = torch.empty_like(queries)
        together = max(1, SCORES // tokens**2)
        rows = max(1, SCORES // (width * tokens))
        for first in range(0, slices, together):
            some = slice(first, first + together)
            for top in range(0, height, rows):
                asking = grid[some, top : top + rows]
                scores = torch.bmm(asking.flatten(1, 2) * self.scale, keys[some])  # (n, rows * W, H * W)
                if down is not None and across is not None:
                    boxes = scores.view(len(scores), -1, width, height, width)
                    boxes += down[some, top : top + rows, :, :, None]
                    boxes += across[some, top : top + rows, :, None, :]
                answer = torch.bmm(scores.softmax(dim=-1), values[some])
                seen[some, top * width : (top + rows) * width] = answer
        joined = seen.view(batch, self.num_heads, tokens, -1).transpose(1, 2).reshape(batch, height, width, -1)
        projected: Tensor = self.proj(joined)
        return projected

    def _relative(self, grid: Tensor) -> tuple[Tensor, Tensor]:
        """What each query adds to the keys of a row, (B * heads, H, W, H), and of a column, (B * heads, H, W, W)."""
        height, width = grid.shape[1:3]
        down = torch.einsum("bhwc,hkc->bhwk", grid, get_rel_pos(height, height, self.rel_pos_h))
        across = torch.einsum("bhwc,wkc->bhwk", grid, get_rel_pos(width, width, self.rel_pos_w))
        return down, across


def attend_piecewise(encoder: Any) -> None:
    """Give every block of SAM's image encoder `PiecewiseAttention`, with the parameters that it has."""
    for block in encoder.blocks:
        block.attn.__class__ = PiecewiseAttention
