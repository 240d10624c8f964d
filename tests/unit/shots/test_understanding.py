"""Products are understood once, and only for shots that need their geometry."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from packshot.contract.shot_spec import Background, Condition, ShotSpec
from packshot.contract.verdict import Finding
from packshot.errors import NotFound
from packshot.models.understand.geometry import InflatedGeometry
from packshot.models.understand.understander import Understander
from packshot.shots.cutouts import CutoutFiles, load_cutout_png, view_cutout
from packshot.shots.flow import shoot
from packshot.shots.layout import find_layout
from packshot.shots.understand import READ_PX, Understandings
from packshot.store.store import Store
from packshot.types import Cutout, Material, Understanding
from tests.unit.shots.painter import Painter

DEPTH = Condition(kind="depth", scale=0.5)


def shot_by(store: Store, painter: Painter, spec: ShotSpec) -> list[Finding]:
    """Run the flow of a shot, and give what its pictures' verdicts say of materials."""
    images = asyncio.run(shoot(store, store.tenants.local().id, spec, painter, lambda step: None))
    return [one for image in images for one in image.verdict.findings if one.check == "material"]


def test_a_shot_without_need_of_geometry_calls_no_stage_for_it(store: Store, spec_for: Callable[..., ShotSpec]) -> None:
    painter = Painter(store)
    assert shot_by(store, painter, spec_for()) == []
    assert shot_by(store, painter, spec_for(background=Background("white"), conditions=(DEPTH,))) == []
    assert painter.understood == []


def test_a_shot_that_needs_geometry_asks_once_for_all_its_pictures(
    store: Store, spec_for: Callable[..., ShotSpec]
) -> None:
    painter = Painter(store)
    findings = shot_by(store, painter, spec_for(images=3, conditions=(DEPTH,)))
    assert len(painter.understood) == 1
    assert [one.level for one in findings] == ["ok"] * 3


@pytest.mark.parametrize(
    ("material", "level"),
    [
        (Material("metal", 0.6), "warning"),
        (Material("glass", 0.9), "warning"),
        (Material("glass", 0.59), "ok"),
        (Material("glossy", 0.99), "ok"),
    ],
)
def test_metal_and_glass_warn_when_they_are_likely(
    store: Store, spec_for: Callable[..., ShotSpec], material: Material, level: str
) -> None:
    painter = Painter(store)
    painter.material = material
    for found in shot_by(store, painter, spec_for(conditions=(DEPTH,))):
        assert found.level == level
        assert found.value == material.confidence
        assert (material.kind in found.detail.split(":")[0] and "photograph it" in found.detail) == (level == "warning")


@pytest.fixture
def files(store: Store, spec_for: Callable[..., ShotSpec]) -> CutoutFiles:
    layout = find_layout(store, store.tenants.local().id, spec_for())
    return replace(layout.layers[0].cutout, lock_px=2, cutout_key="cutouts/one")


def counted(batches: list[int]) -> Callable[[Sequence[Cutout]], list[Understanding]]:
    """An understander that notes the sizes of its batches."""

    def understand(cutouts: Sequence[Cutout]) -> list[Understanding]:
        batches.append(len(cutouts))
        assert all(max(cutout.width, cutout.height) <= READ_PX for cutout in cutouts)
        return Understander(InflatedGeometry()).understand(cutouts)

    return understand


def test_layers_and_shots_of_one_mask_share_one_call(store: Store, files: CutoutFiles) -> None:
    async def ask() -> list[tuple[Understanding, ...]]:
        products = Understandings(store.assets, counted(batches), max_batch_size=4)
        both = await asyncio.gather(products.of([files, files]), products.of([files]))
        later = await products.of([files])
        assert products.hits == 3
        return [*both, later]

    batches: list[int] = []
    answers = asyncio.run(ask())
    assert batches == [1]
    assert [len(one) for one in answers] == [2, 1, 1]
    assert answers[0][0] is answers[2][0]


def test_a_missing_cutout_is_made_and_not_kept(store: Store, files: CutoutFiles) -> None:
    """The pack's matting network makes those that are kept, and `understand` does not load it."""
    before = [file.key for file in store.assets.files()]
    seen = view_cutout(store.assets, files)
    assert [file.key for file in store.assets.files()] == before
    load_cutout_png(store.assets, files)
    assert np.array_equal(view_cutout(store.assets, files).pixels, seen.pixels)


def test_a_deleted_file_fails_alone_and_is_asked_for_again(store: Store, files: CutoutFiles) -> None:
    async def ask() -> None:
        products = Understandings(store.assets, counted([]), max_batch_size=4)
        lost = replace(files, photo_key="photos/none", cutout_key=None)
        for _ in range(2):
            with pytest.raises(NotFound):
                await products.of([files, lost])
        assert len(await products.of([files])) == 1

    asyncio.run(ask())
