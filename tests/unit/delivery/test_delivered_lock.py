"""The product in the written file is the photo's, and what an encoder or a fault does to it is found."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image

from packshot.contract.verdict import Finding
from packshot.delivery.deliver import Delivered, deliver, preset_named
from packshot.delivery.delivered_lock import MAX_DELTA_E, delivered_lock, with_product
from packshot.delivery.encoding import Proof
from packshot.delivery.marks import instance_of, mark_of
from packshot.delivery.metadata import Origin
from packshot.delivery.presets import Preset
from packshot.errors import BadInput
from packshot.imaging.watermark import MARGIN_PX, PAYLOAD_BITS, read_mark
from packshot.types import U8, Flat

SIZE = 320
MARK = mark_of("im_test", "v1 ebay")
MARKED = Proof(Origin(version="1", engine="mini", mark=MARK))


@pytest.fixture(scope="module")
def flat() -> Flat:
    """A product of fine coloured stripes and text-like detail: the hardest to encode."""
    pixels = np.zeros((SIZE, SIZE, 4), np.uint8)
    rng = np.random.default_rng(1)
    stripes = rng.integers(0, 256, (1, SIZE // 4, 3), np.uint8).repeat(4, axis=1)
    cv2.ellipse(pixels, (SIZE // 2, SIZE // 2), (90, 120), 0, 0, 360, (0, 0, 0, 255), -1)
    pixels[..., :3] = np.where(pixels[..., 3:] > 0, stripes, 0)
    return Flat(pixels)


@pytest.fixture(scope="module")
def scene() -> U8:
    return np.asarray(Image.fromarray(skimage.data.coffee()).convert("RGB").resize((SIZE, SIZE)), np.uint8)


def made(picture: U8, flat: Flat, preset: Preset, proof: Proof = MARKED, *, generated: bool = True) -> Delivered:
    expected = with_product(picture, flat)
    return deliver(
        picture, preset, product_alpha=flat.alpha, enlarged_by=1.0, generated=generated, expected=expected, proof=proof
    )


def small(name: str, **changes: object) -> Preset:
    """A preset that takes the test's small pictures."""
    sizes = {"min_longest_px": None, "min_width_px": None, "min_height_px": None, "advised_longest_px": SIZE}
    return preset_named(name).model_copy(update={**sizes, **changes})


def found(delivered: Delivered, check: str) -> Finding:
    [finding] = [finding for finding in delivered.findings if finding.check == check]
    return finding


def test_a_png_shows_the_exact_product_and_a_jpeg_nearly(flat: Flat, scene: U8) -> None:
    picture = with_product(scene, flat)
    assert with_product(picture, flat) is picture
    exact = found(made(picture, flat, small("ebay", formats=("png",))), "delivered_lock")
    assert (exact.level, exact.value) == ("ok", 0)
    assert "product pixels of the file equal the photo's" in exact.detail
    lossy = found(made(picture, flat, small("ebay", formats=("jpeg",))), "delivered_lock")
    assert lossy.level == "ok"
    assert lossy.value is not None
    assert 0 < lossy.value <= MAX_DELTA_E


@pytest.mark.parametrize("longest_px", [SIZE, 480, 200])
def test_a_changed_product_is_refused_whatever_its_size(flat: Flat, scene: U8, longest_px: int) -> None:
    altered = with_product(scene, flat).copy()
    altered[SIZE // 2 - 25 : SIZE // 2 + 25, SIZE // 2 - 25 : SIZE // 2 + 25] ^= 32  # 7 % of the product
    for kind in ("png", "jpeg"):
        with pytest.raises(BadInput, match=r"preset_unmet: .*product.*photo|exact pixels") as refusal:
            made(altered, flat, small("ebay", formats=(kind,), advised_longest_px=longest_px, larger_is_fine=False))
        assert refusal.value.errors is not None
        assert ["preset", "delivered_lock"] in [error["loc"] for error in refusal.value.errors]


def test_a_format_that_harms_the_product_gives_way_to_a_better_one(flat: Flat, scene: U8) -> None:
    """WebP halves the resolution of colour. It is tried at quality 100 and then without loss, if the limit allows."""
    picture = with_product(scene, flat)
    preset = small("ebay", formats=("webp", "png"))
    lossless = made(picture, flat, preset)
    assert (lossless.extension, found(lossless, "delivered_lock").value) == ("webp", 0)
    tight = preset.model_copy(update={"formats": ("webp",), "max_bytes": len(lossless.data) - 1})
    with pytest.raises(BadInput, match=rf"within ΔE {MAX_DELTA_E:g} .*use a preset that takes larger files"):
        made(picture, flat, tight)
    jpeg = made(picture, flat, tight.model_copy(update={"formats": ("webp", "jpeg")}))
    assert jpeg.extension == "jpg"


def test_the_finding_is_right_about_what_it_cannot_compare() -> None:
    pixels, alpha = np.zeros((20, 20, 3), np.uint8), np.zeros((20, 20), np.uint8)
    lost = delivered_lock(pixels, None, None, lossless=True)
    assert (lost.level, lost.value) == ("warning", None)
    assert "mask or photo is not available" in lost.detail
    clear = delivered_lock(pixels, pixels, alpha, lossless=True)
    assert clear.detail.startswith("no product pixel is opaque")
    cropped = delivered_lock(pixels[:10], pixels, alpha, lossless=False)
    assert (cropped.level, cropped.detail) == ("failed", "the file must have 20x20 px, got 20x10 px; deliver it again")


def test_a_painted_scene_is_marked_and_the_mark_is_read_from_the_file(flat: Flat, scene: U8) -> None:
    picture = with_product(scene, flat)
    marked = made(picture, flat, small("ebay", formats=("png",)))
    assert marked.mark == MARK
    assert found(marked, "watermark").level == "ok"
    pixels = np.asarray(Image.open(io.BytesIO(marked.data)))
    assert read_mark(pixels) == MARK
    near = cv2.dilate(flat.alpha, np.ones((2 * MARGIN_PX + 1,) * 2, np.uint8)) > 0
    assert np.array_equal(pixels[near], picture[near])
    assert not np.array_equal(pixels, picture)


def test_a_plain_background_is_never_marked(flat: Flat) -> None:
    grey = with_product(np.full((SIZE, SIZE, 3), 180, np.uint8), flat)
    plain = made(grey, flat, small("ebay", formats=("png",)), generated=False)
    assert plain.mark is None
    assert "watermark" not in {finding.check for finding in plain.findings}
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(plain.data))), grey)


def test_a_mark_that_has_no_room_is_left_out_and_told(flat: Flat) -> None:
    white = with_product(np.full((SIZE, SIZE, 3), 255, np.uint8), flat)
    told = made(white, flat, small("ebay", formats=("png",)))
    assert (told.mark, found(told, "watermark").level) == (None, "warning")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(told.data))), white)
    lost = deliver(white, small("ebay"), generated=True, proof=MARKED)
    assert (lost.mark, found(lost, "watermark").level) == (None, "warning")
    assert "mask is not available" in found(lost, "watermark").detail


def test_a_repainted_product_is_marked_and_compared_with_nothing(scene: U8, flat: Flat) -> None:
    told = deliver(
        scene, small("ebay"), product_alpha=flat.alpha, enlarged_by=1.0, generated=True, locked=False, proof=MARKED
    )
    assert found(told, "delivered_lock").detail == "not applicable: an engine painted the product"
    assert told.mark == MARK


def test_marks_and_instances_follow_from_picture_and_recipe() -> None:
    assert 0 <= MARK < 1 << PAYLOAD_BITS
    assert mark_of("im_test", "v1 ebay") == MARK
    recipes = [f"v{version} {name}" for version in range(50) for name in ("ebay", "etsy")]
    assert len({mark_of("im_test", recipe) for recipe in recipes}) == len(recipes)
    instances = {instance_of(image, recipe) for image in ("im_a", "im_b") for recipe in recipes}
    assert len(instances) == 2 * len(recipes)
    assert all(one.startswith("xmp:iid:") for one in instances)
