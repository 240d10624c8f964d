"""The life of a cutout: made once, kept beside its mask, read by all, and deleted with its last mask."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from packshot.contract.shot_spec import Canvas, LayerSpec
from packshot.errors import NotFound, StorageFull
from packshot.imaging.canvas import cut, cutout_bbox, flatten
from packshot.imaging.codec import encode_bilevel_png, encode_png, read_png
from packshot.imaging.guided import cut_guided
from packshot.imaging.lock import lock_px_of
from packshot.settings import Settings
from packshot.shots import cutouts
from packshot.shots.cutouts import CutoutFiles, cutout_files, each_cutout, load_cutout_png
from packshot.shots.finish import Finisher
from packshot.shots.layout import draw_layout, find_layout
from packshot.store.assets import Assets
from packshot.store.records import MaskRecord, NewMask, PhotoRecord
from packshot.store.store import Store
from packshot.types import F32, U8, Cutout, Framing, Layer, Layout, Mask, Photo
from tests.migrated import migrated_home
from tests.specs import spec_of

PIXELS: U8 = np.random.default_rng(4).integers(0, 256, (60, 80, 3), np.uint8)
FRAMING = Framing.of_whole(64, 64)
PRODUCT = Mask(cv2.circle(np.zeros((60, 80), np.uint8), (40, 30), 20, 255, -1))
NEW = NewMask(
    0.9,
    PRODUCT.area_px,
    PRODUCT.bbox_xyxy,
    encode_bilevel_png(PRODUCT.pixels),
    lock_px=2,
    cutout_bbox_xyxy=cutout_bbox(PRODUCT, 2),
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store.from_settings(Settings(home=migrated_home(tmp_path)))) as opened:
        yield opened


@pytest.fixture
def tenant(store: Store) -> str:
    return store.tenants.get_or_create("brand").id


@pytest.fixture
def photo(store: Store, tenant: str) -> PhotoRecord:
    return store.photos.add(
        tenant, png=encode_png(PIXELS), width=80, height=60, format="png", bytes=9, sha256="ab" * 32
    )


def add(store: Store, photo: PhotoRecord, new: NewMask = NEW) -> MaskRecord:
    return store.masks.add(photo.tenant, photo.id, [new])[0]


def kept(store: Store) -> list[str]:
    return sorted(file.key for file in store.assets.files() if file.key.startswith("cutouts/"))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with each cutout that is made."""
    calls: list[int] = []

    def counted(*arguments: object, **named: object) -> object:
        calls.append(1)
        return cut(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(cutouts, "cut", counted)
    return calls


def test_a_cutout_is_made_once_and_read_by_cutouts_shots_and_deliveries(
    store: Store, photo: PhotoRecord, made: list[int]
) -> None:
    mask = add(store, photo)
    assert kept(store) == []  # not on the click's path
    png = Finisher(store.assets).cutout_png(cutout_files(photo, mask))
    assert np.array_equal(read_png(png), cut(Photo(PIXELS), PRODUCT).pixels)
    assert kept(store) == [mask.cutout_key]
    spec = replace(spec_of(mask.id), layers=(LayerSpec(mask_id=mask.id), LayerSpec(mask_id=mask.id, x=0.2)))
    drawn, _ = draw_layout(store.assets, find_layout(store, photo.tenant, spec))
    both = [Layer(Cutout(read_png(png)), layer.x, layer.y, layer.scale) for layer in spec.layers]
    assert np.array_equal(drawn.pixels, flatten(Layout(spec.canvas, tuple(both))).pixels)
    assert Finisher(store.assets).cutout_png(cutout_files(photo, mask)) == png
    assert len(made) == 1


def test_cutouts_shots_and_deliveries_use_the_packs_matting_network(store: Store, photo: PhotoRecord) -> None:
    class Half:
        def alpha(self, rgb: U8, trimap: U8) -> F32:
            return np.full(trimap.shape, 0.5, np.float32)

    finisher, solid = Finisher(store.assets, Half()), add(store, photo, replace(NEW, lock_px=4))
    files = find_layout(store, photo.tenant, spec_of(solid.id))
    by_network = finisher.prepare(files, FRAMING).prepared.flat
    png = read_png(finisher.cutout_png(cutout_files(photo, solid)))
    assert set(np.unique(png[..., 3])) == {0, 128, 255}
    store.masks.delete(photo.tenant, solid.id)
    again = add(store, photo, replace(NEW, lock_px=4))
    in_closed_form = draw_layout(store.assets, find_layout(store, photo.tenant, spec_of(again.id)))[0]
    assert not np.array_equal(by_network.alpha, in_closed_form.alpha)


def test_the_answer_knows_the_cutouts_place_before_it_is_made(store: Store, photo: PhotoRecord) -> None:
    mask = add(store, photo)
    assert mask.cutout_bbox_xyxy is not None
    x0, y0, x1, y1 = mask.cutout_bbox_xyxy
    cutout = read_png(load_cutout_png(store.assets, cutout_files(photo, mask)))
    assert cutout.shape == (y1 - y0, x1 - x0, 4)
    opaque = cutout[..., 3] == 255
    assert np.array_equal(cutout[opaque, :3], PIXELS[y0:y1, x0:x1][opaque])


def test_equal_masks_of_a_photo_share_a_cutout_which_the_last_one_deletes(store: Store, photo: PhotoRecord) -> None:
    first, second, other = add(store, photo), add(store, photo), add(store, photo, replace(NEW, lock_px=4))
    assert first.cutout_key == second.cutout_key != other.cutout_key
    list(each_cutout(store.assets, [cutout_files(photo, one) for one in (first, second, other)]))
    store.masks.delete(photo.tenant, first.id)
    assert kept(store) == sorted([second.cutout_key or "", other.cutout_key or ""])
    store.masks.delete(photo.tenant, second.id)
    assert kept(store) == [other.cutout_key]
    store.photos.delete(photo.tenant, photo.id)
    assert kept(store) == []


def test_retention_deletes_the_cutout_of_an_expired_mask(tmp_path: Path) -> None:
    with closing(Store.from_settings(Settings(home=migrated_home(tmp_path), candidate_mask_hours=1e-9))) as store:
        owner = store.tenants.get_or_create("brand")
        photo = store.photos.add(
            owner.id, png=encode_png(PIXELS), width=80, height=60, format="png", bytes=9, sha256="ab" * 32
        )
        mask = add(store, photo)
        load_cutout_png(store.assets, cutout_files(photo, mask))
        assert store.retention.sweep()["masks"] == 1
        assert kept(store) == []


def test_a_cutout_that_is_written_after_its_mask_was_deleted_is_swept(
    store: Store, photo: PhotoRecord, tmp_path: Path
) -> None:
    mask = add(store, photo)
    files = cutout_files(photo, mask)
    png = load_cutout_png(store.assets, files)
    store.masks.delete(photo.tenant, mask.id)
    assert mask.cutout_key is not None
    store.assets.put_derived(mask.cutout_key, png)  # a finisher that began before the deletion
    (file,) = tmp_path.rglob(mask.cutout_key)
    os.utime(file, (0, 0))  # the sweep leaves files alone that may belong to a transaction
    assert store.retention.sweep()["files"] == 1
    assert kept(store) == []


def test_two_requests_at_once_get_the_same_whole_file(store: Store, photo: PhotoRecord) -> None:
    files = cutout_files(photo, add(store, photo))
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: load_cutout_png(store.assets, files), range(8)))
    assert len(set(answers)) == 1
    assert kept(store) == [files.cutout_key]


def test_a_full_disk_only_means_that_the_cutout_is_made_again(
    store: Store, photo: PhotoRecord, made: list[int]
) -> None:
    files = cutout_files(photo, add(store, photo))
    full = Assets(store.assets.root_url, max_bytes=1)
    with pytest.raises(StorageFull):
        full.put_derived("cutouts/a.png", b"more than nothing")
    assert load_cutout_png(full, files) == load_cutout_png(full, files)
    assert (len(made), kept(store)) == (2, [])


def test_a_deleted_photo_is_not_found_but_a_kept_cutout_needs_none(store: Store, photo: PhotoRecord) -> None:
    files = cutout_files(photo, add(store, photo))
    png = load_cutout_png(store.assets, files)
    store.assets.delete(photo.asset_key)
    assert load_cutout_png(store.assets, files) == png
    with pytest.raises(NotFound):
        next(each_cutout(store.assets, [replace(files, cutout_key=None)]))


def test_a_mask_of_0_1_0_keeps_its_cutouts_size_and_look(store: Store, photo: PhotoRecord) -> None:
    mask = add(store, photo, replace(NEW, lock_px=None, cutout_bbox_xyxy=None))
    files = cutout_files(photo, mask)
    assert files == CutoutFiles(photo.asset_key, mask.asset_key)
    assert np.array_equal(read_png(load_cutout_png(store.assets, files)), cut_guided(Photo(PIXELS), PRODUCT).pixels)
    assert kept(store) == []


@pytest.mark.parametrize(
    ("longer_px", "lock_px"), [(300, 4), (1024, 4), (1366, 4), (2000, 6), (3000, 9), (4000, 12), (10_000, 29)]
)
def test_the_lock_grows_with_the_photo(longer_px: int, lock_px: int) -> None:
    assert lock_px_of(longer_px, 200) == lock_px_of(200, longer_px) == lock_px


def test_a_one_to_one_layer_is_the_photo_itself(store: Store, photo: PhotoRecord) -> None:
    mask = add(store, photo)
    assert mask.cutout_bbox_xyxy is not None
    x0, y0, x1, y1 = mask.cutout_bbox_xyxy
    canvas = Canvas(80, 60)
    layer = LayerSpec(mask_id=mask.id, x=(x0 + x1) / 2 / 80, y=(y0 + y1) / 2 / 60, scale=max(x1 - x0, y1 - y0) / 80)
    files = find_layout(store, photo.tenant, replace(spec_of(mask.id), canvas=canvas, layers=(layer,)))
    flat = draw_layout(store.assets, files)[0]
    opaque = flat.alpha == 255
    assert opaque.sum() > 1000
    assert np.array_equal(flat.rgb[opaque], PIXELS[opaque])
