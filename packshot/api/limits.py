"""The edge: middleware around every request and response, and the limits of request bodies.

A body over the limit is refused (413), by its declared length and again while it streams in; one that stops is refused
(408). Headers with which a
client could change Serve's policies are dropped. Every response has one `x-request-id`, and names the server's version.
An unexpected exception becomes a 500 problem.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, TypeVar, cast

from fastapi import Request
from starlette.datastructures import MutableHeaders, UploadFile
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import packshot
from packshot.api.bodies import Body, arriving, too_large
from packshot.api.problems import STATUSES, answer
from packshot.contract.base import VERSION_HEADER
from packshot.errors import EngineFailed, PackshotError, TooSlow
from packshot.meter import Meter
from packshot.telemetry.context import annotate

logger = logging.getLogger(__name__)

MAX_JSON_BYTES = 256 * 1024
"""Limit of a JSON body, except one with brush strokes. It is far above the largest request that the schemas accept."""

SPOOLED_BYTES = 1024 * 1024
"""A body that a route decodes is kept in memory up to this size, and in a temporary file above it."""

TOO_SLOW = STATUSES[TooSlow]

_POLICY_HEADERS = (b"x-request-timeout-seconds", b"x-request-disconnect-disabled")
_SAFE_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
_PROXYS_ID = re.compile(rb"[\x20-\x7e]{1,200}")
"""A proxy that adds the id to the response also adds one that a client chose badly; problems must name the same id."""

UPLOAD = ("POST", "/v1/photos")
ADAPTER = ("POST", "/v1/adapters")
"""The method and the path of a photo's upload."""

ANSWER_HEADERS = "packshot_answer_headers"
"""A key of the request's scope: a mapping of headers that the answer gets, whether or not the request is refused."""
_FILE_PATH = re.compile(r"/v1/(uploads/|catalogues/[^/]+/photos$)")
_ZIP_PATH = re.compile(r"/v1/catalogues/[^/]+/photos\.zip")

T = TypeVar("T")


class Edge:
    """Pure ASGI middleware around the whole app.

    `app` is the ASGI app that it wraps. `max_photo_bytes` is the largest accepted body of a photo's upload,
    `max_zip_bytes` that of an archive of photos, `max_adapter_bytes` that of an adapter, and `max_body_bytes` that of
    any other request. `meter` counts the refusals by error code. `adds_request_id` is False behind a proxy that adds
    the `x-request-id` of the request to the response itself.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body_bytes: int,
        max_photo_bytes: int,
        max_zip_bytes: int,
        max_adapter_bytes: int,
        meter: Meter,
        adds_request_id: bool = True,
    ) -> None:
        self.app = app
        self.max_body_bytes = max_body_bytes
        self.max_photo_bytes = max_photo_bytes
        self.max_zip_bytes = max_zip_bytes
        self.max_adapter_bytes = max_adapter_bytes
        self.meter = meter
        self.adds_request_id = adds_request_id
        self.accepted_id = _SAFE_ID if adds_request_id else _PROXYS_ID
        self.arriving = arriving()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = [(name, value) for name, value in scope["headers"] if name not in _POLICY_HEADERS]
        request_id = _request_id(headers, self.accepted_id)
        annotate(request=request_id)
        scope = {**scope, "headers": headers, "packshot_request_id": request_id}
        started = False

        async def send_out(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                out = MutableHeaders(scope=message)
                if self.adds_request_id:
                    out["x-request-id"] = request_id
                out[VERSION_HEADER] = packshot.__version__
                out["x-content-type-options"] = "nosniff"
                out.update(scope.get(ANSWER_HEADERS, {}))
                if message["status"] == TOO_SLOW:  # the rest of the body is not waited for
                    out["connection"] = "close"
            await send(message)

        async def refuse(problem: PackshotError) -> None:
            self.meter.count("packshot_errors_total", code=problem.code)
            await answer(problem, request_id)(scope, receive, send_out)

        limit = self._limit(scope.get("method", ""), scope.get("path", ""))
        if (declared := _declared_length(headers)) is not None and declared > limit:
            await refuse(too_large(limit, f"{declared} declared"))
            return
        body = Body(receive, scope, limit=limit, slots=self.arriving)
        try:
            await self.app(scope, body.receive, send_out)
        except ClientDisconnect:
            return
        except Exception as error:
            logger.error("%s %s failed, request %s", scope["method"], scope["path"], request_id, exc_info=error)
            if started:
                raise
            problem = error if isinstance(error, PackshotError) else EngineFailed("internal", str(error))
            await refuse(problem)
        finally:
            body.close()

    def _limit(self, method: str, path: str) -> int:
        """The largest body that a route accepts, bytes."""
        if (method, path) == UPLOAD or (method == "PUT" and _FILE_PATH.match(path)):
            return self.max_photo_bytes
        if (method, path) == ADAPTER:
            return self.max_adapter_bytes
        return self.max_zip_bytes if method == "POST" and _ZIP_PATH.fullmatch(path) else self.max_body_bytes


def _declared_length(headers: list[tuple[bytes, bytes]]) -> int | None:
    for name, value in headers:
        if name == b"content-length" and value.isdigit():
            return int(value[:20])
    return None


def _request_id(headers: list[tuple[bytes, bytes]], accepted: re.Pattern[bytes]) -> str:
    """The request id that a proxy set, when it is well-formed; otherwise a new one."""
    for name, value in headers:
        if name == b"x-request-id" and accepted.fullmatch(value):
            return value.decode("ascii")
    return secrets.token_hex(12)


@asynccontextmanager
async def spooled_body(request: Request) -> AsyncIterator[UploadFile]:
    """The whole body, on disk when it is large: a slow client must hold neither memory nor a place of the decoder."""
    with SpooledTemporaryFile(max_size=SPOOLED_BYTES) as spool:
        file = UploadFile(cast(BinaryIO, spool))
        async for chunk in request.stream():
            await file.write(chunk)
        await file.seek(0)
        yield file


async def json_bytes(request: Request, max_bytes: int = MAX_JSON_BYTES) -> bytes:
    """Read the body of a JSON request. Raises TooLarge when it is longer than `max_bytes`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise too_large(max_bytes, f"at least {len(body)} of JSON")
    return bytes(body)


async def cancel_on_disconnect(request: Request, coroutine: Coroutine[Any, Any, T]) -> T:
    """Await `coroutine` and return its result; cancel it when the client disconnects.

    Call it after the request's body has been read. Raises ClientDisconnect when the client disconnected first.
    """

    async def wait_for_disconnect() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    result, disconnect = asyncio.ensure_future(coroutine), asyncio.ensure_future(wait_for_disconnect())
    try:
        await asyncio.wait({result, disconnect}, return_when=asyncio.FIRST_COMPLETED)
        if not result.done():
            raise ClientDisconnect
        return result.result()
    finally:
        result.cancel()
        disconnect.cancel()
        await asyncio.gather(result, disconnect, return_exceptions=True)


_committing: set[asyncio.Task[Any]] = set()


async def shield_to_completion(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await `coroutine` and return its result. It runs to its end even when the request is cancelled (for commits)."""
    task = asyncio.ensure_future(coroutine)
    _committing.add(task)  # the event loop keeps only a weak reference
    task.add_done_callback(_committed)
    return await asyncio.shield(task)


def _committed(task: asyncio.Task[Any]) -> None:
    _committing.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.debug("a commit was refused: %s", error)  # the request reports the error, if it still waits
