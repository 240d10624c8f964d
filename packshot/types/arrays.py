"""The arrays of the types, and the check of their dtype and shape."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
U16 = NDArray[np.uint16]
F32 = NDArray[np.float32]
BoxXYXY = tuple[int, int, int, int]


def require_array(
    array: np.ndarray[Any, Any], what: str, dtype: type[np.generic], ndim: int, channels: int = 0
) -> None:
    """Raise TypeError unless an array has this dtype and shape, and is not empty. `channels` 0 = any number."""
    if array.dtype != dtype or array.ndim != ndim or (channels and array.shape[-1] != channels) or 0 in array.shape:
        want = {1: "W", 2: "HxW"}.get(ndim, f"HxWx{channels or 'C'}")
        raise TypeError(f"{what} must be {np.dtype(dtype)} {want} and not empty, got {array.dtype} {array.shape}")
