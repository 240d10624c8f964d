"""The middleware in front of Serve's routes in each of its proxies."""

from __future__ import annotations

import json
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from packshot.contract.base import VERSION_HEADER
from packshot.contract.problem import MEDIA_TYPE

POLICY_HEADERS = (b"x-request-timeout-seconds", b"x-request-disconnect-disabled")
"""Headers with which a client could change Serve's policies."""

_PROBLEMS = {
    404: ("not_found", "No route has this path; see /openapi.json."),
    408: ("timeout", "The request took longer than the limit; send it again."),
    429: ("busy", "Every worker is busy; try again in a second."),
    503: ("not_ready", "The graph is starting or stopping, or a stage is down; try again in a moment."),
}
_OTHER = ("internal", "An internal error occurred; report the request id to the operator.")


class ProxyMiddleware:
    """Pure ASGI middleware. It drops POLICY_HEADERS, and gives the proxy's own errors the API's form.

    Answers of the application name its version, and pass unchanged, as do those of Serve's own routes under `/-/`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/-/"):
            await self.app(scope, receive, send)
            return
        headers = [(name, value) for name, value in scope["headers"] if name.lower() not in POLICY_HEADERS]
        replaced = False

        async def send_out(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and _is_proxys(message):
                replaced = True
                body = _problem(message["status"])
                kept = [row for row in message["headers"] if row[0].lower() == b"x-request-id"]
                kept += [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
                kept += [(b"retry-after", b"1")] if message["status"] in (429, 503) else []
                await send({**message, "headers": kept})
                await send({"type": "http.response.body", "body": body})
            elif not replaced:
                await send(message)

        await self.app({**scope, "headers": headers}, receive, send_out)


def _is_proxys(start: Message) -> bool:
    """Whether this is an error that Serve's proxy made itself."""
    named = {name.lower() for name, _ in start["headers"]}
    return start["status"] >= 400 and VERSION_HEADER.encode() not in named


def _problem(status: int) -> bytes:
    code, detail = _PROBLEMS.get(status, _OTHER)
    problem: dict[str, Any] = {
        "type": f"urn:packshot:problem:{code}",
        "title": detail.partition(";")[0],
        "status": status,
        "detail": detail,
        "code": code,
    }
    return json.dumps(problem).encode()
