"""Inspection: was the product altered, how far was the scene enlarged, how much of the frame does the product fill?"""

from __future__ import annotations

import cv2
import numpy as np

from packshot.types import U8, Finding, Flat, Verdict

LOCK_MARGIN_PX = 2
"""How far inside the mask the product's pixels must be the layout's own, exactly (api.md)."""
MAX_ENLARGEMENT = 2.0


def inspect(flat: Flat, picture: U8, *, enlarged_by: float = 1.0) -> Verdict:
    """Findings about a finished picture (HxWx3 RGB or HxWx4 RGBA, canvas size) of the layout `flat`.

    `enlarged_by`: canvas side over the engine's side, 1 where nothing was painted.
    """
    return Verdict((_lock(flat, picture), _enlargement(enlarged_by), _fill(flat)))


def _lock(flat: Flat, picture: U8) -> Finding:
    kernel = np.ones((2 * LOCK_MARGIN_PX + 1,) * 2, np.uint8)
    inside = cv2.erode((flat.alpha == 255).astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
    altered = int((picture[..., :3] != flat.rgb).any(axis=-1)[inside].sum())
    rule = f"{altered} of {int(inside.sum())} product pixels differ from the photo's"
    return Finding("lock", "failed" if altered else "ok", rule, altered)


def _enlargement(enlarged_by: float) -> Finding:
    level = "warning" if enlarged_by > MAX_ENLARGEMENT else "ok"
    detail = f"the scene was enlarged {enlarged_by:.2f} times; above {MAX_ENLARGEMENT:g} it looks soft"
    return Finding("enlargement", level, detail, round(enlarged_by, 3))


def _fill(flat: Flat) -> Finding:
    share = float((flat.alpha >= 128).mean())
    return Finding("fill", "ok" if share > 0 else "failed", f"the product fills {share:.1%} of the frame", round(share, 4))
