"""What can be said about a finished picture by looking at it: is the product the photo's own, and is the frame sound."""

from __future__ import annotations

import numpy as np

from packshot.imaging.canvas import locked_mask
from packshot.types import U8, Finding, Flat, Mask, Verdict

__all__ = ["inspect"]

MAX_ENLARGEMENT = 2.0
BLANK_LEVELS = 2.0  # standard deviation under which a painted scene is one flat colour


def inspect(flat: Flat, picture: U8, *, enlarged_by: float = 1.0, generated: bool = False) -> Verdict:
    """Judge `picture` (uint8 HxWx3 RGB or HxWx4 RGBA, the layout's size) against its layout.

    Checks: `lock` (opaque product pixels that differ; failed if any), `enlargement` of the scene (`enlarged_by`, warning
    above 2x), `fill` (the product's share of the frame), `frame` (warning where the canvas cuts the product) and, for a
    `generated` scene, `scene` (warning where it is one flat colour).
    """
    if picture.shape[:2] != flat.alpha.shape:
        raise ValueError(f"picture must have the layout's size {flat.alpha.shape}, got {picture.shape[:2]}")
    findings = [_lock(flat, picture), _enlargement(enlarged_by), _fill(flat), _frame(flat)]
    if generated:
        findings.append(_scene(flat, picture))
    return Verdict(tuple(findings))


def _lock(flat: Flat, picture: U8) -> Finding:
    locked = locked_mask(flat) == 255
    differing = int(np.count_nonzero((picture[..., :3][locked] != flat.rgb[locked]).any(axis=-1)))
    total = int(np.count_nonzero(locked))
    if differing:
        return Finding("lock", "failed", f"{differing} of {total} product pixels differ from the layout", differing)
    return Finding("lock", "ok", f"all {total} opaque product pixels equal the layout", 0.0)


def _enlargement(enlarged_by: float) -> Finding:
    if enlarged_by > MAX_ENLARGEMENT:
        detail = f"the scene was enlarged {enlarged_by:.2f}x, which looks soft above 2x; use a smaller canvas"
        return Finding("enlargement", "warning", detail, enlarged_by)
    return Finding("enlargement", "ok", f"the scene was enlarged {enlarged_by:.2f}x", enlarged_by)


def _fill(flat: Flat) -> Finding:
    share = float(np.count_nonzero(flat.alpha >= 128)) / flat.alpha.size
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


def _scene(flat: Flat, picture: U8) -> Finding:
    scene = picture[..., :3][flat.alpha == 0]
    if scene.size == 0:
        return Finding("scene", "ok", "the product covers the whole frame", None)
    spread = float(scene.std(axis=0).max())
    if spread < BLANK_LEVELS:
        return Finding("scene", "warning", f"the scene is one flat colour (deviation {spread:.2f} of 255)", spread)
    return Finding("scene", "ok", f"the scene has contrast (deviation {spread:.1f} of 255)", spread)
