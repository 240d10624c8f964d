"""The outbox: each event of a committed state is there once for each webhook, and one sender at a time has it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import event, select, update

from packshot.contract.webhooks import ImageReviewed
from packshot.errors import Conflict, NotFound
from packshot.store.outbound import AT_ONCE, LEASE_S, RETRY_AFTER_S, Batch, Message
from packshot.store.outbox import publish
from packshot.store.queue_changes import MAX_INTERRUPTIONS
from packshot.store.records import Claim, Tenant
from packshot.store.schema_webhooks import webhook, webhook_attempt, webhook_message
from packshot.store.store import Store
from packshot.store.webhooks import KEPT_S, MAX_WEBHOOKS, ROTATION_S
from tests.specs import spec_of
from tests.unit.store.store_rows import claim, new_image, tamper

URL = "https://receiver.example/hook"
REVIEWED = ImageReviewed(id="im_1", url="/v1/images/im_1", shot_id="sh_1", version=1, state="approved")


def let_pass(store: Store, seconds: float) -> None:
    """Let time pass for the outbox: everything that it wrote becomes older."""
    with store.database.write() as connection:
        for table, names in (
            (webhook, ("lease_until", "earlier_until")),
            (webhook_message, ("due_at", "created_at")),
        ):
            connection.execute(update(table).values({name: table.c[name] - seconds for name in names}))


def take(store: Store) -> Batch:
    batch = store.outbound.take()
    assert batch is not None
    return batch


def attempt(store: Store, status: int | None = 500) -> tuple[Batch, Message]:
    """Take the next message, record one attempt at it, and give its webhook back."""
    batch = take(store)
    message = batch.messages[0]
    error = None if status is not None and status < 300 else "it failed"
    store.outbound.record(batch, message, status=status, error=error, duration_ms=5.0)
    store.outbound.release(batch)
    return batch, message


def bodies(store: Store) -> list[dict[str, Any]]:
    with store.database.read() as connection:
        return [json.loads(body) for body in connection.execute(select(webhook_message.c.body)).scalars()]


def cancelled(store: Store, tenant: Tenant, shot: str) -> Claim:
    running = claim(store)
    store.shots.cancel(tenant.id, shot)
    return running


def expire(store: Store, shot: str, **values: Any) -> Claim | None:
    """Let the lease of a shot run out. The next claim ends the shot, and finds no other."""
    tamper(store, shot, lease_until=1.0, **values)
    return store.queue.claim("w")


ENDS: dict[str, tuple[str, Callable[[Store, Tenant, str], object]]] = {
    "done": ("done", lambda store, tenant, shot: store.queue.commit(claim(store), [new_image(), new_image(1)])),
    "refused": ("failed", lambda store, tenant, shot: store.queue.fail(claim(store), "e", "why", retryable=False)),
    "cancelled while it waits": ("cancelled", lambda store, tenant, shot: store.shots.cancel(tenant.id, shot)),
    "cancelled while it runs": (
        "cancelled",
        lambda store, tenant, shot: store.queue.finish_cancelled(cancelled(store, tenant, shot)),
    ),
    "cancelled before the commit": (
        "cancelled",
        lambda store, tenant, shot: store.queue.commit(cancelled(store, tenant, shot), [new_image()]),
    ),
    "cancelled before a retry": (
        "cancelled",
        lambda store, tenant, shot: store.queue.fail(cancelled(store, tenant, shot), "e", "why", retryable=True),
    ),
    "cancelled before a drain": (
        "cancelled",
        lambda store, tenant, shot: store.queue.release(cancelled(store, tenant, shot)),
    ),
    "cancelled, and its worker died": (
        "cancelled",
        lambda store, tenant, shot: [cancelled(store, tenant, shot), expire(store, shot)],
    ),
    "held up too long": (
        "failed",
        lambda store, tenant, shot: store.queue.postpone(claim(store), "not_ready", "why", held_s=1e6),
    ),
    "interrupted too often": (
        "failed",
        lambda store, tenant, shot: [claim(store), expire(store, shot, interruptions=MAX_INTERRUPTIONS)],
    ),
}


def test_each_way_in_which_a_shot_ends_is_told_once(store: Store, tenant: Tenant) -> None:
    store.webhooks.add(tenant.id, URL, ["shot.ended"])
    store.webhooks.add(store.tenants.get_or_create("other").id, URL, ["shot.ended"])
    store.webhooks.add(tenant.id, URL, ["catalogue.ended"])
    for way, (status, end) in ENDS.items():
        shot = store.shots.add(tenant.id, spec_of(images=2), sku=way, meta={"season": "spring ☀"})[0].id
        end(store, tenant, shot)
        [told] = bodies(store)
        ended = store.shots.get(tenant.id, shot)
        assert (ended.status, told["type"], told["data"]["status"]) == (status, "shot.ended", status), way
        assert told["data"]["id"] == shot
        assert told["data"]["sku"] == way
        assert told["data"]["meta"] == {"season": "spring ☀"}
        assert [one["id"] for one in told["data"]["images"]] == [one.id for one in ended.images]
        assert told["data"].get("error", {}).get("code") == ended.error_code
        with store.database.write() as connection:
            connection.execute(webhook_message.delete())


def test_what_does_not_end_a_shot_or_is_rolled_back_is_not_told(store: Store, tenant: Tenant) -> None:
    store.webhooks.add(tenant.id, URL, ["shot.ended", "image.reviewed"])
    store.shots.add(tenant.id, spec_of())
    store.queue.fail(claim(store), "e", "why", retryable=True)
    with suppress(RuntimeError), store.database.write() as connection:
        publish(connection, tenant.id, REVIEWED)
        raise RuntimeError("the state was not written")
    assert bodies(store) == []
    assert store.outbound.take() is None


def test_a_message_is_tried_by_the_schedule_and_then_given_up(store: Store, tenant: Tenant) -> None:
    hook = store.webhooks.add(tenant.id, URL, ["image.reviewed"]).record
    with store.database.write() as connection:
        publish(connection, tenant.id, REVIEWED)
    ids = []
    for wait_s in RETRY_AFTER_S:
        ids.append(attempt(store)[1].id)
        assert store.outbound.take() is None
        let_pass(store, wait_s - 1.0)
        assert store.outbound.take() is None, "it is not due yet"
        let_pass(store, 1.0)
    ids.append(attempt(store, None)[1].id)
    let_pass(store, 1e6)
    assert store.outbound.take() is None
    assert len(set(ids)) == 1

    attempts, more = store.webhooks.attempts(tenant.id, hook.id, limit=5)
    older, end = store.webhooks.attempts(tenant.id, hook.id, cursor=more)
    assert [one.n for one in (*attempts, *older)] == [8, 7, 6, 5, 4, 3, 2, 1]
    assert end is None
    assert (attempts[0].status, attempts[0].next_at, attempts[0].event) == (None, None, "image.reviewed")
    assert older[-1].next_at is not None
    assert (older[-1].next_at - older[-1].at).total_seconds() == pytest.approx(5.0, abs=0.5)

    assert store.webhooks.resend(tenant.id, hook.id, 3) == ids[0]
    assert attempt(store, 204)[1] == Message(ids[0], take_body(store), 0)
    assert store.outbound.take() is None
    for wrong in (lambda: store.webhooks.resend(tenant.id, hook.id, 99), lambda: store.webhooks.get("tn_x", hook.id)):
        with pytest.raises(NotFound):
            wrong()


def take_body(store: Store) -> str:
    with store.database.read() as connection:
        return connection.execute(select(webhook_message.c.body)).scalar_one()


def test_one_sender_has_a_webhook_and_a_dead_ones_message_is_sent_again(store: Store, tenant: Tenant) -> None:
    first, second = (store.webhooks.add(tenant.id, URL, ["image.reviewed"]).record.id for _ in range(2))
    with store.database.write() as connection:
        publish(connection, tenant.id, *[REVIEWED] * (AT_ONCE + 1))
    one, other = take(store), take(store)
    assert {one.webhook_id, other.webhook_id} == {first, second}
    assert len(one.messages) == AT_ONCE
    assert store.outbound.take() is None, "both are leased"
    let_pass(store, LEASE_S + 1.0)  # the senders died before they recorded anything
    again = [take(store), take(store)]
    assert {message.id for batch in again for message in batch.messages} == {
        message.id for batch in (one, other) for message in batch.messages
    }
    late = one.messages[0]
    [batch] = [batch for batch in again if batch.webhook_id == one.webhook_id]
    store.outbound.record(batch, late, status=200, error=None, duration_ms=1.0)
    store.outbound.record(one, late, status=500, error="it failed", duration_ms=1.0)  # was only slow
    assert [one.status for one in store.webhooks.attempts(tenant.id, batch.webhook_id)[0]] == [200]
    with store.database.read() as connection:
        due = connection.execute(select(webhook_message.c.due_at).where(webhook_message.c.id == late.id)).scalar_one()
    assert due is None, "what was received is not sent again"


def test_410_disables_a_webhook_with_all_that_it_would_get(store: Store, tenant: Tenant) -> None:
    hook = store.webhooks.add(tenant.id, URL, ["image.reviewed"]).record
    with store.database.write() as connection:
        publish(connection, tenant.id, REVIEWED, REVIEWED)
    attempt(store, 410)
    assert store.webhooks.get(tenant.id, hook.id).disabled_at is not None
    with store.database.write() as connection:
        publish(connection, tenant.id, REVIEWED)
    let_pass(store, 1e6)
    assert store.outbound.take() is None
    assert len(bodies(store)) == 2
    with pytest.raises(Conflict) as refused:
        store.webhooks.resend(tenant.id, hook.id, 1)
    assert refused.value.code == "webhook_disabled"


def test_two_secrets_sign_for_a_day_after_a_rotation(store: Store, tenant: Tenant) -> None:
    new = store.webhooks.add(tenant.id, URL, ["image.reviewed"])
    rotated = store.webhooks.rotate(tenant.id, new.record.id)
    assert rotated.record.rotated_until is not None
    for wait_s, valid in ((0.0, (rotated.secret, new.secret)), (ROTATION_S, (rotated.secret,))):
        let_pass(store, wait_s)
        with store.database.write() as connection:
            publish(connection, tenant.id, REVIEWED)
        assert attempt(store, 200)[0].secrets == valid
    assert store.webhooks.get(tenant.id, new.record.id).rotated_until is None


def test_the_outbox_is_bounded(store: Store, tenant: Tenant) -> None:
    hooks = [store.webhooks.add(tenant.id, URL, ["image.reviewed"]).record for _ in range(MAX_WEBHOOKS)]
    with pytest.raises(Conflict) as refused:
        store.webhooks.add(tenant.id, URL, ["image.reviewed"])
    assert refused.value.code == "too_many_webhooks"
    for hook in hooks[1:]:
        store.webhooks.delete(tenant.id, hook.id)
    with store.database.write() as connection:
        publish(connection, tenant.id, REVIEWED, REVIEWED)
    attempt(store, 200)
    let_pass(store, KEPT_S + 1.0)
    assert store.retention.sweep()["webhook_messages"] == 1, "the one that waits is kept"
    with store.database.read() as connection:
        assert connection.execute(select(webhook_attempt.c.n)).all() == []


def test_an_idle_sender_reads_once_and_writes_nothing(store: Store, tenant: Tenant) -> None:
    store.webhooks.add(tenant.id, URL, ["shot.ended"])
    seen: list[str] = []
    event.listen(store.database.engine, "before_cursor_execute", lambda *args: seen.append(args[2]))
    assert store.outbound.take() is None
    assert [statement.split()[0] for statement in seen if not statement.startswith(("BEGIN", "PRAGMA"))] == ["SELECT"]
