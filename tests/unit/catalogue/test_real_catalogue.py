"""The catalogue of tests/catalogue is sound: `make catalogue-demo` makes it, which takes minutes."""

from pathlib import Path

import pytest
from PIL import Image

from bench.catalogue_demo import WRONG, lay_out
from packshot.catalogue.folder import read_local
from packshot.catalogue.placement import largest_mm_of, stand_of_variant
from packshot.catalogue.plan import combinations, variants
from packshot.contract.catalogue import Manifest
from packshot.contract.verdict import MAX_ENLARGEMENT

MARGIN_PX = 12
"""How far its boxes lie outside of the products (training/scenes/products.py)."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay_out(tmp_path_factory.mktemp("demo") / "catalogue")


@pytest.fixture(scope="module")
def manifest(folder: Path) -> Manifest:
    read = read_local(folder, {}).read
    assert read.problems == []
    assert read.manifest is not None
    return read.manifest


def test_it_has_thirty_skus_three_scenes_and_two_channels(manifest: Manifest) -> None:
    assert (len(manifest.items), len(combinations(manifest.axes)), len(manifest.deliver)) == (30, 3, 2)
    assert [item.sku for item in manifest.items if item.box is None] == ["BROKEN", "EMPTY"]
    assert {item.sku for item in manifest.items} >= WRONG


def test_its_photos_are_whole_but_for_one_and_hold_their_boxes(folder: Path, manifest: Manifest) -> None:
    for item in manifest.items:
        path = folder / (item.photo or "")
        if item.sku == "BROKEN":
            with pytest.raises(OSError, match="could not create decoder"):
                Image.open(path)
            continue
        with Image.open(path) as photo:
            photo.load()
            x0, y0, x1, y1 = item.box or (0, 0, *photo.size)
            assert 0 <= x0 < x1 <= photo.width, item.sku
            assert 0 <= y0 < y1 <= photo.height, item.sku


def test_no_product_is_enlarged_more_than_a_channel_takes(manifest: Manifest) -> None:
    wanted = variants(manifest, combinations(manifest.axes))
    stands = [stand_of_variant(manifest, largest_mm_of(manifest.items), *one) for one in wanted.items()]
    for item in manifest.items:
        if item.box is not None:
            x0, y0, x1, y1 = item.box
            size = x1 - x0 - 2 * MARGIN_PX, y1 - y0 - 2 * MARGIN_PX
            assert max(stand.factor(size, item.size_mm) for stand in stands) <= MAX_ENLARGEMENT, item.sku
