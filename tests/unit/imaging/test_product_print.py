"""A product on a plain backdrop is found again after the usual handling, and other products of its shape are not."""

from __future__ import annotations

import io
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from PIL import Image

from packshot.imaging.fingerprint import Fingerprint, compare_products, fingerprint_of
from packshot.imaging.picture_frame import inside_frame
from packshot.imaging.product_print import PRINT_BYTES, agreement, mirrored_print
from packshot.types import U8

BOX = np.s_[60:250, 110:230]


def packshot(seed: int, backdrop: int = 255) -> U8:
    """A bottle of one shape on a plain backdrop: its colours and its label follow from the seed."""
    rng = np.random.default_rng(seed)
    pixels = np.full((320, 340, 3), backdrop, np.uint8)
    shape = np.zeros(pixels.shape[:2], np.uint8)
    cv2.rectangle(shape, (110, 110), (229, 249), 255, -1)
    cv2.rectangle(shape, (145, 60), (195, 110), 255, -1)
    coarse = rng.integers(40, 200, (6, 5, 3)).astype(np.uint8)
    skin = cv2.resize(coarse, (340, 320), interpolation=cv2.INTER_CUBIC)
    cv2.putText(skin, f"No {seed}", (122, 180), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (235, 235, 235), 3)
    return np.where(shape[..., None] > 0, skin, pixels).astype(np.uint8)


def jpeg(pixels: U8, quality: int = 85) -> U8:
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, "JPEG", quality=quality)
    return np.array(Image.open(out))


def print_of(pixels: U8) -> Fingerprint:
    found = fingerprint_of(pixels)
    assert found is not None
    assert found.of_product
    assert (len(found.hashes), len(found.sketch)) == (8, PRINT_BYTES)
    return found


def framed(pixels: U8, colour: int) -> U8:
    return np.asarray(cv2.copyMakeBorder(pixels, 20, 20, 24, 24, cv2.BORDER_CONSTANT, value=(colour,) * 3), np.uint8)


HANDLED: dict[str, Callable[[U8], U8]] = {
    "encoded": lambda pixels: jpeg(pixels, 70),
    "reduced": lambda pixels: jpeg(cv2.resize(pixels, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)),
    "enlarged": lambda pixels: jpeg(cv2.resize(pixels, None, fx=1.4, fy=1.4, interpolation=cv2.INTER_CUBIC)),
    "cropped": lambda pixels: jpeg(pixels[30:290, 60:300]),
    "framed": lambda pixels: jpeg(framed(pixels, 40)),
}


@pytest.mark.parametrize("backdrop", [255, 214])
@pytest.mark.parametrize("handled", HANDLED)
def test_a_handled_picture_is_the_same_one(handled: str, backdrop: int) -> None:
    for seed in range(3):
        original = packshot(seed, backdrop)
        found = agreement(print_of(HANDLED[handled](original)).sketch, print_of(original).sketch)
        assert found.same, found
        assert found.edited is None


def test_other_products_of_its_shape_are_not() -> None:
    for seed in range(6):
        found = agreement(print_of(jpeg(packshot(seed + 10))).sketch, print_of(packshot(seed)).sketch)
        assert not found.same, found
        assert compare_products(print_of(packshot(seed + 10)).sketch, print_of(packshot(seed)).sketch).luma == 0


def test_the_likeness_says_which_part_is_left() -> None:
    window = compare_products(print_of(jpeg(packshot(1)[30:290, 60:300])).sketch, print_of(packshot(1)).sketch).window
    assert tuple(window) == pytest.approx((60 / 340, 30 / 320, 300 / 340, 290 / 320), abs=0.02)


def test_an_edit_has_a_place() -> None:
    edited = packshot(2)
    edited[215:240, 195:222] = 255 - edited[215:240, 195:222]
    found = agreement(print_of(jpeg(edited)).sketch, print_of(packshot(2)).sketch)
    assert found.edited == pytest.approx((208 / 340, 227 / 320), abs=0.06)


def test_a_mirrored_picture_has_the_mirrored_print() -> None:
    turned = print_of(jpeg(packshot(3)[:, ::-1]))
    assert not agreement(turned.sketch, print_of(packshot(3)).sketch).same
    assert agreement(mirrored_print(turned.sketch), print_of(packshot(3)).sketch).same


def test_nothing_tells_a_plain_product_from_others() -> None:
    plain = np.full((320, 340, 3), 255, np.uint8)
    assert fingerprint_of(plain) is None
    plain[BOX] = (180, 30, 30)
    assert fingerprint_of(plain) is None, "one colour, no details"
    cut = packshot(4)[60:, :]
    assert fingerprint_of(cut) is None, "the frame cuts the product"


def test_a_frame_is_found_and_a_picture_without_one_has_none() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8)
    assert inside_frame(noise) is None
    x0, y0, x1, y1 = inside_frame(framed(noise, 250)) or (0, 0, 0, 0)
    assert (x0, y0, x1, y1) == pytest.approx((24, 20, 144, 110), abs=1)
    barred = np.concatenate([np.zeros((20, 120, 3), np.uint8), noise, np.zeros((20, 120, 3), np.uint8)])
    assert inside_frame(barred) is None, "bars above and below are no frame"
    assert inside_frame(np.full((50, 50, 3), 9, np.uint8)) is None
