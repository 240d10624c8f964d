"""Gauges of the store for Prometheus: who waits for how long, and the connections of this process."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import QueuePool, select

from packshot.meter import Sample
from packshot.store.census import MAX_AGE_S, read_census
from packshot.store.schema import Now, shot
from packshot.store.snapshots import LOAD, read_snapshot
from packshot.store.store import Store

MAX_SERIES = 100
"""Pairs of priority and tenant with a series of their own. Those whose oldest shot waits longest come first."""


def queue_gauges(store: Store, generators: Mapping[str, str] | None = None) -> list[Sample]:
    """Read the queue's gauges: the waiting shots, and for each priority and tenant their number and greatest age.

    `generators` maps each engine to the deployment that paints with it. Engines have gauges where directors report.

    A long queue is not counted again: the cluster's census of it is up to a minute old (packshot/store/census.py).
    """
    with store.database.read() as connection:
        tenants = read_census(connection).tenants
        lines = {(kind, name): line for name, one in tenants.items() for kind, line in one.lines.items()}
        # Without a join: `seq` grows with `created_at`, so the first ones of all lines are the oldest.
        oldest = sorted((line.marks[0], key) for key, line in lines.items() if line.marks)[:MAX_SERIES]
        firsts = select(shot.c.seq, Now() - shot.c.created_at).where(shot.c.seq.in_([seq for seq, _ in oldest]))
        age_s = {row[0]: float(row[1]) for row in connection.execute(firsts)}
        load = read_snapshot(connection, LOAD, MAX_AGE_S)
    samples = [Sample("packshot_shots_queued", {}, float(sum(line.count for line in lines.values())))]
    for seq, (priority, tenant) in oldest:
        labels = {"priority": priority, "tenant": tenant}
        samples.append(Sample("packshot_queue_shots", labels, float(lines[priority, tenant].count)))
        samples.append(Sample("packshot_queue_oldest_seconds", labels, max(0.0, age_s.get(seq, 0.0))))
    return samples + _engines({} if load is None else load["report"], generators or {})


def _engines(report: Mapping[str, float], generators: Mapping[str, str]) -> list[Sample]:
    """The waiting shots of each engine in the directors' report: of served engines, and of others that have some."""
    waiting = dict.fromkeys(generators, 0.0)
    for key, value in report.items():
        name, _, engine = key.partition("@")
        if engine and name.endswith("_waiting_shots") and (value or engine in waiting):
            waiting[engine] = waiting.get(engine, 0.0) + value
    return [
        Sample("packshot_engine_shots", {"engine": engine, "generator": generators.get(engine, "")}, value)
        for engine, value in waiting.items()
    ]


def connection_gauges(store: Store) -> list[Sample]:
    """The connections that this process holds open to the database, used and idle."""
    pool = store.database.engine.pool
    assert isinstance(pool, QueuePool), "SQLAlchemy's pool for files and servers"
    counts = {"used": pool.checkedout(), "idle": pool.checkedin()}
    return [Sample("packshot_database_connections", {"state": state}, float(n)) for state, n in counts.items()]
