"""Pictures of the same plans without a path tracer: exact labels, plain light, 30 ms a picture.

Products are point clouds, drawn nearest last. Light is one lamp with a highlight, a sky from above, a shadow on the
ground and one at the contact. The set behind is flat: paper with a fall of light, or a plate of a path-traced shard.
They look drawn, so a training mixes them with path-traced pictures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from training.path_traced.clouds import Cloud
from training.path_traced.scene_plan import CameraPlan, ProductPlan, ViewPlan

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
REACH = ((0, 0), (1, 0), (0, 1), (1, 1))
"""The pixels of a point, right and down."""
LEAK = 0.1
"""A pixel that is so much farther than the middle one of its neighbourhood, in product sizes, lies between points."""


def splat(
    view: ViewPlan, clouds: Sequence[Cloud], rng: np.random.Generator, size_px: int, plate: U8 | None = None
) -> dict[str, NDArray[np.generic]]:
    """A picture of a view, and its labels: `image`, `index`, `depth`, `normals` as in a shard (`shards`).

    `clouds` are those of the main product and its neighbours. `plate` is a picture of a set, uint8 hxwx3, or None.
    """
    plans = (view.main, *view.neighbours)
    placed = [_placed(plan, cloud, rng) for plan, cloud in zip(plans, clouds, strict=True)]
    points = np.concatenate([points for points, _, _ in placed])
    normals = np.concatenate([normals for _, normals, _ in placed])
    colours = np.concatenate([colours for _, _, colours in placed])
    owner = np.repeat(np.arange(1, len(placed) + 1), [len(cloud.points) for cloud in clouds])
    eye, axes = _axes(view.camera)
    seen = (points - eye) @ axes  # right, up, ahead
    front, depth = _front(seen, view.camera, size_px)
    shown = front >= 0
    normals = normals[front] @ axes * np.array([1, 1, -1], np.float32)
    rays = seen[front] * np.array([1, 1, -1], np.float32)
    normals *= np.where((normals * rays).sum(-1, keepdims=True) > 0, -1, 1)
    light = view.takes[0].light
    azimuth, tilt = math.radians(light.azimuth_deg), math.radians(light.elevation_deg)
    to_lamp = np.array(
        (math.sin(azimuth) * math.cos(tilt), -math.cos(azimuth) * math.cos(tilt), math.sin(tilt)), np.float32
    )
    lit = _lit(colours[front], normals, to_lamp @ axes * np.array([1, 1, -1]), axes[2] * np.array([1, 1, -1]), rng)
    ground = _ground(rng, view.camera, size_px) if plate is None else _as_ground(plate, size_px)
    ground *= (1 - _shadow(points, to_lamp, eye, axes, view.camera, size_px, rng))[..., None]
    picture = np.where(shown[..., None], lit, ground)
    soft = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.45, 0.8)))
    return {
        "image": (np.clip(soft, 0, 1) ** (1 / 2.2) * 255 + 0.5).astype(np.uint8),
        "index": np.where(shown, owner[front], 0).astype(np.uint8),
        "depth": np.where(shown, depth, np.inf).astype(np.float16),
        "normals": np.round(np.where(shown[..., None], normals, 0) * 127).astype(np.int8),
    }


def _placed(plan: ProductPlan, cloud: Cloud, rng: np.random.Generator) -> tuple[F32, F32, F32]:
    """A product's points where it stands, their normals, and their linear colours, restyled where the plan says so."""
    size = np.array(plan.size_xyz, np.float32)
    normals = cloud.normals / np.maximum(size, 1e-3)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    c, s = math.cos(math.radians(plan.turn_deg)), math.sin(math.radians(plan.turn_deg))
    turn = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]], np.float32)
    colours = (cloud.colours.astype(np.float32) / 255) ** 2.2
    if plan.restyle >= 0 and rng.random() < 0.6:
        tints = rng.uniform(0.25, 1.3, (256, 3)).astype(np.float32)
        colours = np.clip(colours * tints[cloud.parts], 0.01, 0.95)
    points = (cloud.points * size) @ turn + np.array([*plan.at_xy, 0], np.float32)
    return points.astype(np.float32), np.asarray(normals @ turn, np.float32), np.asarray(colours, np.float32)


def _axes(camera: CameraPlan) -> tuple[F32, F32]:
    """The camera's place, and its axes right, up and ahead as columns."""
    tilt = math.radians(camera.elevation_deg)
    back = np.array((0, -math.cos(tilt), math.sin(tilt)))
    eye = np.array(camera.look_at) + camera.distance * back
    axes = np.stack([np.array((1.0, 0, 0)), np.array((0, math.sin(tilt), math.cos(tilt))), -back], axis=1)
    return eye.astype(np.float32), axes.astype(np.float32)


def _front(seen: F32, camera: CameraPlan, size_px: int) -> tuple[NDArray[np.int64], F32]:
    """The number of the nearest point at each pixel, -1 = none, and its depth."""
    place, ahead = _place(seen, camera, size_px)
    order = np.argsort(-ahead, kind="stable")
    order = order[ahead[order] > 0.05]
    front = np.full((size_px, size_px), -1, np.int64)
    corner = np.floor(place[order]).astype(np.int64)
    for right, down in REACH:
        x, y = corner[:, 0] + right, corner[:, 1] + down
        inside = (x >= 0) & (y >= 0) & (x < size_px) & (y < size_px)
        layer = np.full((size_px, size_px), -1, np.int64)
        layer[y[inside], x[inside]] = order[inside]
        front = np.where(_nearer(layer, front, ahead), layer, front)
    padded = np.pad(front, 1, constant_values=-1)
    around = np.stack(
        [padded[1 + dy : 1 + dy + size_px, 1 + dx : 1 + dx + size_px] for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    )
    away = np.where(around >= 0, ahead[around], np.inf)
    middle = np.argsort(away, axis=0, kind="stable")[4:5]
    usual, usual_away = (np.take_along_axis(part, middle, 0)[0] for part in (around, away))
    front = np.where(away[4] > usual_away + LEAK, usual, front)
    return front, np.where(front >= 0, ahead[front], 0).astype(np.float32)


def _nearer(layer: NDArray[np.int64], front: NDArray[np.int64], ahead: F32) -> NDArray[np.bool_]:
    return np.asarray((layer >= 0) & ((front < 0) | (ahead[layer] < ahead[front])))


def _place(seen: F32, camera: CameraPlan, size_px: int) -> tuple[F32, F32]:
    """Where points are seen, (N, 2) in pixels right and down, and how far ahead they are."""
    reach = math.tan(math.radians(camera.fov_deg) / 2)
    ahead = np.maximum(seen[:, 2], 1e-3)
    place = 0.5 + seen[:, :2] * np.array([1, -1], np.float32) / ahead[:, None] / reach / 2
    return np.asarray(place * size_px - 0.5, np.float32), seen[:, 2]


def _lit(colours: F32, normals: F32, to_lamp: F32, up: F32, rng: np.random.Generator) -> F32:
    """Linear colours under a lamp and a sky. Directions are in the camera's frame, z to the camera."""
    lamp = np.clip((normals @ to_lamp + 0.15) / 1.15, 0, 1) * rng.uniform(0.6, 1.1)
    sky = (0.5 + 0.5 * normals @ up) * rng.uniform(0.25, 0.6) + 0.08
    half = to_lamp + np.array([0, 0, 1])
    half /= np.linalg.norm(half)
    shine = np.clip(normals @ half, 0, 1) ** rng.uniform(12, 90) * rng.choice([0.0, 0.15, 0.5])
    tint = rng.normal(1, 0.06, 3)
    return np.asarray(colours * (lamp + sky)[..., None] * tint + shine[..., None], np.float32)


def _ground(rng: np.random.Generator, camera: CameraPlan, size_px: int) -> F32:
    """Ground and wall of two papers with grain and a fall of light, linear, float32 SxSx3."""
    low, high = rng.uniform(0.03, 0.9, (2, 3)) if rng.random() < 0.6 else rng.uniform(0.2, 0.9, (2, 1))
    edge = float(np.clip(0.55 - camera.elevation_deg / 90 + rng.normal(0, 0.1), 0, 0.9)) * size_px
    rows = np.arange(size_px, dtype=np.float32)[:, None]
    floor = 1 / (1 + np.exp(-(rows - edge) / rng.choice([0.7, 12.0])))
    picture = (floor[..., None] * low + (1 - floor[..., None]) * high) * np.ones((1, size_px, 1))
    for cells, amount in ((6, 0.25), (40, 0.15), (size_px, 0.06)):
        grain = cv2.resize(rng.normal(0, amount, (cells, cells)), (size_px, size_px), interpolation=cv2.INTER_LINEAR)
        picture *= np.exp(grain * rng.random())[..., None]
    return np.asarray(picture, np.float32)


def _as_ground(plate: U8, size_px: int) -> F32:
    resized = cv2.resize(plate, (size_px, size_px), interpolation=cv2.INTER_CUBIC)
    return np.asarray((resized.astype(np.float32) / 255) ** 2.2, np.float32)


def _shadow(
    points: F32, to_lamp: F32, eye: F32, axes: F32, camera: CameraPlan, size_px: int, rng: np.random.Generator
) -> F32:
    """The share of light that the ground lacks, 0..1: the lamp's shadow and the dark at the contact."""
    side = size_px // 2
    dark = np.zeros((side, side), np.float32)
    softness, depth = float(rng.uniform(0.8, 7)), float(rng.uniform(0.25, 0.75))
    for fallen, blur, strength in (
        (points - to_lamp * (points[:, 2:] / to_lamp[2]), softness, depth),
        (points[points[:, 2] < 0.06] * np.array([1, 1, 0], np.float32), 2.0, 0.5),
    ):
        place, ahead = _place(np.asarray((fallen - eye) @ axes, np.float32), camera, side)
        at = np.round(place[ahead > 0.05]).astype(int)
        at = at[((at >= 0) & (at < side)).all(1)]
        layer = np.zeros((side, side), np.float32)
        layer[at[:, 1], at[:, 0]] = 1
        dark = np.maximum(dark, cv2.GaussianBlur(cv2.dilate(layer, np.ones((2, 2))), (0, 0), blur) * strength)
    return np.asarray(cv2.resize(dark, (size_px, size_px), interpolation=cv2.INTER_LINEAR), np.float32)
