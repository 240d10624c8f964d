"""The deployment `reference_encoder` embeds a style's pictures, and keeps the vectors in Ray's store."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import serve

from cluster.render import APPLICATION
from deployments.ray_support.serve_stages import ServeStages
from packshot.contract.style import Reference
from packshot.errors import NotFound
from packshot.references import References
from packshot.settings import Settings
from packshot.shots.pictures import PictureFile, find_pictures
from packshot.store.store import Store

LIMIT_S = 180.0
"""A replica starts in a few seconds on an idle machine."""


@pytest.fixture(scope="module")
def file(home: Path, coffee: dict[str, Any]) -> Iterator[PictureFile]:
    store = Store.from_settings(Settings(home=home))
    try:
        yield find_pictures(store, store.tenants.local().id, [Reference(coffee["id"])])[0]
    finally:
        store.close()


def references(home: Path, *files: PictureFile) -> Any:
    """What the flow's stage answers, over handles of this process."""

    async def ask() -> Any:
        finisher, understander, canny, encoder = (
            serve.get_deployment_handle(name, app_name=APPLICATION)
            for name in ("finisher", "understand", "canny", "reference_encoder")
        )
        stages = ServeStages(Settings(home=home), finisher, understander, canny, {}, encoder)
        return await stages.references(files, 0.5, "mini")

    return asyncio.run(asyncio.wait_for(ask(), LIMIT_S))


@pytest.mark.timeout(2 * LIMIT_S)
def test_pictures_are_embedded_by_a_replica_that_slept(home: Path, file: PictureFile) -> None:
    found = references(home, replace(file, weight=0.5), replace(file, weight=0.5))
    assert isinstance(found, ray.ObjectRef), "the vectors stay in Ray's store"
    read: References = ray.get(found)
    assert read.strength == 0.5
    assert [one.embedding.shape for one in read.pictures if one.embedding is not None] == [(256,), (256,)]
    with pytest.raises(NotFound):
        references(home, PictureFile("photos/none", 1.0))
