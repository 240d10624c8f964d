"""Two clusters on one database: the new one stands by until clients call it or the old one is gone."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from packshot.errors import BadInput
from packshot.store.clusters import SEEN_FOR_S
from packshot.store.schema import Now, cluster
from packshot.store.store import Store

OLD, NEW = ("session_old", ("mini",)), ("session_new", ("mini",))


def fall_silent(store: Store, cluster_id: str) -> None:
    """Let the cluster's last sign be too long ago."""
    with store.database.write() as connection:
        silent = update(cluster).where(cluster.c.id == cluster_id)
        connection.execute(silent.values(seen_at=Now() - SEEN_FOR_S - 1))


def test_the_only_cluster_is_active_at_once(store: Store) -> None:
    assert not store.clusters.may_produce(OLD[0])  # its directors have not come
    store.clusters.join(*OLD)
    assert store.clusters.is_active(*OLD)
    assert store.clusters.may_produce(OLD[0])


def test_a_second_cluster_stands_by_until_clients_call_it(store: Store) -> None:
    store.clusters.join(*OLD)
    assert store.clusters.is_active(*OLD)
    store.clusters.join(*NEW)
    assert not store.clusters.is_active(*NEW)
    assert not store.clusters.is_active(*NEW)
    assert not store.clusters.may_produce(NEW[0])
    store.clusters.activate(*NEW)
    assert store.clusters.is_active(*NEW)
    assert store.clusters.may_produce(NEW[0])
    assert store.clusters.is_active(*OLD)  # it finishes what waits there, until it is deleted


def test_a_second_cluster_takes_over_when_the_first_one_leaves_or_falls_silent(store: Store) -> None:
    for end in (store.clusters.leave, lambda cluster_id: fall_silent(store, cluster_id)):
        store.clusters.activate(*OLD)
        assert not store.clusters.is_active(*NEW)
        end(OLD[0])
        assert store.clusters.is_active(*NEW)
        store.clusters.leave(NEW[0])
        store.clusters.leave(OLD[0])


def test_another_pack_is_refused_beside_a_cluster_of_an_earlier_version(store: Store) -> None:
    """Its code paints every shot with its only pack, whatever engine the shot names."""
    store.clusters.join(*OLD)
    with store.database.write() as connection:
        connection.execute(update(cluster).values(engines=None))  # as that code writes it
    for engines in (("sd15",), ("mini", "sd15")):
        with pytest.raises(BadInput, match=r"serves '(mini,)?sd15', but session_old.*PACKSHOT_DATABASE_URL"):
            store.clusters.join("session_new", engines)
    store.clusters.join(*NEW)
    store.clusters.leave("session_new")
    fall_silent(store, "session_old")
    store.clusters.join("session_new", ("mini", "sd15"))


def test_clusters_may_serve_different_engines_and_know_which_are_elsewhere(store: Store) -> None:
    store.clusters.join(*OLD)
    store.clusters.join("session_new", ("sd15", "mini"))
    assert store.clusters.elsewhere(("mini",)) == {"sd15"}
    assert store.clusters.elsewhere(("mini", "sd15")) == frozenset()
    fall_silent(store, "session_new")
    assert store.clusters.elsewhere(("mini",)) == frozenset()
