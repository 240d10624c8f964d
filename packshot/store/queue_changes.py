"""What each change of a shot's state writes into its row: the claim, its end, and its way back into the queue.

These are statements and values alone. queue.py runs them in its transactions.
"""

from __future__ import annotations

from functools import cache

from sqlalchemy import ColumnElement, Update, and_, case, func, or_, select, update

from packshot.contract.status import SHOT_KINDS, ShotKind, Status
from packshot.store.database import storable
from packshot.store.queue_order import Engines, claimable, queue_order
from packshot.store.schema import Now, shot

MAX_INTERRUPTIONS = 20
"""Interruptions that a shot survives: its worker's lease expired, or a replica or node was stopped while it ran."""

BACKOFF_S = 2.0
"""Seconds of back-off before the second attempt. Each further back-off is four times as long."""

MAX_BACKOFF_S = 60.0
"""Longest back-off after an interruption or an outage, in seconds."""

INTERRUPTED = (
    f"a shot may be interrupted {MAX_INTERRUPTIONS} times, this one was interrupted once more: the processes that ran "
    "it were stopped; send it again when the cluster is stable"
)

IS_JOB = shot.c.kind.is_not(None)
"""Whether a row is of another kind than a shot; `ready_at` in the schema says what that changes."""


@cache  # a worker always calls it with the same arguments
def claim_next(
    worker: str,
    lease_s: float,
    dialect: str,
    first: int,
    people_only: bool = False,
    kinds: tuple[ShotKind, ...] = SHOT_KINDS,
    engines: Engines | None = None,
) -> Update:
    """The statement that picks a shot, locks it and raises its epoch.

    It picks among the `first` shots of the queue, except those that other claimers have locked. A shot whose lease has
    expired may not run now. It ends when its cancellation was requested or it has been interrupted too often. From its
    second interruption on, it is queued with back-off, so that workers which die one after the other do not all take
    the same few shots. `people_only` picks no catalogue shot, `kinds` no row of another kind, and `engines` no shot of
    another engine.
    """
    order, candidate = queue_order(dialect, first, first, people_only, kinds, engines), shot.alias("candidate")
    pick = select(order.c.seq, order.c.turn).order_by(order.c.position).limit(1)
    if dialect != "sqlite":  # there nobody else writes meanwhile
        pick = pick.join(candidate, candidate.c.seq == order.c.seq)
        pick = pick.where(claimable(candidate, kinds))  # checked again under the row's lock
        pick = pick.with_for_update(of=candidate, skip_locked=True)
    picked = pick.subquery("picked")
    expired = shot.c.status == "running"
    cancelled = and_(expired, shot.c.cancel_requested)
    interruptions = func.coalesce(shot.c.interruptions, 0) + case((expired, 1), else_=0)
    interrupted = and_(expired, ~shot.c.cancel_requested, interruptions > MAX_INTERRUPTIONS)
    ends = or_(cancelled, interrupted)
    pauses = and_(expired, ~ends, interruptions > 1)
    idle = or_(ends, pauses)
    back_offs = [(interruptions == nth, back_off_s(nth - 1)) for nth in range(2, 8)]
    paused_until = Now() + case(*back_offs, else_=MAX_BACKOFF_S)
    return (
        update(shot)
        .where(shot.c.seq == picked.c.seq)
        .values(
            status=case((cancelled, "cancelled"), (interrupted, "failed"), (pauses, "queued"), else_="running"),
            attempt=case((pauses, shot.c.attempt - 1), (expired, shot.c.attempt), else_=shot.c.attempt + 1),
            due_at=case((and_(pauses, ~IS_JOB), paused_until), else_=shot.c.due_at),
            ready_at=case((~IS_JOB, None), (pauses, paused_until), (ends, None), else_=Now() + lease_s),
            interruptions=interruptions,
            epoch=shot.c.epoch + 1,
            version=shot.c.version + 1,
            worker=case((idle, None), else_=worker),
            lease_until=case((or_(idle, IS_JOB), None), else_=Now() + lease_s),
            claimed_at=case((idle, shot.c.claimed_at), else_=Now()),
            turn=case((idle, shot.c.turn), else_=picked.c.turn),
            started_at=func.coalesce(shot.c.started_at, Now()),
            finished_at=case((ends, Now()), else_=None),
            step=0,
            preview_version=0,
            error_code=case((interrupted, "interrupted"), else_=None),
            error_detail=case((interrupted, INTERRUPTED), else_=None),
        )
        .returning(*shot.c)
    )


def back_off_s(earlier: int) -> float:
    """Seconds of back-off after an interruption with `earlier` ones before it."""
    return min(BACKOFF_S * 2.0**earlier, MAX_BACKOFF_S)


def leased(lease_s: float) -> dict[str, object]:
    """Values that extend the lease by `lease_s` seconds from now."""
    until = Now() + lease_s
    return {"lease_until": case((IS_JOB, None), else_=until), "ready_at": case((IS_JOB, until), else_=None)}


def ended(status: Status | ColumnElement[str]) -> dict[str, object]:
    return {"status": status, "finished_at": Now(), "worker": None, "lease_until": None}


def failed(code: str, detail: str) -> dict[str, object]:
    """Values that end a shot as `failed`, or as `cancelled` when its cancellation was requested."""
    cancelled = shot.c.cancel_requested
    return {
        **ended(case((cancelled, "cancelled"), else_="failed")),
        "error_code": case((cancelled, None), else_=code),
        "error_detail": case((cancelled, None), else_=storable(detail)),
    }


def uncounted(wait_s: float) -> dict[str, object]:
    """Values that queue a shot again after `wait_s` seconds, without counting the attempt. 0 is at once."""
    return {**requeued(Now() + wait_s if wait_s else 0.0), "attempt": shot.c.attempt - 1}


def committed() -> dict[str, object]:
    """Values that end a shot whose images are ready. The row decides whether a cancellation came first."""
    cancelled = shot.c.cancel_requested
    return {
        **ended(case((cancelled, "cancelled"), else_="done")),
        "step": case((cancelled, shot.c.step), else_=shot.c.steps),
    }


def requeued(due_at: ColumnElement[float] | float) -> dict[str, object]:
    """Values that queue a shot again, or end it when its cancellation was requested."""
    return {
        "status": case((shot.c.cancel_requested, "cancelled"), else_="queued"),
        "finished_at": case((shot.c.cancel_requested, Now()), else_=None),
        "due_at": case((IS_JOB, shot.c.due_at), else_=due_at),
        "ready_at": case((IS_JOB, due_at), else_=None),
        "worker": None,
        "lease_until": None,
        "step": 0,
    }
