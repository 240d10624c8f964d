"""Reference pictures are read once, and only for shots whose style shows them to the engine."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from packshot.contract.shot_spec import ShotSpec
from packshot.contract.style import Reference, Style, StylePart
from packshot.errors import NotFound
from packshot.imaging.codec import encode_png
from packshot.references import ReferencePicture, References
from packshot.shots.flow import shoot
from packshot.shots.pictures import PictureFile, find_pictures
from packshot.shots.references import READ_PX, SHOWN_PX, ReferenceReader
from packshot.store.store import Store
from packshot.types import F32, U8
from tests.unit.shots.painter import Painter


def photo_of(store: Store, side: int, seed: int) -> str:
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), np.uint8)
    more = {"format": "png", "bytes": 1, "sha256": f"{seed:064d}"}
    return store.photos.add(
        store.tenants.local().id,
        png=encode_png(pixels),
        width=side,
        height=side,
        **more,  # type: ignore[arg-type]
    ).id


def styled(*picture_ids: str, parts: tuple[StylePart, ...] = ("palette", "scene")) -> Style:
    weights = range(1, 1 + len(picture_ids))
    references = tuple(Reference(one, weight) for one, weight in zip(picture_ids, weights, strict=True))
    return Style(references=references, palette=("#aa8866",), strength=0.4, parts=parts)


def shoot_with(store: Store, painter: Painter, spec: ShotSpec) -> None:
    asyncio.run(shoot(store, store.tenants.local().id, spec, painter, lambda step: None))


def test_a_shot_shows_its_pictures_to_its_engine_once(store: Store, spec_for: Callable[..., ShotSpec]) -> None:
    painter, ids = Painter(store), [photo_of(store, 80, 1), photo_of(store, 90, 2)]
    shoot_with(store, painter, spec_for(images=3, style=styled(*ids)))
    ((files, strength, engine),) = painter.shown
    assert [round(file.weight, 3) for file in files] == [0.333, 0.667]
    assert (strength, engine) == (0.4, "mini")
    assert len(painter.followed) == 3
    assert all(one is painter.followed[0] and one is not None for one in painter.followed)


def test_a_style_without_the_part_scene_shows_nothing(store: Store, spec_for: Callable[..., ShotSpec]) -> None:
    painter = Painter(store)
    shoot_with(store, painter, spec_for(style=styled(photo_of(store, 80, 1), parts=("palette",))))
    shoot_with(store, painter, spec_for())
    assert painter.shown == []
    assert painter.followed == [None] * 4


def test_a_deleted_picture_ends_the_shot(store: Store, spec_for: Callable[..., ShotSpec]) -> None:
    with pytest.raises(NotFound):
        shoot_with(store, Painter(store), spec_for(style=styled("ph_00000000000000000000000000")))


def files_of(store: Store, *sides: int) -> tuple[PictureFile, ...]:
    ids = [photo_of(store, side, side) for side in sides]
    return find_pictures(store, store.tenants.local().id, [Reference(one) for one in ids])


def counted(batches: list[int]) -> Callable[[Sequence[U8]], list[F32]]:
    """An encoder that notes the sizes of its batches."""

    def encode(pictures: Sequence[U8]) -> list[F32]:
        batches.append(len(pictures))
        assert all(max(one.shape[:2]) <= READ_PX for one in pictures)
        return [np.array([one.mean(), *one.shape[:2]], np.float32) for one in pictures]

    return encode


def test_pictures_are_embedded_in_batches_and_once(store: Store) -> None:
    files = files_of(store, 80, 96, 700)

    async def ask() -> list[References]:
        reader = ReferenceReader(store.assets, counted(batches), max_batch_size=8)
        both = await asyncio.gather(reader.of(files, 1.0), reader.of((replace(files[0], weight=1.0),), 0.5))
        later = await reader.of(files[::-1], 0.2)
        assert reader.hits == 4
        return [*both, later]

    batches: list[int] = []
    first, second, later = asyncio.run(ask())
    assert sum(batches) == 3
    assert [one.strength for one in (first, second, later)] == [1.0, 0.5, 0.2]
    assert first.pictures[0].embedding is later.pictures[2].embedding
    assert [one.weight for one in first.pictures] == pytest.approx([1 / 3] * 3)


def test_an_engine_that_reads_pixels_gets_them(store: Store) -> None:
    (small, large) = files_of(store, 80, 1500)
    reader = ReferenceReader(store.assets, None, max_batch_size=8)
    found = asyncio.run(reader.of((small, large), 0.7)).pictures
    shapes = [one.pixels.shape for one in found if one.pixels is not None]
    assert shapes == [(80, 80, 3), (SHOWN_PX, SHOWN_PX, 3)]


def test_a_failed_picture_is_read_again(store: Store) -> None:
    (file,) = files_of(store, 80)
    lost = PictureFile("photos/none", 1.0)

    async def ask() -> None:
        reader = ReferenceReader(store.assets, counted([]), max_batch_size=8)
        for _ in range(2):
            with pytest.raises(NotFound):
                await reader.of((lost,), 1.0)
        await reader.of((file,), 1.0)

    asyncio.run(ask())


@pytest.mark.parametrize("weights", [(), (0.5,), (1.5, -0.5)])
def test_weights_of_references_add_up_to_one(weights: tuple[float, ...]) -> None:
    vector = np.zeros(3, np.float32)
    with pytest.raises(TypeError, match=r"add up to 1|must be ≥ 1"):
        References(tuple(ReferencePicture(weight, vector) for weight in weights), 1.0)
