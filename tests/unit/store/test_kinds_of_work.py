"""Other kinds of work than shots on the same queue: they are accepted, claimed and ended like a shot."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from packshot.errors import BadInput, BudgetSpent
from packshot.settings import Settings
from packshot.store.records import NewJob, Tenant
from packshot.store.schema import Now
from packshot.store.shot_filter import ShotFilter
from packshot.store.store import Store
from tests.old_code import old_code
from tests.specs import spec_of
from tests.unit.store.store_rows import add_shots, claim, new_image, tamper
from tests.waiting import WAIT_S

BEFORE = "83d336181cfbdbba3482beecfe693366aaf26c24"
"""The last commit whose code knows schema 0019 and no kinds of work."""

JOB = NewJob("touchup", {"strength": 0.5}, b"region")


def add_job(store: Store, tenant: Tenant, job: NewJob = JOB) -> str:
    return store.shots.add(tenant.id, spec_of(), job=job)[0].id


def test_a_job_is_claimed_with_what_it_does_and_ends_like_a_shot(store: Store, tenant: Tenant) -> None:
    job_id = add_job(store, tenant)
    waiting = store.shots.get(tenant.id, job_id)
    assert (waiting.kind, waiting.status, waiting.position) == ("touchup", "queued", 0)
    mine = claim(store)
    assert (mine.shot_id, mine.kind, mine.job) == (job_id, "touchup", {"strength": 0.5})
    assert mine.job_key is not None
    assert store.assets.get(mine.job_key) == b"region"
    assert store.queue.claim("another") is None
    assert store.queue.heartbeat(mine, step=1, steps=4) is False
    assert store.queue.commit(mine, [new_image()]).status == "done"
    assert store.usage.page(tenant.id, "day").total.pictures == 1


def test_jobs_and_shots_share_one_line_and_their_positions(store: Store, tenant: Tenant) -> None:
    first, second, third = add_shots(store, tenant, 1)[0], add_job(store, tenant), add_shots(store, tenant, 1)[0]
    assert [store.shots.get(tenant.id, one).position for one in (first, second, third)] == [0, 1, 2]
    assert store.queue.due_count(9) == 3
    assert [claim(store).shot_id for _ in range(3)] == [first, second, third]


def test_a_job_whose_worker_died_is_claimed_again(store: Store, tenant: Tenant) -> None:
    job_id = add_job(store, tenant)
    claim(store)
    tamper(store, job_id, ready_at=Now() - 0.01)
    again = claim(store)
    assert (again.shot_id, again.interruptions, again.attempt) == (job_id, 1, 1)


def test_a_job_that_failed_waits_its_back_off(store: Store, tenant: Tenant) -> None:
    job_id = add_job(store, tenant)
    store.queue.fail(claim(store), "engine_out_of_memory", "too big", retryable=True)
    assert (store.queue.claim("w"), store.queue.due_count(9)) == (None, 0)
    tamper(store, job_id, ready_at=0.0)
    assert claim(store).attempt == 2


def test_a_job_is_cancelled_while_it_waits_and_while_it_runs(store: Store, tenant: Tenant) -> None:
    waiting, running = add_job(store, tenant), add_job(store, tenant)
    assert store.shots.cancel(tenant.id, waiting).status == "cancelled"
    mine = claim(store)
    assert mine.shot_id == running
    assert store.shots.cancel(tenant.id, running).cancel_requested
    assert store.queue.heartbeat(mine, step=1, steps=4) is True
    assert store.queue.finish_cancelled(mine).status == "cancelled"


def test_a_key_belongs_to_one_job(store: Store, tenant: Tenant) -> None:
    first, created = store.shots.add(tenant.id, spec_of(), job=JOB, idempotency_key="k")
    again, created_again = store.shots.add(tenant.id, spec_of(), job=JOB, idempotency_key="k")
    assert (created, created_again, again.id) == (True, False, first.id)
    with pytest.raises(BadInput, match="one body"):
        store.shots.add(tenant.id, spec_of(), idempotency_key="k")


def test_a_job_counts_for_budgets(store: Store, tenant: Tenant) -> None:
    store.budgets.set(tenant.id, {"images_per_day": 1})
    add_job(store, tenant, NewJob("touchup", {}, images=0))
    add_job(store, tenant)
    with pytest.raises(BudgetSpent):
        add_job(store, tenant)


def test_a_list_selects_by_kind(store: Store, tenant: Tenant) -> None:
    (shot,), job = add_shots(store, tenant, 1), add_job(store, tenant)

    def found(wanted: ShotFilter) -> list[str]:
        return [one.id for one in store.shots.page(tenant.id, wanted)[0]]

    assert found(ShotFilter()) == [job, shot]
    assert (found(ShotFilter(kind="shot")), found(ShotFilter(kind="touchup"))) == ([shot], [job])


def test_a_jobs_file_goes_with_its_row(open_store: Callable[..., Store]) -> None:
    store = open_store(retention_days=1.0)
    tenant = store.tenants.local()
    add_job(store, tenant)
    mine = claim(store)
    assert mine.job_key is not None
    store.queue.commit(mine, [new_image()])
    tamper(store, mine.shot_id, finished_at=1.0)
    store.retention.sweep()
    assert not store.assets.exists(mine.job_key)


def test_a_kind_of_a_version_to_come_is_left_alone(store: Store, tenant: Tenant) -> None:
    (shot,), job = add_shots(store, tenant, 1), add_job(store, tenant)
    tamper(store, job, kind="hologram")
    assert (claim(store).shot_id, store.queue.claim("w"), store.queue.due_count(9)) == (shot, None, 0)


OLD_PROCESS = """
import json, sys
from packshot.settings import Settings
from packshot.store.store import Store

store = Store.from_settings(Settings())
tenant, job = sys.argv[1:]
claimed = store.queue.claim("old")
found = {
    "claimed": claimed and claimed.shot_id,
    "due": store.queue.due_count(9),
    "prompt": store.shots.get(tenant, job).spec.prompt,
    "listed": len(store.shots.page(tenant)[0]),
    "cancelled": store.shots.cancel(tenant, job).status,
}
print(json.dumps(found))
"""


def test_code_without_kinds_lists_and_cancels_jobs_and_claims_none(
    store: Store, tenant: Tenant, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lost, waiting = add_job(store, tenant), add_job(store, tenant)
    assert claim(store).shot_id == lost
    tamper(store, lost, ready_at=1.0)  # its lease has expired
    old = old_code(tmp_path_factory.mktemp("old"), BEFORE)
    environment = {
        "PYTHONPATH": str(old),
        "PACKSHOT_DATABASE_URL": settings.store_url,
        "PACKSHOT_HOME": str(settings.home),
        "PATH": "",
    }
    arguments = [sys.executable, "-c", OLD_PROCESS, tenant.id, waiting]
    done = subprocess.run(
        arguments, env=environment, cwd=old, capture_output=True, text=True, check=True, timeout=WAIT_S
    )
    assert json.loads(done.stdout) == {
        "claimed": None,
        "due": 0,
        "prompt": spec_of().prompt,
        "listed": 2,
        "cancelled": "cancelled",
    }
    assert claim(store).shot_id == lost
