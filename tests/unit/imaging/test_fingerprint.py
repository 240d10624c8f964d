"""A picture is found by its fingerprint after it was encoded, resized, cropped or mirrored, and others are not."""

from __future__ import annotations

import io
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from PIL import Image

from packshot.imaging.fingerprint import WINDOWS, Fingerprint, Likeness, compare, fingerprint_of, mirrored, sketch_of
from packshot.store.lookalikes import SAME
from packshot.types import U8


def picture(seed: int, width: int = 320, height: int = 240) -> U8:
    """A picture with large and small forms, uint8 HxWx3."""
    rng = np.random.default_rng(seed)
    layers = [rng.integers(0, 256, (side, side, 3)).astype(np.uint8) for side in (4, 12, 30)]
    large = [cv2.resize(layer, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32) for layer in layers]
    return np.asarray(np.clip(0.5 * large[0] + 0.35 * large[1] + 0.15 * large[2], 0, 255), np.uint8)


def print_of(pixels: U8) -> Fingerprint:
    found = fingerprint_of(pixels)
    assert found is not None
    return found


def likeness(asked: U8, stored: U8) -> Likeness:
    """Compare at the window whose hash is nearest, as a search does."""
    a, b = print_of(asked), print_of(stored)
    differ = np.bitwise_count(np.frombuffer(b.hashes, "<u8") ^ np.uint64(a.whole))
    return compare(sketch_of(a.sketch), sketch_of(b.sketch), WINDOWS[int(differ.argmin())])


def jpeg(pixels: U8, quality: int) -> U8:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality)
    return np.array(Image.open(out))


CHANGED: dict[str, Callable[[U8], U8]] = {
    "encoded": lambda pixels: jpeg(pixels, 70),
    "halved": lambda pixels: cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "enlarged": lambda pixels: cv2.resize(pixels, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC),
    "brighter": lambda pixels: np.clip(pixels * 1.1 + 8, 0, 255).astype(np.uint8),
    "cropped": lambda pixels: np.ascontiguousarray(pixels[30:222, 10:266]),
    "cropped to a square": lambda pixels: np.ascontiguousarray(pixels[:, 31:287]),
}


@pytest.mark.parametrize("change", CHANGED)
def test_a_changed_picture_is_the_same_one(change: str) -> None:
    for seed in range(8):
        found = likeness(CHANGED[change](picture(seed)), picture(seed))
        assert min(found.luma, found.detail) >= SAME


def test_other_pictures_are_not() -> None:
    stored = [picture(seed) for seed in range(6)]
    for seed in range(100, 110):
        for other in stored:
            found = likeness(picture(seed), other)
            assert min(found.luma, found.detail) < SAME - 0.2


def test_the_window_says_which_part_is_left() -> None:
    found = likeness(np.ascontiguousarray(picture(3)[24:216, 32:288]), picture(3)).window
    assert found == pytest.approx((32 / 320, 24 / 240, 288 / 320, 216 / 240), abs=0.015)


def test_a_mirror_turns_the_hash() -> None:
    asked, turned = print_of(picture(4)), print_of(np.ascontiguousarray(picture(4)[:, ::-1]))
    assert mirrored(asked.whole) == turned.whole
    assert asked.whole != turned.whole


def test_a_plain_picture_has_none() -> None:
    assert fingerprint_of(np.full((64, 64, 3), 250, np.uint8)) is None
    faint = np.full((64, 64, 3), 250, np.uint8)
    faint[:1] = 240
    assert fingerprint_of(faint) is None


def test_a_product_on_a_plain_backdrop_has_the_print_of_its_product() -> None:
    packshot = np.full((240, 320, 3), 255, np.uint8)
    packshot[60:180, 80:240] = picture(6)[60:180, 80:240]
    assert print_of(packshot).of_product
    assert not print_of(picture(6)).of_product


def test_a_transparent_picture_is_seen_over_white() -> None:
    pixels, alpha = picture(5), np.zeros((240, 320, 1), np.uint8)
    alpha[20:220, 20:300] = 255
    over_white = np.where(alpha > 0, pixels, 255).astype(np.uint8)
    assert print_of(np.concatenate([pixels, alpha], axis=2)) == print_of(over_white)
