"""The deployment `understand` sleeps until a shot needs a product's geometry, and then answers from its cache."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import ray
from ray import serve

from cluster.render import APPLICATION
from deployments.ray_support.serve_stages import ServeStages
from packshot.errors import NotFound
from packshot.settings import Settings
from packshot.shots import LayoutFiles, Understood
from packshot.shots.layout import find_layout
from packshot.store.store import Store
from tests.specs import spec_of

Answer = TypeVar("Answer")
LIMIT_S = 180.0
"""A replica starts in a few seconds on an idle machine."""


@pytest.fixture(scope="module")
def layout(home: Path, cup: dict[str, Any]) -> Iterator[LayoutFiles]:
    """The cup twice, as a shot's layers."""
    store = Store.from_settings(Settings(home=home))
    try:
        yield find_layout(store, store.tenants.local().id, spec_of(cup["id"], cup["id"]))
    finally:
        store.close()


def asked(home: Path, ask: Callable[[ServeStages], Awaitable[Answer]], *, sees_scenes: bool = False) -> Answer:
    """What the flow's stages answer, over handles of this process."""

    async def call() -> Answer:
        finisher, understander, canny, encoder = (
            serve.get_deployment_handle(name, app_name=APPLICATION)
            for name in ("finisher", "understand", "canny", "reference_encoder")
        )
        return await ask(
            ServeStages(Settings(home=home), finisher, understander, canny, {}, encoder, sees_scenes=sees_scenes)
        )

    return asyncio.run(asyncio.wait_for(call(), LIMIT_S))


def understand(home: Path, layout: LayoutFiles) -> Understood:
    return asked(home, lambda stages: stages.understand(layout))


def asset_of(home: Path, image_id: str) -> str:
    with closing(Store.from_settings(Settings(home=home))) as store:
        return store.images.get(store.tenants.local().id, image_id).asset_key


@pytest.mark.timeout(4 * LIMIT_S)
def test_products_are_understood_by_a_replica_that_slept_and_may_die(
    home: Path,
    layout: LayoutFiles,
    http: httpx.Client,
    shot_of: Callable[..., dict[str, Any]],
    finished: Callable[..., list[dict[str, Any]]],
    replica_pids: Callable[[], dict[str, list[int]]],
) -> None:
    awake = replica_pids().get("understand", [])  # another test may have woken it
    (plain,) = finished([http.post("/v1/shots", json=shot_of()).json()["id"]])
    assert plain["status"] == "done"
    assert set(replica_pids().get("understand", [])) <= set(awake), "a shot that needs no geometry wakes nobody"
    first = understand(home, layout)
    assert isinstance(first.products, ray.ObjectRef), "the maps stay in Ray's store"
    products = ray.get(first.products)
    assert [one.material for one in products] == list(first.materials)
    assert len(products) == 2
    assert products[0].geometry.depth.max() == 1
    assert products[0].pose == "upright"
    picture = plain["images"][0]["url"].rpartition("/")[2]
    key = asset_of(home, picture)
    assert asked(home, lambda stages: stages.scene_depth(key), sees_scenes=True) is None, "mini knows products alone"
    (pid,) = replica_pids()["understand"]
    os.kill(pid, signal.SIGKILL)
    again = ray.get(understand(home, layout).products)
    assert (again[0].geometry.normals == products[0].geometry.normals).all()
    lost = replace(layout.layers[0].cutout, photo_key="x/0", mask_key="x/1", cutout_key="x/2")
    with pytest.raises(NotFound):
        understand(home, LayoutFiles(layout.canvas, (replace(layout.layers[0], cutout=lost),)))
