"""What a silhouette alone says of a shape: the mask, inflated like a cushion.

Solve ∇²h = -4 with h = 0 outside the mask, and take z = √h (Baran and Lehtinen 2009). A disc becomes a half sphere.
"""

from __future__ import annotations

import cv2
import numpy as np

from packshot.types import F32, U8

SOLVE_PX = 96
"""The mask's longer side when it is inflated; the height is smooth, so it is enlarged afterwards."""
FLATTEST = 1e-3


def inflated(mask: U8) -> F32:
    """The height of each pixel of a mask (uint8 HxW, 255 = product), float32 HxW in pixels; 0 outside."""
    # Here, because it takes 15 MiB, and every gateway and director imports this module.
    from scipy.sparse import coo_matrix
    from scipy.sparse.linalg import spsolve

    height, width = mask.shape
    scale = min(1.0, SOLVE_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.pad(cv2.resize(mask, size, interpolation=cv2.INTER_AREA) >= 128, 1)
    numbers = np.where(small, np.cumsum(small).reshape(small.shape) - 1, -1)
    count = int(small.sum())
    if count == 0:
        return np.zeros((height, width), np.float32)
    own = numbers[small]
    rows, columns = [own], [own]
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
        beside = np.roll(numbers, step, axis)[small]
        rows.append(own[beside >= 0])
        columns.append(beside[beside >= 0])
    values = np.concatenate([np.full(count, 4.0), -np.ones(sum(len(part) for part in rows[1:]))])
    system = coo_matrix((values, (np.concatenate(rows), np.concatenate(columns))), (count, count)).tocsc()
    solved = np.zeros(small.shape, np.float32)
    solved[small] = np.sqrt(np.maximum(spsolve(system, np.full(count, 4.0)), 0))
    large = cv2.resize(solved[1:-1, 1:-1], (width, height), interpolation=cv2.INTER_LINEAR) / scale
    return np.asarray(np.where(mask >= 128, large, 0), np.float32)


def normals_of(height: F32, mask: U8) -> F32:
    """Normals of a height map (float32 HxW, in pixels, towards the camera), float32 HxWx3; 0 outside the mask."""
    smooth = np.pad(cv2.GaussianBlur(height, (0, 0), 1.0), 1, mode="edge")  # a gradient needs two pixels a side
    up_y, right_x = (slope[1:-1, 1:-1] for slope in np.gradient(smooth))
    normals = np.dstack([-right_x, up_y, np.ones_like(height)])
    normals /= np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), FLATTEST)
    return np.asarray(np.where(mask[..., None] >= 128, normals, 0), np.float32)


__all__ = ["inflated", "normals_of"]
