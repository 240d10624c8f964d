"""Crowds for the segmenter: pictures of many objects at all scales, in which every object can be clicked.

A photo of a real place holds many things: coins in rows, a label on a bottle, a bottle in a crowd. A crowd is made of

- a ground: a piece of a photograph, a texture of `training.mini.collage`, or a plain gradient;
- up to 40 objects: shapes with a photographed, drawn or plain surface, drawn bottles, boxes and cups, and cut-outs;
  scattered, piled, or repeated in rows; shaded, with a shadow, sometimes out of focus;
- decals: patches on an object, which are its parts.

`crowd(rng, size_px, material)` returns (image uint8 SxSx3 RGB, objects uint8 SxS, parts uint8 SxS). `objects` holds
each object's number, and 0 on the ground. `parts` numbers the parts of each object from 1, and is 0 elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.mini.collage import Stage, bottle, box, cup, degrade
from training.mini.material import Cutout, Material, recoloured
from training.mini.textures import colour, texture

Rng = np.random.Generator
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

MOST_OBJECTS = 40
SEEN = 0.4
"""An object of which less than this share is visible is no target."""
SHAPE_PX = 128
"""Side of a drawn shape before it is scaled."""


@dataclass
class Patch:
    """An object to paste: `colours` float hxwx3 in 0..1, `alpha` float hxw in 0..1, `parts` uint8 hxw."""

    colours: F32
    alpha: F32
    parts: U8


class Scene:
    """A crowd in progress: the picture (float SxSx3 in 0..1), each pixel's object and part, and each object's area."""

    def __init__(self, rng: Rng, picture: F32) -> None:
        self.rng, self.picture, self.size = rng, picture, picture.shape[0]
        self.objects, self.parts = (np.zeros((self.size, self.size), np.uint8) for _ in range(2))
        self.areas: list[int] = []
        self.light = rng.uniform(0, 2 * np.pi)
        self.shadow = rng.uniform(0.1, 0.8) if rng.random() < 0.7 else 0.0

    def colour_at(self, at: F64) -> F32:
        """The picture's colour at (x, y) in pixels."""
        x, y = np.clip(at, 0, self.size - 1).astype(int)
        return np.asarray(self.picture[y, x])

    def paste(self, piece: Patch, at: F64, side: float, turn_deg: float) -> None:
        """Paste a patch with a longer side of `side` pixels, centred at (x, y) and turned, with its shadow."""
        height, width = piece.alpha.shape
        scale = side / max(height, width)
        size = (max(3, round(width * scale)), max(3, round(height * scale)))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        colours, alpha = (cv2.resize(layer, size, interpolation=how) for layer in (piece.colours, piece.alpha))
        parts = cv2.resize(piece.parts, size, interpolation=cv2.INTER_NEAREST)
        reach = int(np.hypot(*size) / 2) + 2
        matrix = cv2.getRotationMatrix2D((size[0] / 2, size[1] / 2), turn_deg, 1.0)
        matrix[:, 2] += reach - np.array(size) / 2
        window = (2 * reach, 2 * reach)
        edge = cv2.BORDER_REPLICATE
        colours = cv2.warpAffine(colours, matrix, window, flags=cv2.INTER_LINEAR, borderMode=edge)
        alpha = cv2.warpAffine(alpha, matrix, window, flags=cv2.INTER_LINEAR)
        parts = cv2.warpAffine(parts, matrix, window, flags=cv2.INTER_NEAREST)
        self._blend(colours, alpha, parts, (round(float(at[0])) - reach, round(float(at[1])) - reach), side)

    def _blend(self, colours: F32, alpha: F32, parts: U8, corner: tuple[int, int], side: float) -> None:
        rng, height, width = self.rng, *alpha.shape
        number = len(self.areas) + 1
        if rng.random() < 0.15:  # out of focus
            softness = rng.uniform(0.5, 2.0)
            colours, alpha = (cv2.GaussianBlur(layer, (0, 0), softness) for layer in (colours, alpha))
        if self.shadow:
            drop = side * rng.uniform(0.0, 0.15)
            shift = int(-np.cos(self.light) * drop), int(np.sin(self.light) * drop)
            shade = cv2.GaussianBlur(alpha, (0, 0), max(0.8, side * rng.uniform(0.01, 0.08)))
            on, off = self._overlap((corner[0] + shift[0], corner[1] + shift[1]), (height, width))
            self.picture[on] *= 1 - self.shadow * shade[off][..., None]
        on, off = self._overlap(corner, (height, width))
        cover = alpha[off]
        if not np.any(cover > 0.5):
            return
        self.picture[on] += (colours[off] - self.picture[on]) * cover[..., None]
        solid = cover > 0.5
        self.objects[on][solid] = number
        self.parts[on][solid] = parts[off][solid]
        self.areas.append(int(np.count_nonzero(alpha > 0.5)))

    def _overlap(
        self, corner: tuple[int, int], shape: tuple[int, int]
    ) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """The overlap of the picture with a window of `shape` whose top left is at (x, y): in both, as slices."""
        (x, y), (height, width) = corner, shape
        x0, x1, y0, y1 = (int(np.clip(v, 0, self.size)) for v in (x, x + width, y, y + height))
        x1, y1 = max(x0, x1), max(y0, y1)
        return (slice(y0, y1), slice(x0, x1)), (slice(y0 - y, y1 - y), slice(x0 - x, x1 - x))

    def finished(self) -> tuple[U8, U8, U8]:
        """The degraded picture, the objects and the parts; objects that are mostly hidden are no targets."""
        visible = np.bincount(self.objects.ravel(), minlength=len(self.areas) + 1)[1:]
        keep = np.concatenate([[False], visible >= SEEN * np.array(self.areas)])
        seen = keep[self.objects]
        return degrade(self.rng, self.picture), self.objects * seen, self.parts * seen


def crowd(rng: Rng, size_px: int, material: Material) -> tuple[U8, U8, U8]:
    """Make one crowd of `size_px` squared; see the module's docstring."""
    scene = Scene(rng, ground(rng, size_px, material))
    kind = rng.choice(["scatter", "rows", "pile", "few"], p=[0.35, 0.15, 0.2, 0.3])
    count = int(rng.integers(1, 5))
    if kind == "rows":
        _rows(scene, material)
    elif kind != "few":
        count = round(float(np.exp(rng.uniform(np.log(4), np.log(MOST_OBJECTS)))))
    largest = {"few": 0.85, "scatter": 0.4, "pile": 0.5, "rows": 0.2}[kind]
    smallest = 0.15 if kind == "few" else 0.05
    sizes = np.sort(np.exp(rng.uniform(np.log(smallest), np.log(largest), count)))[::-1] * size_px
    middle, spread = rng.uniform(0.25, 0.75, 2) * size_px, rng.uniform(0.1, 0.25) * size_px
    for side in sizes:
        at = rng.normal(middle, spread) if kind == "pile" else rng.uniform(0.02, 0.98, 2) * size_px
        near = scene.colour_at(at) if rng.random() < 0.12 else None
        scene.paste(patch(rng, material, near), at, float(side), _turn(rng))
    return scene.finished()


def _turn(rng: Rng) -> float:
    return float(rng.normal(0, 10) if rng.random() < 0.6 else rng.uniform(0, 360))


def _rows(scene: Scene, material: Material) -> None:
    """The same object many times in rows, like coins or fruit: each a little different."""
    rng = scene.rng
    across, down = int(rng.integers(2, 8)), int(rng.integers(1, 6))
    side = scene.size / max(across, down) * rng.uniform(0.5, 0.98)
    kinds = [patch(rng, material, None) for _ in range(int(rng.integers(1, 4)))]
    offset = rng.uniform(0.2, 0.8, 2) * scene.size / max(across, down)
    for row in range(down):
        for column in range(across):
            piece = kinds[rng.integers(len(kinds))]
            gain = np.float32(rng.uniform(0.75, 1.25))
            varied = Patch(np.clip(piece.colours * gain, 0, 1), piece.alpha, piece.parts)
            at = offset + np.array([column, row]) * scene.size / max(across, down) + rng.normal(0, 0.04 * side, 2)
            scene.paste(varied, at, side * rng.uniform(0.75, 1.1), _turn(rng))


def ground(rng: Rng, size: int, material: Material) -> F32:
    """A ground, float SxSx3: a photograph, a texture or a gradient; sometimes two of them meet."""

    def one() -> F32:
        kind = rng.random()
        if kind < 0.5 and (piece := material.piece(rng, size, size)) is not None:
            return piece
        if kind < 0.75:
            return texture(rng, size)
        return gradient(rng, size, size)

    picture = one()
    if rng.random() < 0.25:
        slope = np.arange(size) * rng.normal(0, 0.2)
        above = np.arange(size)[:, None] < rng.uniform(0.2, 0.7) * size + slope[None]
        picture = np.where(above[..., None], one(), picture)
    return np.ascontiguousarray(np.clip(picture, 0, 1), np.float32)


def gradient(rng: Rng, height: int, width: int, near: F32 | None = None) -> F32:
    """A plain colour with a linear change of brightness, float HxWx3."""
    base = colour(rng) if near is None else near
    ys, xs = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    turn = rng.uniform(0, 2 * np.pi)
    gain = 1 + np.float32(rng.uniform(0, 0.4)) * (np.cos(turn) * xs + np.sin(turn) * ys)
    return np.asarray(base * gain[..., None], np.float32)


def patch(rng: Rng, material: Material, near: F32 | None) -> Patch:
    """A random object. With `near`, its colours are close to that colour."""
    kind = rng.random()
    if kind < 0.45 and near is None and (found := material.cutout(rng)) is not None:
        return cut(rng, found)
    if kind < 0.62:
        return _drawn(rng, near)
    return _shaped(rng, material, near)


def cut(rng: Rng, found: Cutout) -> Patch:
    """A cut-out as a patch: mirrored and recoloured."""
    flip = slice(None, None, -1 if rng.random() < 0.5 else 1)
    colours = recoloured(rng, found.colours[:, flip].astype(np.float32) / np.float32(255))
    return Patch(
        colours, found.alpha[:, flip].astype(np.float32) / np.float32(255), np.ascontiguousarray(found.parts[:, flip])
    )


def _drawn(rng: Rng, near: F32 | None) -> Patch:
    """A bottle, a box or a cup of `training.mini.collage`. The cup on a saucer is a part of both."""
    stage = Stage(rng, SHAPE_PX, np.zeros((SHAPE_PX, SHAPE_PX, 3), np.float32))
    middle, reach = SHAPE_PX / 2, SHAPE_PX * 0.42
    kind = rng.integers(3)
    if kind == 2:
        cup(stage, 1, middle, middle, reach, near, part=2)
    else:
        (bottle, box)[kind](stage, 1, middle, middle, reach, near)
    solid = ((stage.owner == 1) | (stage.owner == 2)).astype(np.float32)
    return Patch(stage.picture, cv2.GaussianBlur(solid, (0, 0), 0.6), (stage.owner == 2).astype(np.uint8))


def _shaped(rng: Rng, material: Material, near: F32 | None) -> Patch:
    """A flat or rounded shape with a surface, often with decals on it."""
    alpha = shape(rng)
    size = alpha.shape[0]
    colours = shaded(rng, surface(rng, material, size, near), alpha)
    parts = np.zeros((size, size), np.uint8)
    for number in range(int(rng.choice([0, 1, 2, 3], p=[0.5, 0.25, 0.15, 0.1]))):
        small = cv2.resize(shape(rng), (0, 0), fx=(f := rng.uniform(0.15, 0.6)), fy=f, interpolation=cv2.INTER_AREA)
        height, width = small.shape
        y, x = rng.integers(size - height + 1), rng.integers(size - width + 1)
        place = slice(y, y + height), slice(x, x + width)
        cover = small * alpha[place]
        paint = shaded(rng, surface(rng, material, size, None), alpha)[:height, :width]
        colours[place] += (paint - colours[place]) * cover[..., None]
        parts[place][cover > 0.5] = number + 1
    return Patch(colours, alpha, parts)


def surface(rng: Rng, material: Material, size: int, near: F32 | None) -> F32:
    """A surface, float SxSx3: photographed, drawn or plain."""
    kind = rng.random()
    if kind < 0.45 and near is None and (piece := material.piece(rng, size, size)) is not None:
        return piece
    return texture(rng, size, near) if kind < 0.65 else gradient(rng, size, size, near)


def shaded(rng: Rng, colours: F32, alpha: F32) -> F32:
    """The surface lit from one side, sometimes as a ball, with a rim or with a highlight."""
    size = alpha.shape[0]
    ys, xs = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)
    turn = rng.uniform(0, 2 * np.pi)
    gain = 1 + np.float32(rng.uniform(0, 0.5)) * (np.cos(turn) * xs + np.sin(turn) * ys)
    if rng.random() < 0.35:  # darker towards the border
        soft = cv2.GaussianBlur(alpha, (0, 0), size * rng.uniform(0.03, 0.15))
        gain *= 1 + np.float32(rng.uniform(0.2, 1.2)) * (soft - 1)
    if rng.random() < 0.2:  # a rim, like a coin's
        inner = cv2.erode(alpha, np.ones((3, 3)), iterations=int(rng.integers(2, 8)))
        gain *= np.where(inner > 0.5, np.float32(1), np.float32(rng.uniform(0.5, 1.5)))
    lit = colours * gain[..., None]
    if rng.random() < 0.3:
        (sx, sy), spread = rng.uniform(-0.6, 0.6, 2), rng.uniform(0.05, 0.3)
        lit = lit + (np.exp(-((xs - sx) ** 2 + (ys - sy) ** 2) / spread**2) * rng.uniform(0.2, 0.9))[..., None]
    return np.asarray(np.clip(lit, 0, 1), np.float32)


def shape(rng: Rng) -> F32:
    """The coverage of a random shape, float SxS in 0..1: round, angular, long, hollow, or a union of two."""
    size = SHAPE_PX
    kinds = {"ellipse": 0.2, "blob": 0.22, "polygon": 0.13, "slab": 0.15, "rod": 0.13, "ring": 0.05, "pair": 0.12}
    kind = rng.choice(list(kinds), p=list(kinds.values()))
    if kind == "pair":
        return np.maximum(shape(rng), shape(rng))
    mask = np.zeros((size, size), np.uint8)
    t = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    half = size * 0.47
    if kind in ("ellipse", "ring"):
        outline = np.stack([np.cos(t), np.sin(t) * (rng.uniform(0.35, 1) if rng.random() < 0.6 else 1)], 1) * half
    elif kind == "blob":
        waves = sum(rng.normal(0, 0.3 / k) * np.cos(k * t + rng.uniform(0, 6)) for k in range(1, 7))
        outline = np.stack([np.cos(t), np.sin(t) * rng.uniform(0.4, 1)], 1) * np.clip(1 + waves, 0.25, 1.9)[:, None]
        outline *= half / np.abs(outline).max()
    elif kind == "polygon":
        angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 10))))
        radius = rng.uniform(0.35, 1, len(angles))
        outline = np.stack([np.cos(angles), np.sin(angles)], 1) * radius[:, None] * half
    elif kind == "slab":
        w, h, power = 1.0, rng.uniform(0.25, 1), rng.uniform(2.5, 12)
        squircle = (np.abs(np.cos(t)) ** power + np.abs(np.sin(t)) ** power) ** (-1 / power)
        outline = np.stack([w * np.cos(t), h * np.sin(t)], 1) * squircle[:, None] * half
    else:  # a rod: long, with a varying width
        along = np.linspace(-1, 1, 40)
        stops = rng.uniform(0.03, 0.22, int(rng.integers(2, 6)))
        width = np.interp(along, np.linspace(-1, 1, len(stops)), stops)
        outline = np.concatenate([np.stack([along, width], 1), np.stack([along, -width], 1)[::-1]]) * half
    turn = rng.uniform(0, 2 * np.pi) if kind in ("rod", "slab", "ellipse") and rng.random() < 0.5 else 0.0
    outline = outline @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + size / 2
    cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 255, lineType=cv2.LINE_AA, shift=4)
    if kind == "ring":
        inner = (outline - size / 2) * rng.uniform(0.3, 0.8) + size / 2
        cv2.fillPoly(mask, [np.round(inner * 16).astype(np.int32)], 0, lineType=cv2.LINE_AA, shift=4)
    return mask.astype(np.float32) / np.float32(255)
