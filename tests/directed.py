"""An API without a cluster whose shots a director runs, with stages that paint no scene of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from packshot.shots import Director
from tests.api_graph import Api
from tests.unit.shots.painter import Painter

__all__ = ["Directed", "directed"]


class Directed:
    """A server, and the director that works in a thread. `hold` keeps work running until `let_go`."""

    def __init__(self, api: Api, painter: Painter) -> None:
        self.api = api
        self.url = api.url
        self._painter = painter
        self._loop = asyncio.new_event_loop()
        self._director = Director(api.store, painter, api.settings, worker="w")
        self._stopped = False
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._work()))
        self._thread.start()

    async def _work(self) -> None:
        while not self._stopped:
            if await self._director.run_next() is None:
                await asyncio.sleep(0.05)

    def hold(self) -> None:
        self._loop.call_soon_threadsafe(self._painter.let_go.clear)

    def let_go(self) -> None:
        self._loop.call_soon_threadsafe(self._painter.let_go.set)

    def stop(self) -> None:
        self._stopped = True
        self.let_go()
        self._thread.join()
        self._loop.close()


@contextmanager
def directed(api: Api, painter: Painter | None = None) -> Iterator[Directed]:
    """Run the shots of `api` with `painter`; by default each scene is grey."""
    at_work = Directed(api, painter or Painter(api.store))
    try:
        yield at_work
    finally:
        at_work.stop()
