"""Records as JSON, in the contract's words; files with the headers that fit them."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from itertools import chain
from typing import Any
from urllib.parse import quote

from fastapi import Request, Response

from packshot.contract.status import ENDED
from packshot.store.records import ImageRecord, MaskRecord, PhotoRecord, ShotRecord

KEPT = "private, max-age=31536000, immutable"
"""For what never changes under its URL; private, because it belongs to a tenant."""


def iso(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC, `Z` at the end."""
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def photo_json(photo: PhotoRecord) -> dict[str, Any]:
    return {
        "id": photo.id,
        "width": photo.width,
        "height": photo.height,
        "format": photo.format,
        "bytes": photo.bytes,
        "sha256": photo.sha256,
        "url": f"/v1/photos/{photo.id}",
    }


def mask_json(mask: MaskRecord) -> dict[str, Any]:
    return {
        "id": mask.id,
        "score": mask.score,
        "area": mask.area_px,
        "bbox": list(mask.bbox_xyxy),
        "url": f"/v1/masks/{mask.id}",
        "cutout_url": f"/v1/masks/{mask.id}/cutout",
    }


def image_json(image: ImageRecord) -> dict[str, Any]:
    """An image inside its shot."""
    return {
        "id": image.id,
        "seed": image.seed,
        "width": image.width,
        "height": image.height,
        "url": f"/v1/images/{image.id}",
        "verdict": image.verdict.to_json(),
    }


def whole_image_json(image: ImageRecord) -> dict[str, Any]:
    """An image by itself, with its review and what it takes to make it again."""
    return {
        **image_json(image),
        "shot_id": image.shot_id,
        "review": image.review,
        "note": image.note,
        "recipe": image.recipe.to_json(),
        "created_at": iso(image.created_at),
    }


def accepted_json(shot: ShotRecord) -> dict[str, Any]:
    return {
        "id": shot.id,
        "status": shot.status,
        "position": shot.position,
        "url": f"/v1/shots/{shot.id}",
        "events_url": f"/v1/shots/{shot.id}/events",
    }


def shot_json(shot: ShotRecord) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "id": shot.id,
        "status": shot.status,
        "position": shot.position,
        "step": shot.step,
        "steps": shot.steps,
        "created_at": iso(shot.created_at),
        "started_at": iso(shot.started_at),
        "finished_at": iso(shot.finished_at),
        "images": [image_json(image) for image in shot.images],
    }
    if shot.error_code is not None:
        answer["error"] = {"code": shot.error_code, "detail": shot.error_detail or ""}
    return answer


def shot_timing(shot: ShotRecord) -> dict[str, float]:
    """Milliseconds of a finished shot: `queue` (in the store and for room in a batch) and `render`, all of the rest.

    Of a render also `begin`, `steps` and `decode`, each of the picture that took longest: a shot's pictures run together.
    """
    if shot.status not in ENDED or shot.started_at is None or shot.finished_at is None:
        return {}
    times = [image.recipe.timing_ms for image in shot.images]
    stages = {name: max(time.get(name, 0.0) for time in times) for name in dict.fromkeys(chain.from_iterable(times))}
    in_store_ms, total_ms = (
        (end - start).total_seconds() * 1000
        for start, end in ((shot.created_at, shot.started_at), (shot.created_at, shot.finished_at))
    )
    queue_ms = in_store_ms + stages.pop("queue", 0.0)
    return {"queue": queue_ms, "render": total_ms - queue_ms, **stages}


def server_timing(timing_ms: dict[str, float]) -> dict[str, str]:
    """The `server-timing` header of stages' milliseconds; no header for none."""
    if not timing_ms:
        return {}
    stages = (f"{re.sub(r'[^A-Za-z0-9_-]', '-', name)};dur={max(0.0, ms):.1f}" for name, ms in timing_ms.items())
    return {"server-timing": ", ".join(stages)}


def disposition(filename: str, *, inline: bool = False) -> str:
    """RFC 6266: a plain name for old clients, the exact one beside it."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", filename)
    exact = f"; filename*=UTF-8''{quote(filename, safe='')}" if plain != filename else ""
    return f'{"inline" if inline else "attachment"}; filename="{plain}"{exact}'


def file_answer(
    request: Request,
    data: bytes,
    media_type: str,
    *,
    filename: str | None = None,
    inline: bool = False,
    kept: bool = True,
) -> Response:
    """Bytes with their type and cache headers; 304 when the client has them. `filename`: the name
    under which to save it, at once or (`inline`) after it was shown."""
    etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    headers = {"etag": etag, "cache-control": KEPT if kept else "private, no-cache", "vary": "authorization, cookie"}
    if filename is not None:
        headers["content-disposition"] = disposition(filename, inline=inline)
    known = request.headers.get("if-none-match", "")
    if any(tag.strip().removeprefix("W/") in (etag, "*") for tag in known.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=media_type, headers=headers)
