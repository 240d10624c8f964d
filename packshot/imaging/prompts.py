"""The check that clicks and boxes lie in the photo. It runs before the photo is encoded."""

from __future__ import annotations

from packshot.errors import BadInput, FieldError
from packshot.types import Prompts

__all__ = ["check_prompts"]


def check_prompts(prompts: Prompts, width: int, height: int) -> None:
    """Check points and boxes against a photo of `width` x `height` pixels.

    Raises BadInput: `point_outside` for a point with x not in [0, width) or y not in [0, height), and `box_invalid` for
    a box that is empty, inverted or partly outside the photo. `errors` lists all invalid points, or else all invalid
    boxes.
    """
    points = [
        _error("points", index, f"must lie in 0 <= x < {width}, 0 <= y < {height}, got ({x:g}, {y:g})")
        for index, (x, y, _) in enumerate(prompts.points)
        if not (0 <= x < width and 0 <= y < height)
    ]
    if points:
        raise BadInput(
            "point_outside", f"points.{points[0]['loc'][1]} {points[0]['msg']}; click inside the photo.", errors=points
        )
    boxes = [
        _error(
            "boxes", index, f"must be x0 < x1 <= {width}, y0 < y1 <= {height} and not negative, got {_box_text(box)}"
        )
        for index, box in enumerate(prompts.boxes)
        if not (0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height)
    ]
    if boxes:
        rule = f"boxes.{boxes[0]['loc'][1]} {boxes[0]['msg']}"
        raise BadInput("box_invalid", f"{rule}; draw a box inside the photo.", errors=boxes)


def _error(field: str, index: int, rule: str) -> FieldError:
    return {"loc": [field, index], "msg": rule}


def _box_text(box: tuple[float, float, float, float]) -> str:
    return "[" + ", ".join(f"{value:g}" for value in box) + "]"
