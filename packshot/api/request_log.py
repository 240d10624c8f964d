"""A log line and a span for each request, and the count of its bytes. Probes leave neither line nor span."""

from __future__ import annotations

import logging
import re
import time
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from packshot.meter import Meter
from packshot.telemetry import traces
from packshot.telemetry.context import bound

if TYPE_CHECKING:
    from opentelemetry.trace import Span

log = logging.getLogger(__name__)

PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
"""Paths that machines ask every few seconds."""

_ID = re.compile(r"(?<=/)[a-z]{2}_[A-Za-z0-9_-]{1,64}(?=/|$)")
_W3C = {b"traceparent": "traceparent", b"tracestate": "tracestate"}


class RequestLog:
    """Pure ASGI middleware around everything else. `app` is the ASGI app that it wraps. `meter` counts bytes.

    A `traceparent` header of the request is continued. What the app annotates (`context.annotate`) is in the log line.
    """

    def __init__(self, app: ASGIApp, *, meter: Meter) -> None:
        self.app = app
        self.meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        seen = _Seen()
        method, path = scope["method"], scope["path"]
        headers = {_W3C[name]: value.decode("latin-1") for name, value in scope["headers"] if name in _W3C}
        quiet = path in PROBES

        async def receive_counted() -> Message:
            message = await receive()
            seen.received_bytes += len(message.get("body", b""))
            return message

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status = message["status"]
            seen.sent_bytes += len(message.get("body", b""))
            await send(message)

        name = f"{method} {_ID.sub('{id}', path)}"
        span: AbstractContextManager[Span | None] = (
            nullcontext() if quiet else traces.span(name, **{"http.request.method": method, "url.path": path})
        )
        with bound(), traces.continued(headers), span as opened:
            try:
                await self.app(scope, receive_counted, send_counted)
            finally:
                if opened is not None:
                    opened.set_attribute("http.response.status_code", seen.status)
                for direction, passed in (("in", seen.received_bytes), ("out", seen.sent_bytes)):
                    if passed:  # Ray's counters refuse 0
                        self.meter.count("packshot_http_bytes_total", passed, direction=direction)
                if not quiet:
                    spent_ms = round(seen.spent_ms, 1)
                    fields = {"method": method, "path": path, "status": seen.status, "ms": spent_ms}
                    log.info("%s %s %d in %g ms", method, path, seen.status, spent_ms, extra=fields)


class _Seen:
    """What was seen of one request. `status` is 0 until the response begins."""

    def __init__(self) -> None:
        self.status = 0
        self.received_bytes = 0
        self.sent_bytes = 0
        self._began = time.perf_counter()

    @property
    def spent_ms(self) -> float:
        return (time.perf_counter() - self._began) * 1000
