"""What can be said about a finished picture by looking at it: is the product the photo's, and is the frame sound."""

from __future__ import annotations

import cv2
import numpy as np

from packshot.contract.verdict import MAX_ENLARGEMENT, Finding, Verdict
from packshot.imaging.canvas import locked_mask
from packshot.types import U8, Flat, Mask

__all__ = ["inspect"]

MIN_FILL = 0.002  # of the frame: the least that the automatic mask takes for a product
MIN_SCENE = 0.02  # of the frame: less is a rim that nobody takes for a scene
BLANK_LEVELS = 2.0  # standard deviation under which a painted scene is one flat colour
GRAIN_LEVELS = 10.0  # standard deviation under which a scene is too even to be judged for noise
GRAIN_PX = 8  # a latent of every VAE so far: what is not finished has grain of this size
# Mean squared difference of pixels GRAIN_PX apart over that of any two: drawn scenes 0.05-0.61, painted ones 0.07-0.48,
# noise 0.99, decoded latent noise 0.89-0.96.
MAX_GRAIN = 0.75


def inspect(
    flat: Flat, picture: U8, *, enlarged_by: float = 1.0, product_by: float = 1.0, generated: bool = False
) -> Verdict:
    """Judge `picture` (uint8 HxWx3 RGB or HxWx4 RGBA, the layout's size) against its layout.

    Checks: `lock` (opaque product pixels that differ; failed if any), `enlargement` of the scene (`enlarged_by`,
    warning above 2x), `product` (how far its pixels were enlarged, `product_by`, warning above 2x), `fill` (the
    product's share of the frame, warning under 0.2 %), `frame` (warning where the canvas cuts the product) and, for a
    `generated` scene, `scene` (failed where it is noise, warning where it is one flat colour or is covered).
    """
    if picture.shape[:2] != flat.alpha.shape:
        raise ValueError(f"picture must have the layout's size {flat.alpha.shape}, got {picture.shape[:2]}")
    findings = [
        _lock(flat, picture),
        _size("enlargement", "the scene", enlarged_by, "use a smaller canvas"),
        _size("product", "the product", product_by, "use a smaller scale or a larger photo"),
        _fill(flat),
        _frame(flat),
    ]
    if generated:
        findings.append(_scene(flat, picture, enlarged_by))
    return Verdict(tuple(findings))


def _lock(flat: Flat, picture: U8) -> Finding:
    """Compare the picture with the layout where the layout is opaque."""
    locked = locked_mask(flat)
    layout, shown = cv2.cvtColor(flat.pixels, cv2.COLOR_RGBA2RGB), _rgb(picture)
    total = cv2.countNonZero(locked)
    if cv2.norm(layout, shown, cv2.NORM_INF, locked) > 0:
        differing = int(np.count_nonzero((layout != shown).any(axis=-1) & (locked > 0)))
        return Finding("lock", "failed", f"{differing} of {total} product pixels differ from the layout", differing)
    return Finding("lock", "ok", f"all {total} opaque product pixels equal the layout", 0.0)


def _rgb(picture: U8) -> U8:
    """The colours of an RGB or RGBA picture, contiguous."""
    return picture if picture.shape[2] == 3 else np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGBA2RGB), np.uint8)


def _size(check: str, what: str, by: float, remedy: str) -> Finding:
    if by > MAX_ENLARGEMENT:
        return Finding(check, "warning", f"{what} was enlarged {by:.2f}x, which looks soft above 2x; {remedy}", by)
    if round(by, 2) == 1:
        return Finding(check, "ok", f"{what} kept its size", by)
    return Finding(check, "ok", f"{what} was {'enlarged' if by > 1 else 'shrunk'} to {by:.2f} of its size", by)


def _fill(flat: Flat) -> Finding:
    share = float(np.count_nonzero(flat.alpha >= 128)) / flat.alpha.size
    if share < MIN_FILL:
        detail = f"the product covers {share:.4%} of the frame, too little to be seen; use a larger scale"
        return Finding("fill", "warning", detail, share)
    return Finding("fill", "ok", f"the product covers {share:.1%} of the frame", share)


def _frame(flat: Flat) -> Finding:
    height, width = flat.alpha.shape
    x0, y0, x1, y1 = Mask(np.ascontiguousarray(flat.alpha)).bbox_xyxy
    if x1 == 0:
        return Finding("frame", "warning", "no pixel is mostly product", 0.0)
    cut = [
        side
        for side, at in (("left", x0 == 0), ("top", y0 == 0), ("right", x1 == width), ("bottom", y1 == height))
        if at
    ]
    if cut:
        return Finding("frame", "warning", f"the product meets the frame: {', '.join(cut)}", float(len(cut)))
    return Finding("frame", "ok", "the product lies inside the frame", 0.0)


def _scene(flat: Flat, picture: U8, enlarged_by: float) -> Finding:
    seen = cv2.compare(cv2.extractChannel(flat.pixels, 3), 0, cv2.CMP_EQ)
    share = cv2.countNonZero(seen) / seen.size
    if share < MIN_SCENE:
        detail = f"the product leaves {share:.2%} of the frame to the scene; use a smaller scale"
        return Finding("scene", "warning", detail, share)
    shown = _rgb(picture)
    spread = float(cv2.meanStdDev(shown, mask=seen)[1].max())
    every = max(1, int(enlarged_by))  # what enlarging put in between tells nothing
    apart_px = max(1, round(GRAIN_PX * enlarged_by / every))
    sparse, sparse_seen = np.ascontiguousarray(shown[::every, ::every]), np.ascontiguousarray(seen[::every, ::every])
    grain = _grain(sparse, sparse_seen, apart_px)
    if spread >= GRAIN_LEVELS and grain > MAX_GRAIN:
        return Finding(
            "scene", "failed", f"the scene looks like noise (grain {grain:.2f} of 1); use another seed", grain
        )
    if spread < BLANK_LEVELS:
        return Finding("scene", "warning", f"the scene is one flat colour (deviation {spread:.2f} of 255)", spread)
    return Finding("scene", "ok", f"the scene has contrast (deviation {spread:.1f} of 255)", spread)


def _grain(picture: U8, seen: U8, apart_px: int) -> float:
    """Mean squared difference of scene pixels `apart_px` apart over any two's: 1 for noise, near 0 for a slope."""
    squares, pairs = 0.0, 0
    for here, there in ((np.s_[apart_px:], np.s_[:-apart_px]), (np.s_[:, apart_px:], np.s_[:, :-apart_px])):
        both = cv2.bitwise_and(seen[here], seen[there])
        if both.size:
            squares += cv2.norm(picture[here], picture[there], cv2.NORM_L2SQR, both)
            pairs += cv2.countNonZero(both)
    any_two = 2 * float((cv2.meanStdDev(picture, mask=seen)[1] ** 2).sum())
    return squares / pairs / any_two if pairs and any_two > 0 else 0.0
