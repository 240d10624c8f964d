"""Prints of products on plain backdrops: find such a picture again after it was encoded, resized, framed or cropped.

    pixels ──the backdrop's shade──> product's box ──64 x 64──> luma, and colours at 16 x 16
                                          `──cosine coefficients──> one 64-bit hash

On white, products of one shape differ less than a picture from its own JPEG, as long as only light and dark count. So
these prints look at the product alone, at its own box, and compare absolute colours: usual handling keeps them, and
another product has others. Colours, light and details must all agree.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from packshot.types import F32, U8, BoxXYXY

__all__ = ["PRINT_BYTES", "Agreement", "agreement", "apart", "mirrored_print", "print_of", "window_of"]

LUMA_PX, COLOUR_PX = 64, 16
"""Sides of the product's luma and of its colours, pixels. Both show its box and a margin, whatever its aspect ratio."""
PRINT_BYTES = LUMA_PX**2 + 2 * COLOUR_PX**2 + 10
"""Bytes of a sketch: luma, then a and b of CIE L*a*b*, then five little-endian uint16: the aspect ratio of the box in
steps of 0.1 %, and the box itself, XYXY as shares of the frame in steps of 1 / 65,535."""

_SEEN_PX = 384
"""Longer side at which a product is looked for, pixels."""
_BACKDROP_LEVELS = 14
"""Difference from the backdrop, 8-bit CIE L*a*b*, up to which a pixel counts as backdrop: a JPEG's noise."""
_PART = 0.1
"""A piece of at least this share of the largest belongs to the product: several products, or a lid beside its jar."""
_LEAST, _MOST = 0.02, 0.8
"""Share of the frame that the product's box covers."""
_MARGIN = 0.06
"""Margin around the box, as a share of its sides."""
_DETAIL_LEVELS = 2.0
"""Standard deviation of the details within the product, grey levels, below which nothing tells it from others."""
_DETAIL_SIGMAS = (0.8, 4.0)
"""Details lie between these Gaussians' widths, pixels at LUMA_PX."""
_RIM_PX = 4
"""Pixels at the outline, at LUMA_PX, whose details are the outline's and not the product's."""
_ENOUGH = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-4)
_MOVE_PX, _STRETCH = 3.0, 0.06
"""How far the two may lie apart before they are compared: their boxes are found within a few pixels."""


MAX_LUMA, MAX_COLOUR, MIN_DETAIL, MAX_ASPECT = 16.0, 4.0, 0.97, 1.05
"""What the same picture reaches after the usual handling (docs/measurements.md, `python -m bench.verify_quality`)."""
_BLOCK_PX = 8
"""Side of the blocks in which edits are looked for, pixels of the luma."""
_EDITED_LEAST, _EDITED_TIMES = 10.0, 6.0
"""A block is edited from this mean difference, levels, that is this many times the median of the product's blocks."""


class Agreement(NamedTuple):
    """How two prints agree. `luma` and `colour` are differences within the product, in 8-bit levels of CIE L*a*b*: of
    luma the 90th percentile, of colours the mean. `detail` is the correlation of details, -1..1, and `aspect` the
    factor between the boxes' aspect ratios. `edited` is the place (x, y) in the first frame where the two differ most,
    as shares of its sides; None = nowhere.
    """

    luma: float
    colour: float
    detail: float
    aspect: float
    edited: tuple[float, float] | None = None

    @property
    def same(self) -> bool:
        """Whether both show one picture."""
        alike = self.luma <= MAX_LUMA and self.colour <= MAX_COLOUR
        return alike and self.detail >= MIN_DETAIL and self.aspect <= MAX_ASPECT


NOT_ALIKE = Agreement(255.0, 255.0, 0.0, 2.0)


def print_of(pixels: U8) -> tuple[int, bytes] | None:
    """The hash and the sketch of uint8 HxWx3 RGB pixels; None without a product on a plain backdrop.

    It must lie within the frame, cover 2 to 80 % of it and have details of its own.
    """
    found = _product(pixels)
    if found is None:
        return None
    lab, (x0, y0, x1, y1) = found
    frame = (lab.shape[1], lab.shape[0])
    width, height = x1 - x0, y1 - y0
    across, down = _MARGIN * width, _MARGIN * height
    left, top, right, bottom = x0 - across, y0 - down, x1 + across, y1 + down
    crop = _cropped(lab, (left, top, right, bottom), LUMA_PX)
    colours = cv2.resize(crop[..., 1:], (COLOUR_PX, COLOUR_PX), interpolation=cv2.INTER_AREA)
    luma = np.ascontiguousarray(crop[..., 0])
    inner = _inside(luma)
    if not inner.any() or float(_details(luma, _inside(luma, 1))[inner].std()) < _DETAIL_LEVELS:
        return None
    tail = _packed(width / height, (x0 / frame[0], y0 / frame[1], x1 / frame[0], y1 / frame[1]))
    sketch = _bytes(luma) + _bytes(colours[..., 0]) + _bytes(colours[..., 1]) + tail
    waves = cv2.dct(cv2.resize(luma, (32, 32), interpolation=cv2.INTER_AREA))[:8, :8].ravel()
    bits = waves > 0
    bits[0] = False
    return int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little"), sketch


def agreement(asked: bytes, stored: bytes) -> Agreement:
    """Compare the sketches of two prints, after the first is laid on the second."""
    (seen, ab), (known, known_ab) = _parts(asked), _parts(stored)
    aspects = [_tail(one)[0] for one in (asked, stored)]
    warp = np.eye(2, 3, dtype=np.float32)
    try:
        _, found = cv2.findTransformECC(seen, known, warp, cv2.MOTION_AFFINE, _ENOUGH)
    except cv2.error:  # nothing correlates
        return NOT_ALIKE
    matrix = np.asarray(found, np.float32)
    if np.abs(matrix[:, :2] - np.eye(2)).max() > _STRETCH or np.abs(_centre_moved(matrix)).max() > _MOVE_PX:
        return NOT_ALIKE
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = np.asarray(
        cv2.warpAffine(known, matrix, (LUMA_PX, LUMA_PX), flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32
    )
    product = _inside(seen, 1) & _inside(laid, 1)
    inner = _inside(seen) & _inside(laid)
    if not product.any() or not inner.any():
        return NOT_ALIKE
    luma = float(np.percentile(np.abs(seen - laid)[product], 90))
    shown = cv2.resize(product.astype(np.float32), (COLOUR_PX, COLOUR_PX), interpolation=cv2.INTER_AREA) > 0.5
    colour = float(np.abs(ab - known_ab)[shown].mean()) if shown.any() else 255.0
    detail = _correlation(_details(seen, product)[inner], _details(laid, product)[inner])
    edited = _edited(np.where(inner, np.abs(seen - laid), 0), inner, asked)
    return Agreement(luma, colour, detail, max(aspects) / max(1e-3, min(aspects)), edited)


def apart(asked: bytes, stored: bytes) -> float:
    """How far two sketches are apart before one is laid on the other: cheap, to choose what is compared."""
    (seen, ab), (known, known_ab) = _parts(asked), _parts(stored)
    return float(np.abs(seen - known).mean() + np.abs(ab - known_ab).mean())


def mirrored_print(sketch: bytes) -> bytes:
    """The sketch of the picture in a mirror."""
    luma, colours = _parts(sketch)
    aspect, x0, y0, x1, y1 = _tail(sketch)
    tail = (
        np.rint([1000 * aspect, 65_535 * (1 - x1), 65_535 * y0, 65_535 * (1 - x0), 65_535 * y1]).astype("<u2").tobytes()
    )
    turned = colours[:, ::-1]
    return _bytes(luma[:, ::-1]) + _bytes(turned[..., 0]) + _bytes(turned[..., 1]) + tail


def window_of(asked: bytes, stored: bytes) -> tuple[float, float, float, float]:
    """The part of the stored frame that the asked one shows, by the products' boxes: XYXY as shares of its sides."""
    (_, ax0, ay0, ax1, ay1), (_, x0, y0, x1, y1) = _tail(asked), _tail(stored)
    across, down = (x1 - x0) / max(1e-6, ax1 - ax0), (y1 - y0) / max(1e-6, ay1 - ay0)
    left, top = x0 - ax0 * across, y0 - ay0 * down
    return left, top, left + across, top + down


def _edited(difference: F32, inner: NDArray[np.bool_], asked: bytes) -> tuple[float, float] | None:
    """The middle of the product's block that differs most, if it stands out; as shares of the asked frame."""
    blocks = LUMA_PX // _BLOCK_PX
    share = cv2.resize(inner.astype(np.float32), (blocks, blocks), interpolation=cv2.INTER_AREA)
    mean = cv2.resize(difference, (blocks, blocks), interpolation=cv2.INTER_AREA) / np.maximum(share, 0.25)
    known = share >= 0.5
    if not known.any() or mean.max() < max(_EDITED_LEAST, _EDITED_TIMES * float(np.median(mean[known]))):
        return None
    row, column = np.unravel_index(int(mean.argmax()), mean.shape)
    _, x0, y0, x1, y1 = _tail(asked)
    x, y = (((one + 0.5) / blocks) * (1 + 2 * _MARGIN) - _MARGIN for one in (float(column), float(row)))
    return min(1.0, max(0.0, x0 + x * (x1 - x0))), min(1.0, max(0.0, y0 + y * (y1 - y0)))


def _product(pixels: U8) -> tuple[F32, BoxXYXY] | None:
    """The frame in CIE L*a*b*, float32 hxwx3 in 8-bit levels, and the product's box; None without one."""
    height, width = pixels.shape[:2]
    scale = min(1.0, _SEEN_PX / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB)
    shade = [int(np.bincount(lab[..., channel].ravel(), minlength=256).argmax()) for channel in range(3)]
    apart = np.abs(lab.astype(np.int16) - np.array(shade, np.int16)).max(axis=-1)
    apart = cv2.medianBlur(np.minimum(apart, 255).astype(np.uint8), 5)
    strange = (apart > _BACKDROP_LEVELS).astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(strange, connectivity=8)
    pieces = [stats[label] for label in range(1, count) if _within(stats[label], size)]
    largest = max((int(one[cv2.CC_STAT_AREA]) for one in pieces), default=0)
    parts = [one for one in pieces if one[cv2.CC_STAT_AREA] >= _PART * largest]
    if not parts:
        return None
    x0, y0 = (min(int(one[side]) for one in parts) for side in (cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP))
    x1 = max(int(one[cv2.CC_STAT_LEFT] + one[cv2.CC_STAT_WIDTH]) for one in parts)
    y1 = max(int(one[cv2.CC_STAT_TOP] + one[cv2.CC_STAT_HEIGHT]) for one in parts)
    share = (x1 - x0) * (y1 - y0) / (size[0] * size[1])
    if not _LEAST <= share <= _MOST or min(x1 - x0, y1 - y0) < LUMA_PX // 4:
        return None
    return lab.astype(np.float32), (x0, y0, x1, y1)


def _within(stats: NDArray[np.int32], size: tuple[int, int]) -> bool:
    """Whether a piece does not touch the frame, as a border or what is cut off does."""
    left, top = int(stats[cv2.CC_STAT_LEFT]), int(stats[cv2.CC_STAT_TOP])
    right, bottom = left + int(stats[cv2.CC_STAT_WIDTH]), top + int(stats[cv2.CC_STAT_HEIGHT])
    return left > 0 and top > 0 and right < size[0] and bottom < size[1]


def _cropped(lab: F32, box: tuple[float, float, float, float], side: int) -> F32:
    """The part `box` (XYXY pixels, may reach beyond the frame) at side x side, each pixel a mean."""
    left, top, right, bottom = box
    fine = 4 * side
    across, down = (right - left) / fine, (bottom - top) / fine
    matrix = np.array([[across, 0, left + (across - 1) / 2], [0, down, top + (down - 1) / 2]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = cv2.warpAffine(lab, matrix, (fine, fine), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(laid, (side, side), interpolation=cv2.INTER_AREA), np.float32)


def _inside(luma: F32, rim_px: int = _RIM_PX) -> NDArray[np.bool_]:
    """The product's pixels that are at least `rim_px` within its outline, bool hxw."""
    shade = np.bincount(np.clip(np.rint(luma), 0, 255).astype(np.int64)[_border()], minlength=256).argmax()
    strange = (np.abs(luma - shade) > _BACKDROP_LEVELS).astype(np.uint8)
    wide = cv2.copyMakeBorder(strange, 8, 8, 8, 8, cv2.BORDER_CONSTANT, value=0)  # so that closing ends at the frame
    filled = cv2.morphologyEx(wide, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))[8:-8, 8:-8]
    side = 2 * rim_px + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return np.asarray(cv2.erode(filled, kernel, borderValue=0) > 0, np.bool_)


def _border() -> NDArray[np.bool_]:
    ring = np.ones((LUMA_PX, LUMA_PX), np.bool_)
    ring[2:-2, 2:-2] = False
    return ring


def _details(luma: F32, product: NDArray[np.bool_]) -> F32:
    """What is finer than the product's shading. Only its own pixels count, so that its outline is no detail."""
    share = product.astype(np.float32)
    fine, coarse = (
        cv2.GaussianBlur(luma * share, (0, 0), sigma) / np.maximum(cv2.GaussianBlur(share, (0, 0), sigma), 1e-3)
        for sigma in _DETAIL_SIGMAS
    )
    return np.asarray(fine - coarse, np.float32)


def _correlation(a: F32, b: F32) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum() + 1e-6))


def _centre_moved(matrix: F32) -> F32:
    middle = np.full(2, (LUMA_PX - 1) / 2, np.float32)
    return np.asarray(matrix[:, :2] @ middle + matrix[:, 2] - middle, np.float32)


def _bytes(values: F32) -> bytes:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8).tobytes()


def _parts(sketch: bytes) -> tuple[F32, F32]:
    """(luma, colours) of a sketch: float32 LUMA_PX x LUMA_PX, and COLOUR_PX x COLOUR_PX x 2."""
    values = np.frombuffer(sketch[:-10], np.uint8).astype(np.float32)
    luma = values[: LUMA_PX**2].reshape(LUMA_PX, LUMA_PX)
    colours = values[LUMA_PX**2 :].reshape(2, COLOUR_PX, COLOUR_PX)
    return luma, np.ascontiguousarray(np.moveaxis(colours, 0, -1))


def _packed(aspect: float, box: tuple[float, float, float, float]) -> bytes:
    """The end of a sketch: the aspect ratio of the product's box, and the box, XYXY as shares of the frame."""
    return np.rint([min(65_535.0, 1000 * aspect), *(65_535 * side for side in box)]).astype("<u2").tobytes()


def _tail(sketch: bytes) -> tuple[float, float, float, float, float]:
    """What `_packed` packed."""
    aspect, x0, y0, x1, y1 = (int(one) for one in np.frombuffer(sketch[-10:], "<u2"))
    return aspect / 1000, x0 / 65_535, y0 / 65_535, x1 / 65_535, y1 / 65_535
