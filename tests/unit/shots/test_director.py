"""A claimed shot is run and committed once. Cancellations, lost leases, crashes and errors end as the store defines."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from packshot.contract.light import Shadow
from packshot.contract.shot_spec import Background, ShotSpec
from packshot.errors import EngineCrashed, EngineFailed
from packshot.imaging.codec import read_png
from packshot.settings import Settings
from packshot.shots import Director, Finished, Painted, Prepared
from packshot.store.store import Store
from tests.specs import STAMP
from tests.unit.shots.painter import Painter, accepted, expire_leases, make_due, now


async def test_a_shot_becomes_its_images(store: Store, settings: Settings, spec_for: Callable[..., ShotSpec]) -> None:
    shot = accepted(store, spec_for())
    director = Director(store, Painter(store), settings, worker="w")
    assert await director.run_next() == shot
    assert await director.run_next() is None
    done = now(store, shot)
    assert done.status == "done"
    assert [(image.index, image.seed) for image in done.images] == [(0, 5), (1, 6)]
    assert done.images[0].recipe.engine == STAMP
    assert done.images[0].recipe.timing_ms["steps"] == 12.3
    assert done.images[0].recipe.timing_ms["finish"] > 0
    assert done.images[0].recipe.spec.seed == 5
    picture = read_png(store.assets.get(done.images[0].asset_key))
    assert picture.shape == (128, 128, 3)
    assert (picture[0, 0] == 90).all()
    assert director.running == 0


async def test_each_picture_has_its_own_preview(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stages finish only when both previews are written, so that no timing decides."""
    written: list[str] = []
    both = asyncio.Event()
    put_at = store.assets.put_at
    loop = asyncio.get_running_loop()

    def put(key: str, data: bytes) -> None:
        put_at(key, data)
        written.append(key)
        if len(written) == 2:
            loop.call_soon_threadsafe(both.set)

    class Waiting(Painter):
        async def finish(self, prepared: Prepared, painted: Painted, spec: ShotSpec, products: Any = None) -> Finished:
            await both.wait()
            return await super().finish(prepared, painted, spec)

    monkeypatch.setattr(store.assets, "put_at", put)
    shot = accepted(store, spec_for())
    assert await Director(store, Waiting(store), settings, worker="w").run_next() == shot
    assert sorted(written) == [f"previews/{shot}-1.png", f"previews/{shot}.png"]
    assert read_png(store.assets.get(written[0])).shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("background", "corner"), [("white", [255] * 3), ("#102030", [16, 32, 48]), ("transparent", [0] * 4)]
)
async def test_a_plain_background_asks_no_engine(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec], background: str, corner: list[int]
) -> None:
    shot = accepted(store, spec_for(background=Background(background), shadow=Shadow("none"), images=1))
    painter = Painter(store)
    await Director(store, painter, settings, worker="w").run_next()
    done = now(store, shot)
    assert painter.alone == []
    picture = read_png(store.assets.get(done.images[0].asset_key))
    assert picture[0, 0, -1:].tolist() == corner[-1:]
    assert picture.shape[2] == len(corner)


async def test_a_product_that_covers_the_canvas_asks_no_engine_and_warns(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec]
) -> None:
    layer = replace(spec_for().layers[0], scale=4.0)
    shot = accepted(store, spec_for(layers=(layer,)))
    painter = Painter(store)
    await Director(store, painter, settings, worker="w").run_next()
    done = now(store, shot)
    assert (painter.alone, done.status, len(done.images)) == ([], "done", 2)
    levels = {row.check: row.level for row in done.images[0].verdict.findings}
    assert levels["scene"] == levels["product"] == levels["frame"] == "warning"


async def test_the_engines_findings_are_in_the_verdict(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec]
) -> None:
    shot = accepted(store, spec_for(images=1))
    await Director(store, Painter(store), settings, worker="w").run_next()
    assert now(store, shot).images[0].verdict.findings[-1].detail == "read"


async def test_a_cancelled_shot_closes_its_paintings_and_ends_cancelled(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec]
) -> None:
    shot = accepted(store, spec_for())
    painter = Painter(store, held=True)
    run = asyncio.create_task(Director(store, painter, settings, worker="w").run_next())
    await painter.started.wait()
    store.shots.cancel(store.tenants.local().id, shot)
    await run
    assert now(store, shot).status == "cancelled"
    assert painter.closed == 2


async def test_a_worker_that_lost_its_lease_changes_nothing(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec]
) -> None:
    shot = accepted(store, spec_for())
    slow, quick = Painter(store, held=True), Painter(store)
    first = asyncio.create_task(Director(store, slow, settings, worker="slow").run_next())
    await slow.started.wait()
    assert store.queue.claim("other") is None  # the lease holds
    expire_leases(store)
    assert await Director(store, quick, settings, worker="quick").run_next() == shot
    slow.let_go.set()
    await first
    done = now(store, shot)
    assert done.status == "done"
    assert len(done.images) == 2


async def test_after_a_crash_the_shot_runs_alone_and_a_second_crash_ends_it(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec]
) -> None:
    shot = accepted(store, spec_for(images=1))
    painter = Painter(store, faults=[EngineCrashed("replica died"), EngineCrashed("replica died")])
    director = Director(store, painter, settings, worker="w")
    await director.run_next()
    assert now(store, shot).status == "queued"
    make_due(store)
    await director.run_next()
    failed = now(store, shot)
    assert painter.alone == [False, True]
    assert (failed.status, failed.error_code) == ("failed", "engine_crash")


async def test_a_permanent_fault_fails_at_once_with_its_code(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec]
) -> None:
    shot = accepted(store, spec_for(images=1))
    await Director(store, Painter(store, faults=[EngineFailed("engine_nan", "NaN")]), settings, worker="w").run_next()
    assert now(store, shot).error_code == "engine_nan"


async def test_a_fault_of_ours_is_tried_again(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec]
) -> None:
    shot = accepted(store, spec_for(images=1))
    director = Director(store, Painter(store, faults=[ZeroDivisionError()]), settings, worker="w")
    await director.run_next()
    assert now(store, shot).status == "queued"
    make_due(store)
    await director.run_next()
    assert now(store, shot).status == "done"


async def test_a_fault_of_ours_keeps_its_cause_from_the_client(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec]
) -> None:
    shot = accepted(store, spec_for(images=1))
    faults = [RuntimeError("/srv/secret/path") for _ in range(settings.max_attempts)]
    director = Director(store, Painter(store, faults=faults), settings, worker="w")
    for _ in faults:
        await director.run_next()
        make_due(store)
    failed = now(store, shot)
    assert (failed.status, failed.error_code) == ("failed", "internal")
    assert "secret" not in (failed.error_detail or "")


async def test_a_shot_over_its_time_fails_with_timeout(
    store: Store, tmp_path: Path, spec_for: Callable[..., ShotSpec]
) -> None:
    shot = accepted(store, spec_for(images=1))
    settings = Settings(home=tmp_path, shot_timeout_s=0.2)
    await Director(store, Painter(store, held=True), settings, worker="w").run_next()
    assert now(store, shot).error_code == "timeout"


async def test_a_director_told_to_go_returns_its_shots_uncounted(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec]
) -> None:
    shot = accepted(store, spec_for(images=1))
    painter = Painter(store, held=True)
    director = Director(store, painter, settings, worker="w")
    run = asyncio.create_task(director.run_next())
    await painter.started.wait()
    director.release_all()
    assert (now(store, shot).status, now(store, shot).attempt) == ("queued", 0)
    painter.let_go.set()
    await run
    assert now(store, shot).status == "queued"


async def test_a_cancelled_call_returns_its_shot(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec]
) -> None:
    shot = accepted(store, spec_for(images=1))
    painter = Painter(store, held=True)
    run = asyncio.create_task(Director(store, painter, settings, worker="w").run_next())
    await painter.started.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert now(store, shot).status == "queued"
