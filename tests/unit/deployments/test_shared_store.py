"""A cluster of several machines on SQLite or local assets is refused before anything starts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deployments.ray_support.shared_store import machines, require_shared_store
from graphs.product_shot import Args, app
from packshot.errors import BadInput
from packshot.settings import Settings


def node(address: str, cpus: float = 4.0, alive: bool = True) -> dict[str, Any]:
    return {"NodeManagerAddress": address, "Alive": alive, "Resources": {"CPU": cpus} if cpus else {}}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A Ray cluster with these nodes."""

    def of(*nodes: dict[str, Any]) -> None:
        monkeypatch.setattr("ray.is_initialized", lambda: True)
        monkeypatch.setattr("ray.nodes", lambda: list(nodes))

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
def test_machines_are_addresses_that_may_hold_replicas(nodes: list[dict[str, Any]], count: int) -> None:
    assert machines(nodes) == count


def test_the_application_is_not_built_where_each_node_would_keep_a_store_of_its_own(
    cluster: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PACKSHOT_HOME", str(tmp_path))
    cluster(node("10.0.0.1"), node("10.0.0.2"))
    with pytest.raises(BadInput, match=r"2 nodes.*got a SQLite file; set PACKSHOT_DATABASE_URL"):
        app(Args())
    monkeypatch.setenv("PACKSHOT_DATABASE_URL", "postgresql://db/packshot")
    with pytest.raises(BadInput, match="set PACKSHOT_ASSETS_URL"):
        app(Args())
    monkeypatch.setenv("PACKSHOT_ASSETS_URL", "s3://bucket/packshot")
    app(Args())


def test_one_machine_may_keep_its_store_to_itself(cluster: Callable[..., None], tmp_path: Path) -> None:
    require_shared_store(Settings(home=tmp_path))  # no Ray
    cluster(node("127.0.0.1"), node("127.0.0.1"))
    require_shared_store(Settings(home=tmp_path))
