"""Gauges of the store for Prometheus: who waits for how long, and the connections of this process."""

from __future__ import annotations

from sqlalchemy import QueuePool, Select, func, select

from packshot.meter import Sample
from packshot.store.schema import Now, shot
from packshot.store.store import Store

MAX_SERIES = 100
"""Pairs of priority and tenant with a series of their own. Those whose oldest shot waits longest come first."""


def queue_gauges(store: Store) -> list[Sample]:
    """Read the queue's gauges: the waiting shots, and for each priority and tenant their number and greatest age."""
    with store.database.read() as connection:
        rows = connection.execute(_waiting()).all()
        waiting = connection.execute(select(func.count()).where(shot.c.status == "queued")).scalar_one()
    samples = [Sample("packshot_shots_queued", {}, float(waiting))]
    for row in rows:
        labels = {"priority": row.priority, "tenant": row.tenant_id}
        samples.append(Sample("packshot_queue_shots", labels, float(row.shots)))
        samples.append(Sample("packshot_queue_oldest_seconds", labels, max(0.0, float(row.age_s))))
    return samples


def _waiting() -> Select[tuple[str, str, int, float]]:
    oldest = func.min(shot.c.created_at)
    return (
        select(shot.c.priority, shot.c.tenant_id, func.count().label("shots"), (Now() - oldest).label("age_s"))
        .where(shot.c.status == "queued")
        .group_by(shot.c.priority, shot.c.tenant_id)
        .order_by(oldest)
        .limit(MAX_SERIES)
    )


def connection_gauges(store: Store) -> list[Sample]:
    """The connections that this process holds open to the database, used and idle."""
    pool = store.database.engine.pool
    assert isinstance(pool, QueuePool), "SQLAlchemy's pool for files and servers"
    counts = {"used": pool.checkedout(), "idle": pool.checkedin()}
    return [Sample("packshot_database_connections", {"state": state}, float(n)) for state, n in counts.items()]
