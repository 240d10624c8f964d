"""Three engines in a real Serve: each has its own generators, which sleep until its shots wake them.

A director runs in this process, with the real store, over the handles of the real stages. The other deployments are
left out, so that it starts soon.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from ray import serve
from ray.serve.handle import DeploymentHandle

from cluster.local import ENVIRONMENT, environment
from cluster.private_ray import bind_to_loopback, private_environment, ray_folder
from deployments.canny import CannyDeployment
from deployments.finisher import FinisherDeployment
from deployments.generator import GeneratorDeployment
from deployments.ray_support.decorated import as_deployment
from deployments.ray_support.serve_stages import ServeStages
from packshot.contract.shot_spec import Canvas, LayerSpec
from packshot.imaging.codec import encode_bilevel_png, encode_png
from packshot.models.packs.served import Served
from packshot.settings import Settings
from packshot.shots import Director
from packshot.store.records import NewMask
from packshot.store.store import Store
from tests.specs import spec_of
from tests.tiny_pack import SIZE_PX, build_tiny_pack

SERVED = Served(("tiny-a", "tiny-b", "tiny-c"), "tiny-a")
ASLEEP = {"min_replicas": 0, "max_replicas": 1, "target_ongoing_requests": 4}
LIMIT_S = 300.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    for seed, name in enumerate(SERVED.engines):
        build_tiny_pack(tmp_path / "packs" / name, seed=seed)
    return Settings(home=tmp_path / "home", pack_path=str(tmp_path / "packs"))


@pytest.fixture
def stages(settings: Settings) -> Iterator[ServeStages]:
    """The stages of shots in a Serve of their own: a finisher, canny, and generators of three engines that sleep."""
    folder = ray_folder()
    variables = {"PACKSHOT_HOME": str(settings.home), "PACKSHOT_PACK_PATH": settings.pack_path}
    with environment({**ENVIRONMENT, **private_environment(folder), **variables, "PACKSHOT_DEVICE": "cpu"}):
        bind_to_loopback()
        options: dict[str, Any] = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
        ray.init(address="local", num_cpus=2, _temp_dir=str(folder / "ray"), log_to_driver=False, **options)
        try:

            def run(deployment: object, name: str, *args: object, **options: Any) -> DeploymentHandle[Any]:
                bound = as_deployment(deployment).options(name=name, **options).bind(*args)
                return serve.run(bound, name=name, route_prefix=None)

            finisher = run(FinisherDeployment, "finisher", "tiny-a")
            canny = run(CannyDeployment, "canny")
            cheap = {"autoscaling_config": ASLEEP, "ray_actor_options": {"num_cpus": 0.1}}
            generators = {
                pack: run(GeneratorDeployment, name, pack, 1, **cheap) for pack, name in SERVED.generators.items()
            }
            yield ServeStages(settings, finisher, finisher, canny, generators, finisher)
        finally:
            serve.shutdown()
            ray.shutdown()


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    store = Store.from_settings(settings)
    yield store
    store.close()


def running() -> set[str]:
    """The generators that have a replica."""
    return {
        name
        for name in SERVED.generators.values()
        for replicas in serve.status().applications[name].deployments[name].replica_states.items()
        if replicas == ("RUNNING", 1)
    }


async def shots_of_three_engines(stages: ServeStages, store: Store, settings: Settings) -> None:
    """Many shots of one engine, and one of each other engine: these do not wait for the first engine's to end."""
    tenant = store.tenants.local().id
    pixels = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    photo = store.photos.add(
        tenant, png=encode_png(pixels), width=80, height=60, format="png", bytes=1, sha256="0" * 64
    )
    mask = np.zeros((60, 80), np.uint8)
    mask[10:50, 20:60] = 255
    (kept,) = store.masks.add(tenant, photo.id, [NewMask(0.9, 1600, (20, 10, 60, 50), encode_bilevel_png(mask))])

    def accepted(engine: str, **changes: Any) -> str:
        layers = (LayerSpec(mask_id=kept.id, scale=0.5),)
        spec = spec_of(canvas=Canvas(SIZE_PX, SIZE_PX), layers=layers, prompt="table", engine=engine, **changes)
        return store.shots.add(tenant, spec)[0].id

    async def end_of(run: asyncio.Task[str | None], shot: str) -> None:
        assert await asyncio.wait_for(run, LIMIT_S) == shot
        ended = store.shots.get(tenant, shot)
        assert ended.status == "done", (ended.error_code, ended.error_detail)

    director = Director(store, stages, settings, worker="w", places=6, engines=SERVED.engines)
    busy = [accepted("tiny-a", steps=40, seed=seed) for seed in range(8)]
    first, last = accepted("tiny-b"), accepted("tiny-c")
    runs = [asyncio.create_task(director.run_next()) for _ in range(2)]
    await end_of(runs[1], first)  # the first of the busy ones has the only place that its engine has while it sleeps
    assert "generator-tiny-c" not in running(), "nothing of it was claimed"
    await end_of(runs[0], busy[0])
    assert {"generator", "generator-tiny-b"} <= running()
    runs = [asyncio.create_task(director.run_next()) for _ in range(5)]
    done = {await asyncio.wait_for(run, LIMIT_S) for run in runs}
    assert last in done
    assert len(done & set(busy)) >= 1
    while (shot := await asyncio.wait_for(director.run_next(), LIMIT_S)) is not None:
        done.add(shot)
    assert done - {None} == {*busy[1:], last}
    (made,) = store.shots.get(tenant, last).images
    (other,) = store.shots.get(tenant, first).images
    assert made.recipe.engine is not None
    assert other.recipe.engine is not None
    assert made.recipe.engine.pack["unet"] != other.recipe.engine.pack["unet"], "each with its own pack"


@pytest.mark.soak  # a minute on idle cores
@pytest.mark.timeout(900)
def test_rows_of_three_engines_wake_each_alone_and_none_starves(
    stages: ServeStages, store: Store, settings: Settings
) -> None:
    asyncio.run(shots_of_three_engines(stages, store, settings))
