"""What is measured of one picture of the benchmark."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from packshot.contract.verdict import Verdict
from packshot.types import F32, U8, Flat

__all__ = ["figures", "seam", "spread"]

NEAR_PX, FAR_PX = (1.0, 3.0), (10.0, 20.0)
"""The rings outside of the product whose colours are compared, pixels."""


def figures(flat: Flat, picture: U8, verdict: Verdict, expansion: float) -> dict[str, Any]:
    """The row of a picture, uint8 HxWx3 RGB. `expansion` is the segmenter's."""
    failed = [one.check for one in verdict.findings if one.level == "failed"]
    floating = next((one.value for one in verdict.findings if one.check == "floating"), None)
    lab = verdict.measures.background_lab if verdict.measures else None
    return {
        "failed": failed,
        "available": not failed,
        "expansion": round(expansion, 4),
        "gap": round(floating or 0.0, 4),
        "seam": round(seam(flat, picture), 2),
        "lab": lab and [round(value, 2) for value in lab],
    }


def seam(flat: Flat, picture: U8) -> float:
    """The difference of the scene's colours close to the product from those farther off, CIE L*a*b*: the mean over the
    outline's upper half, which has no shadow."""
    lab: F32 = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    distance = cv2.distanceTransform((flat.alpha == 0).astype(np.uint8), cv2.DIST_L2, 5)
    rows = np.flatnonzero((flat.alpha >= 128).any(axis=1))
    if rows.size == 0:
        return 0.0
    upper = np.arange(picture.shape[0])[:, None] < (int(rows[0]) + int(rows[-1])) / 2
    near, far = ((distance >= least) & (distance <= most) & upper for least, most in (NEAR_PX, FAR_PX))
    if not near.any() or not far.any():
        return 0.0
    side = 2 * int(FAR_PX[1]) + 1
    weight = far.astype(np.float32)
    total = cv2.boxFilter(lab * weight[..., None], -1, (side, side), normalize=False)
    count = cv2.boxFilter(weight, -1, (side, side), normalize=False)
    known = near & (count > 0.5)
    if not known.any():
        return 0.0
    return float(np.linalg.norm(lab[known] - total[known] / count[known][:, None], axis=-1).mean())


def spread(labs: list[list[float]]) -> float:
    """The mean distance of the backgrounds' mean colours from their median, CIE L*a*b*."""
    found = np.array(labs)
    return float(np.linalg.norm(found - np.median(found, axis=0), axis=1).mean()) if len(found) else 0.0
