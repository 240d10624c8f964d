"""`--pose` of `packshot shoot`: people in OpenPose's JSON, as pose editors and detectors write it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from packshot.errors import BadInput

__all__ = ["read_people"]

POINTS = 18
"""Points of a person in OpenPose's COCO order; each is x, y and a confidence."""


def read_people(path: Path) -> list[list[list[float] | None]]:
    """The people of a file, each as 18 points in fractions of its canvas; None = not seen.

    Coordinates are fractions, or pixels of the file's `canvas_width` and `canvas_height`. A point whose confidence is 0
    was not seen. Raises BadInput `bad_usage`.
    """
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise _refused(path, f"must be a JSON file, got {error}") from error
    document = document[0] if isinstance(document, list) and document else document
    if not isinstance(document, dict) or not isinstance(document.get("people"), list) or not document["people"]:
        raise _refused(path, 'must hold OpenPose\'s {"people": [{"pose_keypoints_2d": […]}]}, got something else')
    width, height = (document.get(name, 1) for name in ("canvas_width", "canvas_height"))
    if not all(isinstance(side, (int, float)) and side > 0 for side in (width, height)):
        raise _refused(path, f"must have a canvas of numbers above 0, got {width!r} x {height!r}")
    return [_person(path, person, width, height) for person in document["people"]]


def _person(path: Path, person: Any, width: float, height: float) -> list[list[float] | None]:
    numbers = person.get("pose_keypoints_2d") if isinstance(person, dict) else None
    if not isinstance(numbers, list) or len(numbers) != 3 * POINTS:
        got = f"{len(numbers)} numbers" if isinstance(numbers, list) else "no list"
        raise _refused(path, f"must give each person {POINTS} points of x, y and confidence (COCO order), got {got}")
    if not all(isinstance(number, (int, float)) for number in numbers):
        raise _refused(path, "must give each point as numbers, got another value")
    across, down = (1.0 if max(numbers[at::3]) <= 1 else side for at, side in ((0, width), (1, height)))
    points: list[list[float] | None] = []
    for x, y, confidence in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True):
        seen = confidence > 0 and 0 <= x <= across and 0 <= y <= down
        points.append([x / across, y / down] if seen else None)
    return points


def _refused(path: Path, rule: str) -> BadInput:
    return BadInput("bad_usage", f"--pose {path} {rule}; a pose editor for ControlNet exports such a file")
