"""What is known of products in tests: the shape that a silhouette says, and any material."""

from __future__ import annotations

import cv2
import numpy as np

from packshot.imaging.light.inflation import inflated, normals_of
from packshot.types import U8, Geometry, Material, Understanding

MAP_PX = 64
OPAQUE = Material("opaque", 0.9)


def understood(alpha: U8, material: Material = OPAQUE) -> Understanding:
    """What is known of a cutout with this alpha, uint8 HxW: its silhouette, inflated."""
    scale = min(1.0, MAP_PX / max(alpha.shape))
    size = (max(1, round(alpha.shape[1] * scale)), max(1, round(alpha.shape[0] * scale)))
    small = cv2.resize(np.ascontiguousarray(alpha), size, interpolation=cv2.INTER_AREA)
    mask = np.where(small >= 128, np.uint8(255), np.uint8(0))
    height = inflated(mask)
    normals = np.round(normals_of(height, mask) * 127).astype(np.int8)
    depth = np.asarray(height / max(float(height.max()), 1.0), np.float32)
    feet = np.full(size[0], size[1] - 1, np.float32)
    return Understanding(Geometry(normals, depth, mask), np.zeros_like(depth), feet, "upright", 0.0, material)
