"""Trainings as their workers see them: claim one under a lease, send heartbeats with its progress, end it.

Every write is fenced by the claim's epoch: a worker that lost its lease changes nothing. One training of a tenant runs
at a time. A training is resumed from the state that its last worker left; one that makes progress may be interrupted
any number of times.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, and_, exc, func, or_, select, update

from packshot.contract.status import LIVE
from packshot.errors import LeaseLost
from packshot.store.adapters import SUFFIX, insert_adapter
from packshot.store.audit_rows import SYSTEM, Details, record
from packshot.store.budgets import note_device_time
from packshot.store.database import Database, insert, storable
from packshot.store.periods import day_of, month_of
from packshot.store.references import AssetReferences
from packshot.store.schema import Now, adapter
from packshot.store.schema_trainings import training, training_usage
from packshot.store.shots import lock_tenant
from packshot.store.training_events import training_ended
from packshot.store.training_records import (
    EndedTraining,
    Progress,
    TrainingClaim,
    TrainingOrder,
    TrainingRecord,
    training_record,
)
from packshot.store.trainings import seconds_left
from packshot.store.usage import add_device_time

__all__ = ["Beat", "TrainingWork"]

LOOKED_AT = 50
"""Due trainings that one claim looks at."""
MAX_NAME = 120

log = logging.getLogger(__name__)


class Beat:
    """What a worker hears at a heartbeat: whether to stop, and the seconds left, None = without a limit."""

    def __init__(self, *, cancelled: bool, left_s: float | None) -> None:
        self.cancelled = cancelled
        self.left_s = left_s


class TrainingWork:
    """The workers' view of all tenants' trainings. `lease_s` is the length of a lease, in seconds."""

    def __init__(
        self, database: Database, references: AssetReferences, *, lease_s: float, max_attempts: int, budget_s: float
    ) -> None:
        self._database = database
        self._references = references
        self._lease_s = lease_s
        self._max_attempts = max_attempts
        self._budget_s = budget_s

    def live_count(self, engines: Sequence[str]) -> int:
        """How many trainings of these engines wait or run. It counts one of each tenant: no more can run at once."""
        c = training.c
        query = select(func.count(c.tenant_id.distinct())).where(c.status.in_(LIVE), c.engine.in_(engines))
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def claim(self, worker: str, engines: Sequence[str]) -> TrainingClaim | None:
        """Claim the oldest training of these engines that is due and whose tenant has no other that runs.

        One that was claimed `max_attempts` times without progress ends as `failed` with the code `interrupted`.
        """
        c = training.c
        due = and_(c.status.in_(LIVE), c.due_at <= Now(), c.engine.in_(engines))
        query = select(c.id, c.tenant_id).where(due).order_by(c.created_at, c.id).limit(LOOKED_AT)
        with self._database.read() as connection:
            waiting = connection.execute(query).all()
        for found in waiting:
            with self._database.write() as connection:
                lock_tenant(connection, found.tenant_id)
                other = and_(c.tenant_id == found.tenant_id, c.id != found.id, c.status == "running", c.due_at > Now())
                if connection.execute(select(c.id).where(other).limit(1)).first() is not None:
                    continue
                row = connection.execute(select(training).where(c.id == found.id, due).with_for_update()).first()
                if row is None:
                    continue
                if row.attempt >= self._max_attempts:
                    rule = f"it was begun {row.attempt} times without getting further, because its worker was stopped"
                    self._end(connection, row, EndedTraining(status="failed", code="interrupted", detail=rule), [])
                    continue
                taken = update(training).where(c.id == found.id)
                taken = taken.values(
                    status="running",
                    worker=worker,
                    epoch=c.epoch + 1,
                    attempt=c.attempt + 1,
                    due_at=Now() + self._lease_s,
                    started_at=func.coalesce(c.started_at, Now()),
                )
                return _claim(connection.execute(taken.returning(*c)).one())
        return None

    def heartbeat(self, claim: TrainingClaim, progress: Progress) -> Beat:
        """Extend the lease, keep the progress and charge the seconds. Raises LeaseLost, StorageFull and Unavailable."""
        named = {"sheet_key": progress.sheet, "loss_key": progress.curves, "state_key": progress.state}
        given = {name: data for name, data in named.items() if data is not None}
        suffixes = {"state_key": ".tar"}
        files = [self._references.write_files([data], suffixes.get(name, ".png"))[0] for name, data in given.items()]
        with self._database.write() as connection:
            row = _held(connection, claim)
            old = [key for name in given if (key := row._mapping[name]) is not None]
            self._references.take(connection, files)
            values: dict[str, object] = dict(zip(given, (file.key for file in files), strict=True))
            values |= {"due_at": Now() + self._lease_s, "device_s": training.c.device_s + progress.spent_s}
            values |= {"step": progress.step, "loss": progress.loss}
            if progress.state is not None:
                values["attempt"] = 1
            connection.execute(update(training).where(training.c.id == claim.id).values(values))
            self._references.drop(connection, old)
            _charge(connection, row, progress.spent_s)
            left = seconds_left(connection, claim.tenant, claim.key_id, self._budget_s)
            own = None if row.max_s is None else row.max_s - row.device_s - progress.spent_s
            left_s = min((one for one in (left, own) if one is not None), default=None)
            beat = Beat(cancelled=row.cancel_requested, left_s=left_s)
        self._references.purge(old)
        return beat

    def end(self, claim: TrainingClaim, how: EndedTraining, *, step: int | None = None) -> TrainingRecord:
        """End the training, and store its adapter in the same transaction. Raises LeaseLost and StorageFull.

        The adapter has the training's name, or that with a number where another one took it meanwhile.
        """
        files = self._references.write_files([how.data], SUFFIX) if how.adapter is not None else []
        while True:
            try:
                with self._database.write() as connection:
                    row = _held(connection, claim)
                    adapter_id = None
                    if how.adapter is not None:
                        name = _free_name(connection, claim.tenant, how.adapter.name)
                        new = replace(how.adapter, name=name)
                        self._references.take(connection, files)
                        adapter_id = insert_adapter(connection, claim.tenant, new, how.data, files[0].key, by=SYSTEM).id
                    keys = [row.state_key] if row.state_key is not None else []
                    ended = self._end(connection, row, how, keys, adapter_id=adapter_id, step=step)
                self._references.purge(keys)
                return ended
            except exc.IntegrityError:  # another adapter took the name since
                log.info("training %s looks for another name", claim.id)

    def postpone(self, claim: TrainingClaim, code: str, detail: str, wait_s: float) -> TrainingRecord:
        """Let the training wait and be resumed; one without progress in `max_attempts` claims ends as `failed`.

        Raises LeaseLost.
        """
        log.warning("training %s attempt %d did not end (%s): %s", claim.id, claim.attempt, code, detail)
        with self._database.write() as connection:
            row = _held(connection, claim)
            if row.attempt >= self._max_attempts and not row.cancel_requested:
                return self._end(connection, row, EndedTraining(status="failed", code=code, detail=detail), [])
            values = {"status": "queued", "worker": None, "due_at": Now() + wait_s, "epoch": training.c.epoch + 1}
            change = update(training).where(training.c.id == claim.id).values(values).returning(*training.c)
            return training_record(connection.execute(change).one())

    def release(self, claim: TrainingClaim) -> None:
        """Give the training back for another worker, without counting the attempt. Raises LeaseLost."""
        values = {"status": "queued", "worker": None, "due_at": 0.0, "attempt": max(0, claim.attempt - 1)}
        with self._database.write() as connection:
            _held(connection, claim)
            values["epoch"] = claim.epoch + 1
            connection.execute(update(training).where(training.c.id == claim.id).values(values))

    def _end(
        self,
        connection: Connection,
        row: Row[Any],
        how: EndedTraining,
        keys: Sequence[str],
        *,
        adapter_id: str | None = None,
        step: int | None = None,
    ) -> TrainingRecord:
        values: dict[str, object] = {
            "status": how.status,
            "worker": None,
            "ended": None if how.ended is None else storable(how.ended),
            "error_code": how.code,
            "error_detail": None if how.detail is None else storable(how.detail),
            "partial": how.partial,
            "adapter_id": adapter_id,
            "finished_at": Now(),
        }
        if keys:
            values["state_key"] = None
        if step is not None:
            values["step"] = step
        change = update(training).where(training.c.id == row.id).values(values).returning(*training.c)
        ended = connection.execute(change).one()
        self._references.drop(connection, keys)
        details: Details = {"status": how.status, "code": how.code, "steps": ended.step, "adapter_id": adapter_id}
        record(connection, row.tenant_id, "training.ended", row.id, details=details, by=SYSTEM)
        log.info("training %s ended %s at step %d of %d", row.id, how.status, ended.step, ended.steps)
        of_ended = training_record(ended)
        training_ended(connection, of_ended)
        return of_ended


def _held(connection: Connection, claim: TrainingClaim) -> Row[Any]:
    """The claimed row, locked. Raises LeaseLost when the claim no longer holds."""
    c = training.c
    mine = and_(c.id == claim.id, c.epoch == claim.epoch, c.status == "running")
    row = connection.execute(select(training).where(mine).with_for_update()).first()
    if row is None:
        rule = f"epoch {claim.epoch} of {claim.id} is no longer valid: another worker claimed the training, or it ended"
        raise LeaseLost("lease_lost", f"{rule}; discard this attempt's results")
    return row


def _charge(connection: Connection, row: Row[Any], seconds: float) -> None:
    """Add seconds of a device to the tenant's month and to its usage."""
    if seconds <= 0:
        return
    day = day_of(connection.execute(select(Now())).scalar_one())
    new = insert(connection, training_usage).values(tenant_id=row.tenant_id, month=month_of(day), device_s=seconds)
    more = {"device_s": training_usage.c.device_s + seconds}
    keys = list(training_usage.primary_key.columns)
    connection.execute(new.on_conflict_do_update(index_elements=keys, set_=more))
    add_device_time(connection, row.tenant_id, row.key_id, seconds, day)
    note_device_time(connection, row)


def _free_name(connection: Connection, tenant_id: str, name: str) -> str:
    """The name, or that with a number, that no adapter of the tenant has."""
    c = adapter.c
    taken = select(c.name).where(
        c.tenant_id == tenant_id, or_(c.name == name, c.name.startswith(name[:100], autoescape=True))
    )
    names = set(connection.execute(taken).scalars())
    nth, free = 2, name
    while free in names:
        free = f"{name[: MAX_NAME - 8]} ({nth})"
        nth += 1
    return free


def _claim(row: Row[Any]) -> TrainingClaim:
    return TrainingClaim(
        id=row.id,
        tenant=row.tenant_id,
        key_id=row.key_id,
        name=row.name,
        engine=row.engine,
        order=TrainingOrder.from_json(row.job),
        epoch=row.epoch,
        attempt=row.attempt,
        step=row.step,
        steps=row.steps,
        state_key=row.state_key,
    )
