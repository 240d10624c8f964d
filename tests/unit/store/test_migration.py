"""A database of version 0.1.0 is upgraded: everything in it reads, and 0.1.0 may still write beside the new version."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, MetaData, func, insert, select

from packshot.contract.light import Shadow
from packshot.contract.recipe import EngineStamp
from packshot.contract.shot_spec import Background, Canvas, Condition, LayerSpec, ShotSpec
from packshot.contract.verdict import Finding
from packshot.errors import NotFound
from packshot.settings import Settings
from packshot.store.assets import Assets
from packshot.store.database import open_engine
from packshot.store.load_records import Flow, Load
from packshot.store.migrate import upgrade
from packshot.store.records import ImageRecord, ShotRecord
from packshot.store.store import Store
from tests.unit.store.postgres_server import new_database
from tests.unit.store.store_rows import claim, new_image

OLD = json.loads(Path(__file__).with_name("rows_of_0_1_0.json").read_text())
NAMES: dict[str, str] = OLD["names"]
TENANT = NAMES["tenant"]
REVISION = "0002"
"""The schema of version 0.1.0."""


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of its own, empty: without any schema."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'old.sqlite'}"
    return new_database(request.getfixturevalue("postgres_url"), "of_0_1_0")


@pytest.fixture
def old_tables(database_url: str) -> MetaData:
    """The rows of 0.1.0 in the tables of 0.1.0; gives these tables, as that version knows them."""
    engine, tables = open_engine(database_url), MetaData()
    with engine.begin() as connection:
        upgrade(connection, REVISION)
        tables.reflect(connection)
        for name, rows in OLD["tables"].items():
            if rows:
                connection.execute(insert(tables.tables[name]), rows)
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.setval("shot_seq_seq", len(OLD["tables"]["shot"]))))
    engine.dispose()
    return tables


@pytest.fixture
def store(old_tables: MetaData, settings: Settings, open_store: Callable[..., Store]) -> Store:
    """The database of 0.1.0, opened by this version, with its files."""
    put_old_files(settings)
    return open_store()


def put_old_files(settings: Settings) -> None:
    for content in OLD["files"]:
        Assets(settings.asset_root).put(content.encode(), ".png")


def read(store: Store, name: str) -> ShotRecord:
    return store.shots.get(TENANT, NAMES[name])


def test_a_painted_shot_reads_with_its_images(store: Store) -> None:
    record = read(store, "painted")
    assert record.spec == ShotSpec(
        canvas=Canvas(1024, 768),
        layers=(
            LayerSpec(mask_id=NAMES["used"], x=0.4, y=0.62, scale=0.55, rotation_deg=-12.5, flip=True),
            LayerSpec(mask_id=NAMES["twin"]),
        ),
        background=Background("generate"),
        prompt="on marble, café",
        negative_prompt="text",
        images=2,
        seed=7,
        steps=16,
        guidance_scale=4.0,
        conditions=(Condition(scale=0.9, start=0.1, end=0.8),),
        shadow=Shadow("contact"),
        engine="mini",
    )
    assert (record.status, record.step, record.steps, record.version, record.preview_version) == ("done", 32, 32, 4, 3)
    assert record.created_at.replace(microsecond=0) == datetime(2025, 1, 1, tzinfo=UTC)
    first, second = record.images
    assert (first.index, first.seed, first.review, first.note) == (0, 7, "approved", "crisp")
    assert (second.index, second.seed, second.review, second.note) == (1, 8, None, None)
    assert first.verdict.level == "warning"
    assert first.verdict.findings == (
        Finding("product_pixels", "ok", "max difference 0", 0.0),
        Finding("edges", "warning", "soft"),
    )
    assert (second.recipe.version, second.recipe.seed, second.recipe.spec) == ("0.1.0", 8, record.spec)
    stamp = EngineStamp(pack={"manifest": "5" * 64, "unet": "6" * 64}, dtype="float32", device="cpu")
    assert (second.recipe.engine, second.recipe.timing_ms) == (stamp, {"queue": 1.5, "steps": 812.0})
    assert store.images.get(TENANT, first.id) == first
    assert store.assets.get(first.asset_key) == b"painted"


def test_a_plain_background_reads_without_an_engine(store: Store) -> None:
    record = read(store, "plain")
    assert (record.spec.background, record.spec.shadow, record.spec.row_steps) == (
        Background("#ffaa00"),
        Shadow("none"),
        0,
    )
    for image in record.images:
        assert (image.recipe.engine, image.recipe.timing_ms, image.recipe.spec) == (None, {}, record.spec)
        assert (image.verdict.level, image.verdict.findings) == ("ok", ())


def test_verdicts_and_recipes_keep_their_stored_form(store: Store) -> None:
    stored: dict[str, dict[str, Any]] = {row["id"]: row for row in OLD["tables"]["image"]}
    images: list[ImageRecord] = [*read(store, "painted").images, *read(store, "plain").images]
    assert {one.id for one in images} == set(stored)
    for one in images:
        assert one.recipe.to_json() == stored[one.id]["recipe"]
        assert one.verdict.to_json() == stored[one.id]["verdict"]


def test_ended_and_running_shots_read(store: Store) -> None:
    failed = read(store, "failed")
    assert (failed.status, failed.error_code, failed.error_detail) == (
        "failed",
        "engine_nan",
        "a latent was not a number",
    )
    assert read(store, "cancelled").status == "cancelled"
    running = read(store, "running")
    assert (running.status, running.step, running.steps) == ("running", 5, 20)
    page, cursor = store.shots.page(TENANT)
    assert [one.id for one in page] == [row["id"] for row in reversed(OLD["tables"]["shot"])]
    assert cursor is None


def test_photos_masks_and_keys_read(store: Store) -> None:
    photo = store.photos.get(TENANT, NAMES["photo"])
    assert (photo.width, photo.height, photo.format, photo.bytes) == (640, 480, "JPEG", 12345)
    assert store.assets.get(photo.asset_key) == b"photo"
    mask = store.masks.get(TENANT, NAMES["used"])
    assert (mask.photo_id, mask.bbox_xyxy, mask.area_px, mask.expires_at) == (photo.id, (10, 20, 40, 50), 900, None)
    with pytest.raises(NotFound):
        store.masks.get(TENANT, NAMES["candidate"])  # a day has passed
    opened = store.keys.tenant_of(NAMES["secret"])
    assert opened is not None
    assert opened.name == "brand"
    assert store.tenants.local().id == TENANT


def test_the_load_is_what_0_1_0_counted(store: Store) -> None:
    load = store.queue.load()
    assert load.last_seq == 8
    assert load.interactive == Flow(waiting=Load(2, 7, 160), running=Load(1, 2, 15))
    assert load.catalogue == Flow(waiting=Load(1, 1, 8))
    arrived = store.queue.load(0)
    assert arrived.interactive.arrived.shots + arrived.catalogue.arrived.shots == 8


def test_what_waits_is_claimed_in_order_and_committed(store: Store) -> None:
    # The catalogue's has waited for long, and the lease of the running one ran out long ago.
    names = ["catalogue", "running", "queued", "white"]
    assert [read(store, name).position for name in names] == [0, 0, 2, 3]  # that of a running one is 0
    for name in names:
        mine = claim(store)
        assert mine.shot_id == NAMES[name]
        assert store.queue.commit(mine, [new_image()]).status == "done"
    assert store.queue.claim("w") is None


def test_a_repeat_of_a_key_of_0_1_0_is_the_same_shot(store: Store) -> None:
    for name, key in (("painted", "order-1"), ("queued", "order-2")):
        record, created = store.shots.add(TENANT, read(store, name).spec, idempotency_key=key)
        assert (record.id, created) == (NAMES[name], False)


def test_files_go_with_their_last_row(store: Store) -> None:
    for name in ("running", "queued", "white", "catalogue"):
        store.shots.cancel(TENANT, NAMES[name])
    while store.queue.claim("w") is not None:
        pass
    swept = store.retention.sweep()
    assert (swept["masks"], swept["shots"], swept["photos"], swept["files"]) == (1, 0, 0, 0)
    store.photos.delete(TENANT, NAMES["photo"])
    left = {store.assets.get(file.key) for file in store.assets.files()}
    assert left == {b"painted", b"plain"}


def test_0_1_0_still_reads_and_writes_beside_this_version(store: Store, old_tables: MetaData) -> None:
    shot = old_tables.tables["shot"]

    def write_as_0_1_0(connection: Connection, shot_id: str) -> None:
        row = next(row for row in OLD["tables"]["shot"] if row["id"] == NAMES["queued"])
        changed = {**row, "id": shot_id, "idempotency_key": None}
        del changed["seq"]
        connection.execute(shot.insert().values(changed))

    before = store.queue.load()
    with store.database.write() as connection:
        write_as_0_1_0(connection, "sh_beside")
        assert connection.execute(select(shot).where(shot.c.id == "sh_beside")).one().steps == 20
    arrived = store.queue.load(before.last_seq).interactive.arrived
    assert arrived == Load(1, 1, 20)  # its columns are empty: one image without guidance
    assert store.shots.get(TENANT, "sh_beside").spec.images == 4
    mine = next(mine for mine in iter(lambda: store.queue.claim("w"), None) if mine.shot_id == "sh_beside")
    store.queue.heartbeat(mine, step=60, steps=80)
    assert store.queue.commit(mine, [new_image()]).status == "done"
    mine_of_ours, _ = store.shots.add(TENANT, mine.spec)
    with store.database.read() as connection:
        row = connection.execute(select(shot).where(shot.c.id == mine_of_ours.id)).one()
    assert ShotSpec.from_json(row.request) == mine.spec


def test_a_database_is_upgraded_once(store: Store, settings: Settings) -> None:
    again = Store.from_settings(settings)
    try:
        assert again.queue.load() == store.queue.load()
    finally:
        again.close()
