"""A director films clips: one at a time, behind people's pictures, stopped when they are cancelled, retried after a
crash."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image

from packshot.contract.clips import ClipJob
from packshot.contract.shot_spec import Background, ShotSpec
from packshot.errors import EngineCrashed
from packshot.imaging.codec import encode_png
from packshot.settings import Settings
from packshot.shots import Director
from packshot.shots.filming import Filming, filmed_by
from packshot.shots.stages import Filmed, Step
from packshot.store.records import NewJob
from packshot.store.schema import image
from packshot.store.store import Store
from packshot.types import U8, Flat
from tests.unit.shots.painter import Painter, accepted, make_due, now


async def a_picture(store: Store, settings: Settings, spec: ShotSpec) -> str:
    """Finish a shot, and return its picture's id."""
    shot = accepted(store, spec)
    await Director(store, Painter(store), settings, worker="w").run_next()
    return now(store, shot).images[0].id


def order(store: Store, image_id: str, spec: ShotSpec, seconds: float = 1.0) -> str:
    job = ClipJob(image_id, "push_in", seconds, 64, "webp")
    spec = replace(spec, images=1, priority="catalogue")
    new = NewJob("clip", job.to_json(), images=0, steps=job.frames)
    return store.shots.add(store.tenants.local().id, spec, row_steps=0, job=new)[0].id


async def test_a_clip_has_a_step_for_each_frame(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec]
) -> None:
    spec = spec_for(images=1)
    clip_id = order(store, await a_picture(store, settings, spec), spec)
    assert (now(store, clip_id).kind, now(store, clip_id).steps) == ("clip", 24)
    assert await Director(store, Painter(store), settings, worker="w").run_next() == clip_id
    done = now(store, clip_id)
    assert (done.status, done.step, done.steps) == ("done", 24, 24)
    assert done.clip is not None
    file = Image.open(io.BytesIO(store.assets.get(done.clip.asset_key)))
    assert (getattr(file, "n_frames", 1), file.size) == (24, (done.clip.width, done.clip.height))


async def test_the_scene_moves_by_the_pictures_depth_where_the_pack_knows_it(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec]
) -> None:
    """Two clips of one picture differ when the second has a depth, and the picture is looked at once for each."""
    spec = spec_for(images=1)
    picture = await a_picture(store, settings, spec)
    files = []
    for depth in (None, np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64).T):
        stages = Painter(store)
        stages.depth = depth
        clip_id = order(store, picture, spec)
        assert await Director(store, stages, settings, worker="w").run_next() == clip_id
        found = now(store, clip_id).clip
        assert found is not None
        assert stages.seen == [store.images.get(store.tenants.local().id, picture).asset_key]
        files.append(store.assets.get(found.asset_key))
    assert files[0] != files[1]


async def test_a_director_films_one_clip_at_a_time_and_pictures_pass(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec]
) -> None:
    spec = spec_for(images=1)
    picture = await a_picture(store, settings, spec)
    first, second = order(store, picture, spec), order(store, picture, spec)
    stages = Painter(store, held=True)
    director = Director(store, stages, settings, worker="w", places=6)
    filming = asyncio.create_task(director.run_next())
    await stages.started.wait()
    assert await director.run_next() is None  # the second clip waits
    assert now(store, second).status == "queued"
    shot = accepted(store, replace(spec, priority="catalogue", background=Background("white")))
    assert await director.run_next() == shot
    assert (now(store, shot).status, now(store, first).status) == ("done", "running")
    stages.let_go.set()
    await filming
    assert await director.run_next() == second


async def test_a_cancelled_clip_stops_at_a_frame(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec]
) -> None:
    spec = spec_for(images=1)
    clip_id = order(store, await a_picture(store, settings, spec), spec, seconds=8.0)
    stages = Painter(store, held=True)
    running = asyncio.create_task(Director(store, stages, settings, worker="w").run_next())
    await stages.started.wait()
    store.shots.cancel(store.tenants.local().id, clip_id)
    await running
    assert (now(store, clip_id).status, now(store, clip_id).clip, stages.closed) == ("cancelled", None, 1)


async def test_a_clip_whose_finisher_crashed_is_made_again(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec]
) -> None:
    spec = spec_for(images=1)
    clip_id = order(store, await a_picture(store, settings, spec), spec)
    stages = Painter(store, [EngineCrashed("the finisher died")])
    director = Director(store, stages, settings, worker="w")
    await director.run_next()
    assert now(store, clip_id).status == "queued"
    make_due_now(store)
    await director.run_next()
    assert now(store, clip_id).status == "done"


def make_due_now(store: Store) -> None:
    """End the back-offs, of jobs too."""
    from sqlalchemy import update

    from packshot.store.schema import shot

    make_due(store)
    with store.database.write() as connection:
        connection.execute(update(shot).where(shot.c.status == "queued", shot.c.kind.is_not(None)).values(ready_at=0.0))


async def test_a_clip_of_a_deleted_picture_fails_and_leaves_nothing(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec]
) -> None:
    spec = spec_for(images=1)
    picture = await a_picture(store, settings, spec)
    before, during = order(store, picture, spec), order(store, picture, spec)
    stages = Painter(store, held=True)
    director = Director(store, stages, settings, worker="w")
    filming = asyncio.create_task(director.run_next())
    await stages.started.wait()
    with store.database.write() as connection:
        connection.execute(image.delete().where(image.c.id == picture))
    stages.let_go.set()
    await filming
    await director.run_next()
    for one in (before, during):
        failed = now(store, one)
        assert (failed.status, failed.error_code, failed.clip) == ("failed", "not_found", None)


async def test_a_picture_of_another_size_than_its_layout_is_refused(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec]
) -> None:
    spec = spec_for(images=1)
    picture = await a_picture(store, settings, spec)
    key = store.assets.put(encode_png(np.zeros((40, 40, 3), np.uint8)), ".png")
    with store.database.write() as connection:
        from packshot.store.schema import asset

        connection.execute(asset.insert().values(key=key, bytes=1, refs=1, created_at=0.0))
        connection.execute(image.update().where(image.c.id == picture).values(asset_key=key))
    clip_id = order(store, picture, spec)
    await Director(store, Painter(store), settings, worker="w").run_next()
    assert (now(store, clip_id).status, now(store, clip_id).error_code) == ("failed", "not_filmable")


def a_filming(seconds: float = 1.0) -> Filming:
    def draw() -> tuple[U8, Flat]:
        flat = np.zeros((64, 64, 4), np.uint8)
        flat[20:50, 20:44] = (200, 30, 30, 255)
        return np.full((64, 64, 3), 90, np.uint8), Flat(flat)

    return Filming(draw, ClipJob("im_1", "pan", seconds, 64, "webp"))


def test_a_filming_ends_with_its_file() -> None:
    steps = list(a_filming())
    assert [one.index for one in steps if isinstance(one, Step)] == list(range(1, 25))
    assert isinstance(steps[-1], Filmed)
    assert steps[-1].data[:4] == b"RIFF"


def test_a_closed_filming_makes_no_more_frames() -> None:
    filming = a_filming()
    next(filming)
    filming.close()
    assert list(filming) == []


async def test_other_calls_run_between_the_frames() -> None:
    """The thread that makes the frames is free after each, so a picture never waits for a whole clip."""
    calls: list[str] = []
    lock = asyncio.Lock()

    async def run(call: Callable[..., object], *args: object) -> object:
        async with lock:  # one thread, in order of arrival
            calls.append("frame")
            return await asyncio.to_thread(call, *args)

    async def picture() -> None:
        async with lock:
            calls.append("picture")

    async for update in filmed_by(a_filming(), run):
        if isinstance(update, Step) and update.index == 3:
            waiting = asyncio.create_task(picture())
            await asyncio.sleep(0)
    await waiting
    assert calls.index("picture") <= 5
