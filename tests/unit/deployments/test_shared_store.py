"""A cluster of several machines on SQLite or local assets is refused before anything starts."""

import pytest

from deployments.ray_support import shared_store
from deployments.ray_support.shared_store import machines, require_shared_store
from graphs.product_shot import Args, app
from packshot.errors import BadInput
from packshot.settings import Settings


def node(address, cpus=4.0, alive=True):
    return {"NodeManagerAddress": address, "Alive": alive, "Resources": {"CPU": cpus} if cpus else {}}


@pytest.fixture
def cluster(monkeypatch):
    """A Ray that knows these nodes."""

    def of(*nodes):
        monkeypatch.setattr(shared_store.ray, "is_initialized", lambda: True)
        monkeypatch.setattr(shared_store.ray, "nodes", lambda: list(nodes))

    return of


@pytest.mark.parametrize(
    ("nodes", "count"),
    [
        ([node("10.0.0.1"), node("10.0.0.2")], 2),
        ([node("10.0.0.1"), node("10.0.0.2", alive=False)], 1),
        ([node("10.0.0.1", cpus=0), node("10.0.0.2")], 1),  # a head without replicas
        ([node("127.0.0.1"), node("127.0.0.1"), node("127.0.0.1")], 1),  # one machine that pretends to be three
    ],
)
def test_machines_are_addresses_that_may_hold_replicas(nodes, count):
    assert machines(nodes) == count


def test_the_application_is_not_built_where_each_node_would_keep_a_store_of_its_own(cluster, monkeypatch, tmp_path):
    monkeypatch.setenv("PACKSHOT_HOME", str(tmp_path))
    cluster(node("10.0.0.1"), node("10.0.0.2"))
    with pytest.raises(BadInput, match=r"2 nodes.*got a SQLite file; set PACKSHOT_DATABASE_URL"):
        app(Args())
    monkeypatch.setenv("PACKSHOT_DATABASE_URL", "postgresql://db/packshot")
    with pytest.raises(BadInput, match="set PACKSHOT_ASSETS_URL"):
        app(Args())
    monkeypatch.setenv("PACKSHOT_ASSETS_URL", "s3://bucket/packshot")
    app(Args())


def test_one_machine_may_keep_its_store_to_itself(cluster, tmp_path):
    require_shared_store(Settings(home=tmp_path))  # no Ray
    cluster(node("127.0.0.1"), node("127.0.0.1"))
    require_shared_store(Settings(home=tmp_path))
