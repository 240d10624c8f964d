"""One example of every request and answer of webhooks, for `/openapi.json`."""

from __future__ import annotations

from datetime import UTC, datetime

from packshot.contract.webhooks import (
    AttemptAnswer,
    AttemptPage,
    ResendAnswer,
    SecretWebhookAnswer,
    WebhookAnswer,
    WebhookPage,
    WebhookRequest,
)

_ID, _MESSAGE = "wh_1d7a4c9e2b60", "ms_9b3f5e8d1a27"
_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"  # noqa: S105 - an example
_AT = datetime(2026, 11, 26, 8, 0, 9, tzinfo=UTC)

WEBHOOK_REQUEST = WebhookRequest(url="https://dam.example.com/hooks/packshot", events=["shot.ended"])
WEBHOOK = WebhookAnswer(id=_ID, url=WEBHOOK_REQUEST.url, events=("shot.ended",), created_at=_AT)
NEW_WEBHOOK = SecretWebhookAnswer(**dict(WEBHOOK), secret=_SECRET)
ROTATED_WEBHOOK = NEW_WEBHOOK.model_copy(update={"rotated_until": datetime(2026, 11, 27, 8, 0, 9, tzinfo=UTC)})
WEBHOOKS = WebhookPage(webhooks=(WEBHOOK,), next_cursor=f"1795680009.12:{_ID}")
ATTEMPTS = AttemptPage(
    attempts=(
        AttemptAnswer(n=2, message_id=_MESSAGE, event="shot.ended", at=_AT, duration_ms=48.2, status=204),
        AttemptAnswer(
            n=1,
            message_id=_MESSAGE,
            event="shot.ended",
            at=datetime(2026, 11, 26, 8, 0, 4, tzinfo=UTC),
            duration_ms=102.9,
            status=503,
            error="the receiver answered 503",
            next_at=_AT,
        ),
    ),
    next_cursor="1",
)
RESEND = ResendAnswer(message_id=_MESSAGE)
