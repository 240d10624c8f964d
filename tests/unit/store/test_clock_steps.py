"""The database's clock steps back by an hour, as when somebody corrects it: what waits and what runs goes on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from packshot.contract.webhooks import ImageReviewed
from packshot.settings import Settings
from packshot.shots import Director
from packshot.store.database import open_engine
from packshot.store.migrate import migrate
from packshot.store.outbox import publish
from packshot.store.snapshots import Snapshot
from packshot.store.store import Store
from tests.quick_stages import QuickStages
from tests.unit.store.postgres_server import new_database
from tests.unit.store.store_rows import add_shots, claim

HOUR_S = 3600.0
NAME = "clock_steps"
CLOCK = f"""
CREATE SCHEMA stepped;
CREATE TABLE stepped.clock AS SELECT 0.0::float8 AS step_s;
CREATE FUNCTION stepped.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql AS
    'SELECT pg_catalog.clock_timestamp() + make_interval(secs => step_s) FROM stepped.clock';
ALTER DATABASE {NAME} SET search_path = stepped, pg_catalog, public
"""
"""The clock that our statements find before the server's own."""


@pytest.fixture
def stepped_url(postgres_url: str) -> Iterator[str]:
    url = new_database(postgres_url, NAME)
    migrate(url)
    run(url, CLOCK)
    yield url
    own = make_url(postgres_url).render_as_string(hide_password=False)
    engine = open_engine(own).execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {NAME} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture
def stepped(stepped_url: str, tmp_path: Path) -> Iterator[Store]:
    store = Store.from_settings(settings_of(stepped_url, tmp_path))
    yield store
    store.close()


def settings_of(url: str, home: Path) -> Settings:
    return Settings(home=home, database_url=url, lease_s=30.0, heartbeat_s=0.1)


def run(url: str, statement: str) -> None:
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def step_back(store: Store) -> None:
    with store.database.write() as connection:
        connection.execute(text(f"UPDATE stepped.clock SET step_s = step_s - {HOUR_S}"))


async def test_waiting_and_running_shots_go_on(stepped: Store, tmp_path: Path) -> None:
    tenant = stepped.tenants.local()
    shots = add_shots(stepped, tenant, 4)
    released = claim(stepped, "drained")
    stages = QuickStages(held=True)
    director = Director(stepped, stages, settings_of(stepped.database.url, tmp_path), worker="w")
    running = asyncio.create_task(director.run_next())
    while not stages.waiting:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    stepped.queue.release(released)
    step_back(stepped)
    assert stepped.queue.due_count(9) == 3  # nobody claims the running one for a second time
    stages.let_go.set()
    await running
    for _ in range(3):
        assert await director.run_next() is not None
    ended = [stepped.shots.get(tenant.id, shot) for shot in shots]
    assert [(shot.status, shot.attempt, len(shot.images)) for shot in ended] == [("done", 1, 1)] * 4


def test_a_shared_value_is_computed_again(stepped: Store) -> None:
    """Else the autoscaler would see the load of before the step for an hour."""
    stepped.snapshots.shared("load", 10.0, lambda before: "before the step")
    step_back(stepped)
    assert stepped.snapshots.shared("load", 10.0, lambda before: "after it") == Snapshot("after it", 0.0)
    assert stepped.snapshots.shared("load", 10.0, lambda before: "too early") is not None


def test_events_of_webhooks_are_sent_in_their_order(stepped: Store) -> None:
    """Also those of a webhook that a sender has taken, and given back, before the step."""
    tenant = stepped.tenants.local()
    stepped.webhooks.add(tenant.id, "https://receiver.example/hook", ["image.reviewed"])
    for n in range(3):
        told = ImageReviewed(id=f"im_{n}", url=f"/v1/images/im_{n}", shot_id="sh", version=1, state="approved")
        with stepped.database.write() as connection:
            publish(connection, tenant.id, told)
        if n == 0:
            taken = stepped.outbound.take()
            assert taken is not None
            stepped.outbound.record(taken, taken.messages[0], status=200, error=None, duration_ms=1.0)
            stepped.outbound.release(taken)
    step_back(stepped)
    batch = stepped.outbound.take()
    assert batch is not None
    assert [json.loads(message.body)["data"]["id"] for message in batch.messages] == ["im_1", "im_2"]
    assert stepped.outbound.take() is None  # its sender has it
