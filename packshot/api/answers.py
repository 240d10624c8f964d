"""Answers' headers and files. conversions.py makes the models that answers carry."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from itertools import chain
from urllib.parse import quote

from fastapi import Request, Response

from packshot.contract.base import Answer
from packshot.contract.status import ENDED
from packshot.store.records import ShotRecord

KEPT = "private, max-age=31536000, immutable"
"""For bytes that never change under their URL. Private, because they belong to a tenant."""


def json_answer(answer: Answer, *, status: int = 200, headers: Mapping[str, str]) -> Response:
    """An answer of a route that may give one of several."""
    return Response(answer.model_dump_json(), status, headers, "application/json")


def shot_timing(shot: ShotRecord) -> dict[str, float]:
    """Milliseconds of a finished shot: `queue` (in the store, and for room in a batch) and `render`, all of the rest.

    A render also has `begin`, `steps` and `decode`. Each is that of the slowest picture, because the pictures of a shot
    run together.
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
    """Bytes with their type and cache headers; 304 when the client has them.

    `filename`: the name under which a browser saves the file. `inline`: whether it shows the file first. `kept`:
    whether the client may keep the bytes under their URL for good.
    """
    etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    headers = {"etag": etag, "cache-control": KEPT if kept else "private, no-cache", "vary": "authorization, cookie"}
    if filename is not None:
        headers["content-disposition"] = disposition(filename, inline=inline)
    known = request.headers.get("if-none-match", "")
    if any(tag.strip().removeprefix("W/") in (etag, "*") for tag in known.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=media_type, headers=headers)
