"""Trainings of the store, run by a worker through the embedded pack's own networks, in their own processes."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import update

from packshot.errors import BadInput, BudgetSpent, Conflict, LeaseLost, NotFound, Overloaded
from packshot.imaging.codec import encode_png
from packshot.settings import Settings
from packshot.store.records import Tenant
from packshot.store.schema import tenant
from packshot.store.schema_trainings import training
from packshot.store.store import Store
from packshot.store.training_records import (
    EndedTraining,
    NewTraining,
    Progress,
    TrainingOrder,
    TrainingPicture,
    TrainingRecord,
)
from packshot.training.jobs.worker import TrainingWorker
from tests.migrated import migrated_home
from tests.unit.store.store_rows import training_order

PACK = "tiny-mini"
SIDE_PX = 64


@pytest.fixture
def store(tmp_path: Path, with_tiny_packs: Path) -> Iterator[Store]:
    settings = Settings(home=migrated_home(tmp_path), lease_s=30.0, heartbeat_s=1.0, training_budget_s=500)
    with closing(Store.from_settings(settings)) as store:
        yield store


@pytest.fixture
def brand(store: Store) -> Tenant:
    tenant = store.keys.tenant_of(store.keys.create("brand").secret)
    assert tenant is not None
    return tenant


def photos_of(store: Store, tenant: Tenant, count: int = 4) -> list[TrainingPicture]:
    """Photos in two colours, with captions."""
    rng = np.random.default_rng(0)
    made = []
    for nth in range(count):
        pixels = np.full((SIDE_PX, SIDE_PX, 3), (200, 80, 60), np.uint8)
        pixels[20:44, 20:44] = rng.integers(0, 255, 3)
        png = encode_png(pixels)
        photo = store.photos.add(
            tenant.id, png=png, width=SIDE_PX, height=SIDE_PX, format="PNG", bytes=len(png), sha256=f"{nth:064d}"
        )
        made.append(TrainingPicture(photo.id, "soft marble table"))
    return made


def order_of(pictures: list[TrainingPicture], **changed: Any) -> TrainingOrder:
    """Eight steps in four epochs."""
    return training_order(*pictures, **{"batch": 2, "licence": "CC0-1.0", **changed})


def add(store: Store, tenant: Tenant, name: str = "Acme look", *, max_s: float | None = None, **changed: Any) -> str:
    """Accept a training of a few steps, and return its id."""
    order = order_of(changed.pop("pictures", None) or photos_of(store, tenant), **changed)
    steps = -(-len(order.pictures) * order.repeats // order.batch) * order.epochs
    new = NewTraining(name=name, engine=PACK, order=order, steps=steps, max_s=max_s)
    return store.trainings.add(tenant.id, new, key_id=tenant.key_id, sent={"name": name})[0].id


def worker_of(store: Store, name: str = "w") -> TrainingWorker:
    return TrainingWorker(store, store.settings, worker=name, engines=(PACK,), device="cpu", threads=1, watch_s=0.2)


def run(store: Store) -> str | None:
    return asyncio.run(worker_of(store).run_next())


def now(store: Store, tenant: Tenant, training_id: str) -> TrainingRecord:
    return store.trainings.get(tenant.id, training_id)


def let_it_be_due(store: Store) -> None:
    """End the back-off or the lease of every training."""
    with store.database.write() as connection:
        connection.execute(update(training).values(due_at=0.0))


async def until(holds: Callable[[], bool], within_s: float = 240.0) -> None:
    give_up_at = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < give_up_at
        await asyncio.sleep(0.05)


def child_of(worker: TrainingWorker) -> int:
    """The process of the worker's training."""
    running = worker._running
    assert running is not None
    assert running._child is not None
    return running._child.pid


@pytest.mark.soak
@pytest.mark.timeout(600)
class TestRunning:
    """Each of these starts the process of a training, which takes some ten seconds of processor time."""

    def test_a_training_makes_an_adapter_that_names_where_it_comes_from(self, store: Store, brand: Tenant) -> None:
        training_id = add(store, brand, samples=("acmelook7 marble",))
        assert run(store) == training_id
        done = now(store, brand, training_id)
        assert (done.status, done.step, done.steps, done.ended, done.partial) == ("done", 8, 8, None, False)
        assert done.loss is not None
        assert done.device_s > 0
        assert done.adapter_id is not None
        adapter = store.adapters.get(brand.id, done.adapter_id)
        assert (adapter.name, adapter.kind, adapter.engine, adapter.rank) == ("Acme look", "lora", PACK, 2)
        assert (adapter.trigger, adapter.licence) == ("acmelook7", "CC0-1.0")
        lineage = json.loads(adapter.trained_from or "")
        assert (lineage["training"], lineage["source"], lineage["steps"]) == (training_id, "4 photos", 8)
        assert done.sheet_key is not None
        assert store.assets.get(done.sheet_key).startswith(b"\x89PNG")
        assert done.loss_key is not None
        assert store.assets.get(done.loss_key).startswith(b"\x89PNG")
        used = store.usage.page(brand.id, "day").total
        assert used.device_s == pytest.approx(done.device_s)
        assert used.pictures == 0
        assert run(store) is None

    def test_a_killed_process_is_tried_again_and_resumes(self, store: Store, brand: Tenant) -> None:
        """The steps after the resume are those of a training that was never stopped."""
        training_id = add(store, brand, epochs=8)

        async def killed() -> None:
            worker = worker_of(store)
            task = asyncio.create_task(worker.run_next())
            await until(lambda: worker._running is not None and (worker._running.folder.out / "checkpoint.pt").exists())
            os.kill(child_of(worker), signal.SIGKILL)
            await task

        asyncio.run(killed())
        stopped = now(store, brand, training_id)
        assert stopped.status == "queued"
        assert stopped.adapter_id is None
        let_it_be_due(store)
        claim = store.training_work.claim("other", [PACK])
        assert claim is not None
        assert claim.state_key is not None
        store.training_work.release(claim)
        assert run(store) == training_id
        done = now(store, brand, training_id)
        assert (done.status, done.step, done.partial) == ("done", 16, False)

    def test_a_cancelled_training_keeps_what_it_has_learned(self, store: Store, brand: Tenant) -> None:
        training_id = add(store, brand, epochs=90)

        async def cancelled() -> None:
            worker = worker_of(store)
            task = asyncio.create_task(worker.run_next())
            await until(lambda: worker._running is not None and worker._running.folder.latest()[0] > 1)
            first = store.trainings.cancel(brand.id, training_id)
            assert store.trainings.cancel(brand.id, training_id) == first  # twice
            await task

        asyncio.run(cancelled())
        ended = now(store, brand, training_id)
        assert (ended.status, ended.ended, ended.partial) == ("cancelled", "it was cancelled", True)
        assert 1 < ended.step < ended.steps
        assert ended.adapter_id is not None
        adapter = store.adapters.get(brand.id, ended.adapter_id)
        assert adapter.name == f"Acme look (step {ended.step})"
        assert store.trainings.cancel(brand.id, training_id) == ended

    def test_a_training_ends_when_its_seconds_are_used_up(self, store: Store, brand: Tenant) -> None:
        training_id = add(store, brand, epochs=90, max_s=1e6)

        async def used_up() -> None:
            worker = worker_of(store)
            task = asyncio.create_task(worker.run_next())
            await until(lambda: worker._running is not None and worker._running.folder.latest()[0] > 1)
            with store.database.write() as connection:
                connection.execute(update(training).values(max_s=0.1))
            await task

        asyncio.run(used_up())
        ended = now(store, brand, training_id)
        assert ended.ended is not None
        assert "used up" in ended.ended
        assert (ended.status, ended.partial) == ("done", True)

    def test_a_disk_that_is_full_mid_run_is_waited_for(self, store: Store, brand: Tenant) -> None:
        """Nothing of the steps before is lost: the next process gets them."""
        training_id = add(store, brand, epochs=16)

        async def filled() -> None:
            worker = worker_of(store)
            task = asyncio.create_task(worker.run_next())
            await until(lambda: worker._running is not None and (worker._running.folder.out / "checkpoint.pt").exists())
            # the kernel then answers as it does for a full disk
            resource.prlimit(child_of(worker), resource.RLIMIT_FSIZE, (2_000, resource.RLIM_INFINITY))
            await task

        asyncio.run(filled())
        waiting = now(store, brand, training_id)
        assert (waiting.status, waiting.adapter_id) == ("queued", None)
        let_it_be_due(store)
        claim = store.training_work.claim("other", [PACK])
        assert claim is not None
        assert claim.step > 0
        assert claim.state_key is not None

    def test_pictures_that_nothing_can_caption_fail_it(self, store: Store, brand: Tenant) -> None:
        """The tiny pack has no captioner."""
        without = [replace(one, caption="") for one in photos_of(store, brand)]
        training_id = add(store, brand, pictures=without)
        run(store)
        failed = now(store, brand, training_id)
        assert (failed.status, failed.error_code, failed.adapter_id) == ("failed", "engine_cannot", None)
        assert "caption" in (failed.error_detail or "")

    def test_an_error_on_purpose_fails_it(self, store: Store, brand: Tenant) -> None:
        training_id = add(store, brand, tag="marble")
        run(store)
        failed = now(store, brand, training_id)
        assert (failed.status, failed.error_code, failed.adapter_id) == ("failed", "tag_refused", None)

    def test_a_picture_that_is_no_picture_any_more_fails_it(self, store: Store, brand: Tenant) -> None:
        pictures = photos_of(store, brand)
        broken = store.photos.add(
            brand.id, png=b"\x89PNG and no more", width=4, height=4, format="PNG", bytes=9, sha256="f" * 64
        )
        training_id = add(store, brand, pictures=[*pictures, TrainingPicture(broken.id, "marble")])
        run(store)
        failed = now(store, brand, training_id)
        assert (failed.status, failed.error_code) == ("failed", "dataset_refused")
        assert broken.id in (failed.error_detail or "")

    def test_a_deleted_tenants_training_is_killed(self, store: Store, brand: Tenant) -> None:
        add(store, brand, epochs=90)

        async def deleted() -> int:
            worker = worker_of(store)
            task = asyncio.create_task(worker.run_next())
            await until(lambda: worker._running is not None and worker._running._child is not None)
            pid = child_of(worker)
            await asyncio.to_thread(store.deletions.delete, brand.id, by="test")
            await task
            return pid

        pid = asyncio.run(deleted())
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


class TestTheStore:
    def test_one_training_of_a_tenant_runs_at_a_time(self, store: Store, brand: Tenant) -> None:
        first, second = add(store, brand), add(store, brand, "Second")
        other = store.keys.tenant_of(store.keys.create("other").secret)
        assert other is not None
        third = add(store, other)
        claims = [store.training_work.claim("w", [PACK]) for _ in range(3)]
        assert [one and one.id for one in claims] == [first, third, None]
        assert claims[0] is not None
        store.training_work.end(claims[0], EndedTraining(status="done"))
        following = store.training_work.claim("w", [PACK])
        assert following is not None
        assert following.id == second
        assert store.training_work.live_count([PACK]) == 2

    def test_a_dataset_that_was_deleted_meanwhile_fails_it(self, store: Store, brand: Tenant) -> None:
        pictures = photos_of(store, brand)
        training_id = add(store, brand, pictures=pictures)
        store.photos.delete(brand.id, pictures[1].id)
        run(store)
        failed = now(store, brand, training_id)
        assert (failed.status, failed.error_code) == ("failed", "dataset_refused")
        assert "1 of the 4 pictures of the dataset were deleted" in (failed.error_detail or "")

    def test_a_worker_that_lost_its_lease_changes_nothing(self, store: Store, brand: Tenant) -> None:
        training_id = add(store, brand)
        stale = store.training_work.claim("w", [PACK])
        let_it_be_due(store)
        assert store.training_work.claim("v", [PACK]) is not None
        assert stale is not None
        for write in (
            lambda: store.training_work.heartbeat(stale, Progress(step=3, loss=None, spent_s=1.0)),
            lambda: store.training_work.end(stale, EndedTraining(status="done")),
            lambda: store.training_work.release(stale),
        ):
            with pytest.raises(LeaseLost):
                write()
        assert (now(store, brand, training_id).status, now(store, brand, training_id).step) == ("running", 0)

    def test_a_training_without_progress_fails_after_its_attempts(self, store: Store, brand: Tenant) -> None:
        training_id = add(store, brand)
        for _ in range(store.settings.max_attempts):
            assert store.training_work.claim("w", [PACK]) is not None
            let_it_be_due(store)
        assert store.training_work.claim("w", [PACK]) is None
        failed = now(store, brand, training_id)
        assert (failed.status, failed.error_code) == ("failed", "interrupted")

    def test_progress_makes_the_attempts_count_anew(self, store: Store, brand: Tenant) -> None:
        add(store, brand)
        for _ in range(2 * store.settings.max_attempts):
            claim = store.training_work.claim("w", [PACK])
            assert claim is not None
            store.training_work.heartbeat(claim, Progress(step=1, loss=0.5, spent_s=1.0, state=b"state"))
            let_it_be_due(store)

    def test_the_months_budget_refuses_the_next_and_stops_the_running(self, store: Store, brand: Tenant) -> None:
        add(store, brand)
        claim = store.training_work.claim("w", [PACK])
        assert claim is not None
        assert store.training_work.heartbeat(claim, Progress(step=1, loss=None, spent_s=400.0)).left_s == pytest.approx(
            100
        )
        beat = store.training_work.heartbeat(claim, Progress(step=1, loss=None, spent_s=100.0))
        assert (beat.left_s, beat.cancelled) == (0.0, False)
        with pytest.raises(BudgetSpent, match="used up; it resets at"):
            add(store, brand, "Second")

    def test_names_idempotency_and_the_number_of_live_trainings(self, store: Store, brand: Tenant) -> None:
        order = order_of(photos_of(store, brand))
        new = NewTraining(name="A", engine=PACK, order=order, steps=8)
        first, added = store.trainings.add(brand.id, new, idempotency_key="k", sent={"a": 1})
        again, added_again = store.trainings.add(brand.id, new, idempotency_key="k", sent={"a": 1})
        assert (first, added, added_again) == (again, True, False)
        with pytest.raises(BadInput, match="idempotency_mismatch"):
            store.trainings.add(brand.id, new, idempotency_key="k", sent={"a": 2})
        with pytest.raises(Conflict, match="name_taken"):
            store.trainings.add(brand.id, new, sent={})
        for nth in range(7):
            store.trainings.add(brand.id, replace(new, name=f"B{nth}"), sent={})
        with pytest.raises(Overloaded, match="queue_full"):
            store.trainings.add(brand.id, replace(new, name="C"), sent={})

    def test_ended_trainings_go_with_their_retention_and_live_ones_stay(self, store: Store, brand: Tenant) -> None:
        ended, live = add(store, brand), add(store, brand, "Second")
        claim = store.training_work.claim("w", [PACK])
        assert claim is not None
        store.training_work.heartbeat(claim, Progress(step=1, loss=0.5, spent_s=1.0, sheet=b"sheet"))
        store.training_work.end(claim, EndedTraining(status="done"))
        key = now(store, brand, ended).sheet_key
        assert key is not None
        with store.database.write() as connection:
            connection.execute(update(training).where(training.c.id == ended).values(finished_at=1.0))
        assert store.retention.sweep()["trainings"] == 0  # without retention, nothing goes
        with store.database.write() as connection:
            connection.execute(update(tenant).where(tenant.c.id == brand.id).values(retention_days=1.0))
        assert store.retention.sweep()["trainings"] == 1
        assert not store.assets.exists(key)
        assert now(store, brand, live).status == "queued"

    def test_a_waiting_training_is_cancelled_at_once_and_deleted(self, store: Store, brand: Tenant) -> None:
        training_id = add(store, brand)
        with pytest.raises(Conflict, match="in_use"):
            store.trainings.delete(brand.id, training_id)
        assert store.trainings.cancel(brand.id, training_id).status == "cancelled"
        store.trainings.delete(brand.id, training_id)
        with pytest.raises(NotFound):
            store.trainings.get(brand.id, training_id)
        with suppress(NotFound):
            store.trainings.delete(brand.id, training_id)
