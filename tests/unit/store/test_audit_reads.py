"""Reads leave lines in the audit trail: within a second, in one transaction, equal ones as one line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import exc

from packshot.store import audit_reads
from packshot.store.audit_reads import AuditReads
from packshot.store.database import Database
from packshot.store.records import Tenant
from packshot.store.store import Store
from packshot.telemetry.context import bound


class Timers:
    """Collects what is to run later, so that a test says when."""

    def __init__(self) -> None:
        self.later: list[Callable[[], None]] = []

    def __call__(self, after_s: float, call: Callable[[], None]) -> None:
        assert after_s == audit_reads.FLUSH_S
        self.later.append(call)

    def fire(self) -> None:
        calls, self.later = self.later, []
        for call in calls:
            call()


@pytest.fixture
def timers() -> Timers:
    return Timers()


@pytest.fixture
def reads(store: Store, timers: Timers) -> AuditReads:
    return AuditReads(store.database, timers)


def lines_of(store: Store, tenant: Tenant) -> list[dict[str, Any]]:
    return [json.loads(line) for line in store.audit.export(tenant.id)]


def test_equal_reads_of_a_second_are_one_line(store: Store, tenant: Tenant, reads: AuditReads, timers: Timers) -> None:
    with bound(actor="key ky_1", request="r-1"):
        for _ in range(3):
            reads.note(tenant.id, "file.read", "df_1", details={"preset": "web", "signed_url": None})
    with bound(actor="session ky_1", request="r-2"):
        reads.note(tenant.id, "file.read", "df_1", details={"preset": "web"})
    reads.note(tenant.id, "file.verified", "im_1", by="anyone")
    assert lines_of(store, tenant) == []
    assert len(timers.later) == 1, "one timer for all lines"
    timers.fire()
    found = [(one["action"], one["by"], one.get("request"), one.get("details")) for one in lines_of(store, tenant)]
    assert found == [
        ("file.read", "key ky_1", "r-1", {"preset": "web", "times": 3}),
        ("file.read", "session ky_1", "r-2", {"preset": "web"}),
        ("file.verified", "anyone", None, None),
    ]
    assert store.audit.check(tenant.id).broken_at is None
    timers.fire()
    assert len(lines_of(store, tenant)) == 3


def test_a_line_has_the_time_of_the_read(store: Store, tenant: Tenant, timers: Timers) -> None:
    times = iter((100.0, 125.0, 130.0))
    reads = AuditReads(store.database, timers, lambda: next(times))
    reads.note(tenant.id, "file.read", "df_1")
    reads.note(tenant.id, "file.read", "df_2")
    reads.flush()
    first, second = (datetime.fromisoformat(one["at"]) for one in lines_of(store, tenant))
    assert (second - first).total_seconds() == pytest.approx(25, abs=0.5)


def test_an_export_has_the_reads_that_this_process_noted(store: Store, tenant: Tenant) -> None:
    store.audit.reads.note(tenant.id, "file.read", "df_1")
    assert [one["object"] for one in lines_of(store, tenant)] == ["df_1"]


def test_lines_wait_while_the_store_does_not_answer(
    store: Store, tenant: Tenant, reads: AuditReads, timers: Timers, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(Database, "write", _no_answer)
        reads.note(tenant.id, "file.read", "df_1")
        timers.fire()
        reads.note(tenant.id, "file.read", "df_2")
        assert len(timers.later) == 1
    timers.fire()
    assert [one["object"] for one in lines_of(store, tenant)] == ["df_1", "df_2"]


def _no_answer(self: Database) -> Iterator[None]:
    raise exc.OperationalError("INSERT", {}, ConnectionError("refused"))


def test_no_more_lines_wait_than_there_is_room_for(
    store: Store,
    tenant: Tenant,
    reads: AuditReads,
    timers: Timers,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(audit_reads, "MOST_HELD", 2)
    for number in range(5):
        reads.note(tenant.id, "file.read", f"df_{number}")
    timers.fire()
    assert [one["object"] for one in lines_of(store, tenant)] == ["df_0", "df_1"]
    assert "3 lines of reads are missing" in caplog.text


def test_a_deleted_tenants_reads_are_dropped_and_others_kept(
    store: Store, tenant: Tenant, reads: AuditReads, timers: Timers
) -> None:
    gone = store.tenants.get_or_create("gone")
    for owner in (gone, tenant):
        reads.note(owner.id, "file.read", "df_1")
    store.deletions.delete(gone.id, by="test")
    assert reads.flush() == 1
    assert len(lines_of(store, tenant)) == 1


def test_closing_the_store_writes_what_waits(store: Store, tenant: Tenant) -> None:
    again = Store(store.database.url, store.assets, store.settings)
    again.audit.reads.note(tenant.id, "file.read", "df_1")
    again.close()
    assert len(lines_of(store, tenant)) == 1
