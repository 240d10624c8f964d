"""From a shot's products to the control images of its conditions, at the size at which the engine paints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from packshot.contract.shot_spec import ShotSpec
from packshot.imaging.condition_maps import condition_maps
from packshot.imaging.light.placed import place_geometries
from packshot.imaging.pose import pose_map
from packshot.shots.stages import Fitted
from packshot.types import ConditionMaps, Framing, Geometry, Understanding

__all__ = ["control_maps"]


def control_maps(
    fitted: Fitted, products: Sequence[Understanding] | None, spec: ShotSpec, framing: Framing
) -> ConditionMaps:
    """The maps of the shot's conditions besides the edges, in the scene of `framing`.

    `products` are those of the layers, in their order; None when no condition needs them.
    """
    shape = None
    if products is not None:
        geometries = [product.geometry for product in products]
        shape = _bordered(place_geometries(geometries, spec.layers, spec.canvas, framing.shown_size), framing)
    maps = condition_maps([one.kind for one in spec.guiding_conditions], fitted.flat, shape)
    pose = next((one for one in spec.guiding_conditions if one.kind == "pose"), None)
    return maps if pose is None else replace(maps, pose=pose_map(pose.people, framing.size, framing.shown_xyxy))


def _bordered(shape: Geometry, framing: Framing) -> Geometry:
    """The shape in its scene: its border pixels are repeated, as `packshot.imaging.canvas.fit_into` does."""
    if framing.whole:
        return shape
    (width, height), (x0, y0, x1, y1) = framing.size, framing.shown_xyxy
    around = (y0, height - y1, x0, width - x1)
    normals, depth, mask = (
        cv2.copyMakeBorder(part, *around, cv2.BORDER_REPLICATE) for part in (shape.normals, shape.depth, shape.mask)
    )
    return Geometry(np.asarray(normals, np.int8), np.asarray(depth, np.float32), np.asarray(mask, np.uint8))
