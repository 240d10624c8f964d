"""Conversions between pictures and tensors, and torch's out-of-memory errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from packshot.errors import EngineFailed
from packshot.types import U8

__all__ = ["convert_memory_errors", "repeat", "to_pixels", "to_unit"]


def to_unit(pixels: U8) -> Tensor:
    """Convert uint8 HxWx3 to (1, 3, H, W) fp32, -1..1."""
    return torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None] * 2 - 1


def to_pixels(picture: Tensor) -> U8:
    """Convert (1, 3, H, W) fp32 to uint8 HxWx3. Values beyond -1..1 are clipped."""
    pixels = (picture[0] / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
    converted: U8 = pixels.permute(1, 2, 0).contiguous().cpu().numpy()
    return converted


def repeat(parts: Sequence[Tensor], counts: Sequence[int]) -> Tensor:
    """Repeat each (n, …) part as often as its count states, and concatenate the results to (Σ n x count, …)."""
    return torch.cat([copy for part, count in zip(parts, counts, strict=True) for copy in [part] * count])


@contextmanager
def convert_memory_errors() -> Iterator[None]:
    """Convert torch's out-of-memory error to EngineFailed (engine_out_of_memory)."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        detail = f"the device ran out of memory: {error}; use fewer batch rows or a smaller pack"
        raise EngineFailed("engine_out_of_memory", detail, retryable=True) from error
