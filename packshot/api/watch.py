"""One look at the store for all who wait for shots: event streams and held answers of this process."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from anyio import to_thread

from packshot.api.graph import Graph
from packshot.store.records import ShotRecord
from packshot.store.shots import Shots

LOOK_EVERY_S = 0.25
"""Seconds between looks. An end that this process hears of is looked at at once; another end waits half as long."""


class Watch:
    """Looks at the store as long as anybody waits, once for all of them. Use it from one event loop."""

    def __init__(self, shots: Shots, graph: Graph) -> None:
        self._shots = shots
        self._graph = graph
        self._asked: list[tuple[str, Collection[str], asyncio.Future[list[ShotRecord]]]] = []
        self._looking: asyncio.Task[None] | None = None

    async def next(self, tenant_id: str, shot_ids: Collection[str]) -> list[ShotRecord]:
        """The shots as the next look finds them, in that order, without those that are missing or another tenant's.

        Raises what the store raises.
        """
        answer: asyncio.Future[list[ShotRecord]] = asyncio.get_running_loop().create_future()
        self._asked.append((tenant_id, shot_ids, answer))
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return await answer

    async def _look(self) -> None:
        while self._asked:
            await self._graph.wait_for_any_completion(LOOK_EVERY_S)
            asked = [one for one in self._asked if not one[2].done()]  # who has left is not looked for
            self._asked = []
            try:
                wanted = [(tenant, one) for tenant, ids, _ in asked for one in ids]
                found = await to_thread.run_sync(self._shots.watch, wanted)
            except Exception as error:  # noqa: BLE001 - it is told to all who waited for this look
                for _, _, answer in asked:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            for tenant, ids, answer in asked:
                if not answer.done():
                    answer.set_result([found[tenant, one] for one in ids if (tenant, one) in found])
