"""PostgreSQL tells listeners of shots that wait or change; a lost connection is opened again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from packshot.api.watch import Watch
from packshot.settings import Settings
from packshot.store import notifications
from packshot.store.notifications import CHANGED, QUEUED, Channel, listen
from packshot.store.records import Tenant
from packshot.store.store import Store
from tests.unit.store.store_rows import add_shots, claim, new_image

pytestmark = [pytest.mark.asyncio, pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)]

LONG_S = 120.0


class Heard:
    """A listener of one channel, while the `with` block runs."""

    def __init__(self, settings: Settings, channel: Channel) -> None:
        self._settings, self._channel = settings, channel
        self._event = asyncio.Event()

    async def __aenter__(self) -> Heard:
        self._task = asyncio.create_task(listen(self._settings, self._channel, self._event.set))
        await self.next()  # it is connected
        return self

    async def __aexit__(self, *error: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def next(self) -> None:
        async with asyncio.timeout(LONG_S):
            await self._event.wait()
        self._event.clear()


async def test_a_shot_that_waits_is_told(store: Store, settings: Settings, tenant: Tenant) -> None:
    async with Heard(settings, QUEUED) as heard:
        add_shots(store, tenant, 1)
        await heard.next()
        store.queue.release(claim(store))
        await heard.next()


async def test_each_change_that_a_watcher_sees_is_told(store: Store, settings: Settings, tenant: Tenant) -> None:
    first, second = add_shots(store, tenant, 2)
    async with Heard(settings, CHANGED) as heard:
        mine = claim(store)
        await heard.next()
        assert store.queue.commit(mine, [new_image()]).id == first
        await heard.next()
        store.shots.cancel(tenant.id, second)
        await heard.next()


async def test_a_listener_connects_again(
    store: Store, settings: Settings, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "RETRY_S", 0.01)
    async with Heard(settings, QUEUED) as heard:
        with store.database.write() as connection:
            ended = connection.execute(
                text("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'")
            ).scalar_one()
        assert ended >= 1  # the server may not have ended that of an earlier test yet
        await heard.next()  # it is connected again
        add_shots(store, tenant, 1)
        await heard.next()


async def test_a_watcher_hears_before_its_poll(
    store: Store, settings: Settings, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent:
        async def wait_for_any_completion(self, timeout_s: float) -> None:
            await asyncio.sleep(3600)

    graph: Any = Silent()
    connected = asyncio.Event()

    async def told(woken: Callable[[], None]) -> None:
        def heard() -> None:
            woken()
            connected.set()

        await listen(settings, CHANGED, heard)

    (shot_id,) = add_shots(store, tenant, 1)
    watch = Watch(store.shots, graph, told)
    async with asyncio.timeout(LONG_S):
        (seen,) = await watch.next(tenant.id, [shot_id])  # woken by the connection itself
        assert seen.status == "queued"
        waits = asyncio.create_task(watch.next(tenant.id, [shot_id]))
        await asyncio.sleep(0)
        store.shots.cancel(tenant.id, shot_id)
        (seen,) = await waits
    assert seen.status == "cancelled"
    assert connected.is_set()


async def test_nothing_listens_where_the_operator_forbids_it(settings: Settings) -> None:
    async with asyncio.timeout(LONG_S):
        await listen(settings.model_copy(update={"database_listen": False}), QUEUED, lambda: None)
        sqlite = settings.model_copy(update={"database_url": ""})
        await listen(sqlite, QUEUED, lambda: None)
