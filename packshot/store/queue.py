"""The queue of shots as workers see it: claim a shot under a lease, send heartbeats, and end the shot once.

Every write carries the claim's epoch. A worker whose shot was claimed again changes nothing and gets LeaseLost. Leases
use the database's clock. An expired lease is an interruption. A shot is blamed only for what it may have caused: `fail`
counts attempts and crashes, `interrupt` and `postpone` do not. queue_order.py decides which shot is next.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, case, func, or_, select, update

from packshot.contract.shot_spec import ShotSpec
from packshot.contract.status import SHOT_KINDS, STATUSES, Priority, ShotKind, Status
from packshot.errors import LeaseLost
from packshot.store.audit_rows import record_made
from packshot.store.census import Census, take_census
from packshot.store.clip_records import NewClip
from packshot.store.clips import insert_clip
from packshot.store.database import Database, moment, new_id, storable
from packshot.store.ended import note_end
from packshot.store.gains import hold_relit_materials, write_gains
from packshot.store.images import insert_image
from packshot.store.load_records import QueueLoad
from packshot.store.notifications import CHANGED, QUEUED, notify
from packshot.store.queue_changes import (
    BACKOFF_S,
    INTERRUPTED,
    MAX_BACKOFF_S,
    MAX_INTERRUPTIONS,
    back_off_s,
    claim_next,
    committed,
    ended,
    failed,
    leased,
    requeued,
    uncounted,
)
from packshot.store.queue_load import by_priority, load_of, load_query, pending
from packshot.store.queue_order import Engines, due_count, people_wait
from packshot.store.records import Claim, NewImage, ShotRecord
from packshot.store.references import AssetReferences
from packshot.store.schema import ORIGIN, Now, shot
from packshot.store.shot_rows import shot_record
from packshot.store.versions import REDO, supersede

MAX_CRASHES = 2
"""Crashes after which a shot fails. Another shot may have caused the first; this shot ran unbatched at the second."""

CLAIM_AMONG, CLAIM_AMONG_SOME = 8, 64
"""Among how many shots at the front of the queue a claim looks first. More are needed only while as many are locked.

A claim of interactive shots alone, or of some engines, looks among the second number, and no further.
"""

log = logging.getLogger(__name__)


class Queue:
    """The workers' view of shots, and the queue's load.

    `lease_s` is how long a claim holds without a heartbeat, in seconds. `max_attempts` is how many attempts a shot has.
    `max_outage_s` is how long outages may hold up a shot in all, in seconds.
    """

    def __init__(
        self,
        database: Database,
        references: AssetReferences,
        *,
        lease_s: float,
        max_attempts: int,
        max_outage_s: float,
    ) -> None:
        self._database = database
        self._references = references
        self._lease_s = lease_s
        self._max_attempts = max_attempts
        self._max_outage_s = max_outage_s

    def claim(
        self,
        worker: str,
        *,
        people_only: bool = False,
        kinds: tuple[ShotKind, ...] = SHOT_KINDS,
        engines: Engines | None = None,
    ) -> Claim | None:
        """Claim the next shot under a lease. Returns None when no shot is due.

        `worker` names the claimer in logs. `people_only` claims no catalogue shot, `kinds` no row of another kind, and
        `engines` no shot of another engine.
        """
        while True:
            with self._database.write() as connection:
                row = self._claim_row(connection, worker, people_only, kinds, engines)
                if row is not None:
                    notify(connection, CHANGED)
                    note_end(connection, row)
            if row is None:
                return None
            if row.status == "running":
                return Claim(
                    shot_id=row.id,
                    tenant=row.tenant_id,
                    worker=worker,
                    epoch=row.epoch,
                    attempt=row.attempt,
                    crashes=row.crashes,
                    spec=ShotSpec.from_json(row.request),
                    created_at=moment(row.created_at),
                    interruptions=row.interruptions or 0,
                    postponed_s=row.postponed_s or 0.0,
                    origin=row.request.get(ORIGIN, {}),
                    kind=row.kind or "shot",
                    job=row.job or {},
                    job_key=row.job_key,
                )
            # The claim ended an expired shot instead, or put it back; claim the next one.
            log.warning("shot %s is %s: its worker's lease expired", row.id, row.status)

    def _claim_row(
        self,
        connection: Connection,
        worker: str,
        people_only: bool,
        kinds: tuple[ShotKind, ...],
        engines: Engines | None,
    ) -> Row[Any] | None:
        """Claim the next row. Returns None when every row that is due is locked by others, or none is due."""
        if people_only and not people_wait(connection):
            return None
        dialect = connection.dialect.name
        some_only = people_only or engines is not None
        first = 1 if dialect == "sqlite" else CLAIM_AMONG_SOME if some_only else CLAIM_AMONG
        while True:
            statement = claim_next(worker, self._lease_s, dialect, first, people_only, kinds, engines)
            row = connection.execute(statement).first()
            if row is not None or some_only or due_count(connection, first) < first:
                return row
            first *= 8  # claimers that run at this moment have locked all those at the front

    def heartbeat(self, claim: Claim, *, step: int, steps: int, preview_version: int | None = None) -> bool:
        """Extend the lease and store the progress. Returns True when a client has asked to cancel the shot.

        `steps` counts the denoising steps of the whole shot, all its images together. `step` counts those that are
        done. Before the first step nobody knows `steps`: 0 keeps the number with which the work was accepted.
        `preview_version` is the latest preview; None keeps the stored version. Raises LeaseLost when the claim no
        longer holds.
        """
        known = steps or shot.c.steps
        preview = shot.c.preview_version if preview_version is None else preview_version
        changed = or_(shot.c.step != step, shot.c.steps != known, shot.c.preview_version != preview)
        with self._database.write() as connection:
            row = _fenced(
                connection,
                claim,
                **leased(self._lease_s),
                step=step,
                steps=known,
                preview_version=preview,
                version=case((changed, shot.c.version + 1), else_=shot.c.version),
            )
        return bool(row.cancel_requested)

    def commit(self, claim: Claim, made: Sequence[NewImage | NewClip]) -> ShotRecord:
        """End the shot as `done` with its images or its clip, all or none. A repeat with this claim changes nothing.

        When a client asked to cancel before this transaction, the shot ends as `cancelled` and keeps no image. A client
        that asks later waits for the transaction and gets Conflict `already_finished`. Raises LeaseLost when the claim
        no longer holds and StorageFull when a file would exceed the quota or the disk is full.
        """
        images = [new for new in made if isinstance(new, NewImage)]
        clips = [new for new in made if isinstance(new, NewClip)]
        if len({new.index for new in images}) != len(images):
            raise ValueError(f"image indexes must differ, got {[new.index for new in images]}; number them from 0")
        files = self._references.write_files(new.png for new in images)
        for film in clips:
            files += self._references.write_files([film.data], f".{film.job.format}")
        gains = write_gains(self._references, images)
        with self._database.write() as connection:
            try:
                row = _fenced(connection, claim, **committed())
            except LeaseLost:
                is_over = shot.c.status.in_(("done", "cancelled"))
                own = and_(shot.c.id == claim.shot_id, shot.c.epoch == claim.epoch, is_over)
                done = connection.execute(select(shot).where(own)).first()
                if done is None:
                    raise
                return shot_record(connection, done)
            if row.status == "cancelled":  # the retention sweep deletes the unreferenced files
                note_end(connection, row)
                return shot_record(connection, row)
            self._references.take(connection, [*files, *gains.values()])
            image_ids = [new_id("im") for _ in images]
            for film, file in zip(clips, files[len(images) :], strict=True):
                insert_clip(connection, claim.tenant, claim.shot_id, film, file)
            for image_id, new, file in zip(image_ids, images, files, strict=False):
                insert_image(connection, claim.tenant, claim.shot_id, image_id, new, file, gains.get(new.index))
                if row.supersedes is not None:
                    supersede(connection, row.supersedes, image_id, row.kind or REDO)
            hold_relit_materials(connection, row, images)
            record_made(connection, claim, image_ids, images)
            painted = sum(new.recipe.paintings for new in images)
            device_s = sum(new.recipe.device_s for new in images)
            note_end(connection, row, image_ids, painted=painted, device_s=device_s)
            return shot_record(connection, row)

    def fail(self, claim: Claim, code: str, detail: str, *, retryable: bool, crashed: bool = False) -> ShotRecord:
        """Report a failed attempt. The shot is queued again with back-off, or ends as `failed`.

        `code` and `detail` are the error that clients see. The shot is queued again when the error is `retryable` and
        attempts are left. `crashed` means that a replica died of a fault while the shot ran: the first crash is
        retried, and the second ends the shot as `engine_crash`. A shot that a client asked to cancel ends as
        `cancelled`. Raises LeaseLost when the claim no longer holds.
        """
        crashes = claim.crashes + int(crashed)
        if crashed and crashes >= MAX_CRASHES:
            code, retry = "engine_crash", False
        else:
            retry = (retryable or crashed) and claim.attempt < self._max_attempts
        if retry:
            due_at = Now() + BACKOFF_S * 4 ** (claim.attempt - 1)
            change = {**requeued(due_at), "crashes": crashes}
        else:
            change = {**failed(code, detail), "crashes": crashes}
        return self._record_trouble(claim, code, detail, change)

    def interrupt(self, claim: Claim, detail: str) -> ShotRecord:
        """Report that a replica or node was stopped while it ran the shot. The attempt does not count.

        The shot is queued again with back-off. After more than `MAX_INTERRUPTIONS` it ends as `failed` with the code
        `interrupted`. `detail` says what was stopped. Raises LeaseLost when the claim no longer holds.
        """
        interruptions = claim.interruptions + 1
        if interruptions > MAX_INTERRUPTIONS:
            change = failed("interrupted", INTERRUPTED)
        else:
            change = uncounted(back_off_s(claim.interruptions))
        return self._record_trouble(claim, "interrupted", detail, {**change, "interruptions": interruptions})

    def postpone(
        self, claim: Claim, code: str, detail: str, *, held_s: float = 0.0, retry_after_s: float | None = None
    ) -> ShotRecord:
        """Report that the storage, the database or a stage was not available. The attempt does not count.

        The shot is queued again with back-off, until outages have held it up for `max_outage_s`. Then it ends as
        `failed` with `code` and `detail`. `held_s` is how long the worker has waited for the outage's end itself, and
        `retry_after_s` how long whoever is not available asks to wait, in seconds. Raises LeaseLost when the claim no
        longer holds.
        """
        postponed_s = claim.postponed_s + held_s
        wait_s = max(min(max(postponed_s, BACKOFF_S), MAX_BACKOFF_S), retry_after_s or 0.0)
        postponed_s += wait_s
        change = failed(code, detail) if postponed_s > self._max_outage_s else uncounted(wait_s)
        return self._record_trouble(claim, code, detail, {**change, "postponed_s": postponed_s})

    def _record_trouble(self, claim: Claim, code: str, detail: str, change: dict[str, object]) -> ShotRecord:
        log.warning("shot %s attempt %d did not end (%s): %s", claim.shot_id, claim.attempt, code, storable(detail))
        return self._changed(claim, change)

    def _changed(self, claim: Claim, change: dict[str, object]) -> ShotRecord:
        with self._database.write() as connection:
            row = _fenced(connection, claim, **change)
            note_end(connection, row)
            return shot_record(connection, row)

    def release(self, claim: Claim) -> ShotRecord:
        """Queue the shot again without counting this attempt, for a worker that drains.

        Raises LeaseLost when the claim no longer holds.
        """
        with self._database.write() as connection:
            notify(connection, QUEUED)
            row = _fenced(connection, claim, **uncounted(0.0))
            note_end(connection, row)
            return shot_record(connection, row)

    def finish_cancelled(self, claim: Claim) -> ShotRecord:
        """End the shot as `cancelled`. Raises LeaseLost when the claim no longer holds."""
        return self._changed(claim, ended("cancelled"))

    def due_count(self, most: int) -> int:
        """Count the shots that a worker could claim now. It counts to `most` at most, so that it is always cheap."""
        with self._database.read() as connection:
            return due_count(connection, most)

    def census(self) -> Census:
        """Count the waiting lines anew."""
        with self._database.read() as connection:
            return take_census(connection)

    def pending_device_s(
        self, engine: str | None = None, /, *, row_step_s: float, picture_s: float
    ) -> dict[Priority, float]:
        """Return how many seconds one device would need for all the work that waits, by priority.

        `row_step_s` is a device's time for one row-step, and `picture_s` its time to begin and decode one picture, both
        in seconds. `engine` counts only the work of that engine. Rows of running catalogues count before they become
        shots. Running shots do not count.
        """
        with self._database.read() as connection:
            lines = pending(connection)
        waiting = by_priority({line: work for line, work in lines.items() if engine in (None, line[1])})
        return {priority: work.pictures * picture_s + work.row_steps * row_step_s for priority, work in waiting.items()}

    def load(self, since_seq: int | None = None) -> QueueLoad:
        """Return the load of shots that are queued, that run, and that were accepted after `since_seq`.

        Catalogues' rows that have not become shots count as waiting.

        `since_seq` is the `last_seq` of an earlier result. With None, no shot counts as arrived.
        """
        with self._database.read() as connection:
            last_seq = int(connection.execute(select(func.coalesce(func.max(shot.c.seq), 0))).scalar_one())
            waiting = pending(connection)
            rows = connection.execute(load_query(last_seq if since_seq is None else since_seq)).all()
        return load_of(waiting, rows, last_seq)

    def counts(self) -> dict[Status, int]:
        """Count the shots of all tenants by status. Every status has an entry."""
        with self._database.read() as connection:
            rows = connection.execute(select(shot.c.status, func.count()).group_by(shot.c.status)).all()
        found: dict[Status, int] = {row[0]: row[1] for row in rows}
        return {status: found.get(status, 0) for status in STATUSES}


def _fenced(connection: Connection, claim: Claim, **values: object) -> Row[Any]:
    """Update the claimed row and return it. Raises LeaseLost when the claim no longer holds."""
    held = and_(shot.c.id == claim.shot_id, shot.c.epoch == claim.epoch, shot.c.status == "running")
    values.setdefault("version", shot.c.version + 1)
    row = connection.execute(update(shot).where(held).values(values).returning(*shot.c)).first()
    if row is None:
        raise LeaseLost(
            "lease_lost",
            f"epoch {claim.epoch} of {claim.shot_id} is no longer valid: another worker claimed the shot, or it ended; "
            "discard this attempt's results",
        )
    if "status" in values:
        notify(connection, CHANGED)
    return row
