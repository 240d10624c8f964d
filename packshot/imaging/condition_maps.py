"""The control images that follow a product's shape and area, in the conventions of the published ControlNets.

    depth           near = white. The product stands before a far ground: its own relief takes the upper part of the
                    range, and everything else is 0.
    normal          red = left, green = up, blue = to the viewer, as ControlNet v1.1 normalbae has it. What is not
                    product faces the viewer, as a wall does.
    segmentation    the product in the colour of ADE20K's class `box`; what is not product is black: no class, so that
                    the prompt decides what it is.

The map of `pose` shows the people of the request (`packshot.imaging.pose`): nothing finds a skeleton in a photo.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from packshot.contract.shot_spec import GEOMETRY_KINDS, ConditionKind
from packshot.types import F32, U8, ConditionMaps, Flat, Geometry

__all__ = ["PRODUCT_COLOUR", "condition_maps", "depth_of"]

RELIEF = 0.4
"""The product's share of the range of depth. A product is shallow beside the room that it stands in."""
FACING = (128, 128, 255)
PRODUCT_COLOUR = (0, 255, 20)
"""RGB of `box`, class 42 of ADE20K's 150: the plainest thing that is placed somewhere."""


def condition_maps(kinds: Collection[ConditionKind], flat: Flat, shape: Geometry | None) -> ConditionMaps:
    """The maps of these kinds at the layout's size.

    `shape` is the geometry of all layers on the canvas, of the layout's size; depth and normal need it. Raises
    ValueError when it is missing or of another size.
    """
    if set(GEOMETRY_KINDS).intersection(kinds):
        if shape is None:
            raise ValueError(f"the kinds {', '.join(GEOMETRY_KINDS)} need a shape, got {sorted(kinds)} without")
        if shape.mask.shape != flat.alpha.shape:
            raise ValueError(f"layout and shape must have one size, got {flat.alpha.shape} and {shape.mask.shape}")
    return ConditionMaps(
        depth=depth_of(shape.depth, shape.mask >= 128) if shape is not None and "depth" in kinds else None,
        normal=_normal(shape) if shape is not None and "normal" in kinds else None,
        segmentation=_segmentation(flat) if "segmentation" in kinds else None,
    )


def depth_of(near: F32, product: NDArray[np.bool_]) -> U8:
    """A depth map, uint8 HxW. `near` (HxW) is the product's own depth, 0..1, near = 1; `product` is where it is."""
    return np.where(product, np.rint(255 * (1 - RELIEF * (1 - near))), 0).astype(np.uint8)


def _normal(shape: Geometry) -> U8:
    left_up_front = shape.normals.astype(np.float32) * (-1, 1, 1) / 127
    encoded = np.rint((left_up_front + 1) * 127.5)
    return np.where((shape.mask >= 128)[..., None], encoded, FACING).astype(np.uint8)


def _segmentation(flat: Flat) -> U8:
    return np.where((flat.alpha >= 128)[..., None], PRODUCT_COLOUR, 0).astype(np.uint8)
