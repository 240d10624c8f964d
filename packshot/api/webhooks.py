"""`/v1/webhooks`: where a tenant's events are sent, the attempts to send them, and their secrets."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from packshot.api.accept import json_body
from packshot.api.auth import Caller
from packshot.api.limits import shield_to_completion
from packshot.api.openapi import (
    BODY_PROBLEMS,
    LOCATION,
    answer_json,
    body_json,
    empty_json,
    keyed_problems_json,
    problems_json,
)
from packshot.api.queries import PAGE, Cursor, Limit
from packshot.api.services import Wired, in_thread
from packshot.contract import webhook_examples as examples
from packshot.contract.webhooks import (
    AttemptAnswer,
    AttemptPage,
    ResendAnswer,
    SecretWebhookAnswer,
    WebhookAnswer,
    WebhookPage,
    WebhookRequest,
)
from packshot.errors import BadInput, Conflict, NotFound
from packshot.store.webhooks import AttemptRecord, NewWebhook, WebhookRecord
from packshot.webhooks.egress import Egress

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], responses=keyed_problems_json())

Number = Annotated[int, Path(ge=1, le=2**31 - 1, description="The attempt's number in its webhook.")]


def webhook_answer(hook: WebhookRecord) -> WebhookAnswer:
    """A webhook without its secret."""
    return WebhookAnswer(
        id=hook.id,
        url=hook.url,
        events=hook.events,
        disabled_at=hook.disabled_at,
        rotated_until=hook.rotated_until,
        created_at=hook.created_at,
    )


def _with_secret(new: NewWebhook) -> SecretWebhookAnswer:
    return SecretWebhookAnswer(**dict(webhook_answer(new.record)), secret=new.secret)


def _attempt_answer(attempt: AttemptRecord) -> AttemptAnswer:
    return AttemptAnswer(
        n=attempt.n,
        message_id=attempt.message_id,
        event=attempt.event,
        at=attempt.at,
        duration_ms=attempt.duration_ms,
        status=attempt.status,
        error=attempt.error,
        next_at=attempt.next_at,
    )


@router.post(
    "",
    status_code=201,
    operation_id="create_webhook",
    summary="Create a webhook",
    responses=answer_json(examples.NEW_WEBHOOK, "The webhook, with its secret.", status=201, headers=LOCATION)
    | problems_json(*BODY_PROBLEMS, Conflict),
    openapi_extra=body_json(examples.WEBHOOK_REQUEST),
)
async def create_webhook(request: Request, response: Response, services: Wired, tenant: Caller) -> SecretWebhookAnswer:
    """The secret is shown only now. Each event is sent at least once, signed as Standard Webhooks has it.

    422 `url_refused` when the URL is not https, or its host has an address that is not public.
    """
    body = await json_body(request, WebhookRequest)
    await Egress(allow_loopback=services.settings.open_access).check(body.url)
    add = in_thread(services.store.webhooks.add, tenant.id, body.url, body.events)
    answer = _with_secret(await shield_to_completion(add))
    response.headers.update({"location": f"/v1/webhooks/{answer.id}", "cache-control": "no-store"})
    return answer


@router.get(
    "",
    operation_id="list_webhooks",
    summary="List the webhooks, newest first",
    responses=answer_json(examples.WEBHOOKS, "A page of webhooks.") | problems_json(BadInput),
)
async def list_webhooks(services: Wired, tenant: Caller, limit: Limit = PAGE, cursor: Cursor = "") -> WebhookPage:
    """`next_cursor` is null on the last page."""
    hooks, next_cursor = await in_thread(services.store.webhooks.page, tenant.id, cursor=cursor or None, limit=limit)
    return WebhookPage(webhooks=tuple(webhook_answer(hook) for hook in hooks), next_cursor=next_cursor)


@router.get(
    "/{webhook_id}",
    operation_id="get_webhook",
    summary="Get a webhook",
    responses=answer_json(examples.WEBHOOK, "The webhook.") | problems_json(NotFound),
)
async def get_webhook(webhook_id: str, services: Wired, tenant: Caller) -> WebhookAnswer:
    """`disabled_at` is set when its receiver answered 410 Gone: then it gets no more events."""
    return webhook_answer(await in_thread(services.store.webhooks.get, tenant.id, webhook_id))


@router.delete(
    "/{webhook_id}",
    status_code=204,
    operation_id="delete_webhook",
    summary="Delete a webhook",
    responses=empty_json("The webhook was deleted.") | problems_json(NotFound),
)
async def delete_webhook(webhook_id: str, services: Wired, tenant: Caller) -> None:
    """What was not sent to it yet is not sent."""
    await shield_to_completion(in_thread(services.store.webhooks.delete, tenant.id, webhook_id))


@router.post(
    "/{webhook_id}/rotate",
    operation_id="rotate_webhook_secret",
    summary="Give a webhook a new secret",
    responses=answer_json(examples.ROTATED_WEBHOOK, "The webhook, with its new secret.") | problems_json(NotFound),
)
async def rotate_webhook_secret(
    webhook_id: str, response: Response, services: Wired, tenant: Caller
) -> SecretWebhookAnswer:
    """Until `rotated_until`, each event is signed with both secrets, so that the receiver can change over."""
    rotate = in_thread(services.store.webhooks.rotate, tenant.id, webhook_id)
    response.headers["cache-control"] = "no-store"
    return _with_secret(await shield_to_completion(rotate))


@router.get(
    "/{webhook_id}/attempts",
    operation_id="list_webhook_attempts",
    summary="List the attempts to send events, newest first",
    responses=answer_json(examples.ATTEMPTS, "A page of attempts.") | problems_json(NotFound, BadInput),
)
async def list_webhook_attempts(
    webhook_id: str, services: Wired, tenant: Caller, limit: Limit = PAGE, cursor: Cursor = ""
) -> AttemptPage:
    """Attempts are kept for seven days. `next_cursor` is null on the last page."""
    attempts, next_cursor = await in_thread(
        services.store.webhooks.attempts, tenant.id, webhook_id, cursor=cursor or None, limit=limit
    )
    return AttemptPage(attempts=tuple(map(_attempt_answer, attempts)), next_cursor=next_cursor)


@router.post(
    "/{webhook_id}/attempts/{n}/resend",
    status_code=202,
    operation_id="resend_webhook_event",
    summary="Send the event of an attempt again",
    responses=answer_json(examples.RESEND, "The event will be sent.", status=202) | problems_json(NotFound, Conflict),
)
async def resend_webhook_event(webhook_id: str, n: Number, services: Wired, tenant: Caller) -> ResendAnswer:
    """It has the same `webhook-id` as before, and a new schedule. 409 `webhook_disabled` after a 410 Gone."""
    resend = in_thread(services.store.webhooks.resend, tenant.id, webhook_id, n)
    return ResendAnswer(message_id=await shield_to_completion(resend))
