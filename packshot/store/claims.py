"""Shots as workers see them: claim under a lease, heartbeat, and one fenced end.

Every change names the claim's epoch: a worker whose shot was claimed again changes nothing and hears LeaseLost. Leases
are kept by the database's clock. A lease that runs out counts as a possible crash and not as an attempt.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Row, Update, and_, case, func, or_, select, update

from packshot.contract.shot_spec import ShotSpec
from packshot.errors import LeaseLost
from packshot.store.backlog import backlog_of, backlog_query
from packshot.store.database import moment, new_id
from packshot.store.line import claimable, line
from packshot.store.records import Backlog, Claim, NewImage, ShotRecord
from packshot.store.schema import Now, image, shot
from packshot.store.shots import Shots, shot_records

MAX_CRASHES = 2
"""The first may have been a neighbour's fault; the second came while the shot ran alone."""

BACKOFF_S = 2.0
"""Wait before the second attempt; four times longer before each further one."""

log = logging.getLogger(__name__)


class Claims(Shots):
    """The worker's side of a shot."""

    def claim(self, worker: str) -> Claim | None:
        """Take the next shot in line under a lease of `settings.lease_s`; None when nothing is due."""
        while True:
            with self.write() as connection:
                row = connection.execute(_claim_next(worker, self.settings.lease_s)).first()
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
                )
            log.warning("shot %s ended %s: its worker's lease ran out", row.id, row.status)  # look for the next

    def heartbeat(self, claim: Claim, *, step: int, steps: int, preview_version: int | None = None) -> bool:
        """Extend the lease and report progress; True when somebody wishes to cancel. Raises LeaseLost."""
        preview = shot.c.preview_version if preview_version is None else preview_version
        moved = or_(shot.c.step != step, shot.c.steps != steps, shot.c.preview_version != preview)
        with self.write() as connection:
            row = _fenced(
                connection,
                claim,
                lease_until=Now() + self.settings.lease_s,
                step=step,
                steps=steps,
                preview_version=preview,
                version=case((moved, shot.c.version + 1), else_=shot.c.version),
            )
        return bool(row.cancel_requested)

    def commit(self, claim: Claim, images: Sequence[NewImage]) -> ShotRecord:
        """End the shot `done` with its images: all of it or nothing, once. Again with the same claim changes nothing.

        A shot that somebody asked to cancel before this transaction ends `cancelled` and keeps no image. Whoever asks later
        waits for the transaction and gets Conflict `already_finished`. Raises LeaseLost, StorageFull.
        """
        if len({new.index for new in images}) != len(images):
            raise ValueError(f"image indexes must differ, got {[new.index for new in images]}")
        files = self._put_all(new.png for new in images)
        keys = [self.assets.key_of(new.png, ".png") for new in images]
        with self.write() as connection:
            try:
                row = _fenced(connection, claim, **_committed())
            except LeaseLost:
                ended = shot.c.status.in_(("done", "cancelled"))
                own = and_(shot.c.id == claim.shot_id, shot.c.epoch == claim.epoch, ended)
                done = connection.execute(select(shot).where(own)).first()
                if done is None:
                    raise
                return shot_records(connection, [done])[0]
            if row.status == "cancelled":  # the files that nobody holds are left to the sweep
                return shot_records(connection, [row])[0]
            self._hold(connection, keys, files)
            for new, key in zip(images, keys, strict=True):
                values = {
                    "id": new_id("im"),
                    "tenant_id": claim.tenant,
                    "shot_id": claim.shot_id,
                    "index": new.index,
                    "seed": new.seed,
                    "width": new.width,
                    "height": new.height,
                    "asset_key": key,
                    "verdict": new.verdict.to_json(),
                    "recipe": new.recipe.to_json(),
                    "created_at": Now(),
                }
                connection.execute(image.insert().values(values))
            return shot_records(connection, [row])[0]

    def fail(self, claim: Claim, code: str, detail: str, *, retryable: bool, crashed: bool = False) -> ShotRecord:
        """Report a failed attempt: queued again with back-off while tries are left, else `failed` with `code`.

        `crashed`: a replica died under it; that is retryable once, the second ends it as `engine_crash`. A shot that
        somebody wished to cancel ends `cancelled`. Raises LeaseLost.
        """
        crashes = claim.crashes + int(crashed)
        if crashed and crashes >= MAX_CRASHES:
            code, again = "engine_crash", False
        else:
            again = (retryable or crashed) and claim.attempt < self.settings.max_attempts
        detail = detail.replace("\x00", "").encode("utf-8", "replace").decode()  # it may quote anything
        log.warning("shot %s attempt %d failed (%s): %s", claim.shot_id, claim.attempt, code, detail)
        if again:
            change = _requeued(due_at=Now() + BACKOFF_S * 4 ** (claim.attempt - 1))
        else:
            change = _ended(case((shot.c.cancel_requested, "cancelled"), else_="failed"))
            change["error_code"] = case((shot.c.cancel_requested, None), else_=code)
            change["error_detail"] = case((shot.c.cancel_requested, None), else_=detail)
        with self.write() as connection:
            return shot_records(connection, [_fenced(connection, claim, **change, crashes=crashes)])[0]

    def release(self, claim: Claim) -> ShotRecord:
        """Return the shot to the line, this attempt uncounted: for a worker that drains. Raises LeaseLost."""
        change = _requeued(due_at=Now())
        with self.write() as connection:
            return shot_records(connection, [_fenced(connection, claim, **change, attempt=shot.c.attempt - 1)])[0]

    def finish_cancelled(self, claim: Claim) -> ShotRecord:
        """End the shot `cancelled`. Raises LeaseLost."""
        with self.write() as connection:
            return shot_records(connection, [_fenced(connection, claim, **_ended("cancelled"))])[0]

    def due_count(self) -> int:
        """Shots that a worker could claim now."""
        with self.read() as connection:
            return int(connection.execute(select(func.count()).where(claimable(shot))).scalar_one())

    def backlog(self, since_seq: int | None = None) -> Backlog:
        """Load that waits, runs, and was accepted after `since_seq` (a `last_seq` of before; None: nothing has arrived)."""
        with self.read() as connection:
            last_seq = int(connection.execute(select(func.coalesce(func.max(shot.c.seq), 0))).scalar_one())
            rows = connection.execute(backlog_query(last_seq if since_seq is None else since_seq)).all()
        return backlog_of(list(rows), last_seq)

    def next_due_s(self) -> float | None:
        """Seconds until the next shot can be claimed: 0 = now, None = nothing waits or runs."""
        due_at = case((shot.c.status == "queued", shot.c.due_at), else_=shot.c.lease_until)
        query = select(func.min(due_at) - Now()).where(shot.c.status.in_(("queued", "running")))
        with self.read() as connection:
            wait_s = connection.execute(query).scalar_one()
        return None if wait_s is None else max(0.0, float(wait_s))


@cache  # a worker asks with the same words each time
def _claim_next(worker: str, lease_s: float) -> Update:
    """One statement: pick, lock, fence. A shot whose lease ran out may end here instead, cancelled or as a crash."""
    candidate, waiting = shot.alias("candidate"), line()
    pick = (
        select(candidate.c.seq)
        .join(waiting, waiting.c.seq == candidate.c.seq)
        .where(claimable(candidate))  # checked again under the row's lock
        .order_by(waiting.c.position)
        .limit(1)
        .with_for_update(of=candidate, skip_locked=True)
        .scalar_subquery()
    )
    expired = shot.c.status == "running"
    cancelled = and_(expired, shot.c.cancel_requested)
    crashed = and_(expired, ~shot.c.cancel_requested, shot.c.crashes + 1 >= MAX_CRASHES)
    ends = or_(cancelled, crashed)
    why = f"the worker died {MAX_CRASHES} times while it ran this shot; make it smaller, or report it with its id"
    return (
        update(shot)
        .where(shot.c.seq == pick)
        .values(
            status=case((cancelled, "cancelled"), (crashed, "failed"), else_="running"),
            attempt=case((expired, shot.c.attempt), else_=shot.c.attempt + 1),
            crashes=case((expired, shot.c.crashes + 1), else_=shot.c.crashes),
            epoch=shot.c.epoch + 1,
            version=shot.c.version + 1,
            worker=case((ends, None), else_=worker),
            lease_until=case((ends, None), else_=Now() + lease_s),
            claimed_at=Now(),
            started_at=func.coalesce(shot.c.started_at, Now()),
            finished_at=case((ends, Now()), else_=None),
            step=0,
            preview_version=0,
            error_code=case((crashed, "engine_crash"), else_=None),
            error_detail=case((crashed, why), else_=None),
        )
        .returning(*shot.c)
    )


def _fenced(connection: Connection, claim: Claim, **values: Any) -> Row[Any]:
    """Change the claimed row, if the claim still holds. Raises LeaseLost."""
    ours = and_(shot.c.id == claim.shot_id, shot.c.epoch == claim.epoch, shot.c.status == "running")
    values.setdefault("version", shot.c.version + 1)
    row = connection.execute(update(shot).where(ours).values(values).returning(*shot.c)).first()
    if row is None:
        raise LeaseLost(
            "lease_lost", f"epoch {claim.epoch} of {claim.shot_id} must be the row's; another holds or ended it"
        )
    return row


def _ended(status: Any) -> dict[str, Any]:
    return {"status": status, "finished_at": Now(), "worker": None, "lease_until": None}


def _committed() -> dict[str, Any]:
    """The end of a shot whose pictures are ready. The row itself decides whether a cancel came first."""
    cancelled = shot.c.cancel_requested
    return {
        **_ended(case((cancelled, "cancelled"), else_="done")),
        "step": case((cancelled, shot.c.step), else_=shot.c.steps),
    }


def _requeued(due_at: Any) -> dict[str, Any]:
    """Back to the line; a shot that somebody wished to cancel ends instead."""
    return {
        "status": case((shot.c.cancel_requested, "cancelled"), else_="queued"),
        "finished_at": case((shot.c.cancel_requested, Now()), else_=None),
        "due_at": due_at,
        "worker": None,
        "lease_until": None,
        "step": 0,
    }
