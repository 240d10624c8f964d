"""Whether the painter's controls do what they say: control scale, surface words and light words.

- `control`: mean difference of the engine's pictures at control scales 0 and 2, in levels of 255.
- `surfaces`: by surface, the share of pictures in which the judge reads the surface that the prompt names.
- `side`: how far the brighter half follows the words "from the left" and "from the right": the mean L* of the
  background's left half less that of its right half, with the first words less with the second.
- `warmth`: the mean b* of the background in warm light less that in cool light.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from packshot.models.judge import SceneJudge
from training.mini.evaluation.colour import lab
from training.mini.evaluation.painting import DrawnShot, Painter, Picture
from training.mini.judge import read
from training.scenes.words import FIELDS, SIDES, SURFACES, TINTS, in_full

U8 = NDArray[np.uint8]
Bits = NDArray[np.bool_]
CONTROL_SCALES = (0.0, 2.0)


def levels_apart(one: U8, other: U8) -> float:
    """The mean absolute difference of two pictures (uint8 HxWx3), in levels."""
    return float(np.abs(one.astype(np.int16) - other).mean())


def brighter_left(picture: U8, background: Bits) -> float:
    """The mean L* of the background in the left half less that in the right half; 0 when one half has none."""
    lightness, middle = lab(picture)[..., 0], picture.shape[1] // 2
    halves = [lightness[:, side][background[:, side]] for side in (np.s_[:middle], np.s_[middle:])]
    return float(halves[0].mean() - halves[1].mean()) if all(half.size for half in halves) else 0.0


def yellowness(picture: U8, background: Bits) -> float:
    """The mean b* of the background: positive is yellow, negative is blue."""
    return float(lab(picture)[..., 2][background].mean())


def asking(shot: DrawnShot, **words: int) -> DrawnShot:
    """The shot with a prompt that says everything; `words` (indices by name of `words.FIELDS`) replace its own."""
    asked = dict(zip(FIELDS, shot.asked.tolist(), strict=True)) | words
    return replace(shot, prompt=in_full(asked), asked=np.array([asked[name] for name in FIELDS]))


def control_figures(painter: Painter, judge: SceneJudge | None, shots: Sequence[DrawnShot]) -> dict[str, object]:
    """The figures of the module's docstring, each over all shots. Without a judge, `surfaces` is left out."""
    none, double = (painter.paint(shots, control_scale=scale) for scale in CONTROL_SCALES)
    apart = [levels_apart(one.painted, other.painted) for one, other in zip(none, double, strict=True)]
    found: dict[str, object] = {"control": _mean(apart)}
    left, right = (_painted(painter, shots, side=side) for side in range(len(SIDES)))
    swings = [
        brighter_left(one.locked, ~shot.product) - brighter_left(other.locked, ~shot.product)
        for shot, one, other in zip(shots, left, right, strict=True)
    ]
    warm, cool = (_painted(painter, shots, tint=TINTS.index(tint)) for tint in ("warm", "cool"))
    warmths = [
        yellowness(one.locked, ~shot.product) - yellowness(other.locked, ~shot.product)
        for shot, one, other in zip(shots, warm, cool, strict=True)
    ]
    found |= {"side": _mean(swings), "warmth": _mean(warmths)}
    if judge:
        shares = {name: surface_read(painter, judge, shots, index) for index, name in enumerate(SURFACES)}
        found |= {"surfaces": shares, "worst_surface": min(shares.values())}
    return found


def surface_read(painter: Painter, judge: SceneJudge, shots: Sequence[DrawnShot], surface: int) -> float:
    """The share of the shots, asked for on one surface, in which the judge reads that surface."""
    pictures = np.stack([picture.locked for picture in _painted(painter, shots, surface=surface)])
    seen = read(judge, pictures, np.stack([shot.flat.alpha for shot in shots]))["surface"]
    return round(float((seen == surface).mean()), 3)


def _painted(painter: Painter, shots: Sequence[DrawnShot], **words: int) -> list[Picture]:
    return painter.paint([asking(shot, **words) for shot in shots])


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 2)
