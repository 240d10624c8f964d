"""The clusters that work on one database: which of them may claim shots, and that all serve one pack.

During an upgrade two clusters share the database. The new one is in standby: its directors and producers claim nothing
until its first client call has come, or the other one is gone. Every director writes its cluster's row at each poll.
"""

from __future__ import annotations

from sqlalchemy import delete, func, select, update

from packshot.errors import BadInput
from packshot.store.database import Database, insert
from packshot.store.schema import Now, cluster

SEEN_FOR_S = 30.0
"""Seconds after its last sign for which a cluster counts as present."""


class Clusters:
    """The rows of clusters. `cluster_id` names a cluster, as long as it lives; `pack` is what it serves."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def join(self, cluster_id: str, pack: str) -> None:
        """Write that the cluster is present. Raises BadInput `bad_usage` when another one serves another pack."""
        with self._database.write() as connection:
            others = select(cluster.c.id, cluster.c.pack, (Now() - cluster.c.seen_at).label("ago_s")).where(
                cluster.c.id != cluster_id, cluster.c.pack != pack, cluster.c.seen_at > Now() - SEEN_FOR_S
            )
            other = connection.execute(others).first()
            if other is not None:
                raise BadInput(
                    "bad_usage",
                    f"clusters on one database must serve one pack, this one serves {pack!r}, but {other.id}, seen "
                    f"{other.ago_s:.0f} s ago, serves {other.pack!r}; stop that cluster and wait {SEEN_FOR_S:.0f} s, "
                    "or set PACKSHOT_DATABASE_URL to a database of this cluster's own",
                )
            row = insert(connection, cluster).values(id=cluster_id, pack=pack, seen_at=Now())
            present = {"pack": pack, "seen_at": Now()}
            connection.execute(row.on_conflict_do_update(index_elements=[cluster.c.id], set_=present))

    def is_active(self, cluster_id: str, pack: str) -> bool:
        """Write that the cluster is present, and return whether it may claim shots without a client's call.

        It may from its first `activate`, or when no other active cluster is present.
        """
        others = (
            select(func.count())
            .where(cluster.c.id != cluster_id, cluster.c.active_at.is_not(None))
            .where(cluster.c.seen_at > Now() - SEEN_FOR_S)
        )
        with self._database.write() as connection:
            row = insert(connection, cluster).values(id=cluster_id, pack=pack, seen_at=Now())
            present = {"pack": pack, "seen_at": Now()}
            connection.execute(row.on_conflict_do_update(index_elements=[cluster.c.id], set_=present))
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

    def activate(self, cluster_id: str, pack: str) -> None:
        """Write that clients call the cluster, so that it may claim shots."""
        with self._database.write() as connection:
            now = {"pack": pack, "seen_at": Now(), "active_at": Now()}
            row = insert(connection, cluster).values(id=cluster_id, **now)
            connection.execute(row.on_conflict_do_update(index_elements=[cluster.c.id], set_=now))

    def leave(self, cluster_id: str) -> None:
        """Remove the cluster's row, for a director that stops. If other directors of it go on, they write it again."""
        with self._database.write() as connection:
            connection.execute(delete(cluster).where(cluster.c.id == cluster_id))
