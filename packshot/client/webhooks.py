"""`client.webhooks`: where events of the tenant are sent, and the attempts to send them.

hook = client.webhooks.create("https://example.com/hooks", ["catalogue.ended"])
print(hook.secret)  # shown only now
for attempt in client.webhooks.attempts(hook.id):
    if attempt.error is not None:
        client.webhooks.resend(hook.id, attempt.n)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

from packshot.client.call import AsyncSend, Call, Options, Send, async_pages, nothing, pages, reading
from packshot.contract.webhooks import (
    AttemptAnswer,
    AttemptPage,
    EventType,
    ResendAnswer,
    SecretWebhookAnswer,
    WebhookAnswer,
    WebhookPage,
)

__all__ = ["AsyncWebhooks", "Webhooks"]

AT = "/v1/webhooks"


class Webhooks:
    """A client's webhooks. Every method raises the `PackshotError` that the server raised."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def create(self, url: str, events: Sequence[EventType]) -> SecretWebhookAnswer:
        """Create a webhook at a public https URL. Its secret is shown only now. Raises BadInput `url_refused`."""
        return self._send(_create(url, events))

    def all(self) -> Iterator[WebhookAnswer]:
        """Yield the webhooks, newest first."""
        for page in pages(self._send, _list()):
            yield from page.webhooks

    def get(self, webhook_id: str) -> WebhookAnswer:
        """Get a webhook, without its secret."""
        return self._send(_get(webhook_id))

    def rotate(self, webhook_id: str) -> SecretWebhookAnswer:
        """Give the webhook a new secret. Until `rotated_until` its events are signed with the earlier one too."""
        return self._send(_rotate(webhook_id))

    def delete(self, webhook_id: str) -> None:
        """Delete a webhook, with what was not sent to it yet."""
        self._send(_delete(webhook_id))

    def attempts(self, webhook_id: str) -> Iterator[AttemptAnswer]:
        """Yield the attempts to send events, newest first. The server keeps them for seven days."""
        for page in pages(self._send, _attempts(webhook_id)):
            yield from page.attempts

    def resend(self, webhook_id: str, n: int) -> ResendAnswer:
        """Send the event of attempt `n` again. Raises Conflict `webhook_disabled` when its receiver answered 410."""
        return self._send(_resend(webhook_id, n))


class AsyncWebhooks:
    """The webhooks of an `AsyncClient`. `Webhooks` describes the methods."""

    def __init__(self, send: AsyncSend) -> None:
        self._send = send

    async def create(self, url: str, events: Sequence[EventType]) -> SecretWebhookAnswer:
        """Create a webhook at a public https URL. Its secret is shown only now. Raises BadInput `url_refused`."""
        return await self._send(_create(url, events))

    async def all(self) -> AsyncIterator[WebhookAnswer]:
        """Yield the webhooks, newest first."""
        async for page in async_pages(self._send, _list()):
            for one in page.webhooks:
                yield one

    async def get(self, webhook_id: str) -> WebhookAnswer:
        """Get a webhook, without its secret."""
        return await self._send(_get(webhook_id))

    async def rotate(self, webhook_id: str) -> SecretWebhookAnswer:
        """Give the webhook a new secret. Until `rotated_until` its events are signed with the earlier one too."""
        return await self._send(_rotate(webhook_id))

    async def delete(self, webhook_id: str) -> None:
        """Delete a webhook, with what was not sent to it yet."""
        await self._send(_delete(webhook_id))

    async def attempts(self, webhook_id: str) -> AsyncIterator[AttemptAnswer]:
        """Yield the attempts to send events, newest first. The server keeps them for seven days."""
        async for page in async_pages(self._send, _attempts(webhook_id)):
            for one in page.attempts:
                yield one

    async def resend(self, webhook_id: str, n: int) -> ResendAnswer:
        """Send the event of attempt `n` again. Raises Conflict `webhook_disabled` when its receiver answered 410."""
        return await self._send(_resend(webhook_id, n))


def _create(url: str, events: Sequence[EventType]) -> Call[SecretWebhookAnswer]:
    return Call("POST", AT, reading(SecretWebhookAnswer), Options(json={"url": url, "events": list(events)}))


def _list() -> Call[WebhookPage]:
    return Call("GET", AT, reading(WebhookPage))


def _get(webhook_id: str) -> Call[WebhookAnswer]:
    return Call("GET", f"{AT}/{webhook_id}", reading(WebhookAnswer))


def _rotate(webhook_id: str) -> Call[SecretWebhookAnswer]:
    return Call("POST", f"{AT}/{webhook_id}/rotate", reading(SecretWebhookAnswer))


def _delete(webhook_id: str) -> Call[None]:
    return Call("DELETE", f"{AT}/{webhook_id}", nothing)


def _attempts(webhook_id: str) -> Call[AttemptPage]:
    return Call("GET", f"{AT}/{webhook_id}/attempts", reading(AttemptPage))


def _resend(webhook_id: str, n: int) -> Call[ResendAnswer]:
    return Call("POST", f"{AT}/{webhook_id}/attempts/{n}/resend", reading(ResendAnswer))
