"""The sender of webhooks: it takes what is due from the outbox, signs it, sends it, and records each attempt.

Every director runs one. A lease gives each webhook to one sender at a time (packshot/store/outbound.py), so any number
of senders share the work, and a receiver that is slow holds up its own webhook only.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

from standardwebhooks import Webhook

import packshot
from packshot.errors import PackshotError
from packshot.meter import Meter, NoMeter
from packshot.store.outbound import Batch, Message, Outbound
from packshot.webhooks.egress import Egress

log = logging.getLogger(__name__)

WEBHOOKS_AT_ONCE = 8
"""Webhooks that one sender serves at the same time."""


class Sender:
    """Sends what is due. `outbound` is the store's. `meter` counts the attempts. Use it from one event loop."""

    def __init__(self, outbound: Outbound, egress: Egress, meter: Meter | None = None) -> None:
        self._outbound = outbound
        self._egress = egress
        self._meter = meter or NoMeter()
        self._woken = asyncio.Event()
        self._serving: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Look for due events now. Call it in the event loop's thread."""
        self._woken.set()

    async def forever(self, every_s: float) -> None:
        """Send what is due, every `every_s` seconds and when woken, until the task is cancelled.

        An error of the store is logged, and the next turn tries again.
        """
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(every_s):
                        await self._woken.wait()
                self._woken.clear()
                try:
                    await self._start_due()
                except PackshotError as error:
                    log.warning("the store did not answer the sender of webhooks: %s", error)
                except Exception:
                    log.exception("the sender of webhooks failed; its next turn tries again")
        finally:
            for task in self._serving:
                task.cancel()

    async def send_due(self) -> int:
        """Send everything that is due, and wait for it. Returns how many attempts were made."""
        made = 0
        while (batch := await asyncio.to_thread(self._outbound.take)) is not None:
            await self._serve(batch)
            made += len(batch.messages)
        return made

    async def _start_due(self) -> None:
        """Start to serve the webhooks with due events, as many as there are places."""
        while len(self._serving) < WEBHOOKS_AT_ONCE:
            batch = await asyncio.to_thread(self._outbound.take)
            if batch is None:
                return
            task = asyncio.create_task(self._serve(batch))
            self._serving.add(task)
            task.add_done_callback(self._served)

    def _served(self, task: asyncio.Task[None]) -> None:
        self._serving.discard(task)
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            log.warning("an attempt was not recorded, so its event is sent again: %s", error)
        else:
            self.wake()  # more may wait for this webhook, or for its place

    async def _serve(self, batch: Batch) -> None:
        """Send a batch's messages at the same time, record each, and give the webhook back."""
        async with asyncio.TaskGroup() as group:
            for message in batch.messages:
                group.create_task(self._attempt(batch, message))
        await asyncio.to_thread(self._outbound.release, batch)

    async def _attempt(self, batch: Batch, message: Message) -> None:
        began_s = time.perf_counter()
        answered = await self._egress.post(batch.url, message.body.encode(), _headers(batch, message))
        spent_ms = round((time.perf_counter() - began_s) * 1000, 1)
        outcome = "received" if answered.error is None else "unanswered" if answered.status is None else "refused"
        self._meter.count("packshot_webhook_attempts_total", outcome=outcome)
        if answered.error is not None:
            log.info("event %s was not received by %s: %s", message.id, batch.webhook_id, answered.error)
        record = partial(self._outbound.record, status=answered.status, error=answered.error, duration_ms=spent_ms)
        await asyncio.to_thread(record, batch, message)


def _headers(batch: Batch, message: Message) -> dict[str, str]:
    """The headers of Standard Webhooks. Each of the webhook's secrets signs."""
    now = datetime.now(UTC)
    return {
        "content-type": "application/json",
        "user-agent": f"packshot/{packshot.__version__}",
        "webhook-id": message.id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(message.id, now, message.body) for secret in batch.secrets),
    }
