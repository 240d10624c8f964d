"""What a director does without being called: it finds shots that wait, hears of new ones, and sweeps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from ray import serve
from sqlalchemy import select, text, update

from deployments.director import DirectorDeployment
from deployments.ray_support.decorated import as_deployment
from packshot.contract.shot_spec import Background
from packshot.settings import Settings
from packshot.store.schema import duty, mask
from packshot.store.store import Store
from tests.debian_tools import missing
from tests.specs import spec_of
from tests.unit.store.postgres_server import NoPostgres, postgres_server

WITHIN_S = 200.0
NEVER_POLLED_S = 600.0
"""A poll's interval that no test outlives: what happens then, a notification has started."""
OTHERS = "others"
STAGES = "finisher", "understand", "canny", "generator", "reference_encoder"
"""Of which a director has a handle, in the order of its arguments."""
PLAIN = spec_of(background=Background("white"), layers=(), priority="interactive")


def wait_until(condition: Callable[[], object], told: Callable[[], object] = lambda: "") -> None:
    give_up_at = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < give_up_at, f"not within {WITHIN_S:g} s: {told()}"
        time.sleep(0.1)


@pytest.fixture
def own_store(url: str, home: Path) -> Iterator[Store]:
    """The cluster's store, as another process opens it. SQLite sends no notifications."""
    with closing(Store.from_settings(Settings(home=home))) as store:
        yield store


def test_the_poll_finds_a_shot_for_which_nobody_calls(own_store: Store) -> None:
    tenant = own_store.tenants.local().id
    shot, _ = own_store.shots.add(tenant, PLAIN)
    wait_until(lambda: own_store.shots.get(tenant, shot.id).status == "done")


def test_one_director_sweeps_when_a_sweep_is_due(own_store: Store, http: httpx.Client, coffee: dict[str, Any]) -> None:
    click = http.post(f"/v1/photos/{coffee['id']}/masks", json={"boxes": [[50, 50, 250, 200]]})
    expired, kept = (one["id"] for one in click.json()["masks"][:2])
    with own_store.database.write() as connection:
        connection.execute(update(mask).where(mask.c.id == expired).values(expires_at=0.0))
        connection.execute(update(duty).where(duty.c.name == "sweep").values(due_at=0.0))
    wait_until(lambda: rows_of(own_store, expired, kept) == [kept])
    assert http.get(f"/v1/masks/{kept}").status_code == 200
    with own_store.database.read() as connection:
        assert connection.execute(select(duty.c.due_at).where(duty.c.name == "sweep")).scalar_one() > time.time()


def rows_of(store: Store, *masks: str) -> list[str]:
    """Those of the masks that still have a row. An expired one answers 404 before it is swept."""
    with store.database.read() as connection:
        return list(connection.execute(select(mask.c.id).where(mask.c.id.in_(masks))).scalars())


@pytest.fixture
def on_postgresql(url: str, tmp_path: Path) -> Iterator[Store]:
    """The store of two directors on PostgreSQL, which use the cluster's other stages and never poll."""
    stages = [serve.get_deployment_handle(name, "packshot") for name in STAGES]
    try:
        with postgres_server() as database_url:
            settings = {"PACKSHOT_HOME": str(tmp_path), "PACKSHOT_DATABASE_URL": database_url}
            directors = as_deployment(DirectorDeployment).options(
                num_replicas=2,
                autoscaling_config=None,
                ray_actor_options={
                    "num_cpus": 0,
                    "runtime_env": {"env_vars": {**settings, "PACKSHOT_POLL_S": str(NEVER_POLLED_S)}},
                },
            )
            with closing(Store.from_settings(Settings(home=tmp_path, database_url=database_url))) as store:
                finisher, understand, canny, generator, references = stages
                others = directors.bind(finisher, understand, canny, {"mini": generator}, references)
                serve.run(others, name=OTHERS, route_prefix=None)
                yield store
                serve.delete(OTHERS)
    except NoPostgres as reason:
        missing("postgres", str(reason))


def test_the_first_director_hears_of_shots_for_all(on_postgresql: Store) -> None:
    store, tenant = on_postgresql, on_postgresql.tenants.local().id
    wait_until(lambda: len(listening(store)) >= 2, lambda: listening(store))
    assert sorted(listening(store)) == ["LISTEN packshot_outbox", "LISTEN packshot_queued"]
    shots = [store.shots.add(tenant, PLAIN)[0].id for _ in range(4)]
    wait_until(lambda: all(store.shots.get(tenant, shot).status == "done" for shot in shots))


def listening(store: Store) -> list[str]:
    """The last statements of connections that wait for notifications."""
    with store.database.read() as connection:
        return list(connection.execute(text("SELECT query FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")).scalars())
