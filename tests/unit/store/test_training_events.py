"""Trainings tell their end to webhooks once, and a follower sees each change of theirs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from packshot.store.adapters import NewAdapter
from packshot.store.records import Tenant
from packshot.store.schema_trainings import training
from packshot.store.schema_webhooks import webhook_message
from packshot.store.store import Store
from packshot.store.training_records import (
    EndedTraining,
    NewTraining,
    Progress,
    TrainingClaim,
    TrainingPicture,
)
from tests.unit.store.store_rows import add_photo, training_order

ENGINE = "mini"


def add(store: Store, tenant: Tenant, name: str = "Autumn") -> str:
    order = training_order(TrainingPicture(add_photo(store, tenant).id, "a mug"))
    new = NewTraining(name=name, engine=ENGINE, order=order, steps=4)
    return store.trainings.add(tenant.id, new, sent={})[0].id


def claim(store: Store) -> TrainingClaim:
    found = store.training_work.claim("w", [ENGINE])
    assert found is not None
    return found


def bodies(store: Store) -> list[dict[str, Any]]:
    """The events that wait. They are removed."""
    with store.database.write() as connection:
        told = [json.loads(body) for body in connection.execute(select(webhook_message.c.body)).scalars()]
        connection.execute(delete(webhook_message))
    return told


def finish(store: Store) -> None:
    new = NewAdapter(name="Autumn", kind="lora", engine=ENGINE, family="mini", rank=2, trigger="", licence="")
    how = EndedTraining(status="done", ended="it diverged", adapter=new, data=b"file", partial=True)
    store.training_work.end(claim(store), how, step=3)


def fail(store: Store) -> None:
    store.training_work.end(claim(store), EndedTraining(status="failed", code="dataset_refused", detail="gone"))


def give_up(store: Store) -> None:
    """Begin it so often without progress that it fails."""
    for _ in range(store.settings.max_attempts):
        claim(store)
        with store.database.write() as connection:
            connection.execute(update(training).where(training.c.status == "running").values(due_at=1.0))
    assert store.training_work.claim("w", [ENGINE]) is None


def postpone(store: Store) -> None:
    for _ in range(store.settings.max_attempts):
        store.training_work.postpone(claim(store), "engine_crash", "status 9", 0.0)


def cancel_running(store: Store) -> None:
    held = claim(store)
    store.trainings.cancel(held.tenant, held.id)
    assert bodies(store) == []  # it ends after its step
    store.training_work.end(held, EndedTraining(status="cancelled", ended="it was cancelled"))


ENDS: dict[str, tuple[str, str | None, Callable[[Store], object]]] = {
    "done": ("done", None, finish),
    "refused": ("failed", "dataset_refused", fail),
    "interrupted too often": ("failed", "interrupted", give_up),
    "crashed too often": ("failed", "engine_crash", postpone),
    "cancelled while it runs": ("cancelled", None, cancel_running),
}


@pytest.mark.parametrize("way", ENDS)
def test_each_way_in_which_a_training_ends_is_told_once(store: Store, tenant: Tenant, way: str) -> None:
    status, code, end = ENDS[way]
    store.webhooks.add(tenant.id, "https://receiver.example/", ["training.ended"])
    store.webhooks.add(tenant.id, "https://receiver.example/", ["shot.ended"])
    store.webhooks.add(store.tenants.get_or_create("other").id, "https://receiver.example/", ["training.ended"])
    training_id = add(store, tenant)
    end(store)
    [told] = bodies(store)
    ended = store.trainings.get(tenant.id, training_id)
    data = told["data"]
    assert (told["type"], data["status"], ended.status) == ("training.ended", status, status)
    assert (data["id"], data["url"], data["name"]) == (training_id, f"/v1/trainings/{training_id}", "Autumn")
    assert (data["step"], data["steps"]) == (ended.step, 4)
    assert data.get("adapter_id") == ended.adapter_id
    assert data["partial"] is (way == "done")
    assert data.get("ended") == ended.ended
    assert data.get("error", {}).get("code") == code


def test_a_waiting_training_that_is_cancelled_twice_is_told_once(store: Store, tenant: Tenant) -> None:
    store.webhooks.add(tenant.id, "https://receiver.example/", ["training.ended"])
    training_id = add(store, tenant)
    for _ in range(2):
        store.trainings.cancel(tenant.id, training_id)
    [told] = bodies(store)
    assert (told["data"]["status"], told["data"]["step"]) == ("cancelled", 0)


def test_every_change_raises_the_version(store: Store, tenant: Tenant) -> None:
    """A follower compares versions alone, and sees none of another tenant."""
    training_id = add(store, tenant)
    seen = [0]

    def look() -> None:
        (mark,) = store.trainings.watch([(tenant.id, training_id), ("other", training_id), (tenant.id, "no")]).values()
        assert mark.version == store.trainings.get(tenant.id, training_id).version
        seen.append(mark.version)

    look()
    held = claim(store)
    look()
    store.training_work.heartbeat(held, Progress(step=1, loss=0.5, spent_s=1.0))
    look()
    store.training_work.release(held)
    look()
    held = claim(store)
    store.trainings.cancel(tenant.id, training_id)
    look()
    store.training_work.end(held, EndedTraining(status="cancelled"))
    look()
    assert seen[:2] == [0, 0]
    assert seen[1:] == sorted(set(seen[1:]))
