"""The body of a request while it arrives: its size, its pace, and its place among the bodies that arrive."""

from __future__ import annotations

import asyncio

from starlette.types import Message, Receive, Scope

from packshot.api.concurrency_limit import ConcurrencyLimit
from packshot.errors import TooLarge, TooSlow

BODY_TIMEOUT_S = 10.0
"""A body must bring PROGRESS_BYTES more, or its end, within this time."""

PROGRESS_BYTES = 1024

ARRIVING_EACH, ARRIVING_TOTAL = 64, 1024
"""Bodies that may arrive at the same time, of a tenant and in all. Requests without a key share one tenant's number."""

TENANT = "packshot_tenant"
"""The name in the scope under which `auth.caller` leaves the tenant's id."""


def arriving() -> ConcurrencyLimit:
    """The places of bodies that arrive."""
    return ConcurrencyLimit(ARRIVING_EACH, ARRIVING_TOTAL, "bodies that arrive")


class Body:
    """Wraps `receive` of one request. `limit` is the largest accepted body in bytes.

    Only time spent waiting for the client counts. The place is taken when the body does not come in one piece, and is
    freed by `close` at the latest.
    """

    def __init__(self, receive: Receive, scope: Scope, *, limit: int, slots: ConcurrencyLimit) -> None:
        self._receive = receive
        self._scope = scope
        self._limit = limit
        self._slots = slots
        self._holder: str | None = None
        self._received = 0
        self._progress_at = 0
        self._left_s = BODY_TIMEOUT_S
        self.whole = False

    async def receive(self) -> Message:
        """The next message. Raises TooLarge, TooSlow, and Overloaded without a place."""
        if self.whole:  # what follows is the client's disconnection, which may take as long as it likes
            return await self._receive()
        clock = asyncio.get_running_loop().time
        began_s = clock()
        try:
            async with asyncio.timeout(max(0.0, self._left_s)):
                message = await self._receive()
        except TimeoutError:
            raise _too_slow(self._received) from None
        self._left_s -= clock() - began_s
        if message["type"] != "http.request":
            self.whole = True
            return message
        self._received += len(message.get("body", b""))
        if self._received > self._limit:
            raise too_large(self._limit, f"at least {self._received}")
        self.whole = not message.get("more_body", False)
        if self._received - self._progress_at >= PROGRESS_BYTES:
            self._progress_at, self._left_s = self._received, BODY_TIMEOUT_S
        if self.whole:
            self.close()
        elif self._holder is None:
            holder = str(self._scope.get(TENANT, ""))
            self._slots.take(holder)
            self._holder = holder
        return message

    def close(self) -> None:
        """Free the place."""
        if self._holder is not None:
            self._slots.free(self._holder)
            self._holder = None


def too_large(limit: int, got: str) -> TooLarge:
    """The error for a body that is longer than `limit` bytes."""
    return TooLarge("body_too_large", f"A body may hold {limit} bytes, got {got}; send a smaller file.")


def _too_slow(received: int) -> TooSlow:
    rule = f"A body must bring {PROGRESS_BYTES} bytes, or its end, every {BODY_TIMEOUT_S:g} s"
    return TooSlow("body_timeout", f"{rule}, got {received} bytes and then too few; send it again.")
