"""Where the camera stands so that a product fills a wanted share of the frame: boxes and a pinhole, no mesh needed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.path_traced.scene_plan import CameraPlan, ProductPlan

F64 = NDArray[np.float64]


def corners(plan: ProductPlan) -> F64:
    """The eight corners of a product's box where it stands, 8x3."""
    width, depth, height = plan.size_xyz
    c, s = math.cos(math.radians(plan.turn_deg)), math.sin(math.radians(plan.turn_deg))
    box = np.array(
        [(x * width / 2, y * depth / 2, z * height) for x, y, z in itertools.product((-1, 1), (-1, 1), (0, 1))]
    )
    turned = np.stack([c * box[:, 0] - s * box[:, 1], s * box[:, 0] + c * box[:, 1], box[:, 2]], axis=1)
    return np.asarray(turned + np.array([*plan.at_xy, 0.0]), np.float64)


def project(camera: CameraPlan, points: F64) -> F64:
    """Picture coordinates Nx2, 0..1 right and down, of points Nx3; roll is left out."""
    tilt = math.radians(camera.elevation_deg)
    eye = np.array(camera.look_at) + camera.distance * np.array([0.0, -math.cos(tilt), math.sin(tilt)])
    ahead = np.array([0.0, math.cos(tilt), -math.sin(tilt)])
    up = np.array([0.0, math.sin(tilt), math.cos(tilt)])
    away = points - eye
    depth = np.maximum(away @ ahead, 1e-3)
    reach = math.tan(math.radians(camera.fov_deg) / 2)
    return np.stack([0.5 + away[:, 0] / depth / reach / 2, 0.5 - (away @ up) / depth / reach / 2], axis=1)


def backdrop_share(camera: CameraPlan, ground_end: float) -> float:
    """The share of the frame above the ground's far edge."""
    edge = project(camera, np.array([[0.0, ground_end, 0.0]]))[0, 1]
    return float(np.clip(edge, 0, 1))


def edge_angle(camera: CameraPlan, ground_end: float) -> float:
    """How far below the horizontal the ground's far edge is seen, in degrees."""
    tilt = math.radians(camera.elevation_deg)
    y = camera.look_at[1] - camera.distance * math.cos(tilt)
    z = camera.look_at[2] + camera.distance * math.sin(tilt)
    return math.degrees(math.atan2(z, ground_end - y))


def frame(
    products: Sequence[ProductPlan],
    elevation_deg: float,
    fov_deg: float,
    fill: float,
    shift: tuple[float, float],
    aperture: float,
    roll_deg: float,
) -> CameraPlan:
    """A camera for which the largest product's box spans `fill` of the frame. shift: of the middle, in frames, right
    and down."""
    points = np.concatenate([corners(plan) for plan in products])
    middle = (points.min(0) + points.max(0)) / 2
    reach = math.tan(math.radians(fov_deg) / 2)
    low, high = 0.3, 60.0
    for _ in range(40):
        distance = (low + high) / 2
        at = CameraPlan(elevation_deg, distance, fov_deg, tuple(middle), aperture, roll_deg)
        spans = [np.ptp(project(at, corners(plan)), axis=0).max() for plan in products]
        low, high = (distance, high) if max(spans) > fill else (low, distance)
    wide = 2 * distance * reach
    x, y, z = (float(value) for value in middle)
    tilt = math.radians(elevation_deg)
    moved = (x - shift[0] * wide, y + shift[1] * wide * math.sin(tilt), z + shift[1] * wide * math.cos(tilt))
    return CameraPlan(
        elevation_deg,
        round(distance, 4),
        fov_deg,
        (round(moved[0], 4), round(moved[1], 4), round(moved[2], 4)),
        aperture,
        roll_deg,
    )
