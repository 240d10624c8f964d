"""The sender: what the outbox holds arrives at a real receiver, signed, at least once, under one id."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import update
from standardwebhooks import Webhook, WebhookVerificationError

from packshot.contract.webhooks import ImageReviewed
from packshot.meter import PrometheusMeter
from packshot.store.outbound import LEASE_S, Batch, Message
from packshot.store.outbox import publish
from packshot.store.records import Tenant
from packshot.store.schema_webhooks import webhook, webhook_message
from packshot.store.store import Store
from packshot.webhooks import Egress, Sender, egress
from tests.receiver import Received, Receiver, receiving, status, wait_until

REVIEWED = ImageReviewed(id="im_1", url="/v1/images/im_1", shot_id="sh_1", version=1, state="approved", note="ß ☀")


@pytest.fixture
def tenant(store: Store) -> Tenant:
    return store.tenants.local()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def sender(store: Store) -> Sender:
    return Sender(store.outbound, Egress(allow_loopback=True))


def hook_to(store: Store, tenant: Tenant, receiver: Receiver) -> tuple[str, str]:
    """A webhook at the receiver: its id and its secret."""
    new = store.webhooks.add(tenant.id, f"http://127.0.0.1:{receiver.port}/hook", ["image.reviewed"])
    return new.record.id, new.secret


def tell(store: Store, tenant: Tenant, times: int = 1) -> None:
    with store.database.write() as connection:
        publish(connection, tenant.id, *[REVIEWED] * times)


def let_pass(store: Store, seconds: float) -> None:
    with store.database.write() as connection:
        connection.execute(update(webhook).values(lease_until=webhook.c.lease_until - seconds))
        connection.execute(update(webhook_message).values(due_at=webhook_message.c.due_at - seconds))


def verified(got: Received, secret: str) -> dict[str, object]:
    told: dict[str, object] = Webhook(secret).verify(got.body, got.headers)
    return told


async def test_an_event_arrives_signed_as_standard_webhooks_has_it(
    store: Store, tenant: Tenant, receiver: Receiver, sender: Sender
) -> None:
    hook_id, secret = hook_to(store, tenant, receiver)
    tell(store, tenant)
    assert await sender.send_due() == 1
    [got] = receiver.got
    told = verified(got, secret)
    assert (told["type"], told["data"]) == ("image.reviewed", json.loads(REVIEWED.model_dump_json()))
    assert got.headers["content-type"] == "application/json"
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(got.body.replace(b"approved", b"rejected"), got.headers)
    [attempt] = store.webhooks.attempts(tenant.id, hook_id)[0]
    assert (attempt.status, attempt.error, attempt.next_at) == (204, None, None)
    assert attempt.message_id == got.headers["webhook-id"]

    rotated = store.webhooks.rotate(tenant.id, hook_id).secret
    store.webhooks.resend(tenant.id, hook_id, attempt.n)
    assert await sender.send_due() == 1
    again = receiver.got[-1]
    assert again.headers["webhook-id"] == got.headers["webhook-id"]
    for valid in (secret, rotated):
        assert verified(again, valid) == told


async def test_a_failed_event_comes_again_and_410_ends_it(
    store: Store, tenant: Tenant, receiver: Receiver, sender: Sender
) -> None:
    hook_id, _ = hook_to(store, tenant, receiver)
    tell(store, tenant)
    answers = [503, 429, 200]
    receiver.answer = lambda handler: status(handler, answers[len(receiver.got) - 1])
    for wait_s in (5.0, 300.0, 0.0):
        assert await sender.send_due() == 1
        assert await sender.send_due() == 0
        let_pass(store, wait_s)
    assert await sender.send_due() == 0
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 1
    statuses = [(one.n, one.status) for one in store.webhooks.attempts(tenant.id, hook_id)[0]]
    assert statuses == [(3, 200), (2, 429), (1, 503)]

    receiver.answer = lambda handler: status(handler, 410)
    tell(store, tenant)
    await sender.send_due()
    assert store.webhooks.get(tenant.id, hook_id).disabled_at is not None
    tell(store, tenant)
    assert await sender.send_due() == 0


async def test_a_sender_that_dies_before_it_records_sends_again_under_the_same_id(
    store: Store, tenant: Tenant, receiver: Receiver, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook_to(store, tenant, receiver)
    tell(store, tenant)

    def died(batch: Batch, message: Message, **outcome: object) -> None:
        raise RuntimeError("the process was killed here")

    with monkeypatch.context() as patched:
        patched.setattr(store.outbound, "record", died)
        with pytest.raises(ExceptionGroup):
            await sender.send_due()
    assert await sender.send_due() == 0, "the lease holds"
    let_pass(store, LEASE_S)
    assert await sender.send_due() == 1
    first, second = receiver.got
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body


async def test_two_senders_share_the_work_and_a_slow_receiver_holds_up_itself_alone(
    store: Store, tenant: Tenant, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(egress, "TIMEOUT_S", 120.0)  # no attempt is given up, however long the quick receiver takes
    held = threading.Event()

    def slow(handler: BaseHTTPRequestHandler) -> None:
        held.wait(120)
        status(handler, 204)

    senders = [Sender(store.outbound, Egress(allow_loopback=True)) for _ in range(2)]
    with receiving() as quick:
        hook_to(store, tenant, receiver)
        hook_to(store, tenant, quick)
        receiver.answer = slow
        tell(store, tenant, times=10)
        running = [asyncio.create_task(one.forever(every_s=60.0)) for one in senders]
        for one in senders:
            one.wake()
        await asyncio.to_thread(wait_until, lambda: len(quick.got) == 10)
        held.set()
        await asyncio.to_thread(wait_until, lambda: len(receiver.got) == 10 and store.outbound.take() is None)
        for got in (quick.got, receiver.got):
            assert len({one.headers["webhook-id"] for one in got}) == len(got) == 10
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def test_attempts_are_counted_by_their_outcome(store: Store, tenant: Tenant, receiver: Receiver) -> None:
    registry = CollectorRegistry()
    sender = Sender(store.outbound, Egress(allow_loopback=True), PrometheusMeter(registry))
    hook_to(store, tenant, receiver)
    for code in (204, 503):
        receiver.answer = partial(status, code=code)
        tell(store, tenant)
        assert await sender.send_due() == 1
    with receiving() as stopped:
        store.webhooks.add(tenant.id, f"http://127.0.0.1:{stopped.port}/hook", ["image.reviewed"])
    receiver.answer = partial(status, code=204)
    tell(store, tenant)
    assert await sender.send_due() == 2
    outcomes = ("received", "refused", "unanswered")
    counted = [registry.get_sample_value("packshot_webhook_attempts_total", {"outcome": one}) for one in outcomes]
    assert counted == [2, 1, 1]
