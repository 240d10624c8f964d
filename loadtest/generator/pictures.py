"""What a designer does with a finished picture: paint a corner of it anew, and make a clip of it.

Both are work on the queue, which is followed as a shot is. Part of the Locust child.
"""

from __future__ import annotations

import hashlib
from typing import Any

from loadtest.generator.person import Op, Person, WrongAnswer, require_done

BRUSH = 0.04
"""Radius of the brush, as a share of the picture's side. The stroke stays in the corner, where no product is placed."""
CLIP_S, CLIP_PX = 1.0, 256
"""Length of a clip, and its longer side."""


def touch_up(person: Person, op: Op, image: dict[str, Any]) -> dict[str, Any]:
    """Paint the top left corner of a picture anew with one stroke. Returns the new version.

    Raises WrongAnswer when the touch-up is not done, or when its picture is not the next version of this one.
    """
    side = image["width"]
    seed = person.arrival.seed + person.world.plan.scenario.personas.designer.images  # the first that no image has
    corner = [[BRUSH * side, BRUSH * side], [3 * BRUSH * side, BRUSH * side]]
    stroke = {"mode": "add", "radius_px": BRUSH * side, "points": corner}
    path = f"/v1/images/{image['id']}/touchups"
    work = person.ordered(op, path, {"strokes": [stroke], "seed": seed}, f"{person.name}-touchup")
    require_done(work, "touchup")
    if len(work["images"]) != 1:
        raise WrongAnswer("not_one_image")
    new: dict[str, Any] = work["images"][0]
    if (new.get("parent_id"), new["seed"]) != (image["id"], seed):
        raise WrongAnswer("somebody_elses_images")
    if new["version"] != image["version"] + 1:
        raise WrongAnswer("wrong_version")
    person.record_files(op, work, [[new["url"], person.picture(op, new, (side, image["height"]))]])
    return new


def make_clip(person: Person, op: Op, image: dict[str, Any]) -> None:
    """Make a short, small clip of a picture, and fetch it.

    Raises WrongAnswer when the clip is not done, when it shows another picture, or when its file is not the WebP that
    the answer describes.
    """
    body = {"seconds": CLIP_S, "size": CLIP_PX, "format": "webp"}
    work = person.ordered(op, f"/v1/images/{image['id']}/clips", body, f"{person.name}-clip")
    require_done(work, "clip")
    clip = work["clip"]
    if clip["image_id"] != image["id"]:
        raise WrongAnswer("somebody_elses_clip")
    if (clip["seconds"], max(clip["width"], clip["height"])) != (CLIP_S, CLIP_PX):
        raise WrongAnswer("wrong_clip_size")
    data = person.call(op, "GET", clip["url"], expect=200).body
    sha256 = hashlib.sha256(data).hexdigest()
    if data[:4] + data[8:12] != b"RIFFWEBP" or (len(data), sha256) != (clip["bytes"], clip["sha256"]):
        raise WrongAnswer("clip_broken")
    person.record_files(op, work, [[clip["url"], sha256]])
