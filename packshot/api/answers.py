"""Headers and file responses. conversions.py builds the models of JSON responses."""

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
"""`Cache-Control` for bytes that never change under their URL. They are private because a tenant owns them."""


def json_answer(answer: Answer, *, status: int = 200, headers: Mapping[str, str]) -> Response:
    """A JSON response with its own status and headers, for a route that has more than one response model."""
    return Response(answer.model_dump_json(), status, headers, "application/json")


def shot_timing(shot: ShotRecord) -> dict[str, float]:
    """The times of an ended shot, in milliseconds; empty while it is live.

    `queue` is the wait in the store plus the wait for a place in a batch. `render` is the rest of the shot's time.
    `begin`, `steps` and `decode` are the engine's own times; each is the slowest image's, because the images of a shot
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
    stages.pop("device", None)  # a part of the others' times
    return {"queue": queue_ms, "render": total_ms - queue_ms, **stages}


def server_timing(timing_ms: dict[str, float]) -> dict[str, str]:
    """The `server-timing` header for {stage: milliseconds}. An empty dict gives no header."""
    if not timing_ms:
        return {}
    stages = (f"{re.sub(r'[^A-Za-z0-9_-]', '-', name)};dur={max(0.0, ms):.1f}" for name, ms in timing_ms.items())
    return {"server-timing": ", ".join(stages)}


def disposition(filename: str, *, inline: bool = False) -> str:
    """The `content-disposition` header (RFC 6266): an ASCII name for old clients, and the exact name.

    `inline`: the browser shows the file instead of downloading it.
    """
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
    """A file with its type and cache headers, or 304 when the client's `If-None-Match` has its hash.

    `filename` is the name under which a browser saves the file. `inline` lets the browser show it. `kept` lets the
    client cache the bytes without asking again; without it the client must revalidate them each time.
    """
    etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    headers = {"etag": etag, "cache-control": KEPT if kept else "private, no-cache", "vary": "authorization, cookie"}
    if filename is not None:
        headers["content-disposition"] = disposition(filename, inline=inline)
    cached = request.headers.get("if-none-match", "")
    if any(tag.strip().removeprefix("W/") in (etag, "*") for tag in cached.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=media_type, headers=headers)
