"""Compare the product in a delivered file, as it was read back, with the product that the file had to show.

    layout x stored gain ──the delivery's own geometry and filter──> expected ┐
    file ──decoded──────────────────────────────────────────────────> shown ──┴─> finding `delivered_lock`

Only pixels in which the layout is opaque count. A lossless file must equal them. In a lossy one the 99th percentile of
their colour differences must be small.
"""

from __future__ import annotations

import cv2
import numpy as np

from packshot.contract.verdict import Finding
from packshot.imaging.canvas import locked_mask
from packshot.imaging.delta_e import delta_e
from packshot.types import U8, Flat

__all__ = ["MAX_DELTA_E", "delivered_lock", "with_product"]

MAX_DELTA_E = 3.0
"""The largest 99th percentile of CIEDE2000 in a lossy file. Side by side, about 2 is just seen."""
PERCENTILE = 99


def with_product(picture: U8, shown: Flat) -> U8:
    """The picture (uint8 HxWx3 or HxWx4) with the layout's colours in all pixels in which the layout is opaque.

    `shown` is the layout as the picture shows it, under the gain of a relit product. Where the picture's lock holds,
    the result is the picture itself, as the same object.
    """
    locked = locked_mask(shown)
    expected = picture.copy()
    colours = shown.pixels if picture.shape[2] == 4 else np.asarray(cv2.cvtColor(shown.pixels, cv2.COLOR_RGBA2RGB))
    cv2.copyTo(colours, locked, expected)
    return picture if np.array_equal(expected, picture) else expected


def delivered_lock(shown: U8, expected: U8 | None, alpha: U8 | None, *, lossless: bool) -> Finding:
    """The finding `delivered_lock` of a file whose decoded pixels are `shown`, uint8 HxWx3 or HxWx4.

    `expected` is the picture that was encoded, with the product's pixels from the layout, before anything was marked;
    None when the layout was deleted. `alpha` is the layout's, uint8 HxW. All have the file's size. The value is the
    99th percentile of CIEDE2000.
    """
    if expected is None or alpha is None:
        detail = "the product in the file was not compared with its photo, because its mask or photo is not available"
        return Finding("delivered_lock", "warning", detail)
    if shown.shape[:2] != expected.shape[:2]:
        must, got = (f"{one.shape[1]}x{one.shape[0]} px" for one in (expected, shown))
        return Finding("delivered_lock", "failed", f"the file must have {must}, got {got}; deliver it again")
    x, y, width, height = cv2.boundingRect(cv2.compare(alpha, 255, cv2.CMP_EQ))
    here = np.s_[y : y + height, x : x + width]
    opaque = alpha[here] == 255
    read, due = shown[here][opaque][:, :3], expected[here][opaque][:, :3]
    count = len(read)
    if count == 0:
        return Finding("delivered_lock", "ok", "no product pixel is opaque, so none had to be compared", 0.0)
    apart = np.flatnonzero((read != due).any(axis=1))
    if lossless:
        if len(apart):
            rule = f"a lossless file must show the product's exact pixels, {len(apart)} of {count} differ"
            return Finding("delivered_lock", "failed", f"{rule}; make the picture again", float(len(apart)))
        return Finding("delivered_lock", "ok", f"all {count} product pixels of the file equal the photo's", 0.0)
    differences = np.zeros(count, np.float32)
    differences[apart] = delta_e(read[apart], due[apart])
    worst = float(np.percentile(differences, PERCENTILE))
    measured = f"{PERCENTILE} % of {count} product pixels lie within ΔE {worst:.2f} of the photo's"
    if worst > MAX_DELTA_E:
        rule = f"the file's product must lie within ΔE {MAX_DELTA_E:g} of its photo for {PERCENTILE} % of its pixels"
        remedy = "use a preset that takes larger files or PNG, or a smaller canvas"
        return Finding("delivered_lock", "failed", f"{rule}, got {worst:.2f}; {remedy}", worst)
    return Finding("delivered_lock", "ok", measured, worst)
