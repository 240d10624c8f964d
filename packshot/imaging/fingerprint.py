"""Fingerprints: find a picture again after it was encoded, resized or cropped.

    pixels ──luma, 96 x 96──> cosine coefficients of each window ──signs──> one 64-bit hash a window
                        └──48 x 48──> sketch

A fingerprint has a hash for the whole frame and for each window of `WINDOWS`, which are crops. The one hash of a file
in question is compared with all of them by the number of bits that differ: that finds candidates among many pictures.
Then `compare` decides with the sketches: it lays one on the other, and correlates luma and details. The blocks that
differ most are left out, so that a picture with a sticker on it is found too.

A product on a plain backdrop has a print of its product instead (`packshot.imaging.product_print`), because on white
products of one shape would be taken for each other.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from packshot.imaging.product_print import PRINT_BYTES, agreement, print_of, window_of
from packshot.types import F32, U8

__all__ = [
    "WINDOWS",
    "Fingerprint",
    "Likeness",
    "Window",
    "compare",
    "compare_products",
    "fingerprint_of",
    "mirrored",
    "overlap",
    "sketch_of",
]

SKETCH_PX = 48
"""Side of a sketch, pixels. It shows the whole frame, whatever its aspect ratio."""

_FRAME_PX = 96
_FREQUENCIES = 8
"""Cosine coefficients along each axis, the mean included."""
_KEPT = (1.0, 0.95, 0.9, 0.85, 0.8)
"""Shares of a side that a window keeps."""
_STEP = 0.05
_PLAIN = 3.0
"""Standard deviation of luma, grey levels, below which a picture is too plain to be told from others."""
_MOST_FLAT = 0.35
"""Share of one shade from which a picture has a print of its product: products of one shape look alike on white."""
_ODD_WAVES = sum(1 << bit for bit in range(_FREQUENCIES**2) if bit % _FREQUENCIES % 2)
_DETAIL_SIGMA_PX = 3.0
_ENOUGH = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 1e-4)
_BLOCK_PX = 6
"""Side of the blocks in which edits are looked for, pixels of a sketch: an eighth of the frame."""
_EDITED_LEAST, _EDITED_TIMES = 10.0, 6.0
"""A block is edited from this mean residual, grey levels, that is this many times the median of all blocks."""
_EDITABLE = 7
"""Blocks that may be edited: those that differ most do not count when sketches are compared."""
_DETAIL_FLOOR = 1.5
"""Details weaker than this, grey levels, count as noise."""


class Window(NamedTuple):
    """A part of a frame, as shares of its width and height."""

    left: float
    top: float
    right: float
    bottom: float


def _intervals() -> list[tuple[float, float]]:
    """The parts of one axis that windows keep, longest first."""
    found = []
    for kept in _KEPT:
        count = round((1 - kept) / _STEP) + 1
        found += [(round(at * _STEP, 2), round(at * _STEP + kept, 2)) for at in range(count)]
    return found


_INTERVALS = _intervals()


def _pairs() -> list[tuple[int, int]]:
    """The pairs (down, across) of intervals that make a window: of the same length, or one of them whole."""
    lengths = [round(stop - start, 2) for start, stop in _INTERVALS]
    every = product(range(len(_INTERVALS)), repeat=2)
    return [(down, across) for down, across in every if lengths[down] == lengths[across] or not down * across]


_PAIRS = _pairs()

WINDOWS = tuple(
    Window(_INTERVALS[across][0], _INTERVALS[down][0], _INTERVALS[across][1], _INTERVALS[down][1])
    for down, across in _PAIRS
)
"""The parts of a frame that are hashed. The first is the whole frame."""


class Fingerprint(NamedTuple):
    """What a picture is found by. `hashes` holds one little-endian uint64 for each of `WINDOWS`.

    `sketch` is the frame's luma, SKETCH_PX x SKETCH_PX bytes, row by row. A print of a product has one hash, and the
    sketch of `print_of`.
    """

    hashes: bytes
    sketch: bytes

    @property
    def of_product(self) -> bool:
        """Whether it is the print of a product on a plain backdrop."""
        return len(self.sketch) == PRINT_BYTES

    @property
    def whole(self) -> int:
        """The hash of the whole frame."""
        return int.from_bytes(self.hashes[:8], "little")


class Likeness(NamedTuple):
    """How well a sketch lies on another one: correlations of their luma and of their details, -1..1, and where.

    `window` is the part of the second frame that the first one shows. `edited` is the place (x, y) in the first frame,
    as shares of its width and height, where they differ most; None = nowhere.
    """

    luma: float
    detail: float
    window: Window
    edited: tuple[float, float] | None = None


def fingerprint_of(pixels: U8) -> Fingerprint | None:
    """The fingerprint of uint8 HxWx3 RGB or HxWx4 straight RGBA pixels, seen over white.

    A picture that is plain, or more than a third of which is one shade, has the print of its product. None if it has
    no product with details of its own.
    """
    pixels = _over_white(pixels)
    frame = _luma(pixels)
    sketch = np.clip(np.rint(cv2.resize(frame, (SKETCH_PX, SKETCH_PX), interpolation=cv2.INTER_AREA)), 0, 255)
    if float(sketch.std()) < _PLAIN or _flat_share(sketch) > _MOST_FLAT:
        found = print_of(pixels)
        return None if found is None else Fingerprint(found[0].to_bytes(8, "little"), found[1])
    basis = _basis()
    size = len(_INTERVALS)
    blocks = cv2.gemm(cv2.gemm(basis, frame, 1, None, 0), basis, 1, None, 0, flags=cv2.GEMM_2_T).reshape(
        size, _FREQUENCIES, size, _FREQUENCIES
    )
    bits = np.stack([blocks[down, :, across] for down, across in _PAIRS]).reshape(len(_PAIRS), -1) > 0
    bits[:, 0] = False  # the mean does not say what is shown
    hashes = np.packbits(bits, axis=1, bitorder="little")
    return Fingerprint(hashes.tobytes(), sketch.astype(np.uint8).tobytes())


def mirrored(whole: int) -> int:
    """The hash of a frame in a mirror, by the hash of the frame: a mirror turns the odd waves across."""
    return whole ^ _ODD_WAVES


def sketch_of(data: bytes) -> U8:
    """The pixels of a sketch: uint8 SKETCH_PX x SKETCH_PX."""
    return np.frombuffer(data, np.uint8).reshape(SKETCH_PX, SKETCH_PX)


def compare(asked: U8, stored: U8, window: Window) -> Likeness:
    """Lay the sketch `asked` on the part `window` of the sketch `stored`, shift and scale it, and correlate them."""
    seen, warp = asked.astype(np.float32), _warp_of(window)
    template = seen
    for _ in range(2):
        try:
            _, warp = cv2.findTransformECC(template, stored.astype(np.float32), warp, cv2.MOTION_AFFINE, _ENOUGH)
        except cv2.error:  # nothing correlates there
            return Likeness(0.0, 0.0, window)
        laid = _laid(stored, warp)
        expected = _in_exposure(laid, seen)
        apart = _blocks(np.abs(seen - expected))
        kept = _enlarged(apart <= np.sort(apart, axis=None)[-1 - _EDITABLE])
        edited = _edited(apart)
        if edited is None:
            break
        template = np.where(kept, seen, expected)  # an edit must not shift the picture
    luma = _correlation(seen[kept], laid[kept])
    detail = _correlation(_details(seen)[kept], _details(laid)[kept], _DETAIL_FLOOR)
    return Likeness(luma, detail, _window_of(warp), edited)


def compare_products(asked: bytes, stored: bytes) -> Likeness:
    """Compare the sketches of two prints of products. Both correlations are 0 unless everything agrees."""
    found = agreement(asked, stored)
    if not found.same:
        return Likeness(0.0, 0.0, WINDOWS[0])
    return Likeness(1.0, found.detail, Window(*window_of(asked, stored)), found.edited)


def overlap(asked: U8, stored: U8, window: Window) -> float:
    """The correlation of the sketch `asked` with the part `window` of the sketch `stored`, not shifted, -1..1."""
    return _correlation(asked.astype(np.float32), _laid(stored, _warp_of(window)))


def _warp_of(window: Window) -> F32:
    """The transform of pixel centres from a sketch of `window` to the sketch of the frame: float32 2x3."""
    across, down = window.right - window.left, window.bottom - window.top
    left, top = window.left * SKETCH_PX + (across - 1) / 2, window.top * SKETCH_PX + (down - 1) / 2
    return np.array([[across, 0, left], [0, down, top]], np.float32)


def _laid(stored: U8, warp: cv2.typing.MatLike) -> F32:
    """What a sketch shows under a transform: float32 SKETCH_PX x SKETCH_PX."""
    flags, size = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, (SKETCH_PX, SKETCH_PX)
    laid = cv2.warpAffine(stored.astype(np.float32), warp, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(laid, np.float32)


def _correlation(a: F32, b: F32, floor: float = 0.5) -> float:
    """The correlation of values, -1..1. Deviations as weak as `floor`, grey levels, do not correlate."""
    a, b = a - a.mean(), b - b.mean()
    noise = floor**2 * a.size
    return float((a * b).sum() / np.sqrt(((a * a).sum() + noise) * ((b * b).sum() + noise)))


def _in_exposure(laid: F32, seen: F32) -> F32:
    """A sketch in the exposure of another one."""
    centred = laid - laid.mean()
    slope = (centred * (seen - seen.mean())).sum() / ((centred * centred).sum() + 1)
    return np.asarray(slope * centred + seen.mean(), np.float32)


def _blocks(values: F32) -> F32:
    """The mean of each block of a sketch's values."""
    blocks = SKETCH_PX // _BLOCK_PX
    return np.asarray(cv2.resize(values, (blocks, blocks), interpolation=cv2.INTER_AREA), np.float32)


def _enlarged(blocks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """One value for each pixel of a sketch, from one for each block."""
    return np.kron(blocks, np.ones((_BLOCK_PX, _BLOCK_PX), np.bool_))


def _edited(apart: F32) -> tuple[float, float] | None:
    """The place of the block that differs most, if it stands out from the others; else None."""
    largest = float(apart.max())
    if largest < max(_EDITED_LEAST, _EDITED_TIMES * float(np.median(apart))):
        return None
    row, column = np.unravel_index(int(apart.argmax()), apart.shape)
    return (float(column) + 0.5) / apart.shape[1], (float(row) + 0.5) / apart.shape[0]


def _details(luma: F32) -> F32:
    soft = cv2.GaussianBlur(luma, (0, 0), 0.7)
    return np.asarray(soft - cv2.GaussianBlur(luma, (0, 0), _DETAIL_SIGMA_PX), np.float32)


def _window_of(warp: cv2.typing.MatLike) -> Window:
    """The part of the stored frame that the asked one shows, by the transform of pixel centres."""
    (ax, _, x), (_, ay, y) = np.asarray(warp, np.float64)
    left, top = (x + 0.5 - ax / 2) / SKETCH_PX, (y + 0.5 - ay / 2) / SKETCH_PX
    return Window(float(left), float(top), float(left + ax), float(top + ay))


def _flat_share(sketch: F32) -> float:
    """The share of a sketch that has its most frequent shade, within 2 grey levels."""
    shades = np.bincount(sketch.astype(np.int64).ravel(), minlength=256)
    return float((np.abs(sketch - shades.argmax()) <= 2).mean())


def _over_white(pixels: U8) -> U8:
    if pixels.shape[2] == 3:
        return pixels
    share = pixels[..., 3:].astype(np.float32) / 255
    return np.asarray(np.rint(pixels[..., :3] * share + 255 * (1 - share)), np.uint8)


def _luma(pixels: U8) -> F32:
    """The frame's luma, float32 _FRAME_PX x _FRAME_PX."""
    size = (_FRAME_PX, _FRAME_PX)
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), np.float32)


@cache
def _basis() -> F32:
    """Cosines over each interval: float32 (intervals * _FREQUENCIES) x _FRAME_PX."""
    edges = np.arange(_FRAME_PX + 1) / _FRAME_PX
    rows = []
    for start, stop in _INTERVALS:
        covered = np.clip(np.minimum(edges[1:], stop) - np.maximum(edges[:-1], start), 0, None) / (stop - start)
        at = np.clip(((edges[:-1] + edges[1:]) / 2 - start) / (stop - start), 0, 1)
        rows += [covered * np.cos(np.pi * wave * at) for wave in range(_FREQUENCIES)]
    return np.array(rows, np.float32)
