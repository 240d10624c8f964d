"""`python -m training.path_traced light --shards DIR`: how well the light of a scene is read from its picture.

The truth is the key lamp's azimuth in the picture's plan; a shadow falls away from the lamp.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from packshot.imaging.light.estimate import CERTAIN, scene_light
from training.path_traced.shards import pictures, usable


def light_figures(paths: Sequence[Path], count: int) -> dict[str, float]:
    """The median error of the direction in degrees, the share of right sides, and both of the certain estimates."""
    found = [picture for path in paths for picture in pictures(path) if usable(picture)]
    errors, sides, sure = list[float](), list[bool](), list[bool]()
    for picture in islice(found, count):
        image, index = (np.asarray(picture.arrays[name], np.uint8) for name in ("image", "index"))
        true = -picture.take.light.azimuth_deg % 360
        light = scene_light(image, np.where(index > 0, np.uint8(255), np.uint8(0)))
        errors.append(abs((light.direction_deg - true + 180) % 360 - 180))
        sides.append((light.direction_deg < 180) == (true < 180))
        sure.append(light.confidence >= CERTAIN)
    certain: NDArray[np.bool_] = np.array(sure)
    return {
        "pictures": len(errors),
        "median error, degrees": round(float(np.median(errors)), 1),
        "right side": round(float(np.mean(sides)), 3),
        "certain": round(float(certain.mean()), 3),
        "median error when certain, degrees": round(float(np.median(np.array(errors)[certain])), 1),
        "right side when certain": round(float(np.array(sides)[certain].mean()), 3),
    }
