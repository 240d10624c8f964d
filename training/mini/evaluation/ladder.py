"""The border's error on the same objects photographed at 0.5, 3 and 12 megapixels, prompted by box.

Four outlines stand before a wall or lie on a table: a mug with a handle, a bottle, a bag with a thin strap, and a shape
of smooth curves. They are drawn with exact outlines at every size, with a camera's blur and noise.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from training.mini.evaluation.borders import border_error_px
from training.mini.evaluation.masks import Segmenter, iou
from training.mini.evaluation.pointing import box_of
from training.mini.evaluation.subjects import Subject

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
Outline = NDArray[np.floating]
"""Corners Nx2, (x, y) on a page of PAGE."""
PAGE = (1600, 1200)
SIZES: dict[str, tuple[int, int, float]] = {"0.5": (816, 612, 0.6), "3": (2000, 1500, 0.8), "12": (4000, 3000, 1.2)}
"""(width, height, sigma of the lens's blur), all in photo pixels, by megapixels."""
OVERSAMPLING, FRACTION_BITS = 4, 4
NOISE = 2.5
"""Standard deviation of the sensor's noise, in levels."""


def _ellipse(x: float, y: float, half_width: float, half_height: float) -> Outline:
    turn = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    return np.stack([x + half_width * np.cos(turn), y + half_height * np.sin(turn)], 1)


def _rounded(x0: float, y0: float, x1: float, y1: float, radius: float) -> Outline:
    """A rectangle with rounded corners."""
    turn = np.linspace(0, np.pi / 2, 60)
    quarter = radius * np.stack([np.cos(turn), np.sin(turn)], 1)
    corners = []
    for x, y in (
        (x1 - radius, y1 - radius),
        (x0 + radius, y1 - radius),
        (x0 + radius, y0 + radius),
        (x1 - radius, y0 + radius),
    ):
        corners.append(quarter + np.array((x, y)))
        quarter = np.stack([-quarter[:, 1], quarter[:, 0]], 1)
    return np.concatenate(corners)


def _leaf() -> Outline:
    turn = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    radius = 300 + 60 * np.sin(5 * turn) + 30 * np.cos(3 * turn)
    return np.stack([800 + radius * np.cos(turn), 600 + 0.9 * radius * np.sin(turn)], 1)


OBJECTS: dict[str, tuple[str, tuple[int, int, int], tuple[tuple[int, Outline], ...]]] = {
    "mug": (
        "wall",
        (205, 70, 50),
        ((1, _ellipse(1060, 640, 165, 170)), (0, _ellipse(1065, 640, 95, 100)), (1, _rounded(500, 350, 1000, 950, 60))),
    ),
    "bottle": (
        "table",
        (190, 190, 192),
        ((1, _rounded(720, 200, 880, 500, 12)), (1, _rounded(620, 420, 980, 1040, 60))),
    ),
    "bag": (
        "wall",
        (60, 86, 120),
        ((1, _ellipse(800, 600, 208, 438)), (0, _ellipse(800, 600, 190, 420)), (1, _rounded(480, 560, 1120, 1060, 50))),
    ),
    "leaf": ("table", (225, 215, 190), ((1, _leaf()),)),
}
"""Ground, colour, and outlines in drawing order: 1 adds to the product, 0 opens it."""


def coverage(outlines: tuple[tuple[int, Outline], ...], width: int, height: int) -> F32:
    """The share of each pixel that the outlines cover, float32 HxW in 0..1."""
    page = np.zeros((OVERSAMPLING * height, OVERSAMPLING * width), np.uint8)
    scale = OVERSAMPLING * width / PAGE[0]
    for value, outline in outlines:
        corners = np.rint((outline * scale - 0.5) * (1 << FRACTION_BITS)).astype(np.int32)
        cv2.fillPoly(page, [corners], 255 * value, cv2.LINE_8, FRACTION_BITS)
    covered = cv2.resize(page, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(covered, np.float32) / np.float32(255)


def photograph(name: str, megapixels: str) -> Subject:
    """The photo of one of OBJECTS at one of SIZES, with its exact mask."""
    width, height, blur = SIZES[megapixels]
    ground, colour, outlines = OBJECTS[name]
    covered = coverage(outlines, width, height)
    rng = np.random.default_rng(len(name))  # one ground at every size
    waves = rng.standard_normal((60, 3) if ground == "table" else (9, 12)).astype(np.float32)
    waves = cv2.resize(waves, (width, height), interpolation=cv2.INTER_CUBIC)
    across = np.linspace(0, 1, width, dtype=np.float32)[None]
    tint, strength = ((150, 105, 70), 18) if ground == "table" else ((150, 140, 122), 8)
    light = 1.15 - 0.8 * np.abs(across - 0.45)
    image = np.empty((height, width, 3), np.uint8)
    for channel in range(3):
        behind = tint[channel] + strength * waves - 25 * across
        mixed = behind + covered * (colour[channel] * light - behind)
        soft = cv2.GaussianBlur(mixed, (0, 0), blur)
        soft += NOISE * rng.standard_normal(soft.shape, np.float32)
        image[..., channel] = np.clip(np.rint(soft), 0, 255)
    return Subject(f"{name}-{megapixels}", image, covered >= 0.5)


def ladder_figures(segmenter: Segmenter) -> dict[str, object]:
    """The mean border error in photo pixels and the mean IoU at each size, and both of each object."""
    figures: dict[str, object] = {}
    for megapixels in SIZES:
        rows = {}
        for name in OBJECTS:
            photo = photograph(name, megapixels)
            answer = segmenter.segment(segmenter.encode(photo.image), box=box_of(photo.truth))[0]
            found = answer.mask.pixels > 0
            rows[name] = {
                "border_px": round(border_error_px(found, photo.truth), 2),
                "iou": round(iou(found, photo.truth), 3),
            }
        means = {key: round(float(np.mean([row[key] for row in rows.values()])), 3) for key in ("border_px", "iou")}
        figures[megapixels] = means | {"objects": rows}
    return figures
