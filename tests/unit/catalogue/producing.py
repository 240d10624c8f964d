"""A producer under test: the real store, producer and routes over a graph without models, and a director's part.

python -m tests.unit.catalogue.producing DATABASE_URL HOME NAME   # a producer that runs until it is killed
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from prometheus_client import CollectorRegistry

from packshot.api.decoding import LocalDecoder
from packshot.catalogue.producer import Producer
from packshot.delivery.deliver import Delivered
from packshot.settings import Settings
from packshot.shots import DeliveryOrder, Finisher
from packshot.store.catalogue_records import CatalogueRecord
from packshot.store.records import PhotoRecord, Tenant
from packshot.store.store import Store
from packshot.types import Detection
from tests.api_graph import BoxGraph
from tests.unit.store.store_rows import new_image

LEASE_S = 3.0
BOX = [20, 20, 80, 60]


class QuickGraph(BoxGraph):
    """Masks are boxes, and a file for a channel is the picture's key."""

    def __init__(self) -> None:
        super().__init__(CollectorRegistry(), cast(Finisher, None))

    async def deliver(self, order: DeliveryOrder) -> Delivered:
        self.deliveries += 1
        await asyncio.sleep(0.01)
        return Delivered(order.image_key.encode(), "image/jpeg", 8, 8, "jpg")


def settings_of(home: Path, database_url: str = "", **changes: Any) -> Settings:
    (home / "out").mkdir(exist_ok=True)
    return Settings(
        home=home,
        database_url=database_url,
        lease_s=LEASE_S,
        heartbeat_s=0.5,
        poll_s=0.2,
        catalogue_route_urls=(home / "out").as_uri(),
        **changes,
    )


def add_photo(store: Store, tenant: Tenant, name: str = "a") -> PhotoRecord:
    return store.photos.add(
        tenant.id, png=name.encode(), width=120, height=90, format="PNG", bytes=1, sha256=name.ljust(64, "0")
    )


def direct_one(store: Store, *, fails: frozenset[str] = frozenset()) -> bool:
    """Do what a director does with the next shot; one whose SKU is in `fails` fails. Returns whether one was due."""
    claim = store.queue.claim("director")
    if claim is None:
        return False
    sku = store.shots.get(claim.tenant, claim.shot_id).sku
    if sku in fails:
        store.queue.fail(claim, "engine_nan", "not finite", retryable=False)
    else:
        images = [new_image(index, f"{claim.shot_id} {index}".encode()) for index in range(claim.spec.images)]
        store.queue.commit(claim, images)
    return True


async def run_until(
    store: Store,
    settings: Settings,
    over: Callable[[], bool],
    *,
    fails: frozenset[str] = frozenset(),
    shown: Mapping[str, tuple[Detection, ...]] | None = None,
) -> QuickGraph:
    """Run a producer and a director until `over`. `shown` is what the detector finds, by word."""
    graph = QuickGraph()
    graph.shown = dict(shown or {})
    producer = Producer(store, graph, cast(LocalDecoder, None), settings, worker="producer")
    running = asyncio.create_task(producer.forever())
    try:
        async with asyncio.timeout(240):
            while not await asyncio.to_thread(over):
                if not await asyncio.to_thread(direct_one, store, fails=fails):
                    await asyncio.sleep(0.02)
    finally:
        running.cancel()
        producer.release()
    return graph


def state_of(store: Store, record: CatalogueRecord) -> str:
    return store.catalogues.get(record.tenant, record.id).state


async def produce(database_url: str, home: str, name: str) -> None:
    settings = settings_of(Path(home), database_url)
    store = Store.from_settings(settings)
    await Producer(store, QuickGraph(), cast(LocalDecoder, None), settings, worker=name).forever()


if __name__ == "__main__":
    asyncio.run(produce(*sys.argv[1:]))
