"""Whether a product hangs above the painted ground: before the wall, or above the shadow that it throws."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from packshot.contract.verdict import Finding
from packshot.types import F32
from packshot.verdict.seen import Seen, share_box

__all__ = ["floating_finding"]

LEAST_PX = 8
"""Height of the smallest product that is judged. The rows around a smaller one say nothing of it."""
BESIDE = 0.6
"""How far beside the product the ground is read, as a share of the product's size."""
LEAST_BESIDE_PX = 8
STEP = 0.05
"""Share of the picture's height above and below a row that are compared there."""
SEAM_LEVELS = 9.0
"""Difference of the colours above and below a row, in CIE L*a*b*, from which the ground may begin there."""
ABOVE = 0.5
"""A change of the colours above the base that is at least this large, compared with the seam below, is where the ground
begins; the seam is then the front of a table."""
MAX_HANG = 0.06
"""Largest distance between the base and the ground below it, as a share of the product's height."""
GAP_LEVELS = 15.0
"""Steps of L* by which a shadow below the base is darker than the rest of its row, from which it counts."""
GAP_LIGHT = 0.85
"""The share of that darkness which must be reached at the base: less is a gap between the product and its shadow."""
GAP_NOISE = 1.6
"""How much darker it must be than the darkest part of as many columns elsewhere in the row."""
GAP_REACH = 0.5
"""How far below the base a shadow is looked for, as a share of the product's height."""


def floating_finding(seen: Seen) -> Finding:
    """Find out whether the product stands on the painted ground.

    It fails when the ground begins below the product's base, or when its shadow lies below a lighter gap. The value is
    the distance between the base and the ground or the shadow, as a share of the product's height.
    """
    x0, y0, x1, y1 = seen.box
    height = y1 - y0
    if height < LEAST_PX:
        return Finding("floating", "ok", "the product is too small to see whether it stands on the ground")
    if (hang := _hang_px(seen)) > MAX_HANG * height:
        share = hang / height
        detail = f"the ground begins {share:.0%} of the product's height below its base; place it lower, or use"
        box = share_box((x0, y1 - 1, x1, y1 + hang), seen.size)
        return Finding("floating", "failed", f"{detail} another seed", round(share, 4), box)
    if (gap := _gap_px(seen)) > 0:
        share = gap / height
        detail = f"the product's shadow lies {share:.0%} of its height below its base; use another seed"
        return Finding("floating", "failed", detail, round(share, 4), share_box((x0, y1 - 1, x1, y1 + gap), seen.size))
    return Finding("floating", "ok", "the product stands on the ground", 0.0)


def _hang_px(seen: Seen) -> float:
    """How far below the base the ground begins, in pixels; 0 when the product stands on it, or none is seen."""
    x0, y0, x1, y1 = seen.box
    width, height = seen.size
    reach = max(LEAST_BESIDE_PX, round(BESIDE * max(x1 - x0, y1 - y0)))
    sides = [
        seen.scene[:, left:right]
        for left, right in ((max(0, x0 - 3 - reach), x0 - 3), (x1 + 3, min(width, x1 + 3 + reach)))
        if right - left >= LEAST_BESIDE_PX
    ]
    if not sides:
        return 0.0
    far = max(2, round(STEP * height))
    profiles = [np.median(side, axis=1).astype(np.float32) for side in sides]
    below = np.min([_steps(profile, far) for profile in profiles], axis=0)[y1:]
    if below.size == 0 or float(below.max()) < SEAM_LEVELS:
        return 0.0
    at = int(below.argmax())
    if min(_change(profile, y1, far) for profile in profiles) >= ABOVE * float(below[at]):
        return 0.0
    return float(at)


def _change(profile: F32, y: int, far: int) -> float:
    """How the colours at row `y` differ from those in the upper half above it. `profile` is float32 hx3."""
    if y < 2 * far:
        return 0.0
    here, above = np.median(profile[y - far : y], axis=0), np.median(profile[: max(far, y // 2)], axis=0)
    return float(np.linalg.norm(here - above))


def _steps(profile: F32, far: int) -> F32:
    """For each row the difference of the colours `far` rows above and below it. `profile` is float32 hx3."""
    padded = np.concatenate([np.repeat(profile[:1], far, 0), profile, np.repeat(profile[-1:], far, 0)])
    sums = np.concatenate([np.zeros((1, 3), np.float32), np.cumsum(padded, axis=0)])
    means = (sums[far:] - sums[:-far]) / far
    found = np.linalg.norm(means[far:] - means[:-far], axis=1)[: len(profile)]
    return np.asarray(found, np.float32)


def _gap_px(seen: Seen) -> float:
    """How far below the base the product's shadow begins, in pixels; 0 without a gap."""
    _, y0, _, y1 = seen.box
    width, height = seen.size
    base = seen.product[max(y0, y1 - max(2, round(0.14 * (y1 - y0)))) : y1].any(axis=0)
    columns = np.flatnonzero(base)
    first, last = int(columns[0]), int(columns[-1]) + 1
    wide = (last - first) // 3
    left = first + wide
    rows = np.arange(y1, min(height, y1 + round(GAP_REACH * (y1 - y0))))
    if rows.size < 6 or wide < 2:
        return 0.0
    lightness = seen.picture[rows, :, 0]
    free = ~seen.product[rows].any(axis=0)
    if np.count_nonzero(free) < wide:
        return 0.0
    usual = np.percentile(lightness[:, free], 60, axis=1)
    dark = _smooth(usual - lightness[:, left : left + wide].mean(axis=1))
    most = int(dark.argmax())
    if dark[most] < GAP_LEVELS or most <= MAX_HANG * (y1 - y0) or dark[0] > GAP_LIGHT * dark[most]:
        return 0.0
    over = usual[most] - lightness[most, left : left + wide]
    if float(np.percentile(over, 25)) < 0.5 * dark[most] or dark[-1] > 0.6 * dark[most]:
        return 0.0  # a line of the ground's pattern, or a ground that only gets darker towards the viewer
    columns = np.flatnonzero((np.arange(width) < first - wide) | (np.arange(width) >= last + wide))
    elsewhere = usual[most] - _means(lightness[most], wide)
    clear = columns[(columns >= wide // 2) & (columns < len(elsewhere) + wide // 2)] - wide // 2
    if clear.size and dark[most] < GAP_NOISE * float(np.percentile(elsewhere[clear], 95)):
        return 0.0
    return float(most)


def _smooth(values: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """The mean of each value and its two neighbours."""
    return np.convolve(np.pad(values, 1, mode="edge"), np.full(3, 1 / 3), mode="valid")


def _means(row: F32, wide: int) -> NDArray[np.floating[Any]]:
    """The mean of each `wide` values side by side."""
    return np.convolve(row, np.full(wide, 1 / wide), mode="valid")
