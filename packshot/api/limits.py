"""The edge: what every request meets before a route sees it, and every answer on its way out.

Bodies are capped (413) by their declared length, and again while they stream in. Headers with which a client could
change Serve's own policy are dropped. Every answer gets an `x-request-id`. An unexpected exception becomes a plain 500
problem.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from packshot.api.problems import answer
from packshot.errors import EngineFailed, PackshotError, TooLarge
from packshot.meter import Meter

logger = logging.getLogger(__name__)

MAX_JSON_BYTES = 256 * 1024
"""Far above the largest request that the schemas admit."""

_POLICY_HEADERS = (b"x-request-timeout-seconds", b"x-request-disconnect-disabled")
_SAFE_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")

T = TypeVar("T")


class Edge:
    """Pure ASGI middleware around the whole app. `max_body_bytes`: the largest request body."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int, meter: Meter) -> None:
        self.app = app
        self.max_body_bytes = max_body_bytes
        self.meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = [(name, value) for name, value in scope["headers"] if name not in _POLICY_HEADERS]
        request_id = _request_id(headers)
        scope = {**scope, "headers": headers, "packshot_request_id": request_id}
        started = False

        async def send_out(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                out = MutableHeaders(scope=message)
                out["x-request-id"] = request_id
                out["x-content-type-options"] = "nosniff"
            await send(message)

        async def refuse(problem: PackshotError) -> None:
            self.meter.count("packshot_errors_total", code=problem.code)
            await answer(problem, request_id)(scope, receive, send_out)

        if (declared := _declared_length(headers)) is not None and declared > self.max_body_bytes:
            await refuse(_too_large(self.max_body_bytes, f"{declared} declared"))
            return
        try:
            await self.app(scope, self._counted(receive), send_out)
        except ClientDisconnect:
            return
        except Exception as error:
            logger.error("%s %s broke, request %s", scope["method"], scope["path"], request_id, exc_info=error)
            if started:
                raise
            problem = error if isinstance(error, PackshotError) else EngineFailed("internal", str(error))
            await refuse(problem)

    def _counted(self, receive: Receive) -> Receive:
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > self.max_body_bytes:
                    raise _too_large(self.max_body_bytes, f"at least {received}")
            return message

        return receive_counted


def _too_large(limit: int, got: str) -> TooLarge:
    return TooLarge("body_too_large", f"A body may hold {limit} bytes, got {got}; send a smaller file.")


def _declared_length(headers: list[tuple[bytes, bytes]]) -> int | None:
    for name, value in headers:
        if name == b"content-length" and value.isdigit():
            return int(value[:20])
    return None


def _request_id(headers: list[tuple[bytes, bytes]]) -> str:
    """The id that a proxy in front gave, when it looks like one; else a new one."""
    for name, value in headers:
        if name == b"x-request-id" and _SAFE_ID.fullmatch(value):
            return value.decode("ascii")
    return secrets.token_hex(12)


async def json_bytes(request: Request) -> bytes:
    """The body of a JSON request, capped at `MAX_JSON_BYTES` while it streams in."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_JSON_BYTES:
            raise _too_large(MAX_JSON_BYTES, f"at least {len(body)} of JSON")
    return bytes(body)


async def cancel_on_disconnect(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """`work`, cancelled when the client goes away. To be called once the request's body has been read."""

    async def until_gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    working, watching = asyncio.ensure_future(work), asyncio.ensure_future(until_gone())
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        watching.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


_committing: set[asyncio.Task[Any]] = set()


async def shield_to_completion(work: Coroutine[Any, Any, T]) -> T:
    """`work`, which goes on to its end even when the request that asked for it is cancelled (commits)."""
    task = asyncio.ensure_future(work)
    _committing.add(task)  # the loop itself keeps only a weak reference
    task.add_done_callback(_committed)
    return await asyncio.shield(task)


def _committed(task: asyncio.Task[Any]) -> None:
    _committing.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.debug("a commit was refused: %s", error)  # its request, if still there, answers with it
