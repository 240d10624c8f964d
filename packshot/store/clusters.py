"""The clusters that work on one database: which of them may claim shots, and which engines each of them serves.

During an upgrade two clusters share the database. The new one is in standby: its directors and producers claim nothing
until its first client call has come, or the other one is gone. Every director writes its cluster's row at each poll.

Two clusters may serve different engines, for example while an upgrade adds one. A director leaves the shots of an
engine that only the other cluster serves to that one. Code of before 0023 would paint every shot with its only pack, so
beside such a cluster this one must serve that pack alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, select, update

from packshot.errors import BadInput
from packshot.store.database import Database, insert
from packshot.store.schema import Now, cluster

SEEN_FOR_S = 30.0
"""Seconds after its last sign for which a cluster counts as present."""


class Clusters:
    """The rows of clusters. `cluster_id` names a cluster, as long as it lives; `engines` are those that it serves."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def join(self, cluster_id: str, engines: Sequence[str]) -> None:
        """Write that the cluster is present.

        Raises BadInput `bad_usage` when another one has code of before 0023, and another pack or this one several.
        """
        served = _names(engines)
        with self._database.write() as connection:
            others = select(cluster.c.id, cluster.c.pack, (Now() - cluster.c.seen_at).label("ago_s")).where(
                cluster.c.id != cluster_id,
                cluster.c.pack != served,
                cluster.c.engines.is_(None),
                cluster.c.seen_at > Now() - SEEN_FOR_S,
            )
            other = connection.execute(others).first()
            if other is not None:
                raise BadInput(
                    "bad_usage",
                    f"beside a cluster of an earlier version, clusters on one database must serve one pack, this one "
                    f"serves {served!r}, but {other.id}, seen {other.ago_s:.0f} s ago, serves {other.pack!r}; stop "
                    f"that cluster and wait {SEEN_FOR_S:.0f} s, or set PACKSHOT_DATABASE_URL to a database of this "
                    "cluster's own",
                )
            _put(connection, cluster_id, engines)

    def elsewhere(self, engines: Sequence[str]) -> frozenset[str]:
        """The engines that are not among these, but that another present cluster serves."""
        query = select(cluster.c.engines).where(cluster.c.seen_at > Now() - SEEN_FOR_S, cluster.c.engines.is_not(None))
        with self._database.read() as connection:
            others = connection.execute(query).scalars().all()
        return frozenset(name for names in others for name in names.split(",")) - set(engines)

    def is_active(self, cluster_id: str, engines: Sequence[str]) -> bool:
        """Write that the cluster is present, and return whether it may claim shots without a client's call.

        It may from its first `activate`, or when no other active cluster is present.
        """
        others = (
            select(func.count())
            .where(cluster.c.id != cluster_id, cluster.c.active_at.is_not(None))
            .where(cluster.c.seen_at > Now() - SEEN_FOR_S)
        )
        with self._database.write() as connection:
            _put(connection, cluster_id, engines)
            mine = select(cluster.c.active_at).where(cluster.c.id == cluster_id)
            if connection.execute(mine).scalar_one() is not None:
                return True
            if connection.execute(others).scalar_one():
                return False
            connection.execute(update(cluster).where(cluster.c.id == cluster_id).values(active_at=Now()))
            connection.execute(delete(cluster).where(cluster.c.seen_at < Now() - 10 * SEEN_FOR_S))
            return True

    def may_produce(self, cluster_id: str) -> bool:
        """Return whether the cluster is active. Nothing is written: its directors say that it is present."""
        query = select(cluster.c.active_at).where(cluster.c.id == cluster_id)
        with self._database.read() as connection:
            return connection.execute(query).scalar() is not None

    def activate(self, cluster_id: str, engines: Sequence[str]) -> None:
        """Write that clients call the cluster, so that it may claim shots."""
        with self._database.write() as connection:
            _put(connection, cluster_id, engines, active_at=Now())

    def leave(self, cluster_id: str) -> None:
        """Remove the cluster's row, for a director that stops. If other directors of it go on, they write it again."""
        with self._database.write() as connection:
            connection.execute(delete(cluster).where(cluster.c.id == cluster_id))


def _put(connection: Connection, cluster_id: str, engines: Sequence[str], **more: object) -> None:
    """Insert or update the cluster's row."""
    present = {"pack": _names(engines), "engines": _names(engines), "seen_at": Now(), **more}
    row = insert(connection, cluster).values(id=cluster_id, **present)
    connection.execute(row.on_conflict_do_update(index_elements=[cluster.c.id], set_=present))


def _names(engines: Sequence[str]) -> str:
    """The names in one text, in an order that does not depend on which engine is the default."""
    return ",".join(sorted(engines))
