"""SAM's image attention in chunks of queries whose scores stay in a processor's cache.

segment_anything computes the scores of all queries and keys at once: at 1024 px 805 MB for one global layer, which is
read and written four times (scores, two relative positions, softmax). Here each chunk of queries passes through all
operations before the next chunk begins. The arithmetic and the parameters' names are the original's; only `torch.bmm`
may sum in another order.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from packshot.models.segment.sam_modules import Attention, get_rel_pos

SCORES = 1 << 20
"""Scores of a chunk: 4 MB in fp32. Two million take 5 % more time, sixteen million twice (docs/measurements.md)."""


class PiecewiseAttention(Attention):  # type: ignore[misc]  # segment_anything has no types
    """segment_anything's `Attention`, computed in chunks on a CPU. On other devices it runs the original code."""

    def forward(self, x: Tensor) -> Tensor:
        """Self-attention within each of the B pictures or windows: (B, H, W, D) -> (B, H, W, D)."""
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
        attended = torch.empty_like(queries)
        slices_at_once = max(1, SCORES // tokens**2)
        rows = max(1, SCORES // (width * tokens))
        for first in range(0, slices, slices_at_once):
            chunk = slice(first, first + slices_at_once)
            for top in range(0, height, rows):
                chunk_queries = grid[chunk, top : top + rows]
                scores = torch.bmm(chunk_queries.flatten(1, 2) * self.scale, keys[chunk])  # (n, rows * W, H * W)
                if down is not None and across is not None:
                    by_position = scores.view(len(scores), -1, width, height, width)
                    by_position += down[chunk, top : top + rows, :, :, None]
                    by_position += across[chunk, top : top + rows, :, None, :]
                attended[chunk, top * width : (top + rows) * width] = torch.bmm(scores.softmax(dim=-1), values[chunk])
        joined = attended.view(batch, self.num_heads, tokens, -1).transpose(1, 2).reshape(batch, height, width, -1)
        projected: Tensor = self.proj(joined)
        return projected

    def _relative(self, grid: Tensor) -> tuple[Tensor, Tensor]:
        """The relative position terms of each query.

        Returns one term for each row of keys, (B * heads, H, W, H), and one for each column, (B * heads, H, W, W).
        """
        height, width = grid.shape[1:3]
        down = torch.einsum("bhwc,hkc->bhwk", grid, get_rel_pos(height, height, self.rel_pos_h))
        across = torch.einsum("bhwc,wkc->bhwk", grid, get_rel_pos(width, width, self.rel_pos_w))
        return down, across


def attend_piecewise(encoder: Any) -> None:
    """Replace the attention of every block of SAM's image encoder by `PiecewiseAttention`, in place.

    The parameters stay the same. An encoder without SAM's blocks stays as it is.
    """
    for block in getattr(encoder, "blocks", ()):
        block.attn.__class__ = PiecewiseAttention
