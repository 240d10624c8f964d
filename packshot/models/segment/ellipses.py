"""Mend a border that follows an ellipse, as the rims of cups, plates, cans and wheels do in every view.

Where product and ground have one colour, or a highlight is stronger than the rim itself, colours put the border beside
the rim. But most of the rim lies right, and it tells where the rest is.

    border ──conics through five points each──> the one that explains most of its own outline ──robust fit──> ellipse
    bites (in the ellipse, not in the mask), burrs (the reverse) ──thin, and the photo has an edge there──> mended

What is not thin differs from the ellipse on purpose: a handle, or the cup on its saucer.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from packshot.models.segment.backdrop import Bools
from packshot.models.segment.border import SHIFT_BITS, SMOOTH_PX, Polygon, borders, filled, normals
from packshot.types import F32

F64 = NDArray[np.float64]

TRIES = 160
"""Conics through five border points each."""
POINTS = 120
"""Border points by which the conics are judged."""
NEAR_PX = 3.0
"""Border points farther from an ellipse say nothing about it; nearer ones count more (Tukey's biweight)."""
TURN = 0.4
"""A border point on the ellipse runs along it, to this angle in radians."""
BINS = 72
"""The parts of an ellipse, of equal angles, of which COVERED must be explained by the border."""
COVERED = 0.5
FIRST_GUESS = 0.35
"""The share of an ellipse that a conic through five points must explain to be fitted."""
SLIMMEST, SMALLEST_PX = 0.15, 12.0
"""The least ratio of an ellipse's axes, and its least shorter half axis."""
THICKEST = 0.08
"""Bites and burrs are thinner than this share of the shorter half axis."""
LONGEST = 0.3
"""They are shorter than this share of the ellipse's outline."""
ROUGH_PX, BLUR_PX = 2.0, 5.0
"""Thinner ones are the border's roughness. In ones thinner than BLUR_PX the edges of both borders run together."""
AS_STEEP, AS_STEEP_IF_EXACT = 0.9, 0.5
"""The ellipse is the better border where the photo's edge along it has this share of the steepness of the other one."""
EXACT, EXACT_PX, BESIDE_PX = 0.8, 1.0, 6.0
"""A made thing is an exact ellipse: of the border within BESIDE_PX, this share is within EXACT_PX (0.83 to 1 on rims,
coins and balls; 0.5 to 0.7 on fruit)."""
STEEPER, LESS_STEEP = 1.3, 0.3
"""A highlight in a product is steeper than its rim. So a deep bite is mended where the ellipse is steeper than what
lies beyond it, by the factor STEEPER, and has LESS_STEEP of the steepness of the other border."""
LEAST_PX = 4
"""Smaller bites and burrs are left."""
NO_EDGE = 10.0
"""Steepness of noise. Where a border has no edge, nothing speaks against the ellipse."""
BEYOND_PX = (4.0, 6.0)


@dataclass(frozen=True)
class Ellipse:
    """An ellipse in pixels: centre, half axes, the longer first, and the longer one's direction in radians."""

    x: float
    y: float
    long: float
    short: float
    angle: float

    def outline(self, step_px: float = 1.0, out_px: float = 0.0) -> Polygon:
        """Points about `step_px` apart, `out_px` outside the ellipse, float32 Nx2."""
        count = max(16, round(np.pi * (self.long + self.short) / step_px))
        turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
        return self.at(turn, out_px)

    def at(self, turn: F64, out_px: float) -> Polygon:
        """The points at these places along the outline, in radians, `out_px` outside the ellipse, float32 Nx2."""
        across, down = (self.long + out_px) * np.cos(turn), (self.short + out_px) * np.sin(turn)
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return np.stack([self.x + cos * across - sin * down, self.y + sin * across + cos * down], 1).astype(np.float32)

    def turns(self, points: F64) -> F64:
        """Each point's place along the outline, in radians. `points` are Nx2."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        x, y = points[:, 0] - self.x, points[:, 1] - self.y
        return np.asarray(np.arctan2((cos * y - sin * x) / self.short, (cos * x + sin * y) / self.long))

    def away(self, points: F64) -> F64:
        """Each point's distance to the outline in pixels, to the first order; outside is positive."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        x, y = points[:, 0] - self.x, points[:, 1] - self.y
        u, v = (cos * x + sin * y) / self.long, (cos * y - sin * x) / self.short
        radius = np.maximum(np.hypot(u, v), 1e-6)
        return np.asarray((radius - 1) * radius / np.maximum(np.hypot(u / self.long, v / self.short), 1e-9))


def rounded(lines: list[Polygon], steepness: F32) -> list[Polygon]:
    """Borders of a picture, mended where the longest one follows an ellipse.

    `steepness` is that of the picture's edges, float32 hxw. Without an ellipse the same list is returned.
    """
    line = max(lines, key=len, default=None)
    ellipse = None if line is None else found(line, normals(line, SMOOTH_PX))
    if line is None or ellipse is None:
        return lines
    mask = filled(lines, steepness.shape) > 0
    away = np.abs(ellipse.away(line.astype(np.float64)))
    exact = np.count_nonzero(away < EXACT_PX) >= EXACT * np.count_nonzero(away < BESIDE_PX)
    better = mended(mask, ellipse, steepness, AS_STEEP_IF_EXACT if exact else AS_STEEP)
    return lines if (better == mask).all() else borders(better)


def found(line: Polygon, pointing: F32) -> Ellipse | None:
    """The ellipse that a border follows for the most part of the ellipse, or None.

    `line` is float32 Nx2, and `pointing` are its unit normals, outwards. The same border always has the same answer.
    """
    if len(line) < BINS:
        return None
    chosen = slice(None, None, max(1, len(line) // POINTS))
    points, normal = line[chosen].astype(np.float64), pointing[chosen].astype(np.float64)
    middle, size = points.mean(0), float(points.std()) + 1e-9
    seen, near = _Points.of((points - middle) / size, normal), NEAR_PX / size
    conics = _fitted(_fitted(_likely(seen, near), seen, 2 * near), seen, near)
    explained = _explained(conics, seen, near)
    if not len(conics) or explained.max() < COVERED:
        return None
    return _ellipse(conics[int(explained.argmax())], middle, size)


@dataclass(frozen=True)
class _Points:
    """Border points as conics need them: each array has one column for a point.

    A conic's row times `terms` is 0 where it passes, and times `across` and `down` is its slope there. `pointing` are
    the border's normals.
    """

    terms: F64
    across: F64
    down: F64
    pointing: F64

    @classmethod
    def of(cls, points: F64, pointing: F64) -> _Points:
        x, y = points.T
        none, one = np.zeros_like(x), np.ones_like(x)
        return cls(
            np.stack([x * x, x * y, y * y, x, y, one]),
            np.stack([2 * x, y, none, one, none, none]),
            np.stack([none, x, 2 * y, none, one, none]),
            pointing.T,
        )


def _weights(conics: F64, seen: _Points, near: float) -> tuple[F64, F64]:
    """How well each conic, KxN, explains each point, 0..1, and the conics' slopes there."""
    across, down = conics @ seen.across, conics @ seen.down
    steep = np.maximum(np.hypot(across, down), 1e-12)
    away = (conics @ seen.terms) / steep
    along = across * seen.pointing[0] + down * seen.pointing[1] > np.cos(TURN) * steep
    return np.where(along, np.maximum(0, 1 - (away / near) ** 2) ** 2, 0), steep


def _explained(conics: F64, seen: _Points, near: float) -> F64:
    """The share of each conic's outline that the border follows, float (K,), each part by its best point."""
    weights, _ = _weights(conics, seen, near)
    a, b, c, d, e, _ = conics.T
    scale = 4 * a * c - b * b
    middle = np.stack([b * e - 2 * c * d, b * d - 2 * a * e], 1) / scale[:, None]
    # in the conic's own coordinates a part is the same share of its outline on the flat and on the round side
    which, point = np.nonzero(weights)
    x, y = (seen.terms[row, point] - middle[which, row - 3] for row in (3, 4))
    turn = np.arctan2(np.sqrt(scale / 4)[which] * y, a[which] * x + b[which] / 2 * y)
    share = np.zeros((len(conics), BINS))
    np.maximum.at(share, (which, ((turn + np.pi) / (2 * np.pi) * BINS).astype(int) % BINS), weights[which, point])
    return np.asarray(share.mean(1))


def _likely(seen: _Points, near: float) -> F64:
    """Conics through five points each, of which those are kept that explain most, at most six."""
    rng = np.random.default_rng(0)
    span, first = rng.uniform(0.3, 1.0, (TRIES, 1)), rng.uniform(0, 1, (TRIES, 1))
    places = first + span * (np.arange(5) + rng.uniform(0, 1, (TRIES, 5))) / 5
    five = seen.terms.T[(places % 1 * seen.terms.shape[1]).astype(int)]
    square, rest = five[..., :5].transpose(0, 2, 1) @ five[..., :5], -five[..., :5].sum(1)
    solved = np.linalg.solve(square + 1e-9 * np.eye(5), rest[..., None])[..., 0]
    conics = _elliptic(np.concatenate([solved, np.ones((TRIES, 1))], 1))
    explained = _explained(conics, seen, near)
    order = np.argsort(-explained, kind="stable")[:6]
    return conics[order[explained[order] >= FIRST_GUESS]]


def _fitted(conics: F64, seen: _Points, near: float) -> F64:
    """The conics, each fitted to the points that it explains, in rounds. Those that explain too little are dropped."""
    for _ in range(5):
        weights, steep = _weights(conics, seen, near)
        enough = np.count_nonzero(weights, axis=1) >= 12
        rows = seen.terms.T * (np.sqrt(weights[enough]) / steep[enough])[..., None]
        conics = _elliptic(np.linalg.eigh(rows.transpose(0, 2, 1) @ rows)[1][..., 0])
    return conics


def _elliptic(conics: F64) -> F64:
    """The conics that are ellipses, with the sign by which their slope points outwards."""
    conics = conics * np.where(conics[:, :1] < 0, -1.0, 1.0)
    return conics[4 * conics[:, 0] * conics[:, 2] > conics[:, 1] ** 2 + 1e-9]


def _ellipse(conic: F64, middle: F64, size: float) -> Ellipse | None:
    """The ellipse of a conic in coordinates with this middle and size; None if it is too small, slim or large."""
    a, b, c, d, e, f = conic
    matrix = np.array([[a, b / 2], [b / 2, c]])
    x, y = np.linalg.solve(2 * matrix, [-d, -e])
    values, vectors = np.linalg.eigh(matrix)
    squares = -(f + (d * x + e * y) / 2) / values
    if not (squares > 0).all():
        return None
    long, short = np.sqrt(squares) * size  # eigenvalues ascend, so the first axis is the longer one
    if short < max(SMALLEST_PX, SLIMMEST * long) or long > 4 * size:
        return None
    angle = np.arctan2(vectors[1, 0], vectors[0, 0])
    return Ellipse(float(x * size + middle[0]), float(y * size + middle[1]), float(long), float(short), float(angle))


def mended(mask: Bools, ellipse: Ellipse, steepness: F32, as_steep: float) -> Bools:
    """The mask without the bites and burrs that its border has along the ellipse, bool hxw.

    `steepness` is that of the photo's edges, float32 hxw. The edge along the ellipse needs the share `as_steep` of the
    steepness along the mask's border.
    """
    disk, own = np.zeros(mask.shape, np.uint8), mask.astype(np.uint8)
    cv2.fillPoly(disk, [_fixed(ellipse.outline(out_px=-0.5))], 1, 8, SHIFT_BITS)
    rim = cv2.morphologyEx(own, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    left, top, width, height = cv2.boundingRect(own | disk)
    crop, pieces = np.s_[top : top + height, left : left + width], np.zeros(mask.shape, np.int32)
    most_px = 4 * np.pi * THICKEST * LONGEST * ellipse.short * ellipse.long  # twice what a thin piece can have
    result = mask.copy()
    for wrong, bite in ((disk & ~own, True), (own & ~disk, False)):
        _, pieces[crop], stats, _ = cv2.connectedComponentsWithStats(wrong[crop], connectivity=4)
        for number, (x, y, width, height, size) in enumerate(stats[1:], 1):
            if not LEAST_PX <= size <= most_px:
                continue
            x, y = x + left, y + top
            at = np.s_[max(0, y - 1) : y + height + 1, max(0, x - 1) : x + width + 1]
            piece = pieces[at] == number
            near = cv2.dilate(piece.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
            beside = steepness[at][near & rim[at]]
            if not beside.size:  # the frame cuts the border there
                continue
            rows, columns = np.nonzero(piece)
            points = np.stack([columns + at[1].start + 0.5, rows + at[0].start + 0.5], 1)
            if _belongs(ellipse, points, steepness, float(beside.mean()), as_steep, bite=bite):
                result[at] ^= piece
    return result


def _belongs(ellipse: Ellipse, points: F64, steepness: F32, beside: float, as_steep: float, *, bite: bool) -> bool:
    """Whether the border runs along the ellipse where these points, Nx2, are a bite or a burr.

    `beside` is the mean steepness of the photo along the border that the mask has there.
    """
    away = np.abs(ellipse.away(points))
    deep = float(away.max())
    depth = np.zeros(360)
    np.maximum.at(depth, np.rad2deg(ellipse.turns(points)).astype(int) % 360, away)
    if deep > THICKEST * ellipse.short or np.count_nonzero(depth) > LONGEST * 360:
        return False
    rough = deep <= ROUGH_PX
    turn = np.deg2rad(np.flatnonzero(depth > 0 if rough else depth >= deep / 2) + 0.5)

    def along(*out_px: float) -> list[float]:
        lines = [ellipse.at(turn, out)[:, None] - np.float32(0.5) for out in out_px]
        return [float(cv2.remap(steepness, line, None, cv2.INTER_LINEAR).mean()) for line in lines]

    edge = max(along(0.0) if rough else along(-1.0, 0.0, 1.0))
    if edge >= as_steep * beside or beside < NO_EDGE:
        return True
    return bite and deep >= BLUR_PX and edge >= max(STEEPER * float(np.mean(along(*BEYOND_PX))), LESS_STEEP * beside)


def _fixed(line: Polygon) -> NDArray[np.int32]:
    return np.asarray(np.rint((line - 0.5) * (1 << SHIFT_BITS)), np.int32)
