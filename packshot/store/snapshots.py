"""Snapshots: values that one process computes for all of them, so that their cost does not grow with the processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, and_, select, update

from packshot.store.database import Database, insert
from packshot.store.schema import Now, snapshot

LOAD = "load"
"""The snapshot of the directors' report (packshot/shots/load_report.py)."""

LEASE_S = 15.0
"""For how long one process may compute a value. When it dies, another one takes over after that time."""


class Snapshot(NamedTuple):
    """A value of JSON types, and its age in seconds by the database's clock."""

    value: Any
    age_s: float


class Snapshots:
    """Keeps the newest snapshot of each name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def shared(self, name: str, every_s: float, compute: Callable[[Snapshot | None], Any]) -> Snapshot | None:
        """Return the newest snapshot, and take a new one when it is older than `every_s` seconds.

        Of the processes that ask at the same time, one calls `compute` with the snapshot before; the others get that
        snapshot. Returns None before the first value. What `compute` raises is raised, and a later call tries again.
        """
        with self._database.read() as connection:
            found = _read(connection, name)
        before = None if found is None or found.taken_at == 0 else Snapshot(found.value, max(0.0, found.age_s))
        if found is not None and (0 <= found.age_s < every_s or found.held):
            return before
        if not self._hold(name, every_s):
            return before
        value = compute(before)
        self.put(name, value)
        return Snapshot(value, 0.0)

    def put(self, name: str, value: Any) -> None:
        """Keep `value` as the newest snapshot of that name."""
        with self._database.write() as connection:
            new = {"value": value, "taken_at": Now(), "lease_until": 0.0}
            statement = insert(connection, snapshot).values(name=name, **new)
            connection.execute(statement.on_conflict_do_update(index_elements=[snapshot.c.name], set_=new))

    def _hold(self, name: str, every_s: float) -> bool:
        """Take the lease on the next value. Returns False when another process was faster."""
        with self._database.write() as connection:
            empty = insert(connection, snapshot).values(name=name, value=None, taken_at=0.0, lease_until=0.0)
            connection.execute(empty.on_conflict_do_nothing(index_elements=[snapshot.c.name]))
            # One from the future was taken before the clock was set back: else nobody would compute until it is over.
            age_s = Now() - snapshot.c.taken_at
            due = and_(~age_s.between(0, every_s), ~_held())
            held = update(snapshot).where(snapshot.c.name == name, due).values(lease_until=Now() + LEASE_S)
            return connection.execute(held).rowcount == 1


def read_snapshot(connection: Connection, name: str, max_age_s: float) -> Any:
    """Return the value of the newest snapshot, or None when there is none as new as `max_age_s` seconds."""
    found = _read(connection, name)
    return None if found is None or found.age_s > max_age_s else found.value


def _read(connection: Connection, name: str) -> Row[Any] | None:
    age_s = (Now() - snapshot.c.taken_at).label("age_s")
    return connection.execute(select(snapshot, age_s, _held().label("held")).where(snapshot.c.name == name)).first()


def _held() -> ColumnElement[bool]:
    """Whether a process computes the value now."""
    return (snapshot.c.lease_until - Now()).between(0, LEASE_S)
