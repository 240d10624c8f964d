"""Proof of text: what a product's label says in its photo, against what it says in the finished picture.

    photo's product ──read once──> lines ──transform of the layer──> the same places of the picture ──read──> compared

A line is `changed` only where the photo's own line, shrunk to the picture's size, still reads as in the photo: else the
picture is too small for it, and the line is `unreadable`, which is no proof. Every line keeps its place, so the places
of a picture that read like text and have none in the photo are `added`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from packshot.models.read.reader import Quad, Reader, Reading, TextLine, crop_line, read_lines
from packshot.types import F32, U8
from packshot.verdict.letters import compact, compare, find_in

__all__ = [
    "Fate",
    "LineProof",
    "Placed",
    "compare_lines",
    "compare_with_master",
    "is_legible",
    "on_ground",
    "read_product",
]

Fate = Literal["same", "changed", "added", "mirrored", "unreadable", "hidden"]
"""What became of a line. Of `unreadable` and `hidden` ones nothing is proven."""

PRODUCT_PX = 1280
"""Longer side at which lines are looked for in a photo's product: letters of 8 px in 1,600 px are found."""
PICTURE_PX = 640
"""Longer side at which lines without a place in the photo are looked for in a picture."""
MIN_SCORE = 0.8
"""Below this a reading is a guess."""
MIN_SHORT_SCORE = 0.9
SHORT = 2
"""Characters up to which a reading needs MIN_SHORT_SCORE: a stroke of a drawing reads as one letter."""
MIN_DENSITY = 0.6
"""Characters for each height of a line. The reader leaves out letters that it does not know, such as Thai ones."""
MIN_READ_PX = 12.0
"""Height of a line in the picture, pixels, below which another reading is no sign of a change. The digits of such a
line are some 8 px high."""
MIN_SHOWN = 0.95
"""Share of a line's area that must be on the canvas and in front for it to be compared."""
KNOWN = 0.4
"""Share of a found line's area that lies on the photo's lines, from which it is one of them."""
ADDED_CHARS = 3
"""Fewer characters are not a line of their own: grain and edges read as one or two."""
MARGIN = 0.08
"""By how much of its height a line is cut out larger for a second look."""


UNKNOWN = "the reader does not know its letters, or cannot make them out"
HIDDEN = "the canvas or another layer hides a part of it"
TOO_SMALL = "it is too small in the picture"


@dataclass(frozen=True)
class Placed:
    """How a product lies in a picture. `matrix` (2x3) takes its cutout's pixels to the picture's.

    `shown` is uint8 HxW of the picture's size, 255 = this product is in front. `flip` says that it is mirrored.
    """

    matrix: F32
    shown: U8
    flip: bool = False


@dataclass(frozen=True)
class LineProof:
    """What became of a line: the photo's reading, the picture's, its place in the picture and its height there, px."""

    fate: Fate
    expected: str
    found: str
    quad: Quad
    height_px: float
    why: str = ""


def on_ground(cutout: U8) -> U8:
    """A cutout (uint8 HxWx4 straight RGBA) over the mean of its own colours, uint8 HxWx3 RGB: without an outline."""
    alpha = cutout[..., 3:].astype(np.float32) / 255
    opaque = cutout[..., 3] >= 128
    ground = cutout[..., :3][opaque].mean(axis=0) if opaque.any() else np.full(3, 128.0)
    return np.rint(cutout[..., :3] * alpha + ground * (1 - alpha)).astype(np.uint8)


def read_product(reader: Reader, product: U8) -> list[TextLine]:
    """All lines of a photo's product (`on_ground`), or of an artwork."""
    return read_lines(reader, product, PRODUCT_PX)


def is_legible(line: TextLine) -> bool:
    """Whether a reading is certain enough to compare another one with it."""
    signs = len(compact(line.reading.text))
    if signs == 0:
        return False
    sides = [float(np.linalg.norm(line.quad[a] - line.quad[b])) for a, b in ((0, 1), (1, 2))]
    width = max(sides) if max(sides) > line.height_px else line.height_px
    certain = line.reading.score >= (MIN_SHORT_SCORE if signs <= SHORT else MIN_SCORE)
    return certain and signs * line.height_px / width >= MIN_DENSITY


def compare_lines(
    reader: Reader,
    product: U8,
    lines: Sequence[TextLine],
    picture: U8,
    placed: Placed,
    exact_words: Collection[str] = (),
) -> list[LineProof]:
    """What became of each line of a photo's product in a picture (uint8 HxWx3 RGB), and the lines that are new.

    `product` is the cutout over a ground, from which `lines` were read.
    """
    quads = [_moved(line.quad, placed.matrix) for line in lines]
    crops = [crop_line(picture, quad) for quad in quads]
    fates = [_known_fate(line, quad, placed) for line, quad in zip(lines, quads, strict=True)]
    asked = [at for at, fate in enumerate(fates) if fate is None]
    first = dict(zip(asked, reader.read([crops[at] for at in asked]), strict=True))
    proofs: list[LineProof] = []
    for at, (line, quad, fate) in enumerate(zip(lines, quads, fates, strict=True)):
        height = float(crops[at].shape[0])
        text = line.reading.text
        if fate is not None:
            proofs.append(LineProof(fate[0], text, "", quad, height, fate[1]))
        elif compare(text, first[at].text, exact_words) is None:
            kind: Fate = "mirrored" if placed.flip else "same"
            proofs.append(LineProof(kind, text, first[at].text, quad, height))
        else:
            proofs.append(_second_look(reader, product, line, picture, quad, first[at], exact_words))
    return proofs + _added(reader, product, quads, picture, placed)


def compare_with_master(
    reader: Reader,
    master: Sequence[TextLine],
    product: U8,
    picture: U8,
    placed: Placed,
    exact_words: Collection[str] = (),
) -> list[LineProof]:
    """What became of each line of a picture's product, against the lines of an artwork (`read_product`).

    The artwork may show more than the picture: every line of the picture must stand in it, and not the other way round.
    `product` is the cutout over a ground; its own lines do not count.
    """
    lines = [line for line in master if is_legible(line)]
    text = " ".join(line.reading.text for line in lines)
    view, back, _ = _view(product, picture, placed, PRODUCT_PX)
    quads = [_moved(quad, back) for quad in reader.find(view, PRODUCT_PX)]
    crops, wider = ([crop_line(picture, quad) for quad in some] for some in (quads, [_grown(quad) for quad in quads]))
    readings = reader.read([*crops, *wider])
    proofs = []
    for at, (quad, crop) in enumerate(zip(quads, crops, strict=True)):
        looks = sorted((readings[at], readings[at + len(quads)]), key=lambda one: -one.score)
        found, height = looks[0], float(crop.shape[0])
        same = [look for look in looks if compact(look.text) and find_in(text, look.text, exact_words) is None]
        nearest = min(lines, key=lambda line: _distance(line.reading.text, found.text), default=None)
        expected = found.text if same else nearest.reading.text if nearest else ""
        if _share(quad, placed.shown) < MIN_SHOWN:
            proofs.append(LineProof("hidden", "", found.text, quad, height, HIDDEN))
        elif same:
            kind: Fate = "mirrored" if placed.flip else "same"
            proofs.append(LineProof(kind, expected, same[0].text, quad, height))
        elif height < MIN_READ_PX or not is_legible(TextLine(quad, height, found)):
            proofs.append(LineProof("unreadable", "", found.text, quad, height, UNKNOWN))
        else:
            proofs.append(LineProof("changed", expected, found.text, quad, height))
    return proofs


def _distance(expected: str, found: str) -> float:
    deviation = compare(expected, found)
    return deviation.cer if deviation else 0.0


def _known_fate(line: TextLine, quad: Quad, placed: Placed) -> tuple[Fate, str] | None:
    """The fate of a line that is not worth reading."""
    if not is_legible(line):
        return "unreadable", UNKNOWN
    if _share(quad, placed.shown) < MIN_SHOWN:
        return "hidden", HIDDEN
    return None


def _second_look(
    reader: Reader,
    product: U8,
    line: TextLine,
    picture: U8,
    quad: Quad,
    first: Reading,
    exact_words: Collection[str],
) -> LineProof:
    """Look again at a line that reads otherwise: cut out larger, and beside the photo's line of the same size."""
    text = line.reading.text
    crop, wider = crop_line(picture, quad), crop_line(picture, _grown(quad))
    shrunk = _like(crop_line(product, line.quad), crop)
    shrunk_wider = _like(crop_line(product, _grown(line.quad)), wider)
    again, photo, photo_wider = reader.read([wider, shrunk, shrunk_wider])
    height = float(crop.shape[0])
    if compare(text, again.text, exact_words) is None:
        return LineProof("same", text, again.text, quad, height)
    best = first if first.score >= again.score else again
    small = [one for one in (photo, photo_wider) if compact(one.text)]
    if height >= MIN_READ_PX and any(compare(text, one.text, exact_words) is None for one in small):
        return LineProof("changed", text, best.text, quad, height)
    alike = any(compare(one.text, seen.text, exact_words) is None for one in small for seen in (first, again))
    if height < MIN_READ_PX or alike:
        return LineProof("unreadable", text, best.text, quad, height, TOO_SMALL)
    return LineProof("changed", text, best.text, quad, height)


def _added(reader: Reader, product: U8, known: Sequence[Quad], picture: U8, placed: Placed) -> list[LineProof]:
    """Lines of the picture's product that lie where the photo has none, and read otherwise there."""
    view, back, to_cutout = _view(product, picture, placed, PICTURE_PX)
    taken = np.zeros(picture.shape[:2], np.uint8)
    for quad in known:
        cv2.fillConvexPoly(taken, np.rint(_grown(quad)).astype(np.int32), (255,))
    quads = [_moved(quad, back) for quad in reader.find(view, PICTURE_PX)]
    new = [quad for quad in quads if _share(quad, taken) < KNOWN and _share(quad, placed.shown) >= MIN_SHOWN]
    if not new:
        return []
    crops = [crop_line(picture, quad) for quad in new]
    before = [_like(crop_line(product, _moved(quad, to_cutout)), crop) for quad, crop in zip(new, crops, strict=True)]
    readings = reader.read([*crops, *before])
    found = []
    for quad, crop, now, old in zip(new, crops, readings[: len(new)], readings[len(new) :], strict=True):
        line = TextLine(quad, float(crop.shape[0]), now)
        if len(compact(now.text)) < ADDED_CHARS or line.height_px < MIN_READ_PX or not is_legible(line):
            continue
        if compare(old.text, now.text) is not None:
            found.append(LineProof("added", old.text, now.text, quad, line.height_px))
    return found


def _view(product: U8, picture: U8, placed: Placed, longest_px: int) -> tuple[U8, F32, F32]:
    """The picture's product as it stands in its photo, uint8 HxWx3 of at most `longest_px`, on the photo's ground.

    It is turned back, mirrored back, and not enlarged. Returns also what takes the view's points to the picture, and
    the picture's to the cutout, both 2x3.
    """
    height, width = product.shape[:2]
    span = float(np.sqrt(abs(np.linalg.det(placed.matrix[:, :2].astype(np.float64)))))
    scale = min(span, longest_px / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    to_view = np.array([[size[0] / width, 0, 0], [0, size[1] / height, 0], [0, 0, 1]])
    to_cutout = np.linalg.inv(np.vstack([placed.matrix, [0, 0, 1]]).astype(np.float64))
    matrix = to_view @ to_cutout
    shrink = min(1.0, scale / span)  # by the mean of pixels, which warping does not take
    shrunk = cv2.resize(picture, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    per_px = np.array([picture.shape[1] / shrunk.shape[1], picture.shape[0] / shrunk.shape[0], 1])
    small = cv2.warpAffine(shrunk, matrix[:2] * per_px, size, borderMode=cv2.BORDER_REPLICATE)
    seen = cv2.warpAffine(placed.shown, matrix[:2], size, flags=cv2.INTER_NEAREST)
    ground = cv2.resize(product, size, interpolation=cv2.INTER_AREA)
    view = np.where((seen > 0)[..., None], small, ground).astype(np.uint8)
    return view, np.linalg.inv(matrix)[:2].astype(np.float32), to_cutout[:2].astype(np.float32)


def _moved(quad: Quad, matrix: F32) -> Quad:
    return np.asarray(quad @ matrix[:, :2].T + matrix[:, 2], np.float32)


def _grown(quad: Quad) -> Quad:
    """The quad with a margin on all sides."""
    middle = quad.mean(axis=0)
    across, down = (quad[1] + quad[2] - quad[0] - quad[3]) / 2, (quad[2] + quad[3] - quad[0] - quad[1]) / 2
    height = min(float(np.linalg.norm(across)), float(np.linalg.norm(down)))
    wide, tall = (1 + 2 * MARGIN * height / max(1.0, float(np.linalg.norm(side))) for side in (across, down))
    corners = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    return np.asarray([middle + (x * across * wide + y * down * tall) / 2 for x, y in corners], np.float32)


def _like(crop: U8, other: U8) -> U8:
    """A crop at the size of another, as a picture shows it: averaged where it shrinks."""
    size = (other.shape[1], other.shape[0])
    shrinks = size[0] <= crop.shape[1]
    return np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC), np.uint8)


def _share(quad: Quad, mask: U8) -> float:
    """The share of the quad's area that a mask (uint8 HxW) covers; what lies outside of it is not covered."""
    x0, y0 = np.floor(quad.min(axis=0)).astype(int)
    x1, y1 = np.ceil(quad.max(axis=0)).astype(int)
    inside = np.zeros((max(1, y1 - y0), max(1, x1 - x0)), np.uint8)
    cv2.fillConvexPoly(inside, np.rint(quad - (x0, y0)).astype(np.int32), (255,))
    height, width = mask.shape
    left, top, right, bottom = max(0, x0), max(0, y0), min(width, x1), min(height, y1)
    if left >= right or top >= bottom:
        return 0.0
    covered = cv2.bitwise_and(inside[top - y0 : bottom - y0, left - x0 : right - x0], mask[top:bottom, left:right])
    return cv2.countNonZero(covered) / max(1, cv2.countNonZero(inside))
