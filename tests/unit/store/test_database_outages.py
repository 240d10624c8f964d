"""A PostgreSQL server that is stopped, restarts or has few connections: calls end in time and recover by themselves.

SIGSTOP is the worst outage: connections stay open, the kernel accepts new ones, and nobody answers.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path

import httpx
import psycopg
import pytest
from sqlalchemy import text

from deployments.director import DIRECTOR_CONNECTIONS
from packshot.errors import StorageFull, Unavailable
from packshot.settings import Settings
from packshot.shots import Director, director
from packshot.store.migrate import migrate
from packshot.store.store import Store
from tests.api_graph import running
from tests.debian_tools import missing
from tests.quick_stages import QuickStages, direct_the_rest
from tests.receiver import wait_until
from tests.unit.store.postgres_server import NoPostgres, down, empty, hanging, postgres_server
from tests.unit.store.store_rows import add_shots, new_image

REQUESTS = 64
"""As many at once as a gateway has threads and database connections for, several times."""


@pytest.fixture(scope="module")
def own_server() -> Iterator[str]:
    """A server that these tests may stop, with 100 connections."""
    try:
        with postgres_server(max_connections=100) as url:
            migrate(url)
            yield url
    except NoPostgres as reason:
        missing("postgres", str(reason))


@pytest.fixture
def own_settings(own_server: str, tmp_path: Path) -> Settings:
    empty(own_server)
    return Settings(home=tmp_path, database_url=own_server, lease_s=1.0, heartbeat_s=0.1)


@pytest.fixture
def own_store(own_settings: Settings) -> Iterator[Store]:
    store = Store.from_settings(own_settings)
    yield store
    store.close()


@pytest.mark.parametrize(
    ("outage", "within_s"),
    [
        (hanging, 60.0),  # beside other tests: before the outage ends, however little of the processor there is
        pytest.param(hanging, 5.0, marks=pytest.mark.soak),
        pytest.param(down, 5.0, marks=pytest.mark.soak),
    ],
)
def test_http_requests_get_503_while_the_database_is_away(
    own_server: str, tmp_path: Path, outage: Callable[[str], AbstractContextManager[None]], within_s: float
) -> None:
    empty(own_server)
    with running(tmp_path, database_url=own_server) as api:
        assert api.http.get("/v1/shots").status_code == 200

        def get(number: int) -> tuple[float, httpx.Response]:
            began = time.monotonic()
            answer = api.http.get("/v1/shots")
            return time.monotonic() - began, answer

        with ThreadPoolExecutor(REQUESTS) as clients, outage(own_server):
            found = list(clients.map(get, range(REQUESTS)))
        assert {(answer.status_code, answer.json()["code"]) for _, answer in found} == {(503, "not_ready")}
        assert all(answer.headers["retry-after"] for _, answer in found)
        took = [took_s for took_s, _ in found]
        assert max(took) < within_s, took
        wait_until(lambda: get(0)[1].status_code == 200)


def test_a_statement_that_a_stopped_server_left_unanswered_ends(own_server: str, own_settings: Settings) -> None:
    store = Store.from_settings(own_settings.model_copy(update={"database_statement_timeout_s": 1.5}))
    errors: list[Unavailable] = []
    sleeping = threading.Event()

    def sleep() -> None:
        try:
            with store.database.read() as connection:
                connection.execute(text("SELECT 1"))
                sleeping.set()
                connection.execute(text("SELECT pg_sleep(60)"))
        except Unavailable as error:
            errors.append(error)

    try:
        caller = threading.Thread(target=sleep)
        caller.start()
        sleeping.wait()
        with hanging(own_server):
            caller.join()  # it ends before the outage does
        assert [error.code for error in errors] == ["not_ready"]
    finally:
        store.close()
    with closing(Store.from_settings(own_settings)) as patient:
        patient.queue.counts()


def test_a_server_that_takes_connections_and_does_not_answer_on_them_is_unavailable(
    own_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a PgBouncer whose server connections are all in use: the pool gives up after a second new connection."""

    def no_answer(connection: object) -> bool:
        raise psycopg.OperationalError("no answer")

    own_store.queue.counts()
    with monkeypatch.context() as patch:
        patch.setattr(own_store.database.engine.dialect, "do_ping", no_answer)
        with pytest.raises(Unavailable) as refused:
            own_store.queue.counts()
    assert refused.value.code == "not_ready"
    own_store.queue.counts()


def test_a_statement_that_takes_too_long_is_cancelled_at_the_server(own_store: Store, own_settings: Settings) -> None:
    hasty = Store.from_settings(own_settings.model_copy(update={"database_statement_timeout_s": 0.5}))
    sleeping = text("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(300)'")

    def has_ended() -> bool:
        with own_store.database.read() as connection:
            return connection.execute(sleeping).scalar_one() == 0

    with closing(hasty):
        with pytest.raises(Unavailable), hasty.database.read() as connection:
            connection.execute(text("SELECT pg_sleep(300)"))
        wait_until(has_ended)


@pytest.mark.parametrize(
    ("stopped_s", "changes"),
    [
        (3.0, {}),
        pytest.param(
            60.0, {**DIRECTOR_CONNECTIONS, "lease_s": 30.0}, marks=[pytest.mark.soak, pytest.mark.timeout(300)]
        ),
    ],
    ids=["three-leases", "a-minute"],
)
async def test_shots_outlive_a_server_that_is_stopped_longer_than_their_lease(
    own_server: str,
    own_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    stopped_s: float,
    changes: dict[str, float],
) -> None:
    monkeypatch.setattr(director, "PROGRESS_EVERY_S", 0.05)
    settings = own_settings.model_copy(update=changes)
    with ExitStack() as stack:
        stores = [stack.enter_context(closing(Store.from_settings(settings))) for _ in range(4)]
        tenant = stores[0].tenants.local()
        shots = add_shots(stores[0], tenant, 4)
        stages = QuickStages(held=True)
        directors = [Director(store, stages, settings, worker=f"w{n}") for n, store in enumerate(stores)]
        runs = [asyncio.create_task(one.run_next()) for one in directors]
        while stages.waiting < 4:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        with hanging(own_server):
            stages.let_go.set()
            await asyncio.sleep(stopped_s)
        await asyncio.gather(*runs)
        await direct_the_rest(directors, stores[0], shots)
        await asyncio.get_running_loop().shutdown_default_executor()  # last heartbeats, before their stores close
        ended = [stores[0].shots.get(tenant.id, shot) for shot in shots]
    assert [(shot.status, shot.attempt, len(shot.images)) for shot in ended] == [("done", 1, 1)] * 4


async def test_shots_outlive_a_server_that_takes_a_second_for_each_write(
    own_settings: Settings, own_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each write of a shot takes as long as its lease."""
    monkeypatch.setattr(director, "PROGRESS_EVERY_S", 0.05)
    shots = add_shots(own_store, own_store.tenants.local(), 2)
    with own_store.database.write() as connection:
        connection.execute(text(SLOW_WRITES))
    try:
        directors = [Director(own_store, QuickStages(0.3), own_settings, worker=f"w{n}") for n in range(2)]
        await direct_the_rest(directors, own_store, shots)
    finally:
        with own_store.database.write() as connection:
            connection.execute(text("DROP TRIGGER slow ON shot"))
    tenant = own_store.tenants.local().id
    ended = [own_store.shots.get(tenant, shot) for shot in shots]
    assert [(shot.status, shot.attempt, len(shot.images)) for shot in ended] == [("done", 1, 1)] * 2


SLOW_WRITES = """
CREATE OR REPLACE FUNCTION slow() RETURNS trigger AS $$ BEGIN PERFORM pg_sleep(1); RETURN NEW; END $$ LANGUAGE plpgsql;
CREATE TRIGGER slow BEFORE UPDATE ON shot FOR EACH ROW EXECUTE FUNCTION slow()
"""


@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [("53100", StorageFull), ("25006", Unavailable), ("57P03", Unavailable), ("40001", Unavailable)],
)
def test_a_server_whose_disk_is_full_or_that_takes_no_writes_is_an_outage(
    own_store: Store, sqlstate: str, kind: type[Exception]
) -> None:
    raised = f"DO $$ BEGIN RAISE EXCEPTION 'as the server says it' USING ERRCODE = '{sqlstate}'; END $$"
    with pytest.raises(kind), own_store.database.write() as connection:
        connection.execute(text(raised))
    own_store.queue.counts()


@pytest.mark.soak
def test_sixty_four_directors_share_a_hundred_connections(own_store: Store, own_settings: Settings) -> None:
    tenant = own_store.tenants.local()
    shots = add_shots(own_store, tenant, 100)
    limits = {**DIRECTOR_CONNECTIONS, "lease_s": 120.0}
    stores = [Store.from_settings(own_settings.model_copy(update=limits)) for _ in range(64)]
    together = threading.Barrier(64)

    def direct(store: Store) -> int:
        """Run shots as a director does: two at a time, with heartbeats."""
        together.wait()
        with ThreadPoolExecutor(2) as pair:
            return sum(pair.map(run_all, [store, store]))

    def run_all(store: Store) -> int:
        count = 0
        while (mine := store.queue.claim("w")) is not None:
            store.queue.heartbeat(mine, step=1, steps=4)
            count += store.queue.commit(mine, [new_image()]).status == "done"
        return count

    try:
        with ThreadPoolExecutor(64) as directors:
            done = sum(directors.map(direct, stores))
        while (mine := own_store.queue.claim("w")) is not None:  # a director found every free row locked
            done += own_store.queue.commit(mine, [new_image()]).status == "done"
    finally:
        for store in stores:
            store.close()
    assert done == len(shots)


def test_a_restart_of_the_server_is_not_noticed_by_the_next_call(own_server: str, own_store: Store) -> None:
    own_store.queue.counts()
    with own_store.database.write() as connection:
        connection.execute(text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"))
    ends = text("SELECT pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(Unavailable), own_store.database.read() as connection:
        connection.execute(ends)
    own_store.queue.counts()
