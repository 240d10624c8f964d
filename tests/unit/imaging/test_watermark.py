"""The mark survives what channels do to a file, never touches the product, and is found in no foreign picture."""

import io

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image

from packshot.imaging.watermark import MARGIN_PX, PAYLOAD_BITS, embed, read_mark
from packshot.types import U8


def scenes(longest_px: int) -> dict[str, U8]:
    """Busy, real and smooth scenes."""
    down = np.linspace(0, 1, longest_px)[:, None, None]
    smooth = np.broadcast_to(170 + 50 * down, (longest_px, longest_px, 3)).astype(np.uint8)
    real = {"coffee": skimage.data.coffee(), "cat": skimage.data.chelsea(), "grass": skimage.data.grass()}
    return {"smooth": smooth, **{name: resized(picture, longest_px) for name, picture in real.items()}}


def resized(picture: U8, longest_px: int) -> U8:
    image = Image.fromarray(picture).convert("RGB")
    share = longest_px / max(image.size)
    return np.asarray(image.resize((round(image.width * share), round(image.height * share)), Image.Resampling.LANCZOS))


def product_of(picture: U8) -> U8:
    height, width = picture.shape[:2]
    alpha = np.zeros((height, width), np.uint8)
    cv2.ellipse(alpha, (width // 2, height // 2), (int(width * 0.36), int(height * 0.36)), 0, 0, 360, 255, -1)
    return alpha


def as_jpeg(picture: U8, quality: int) -> U8:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=quality)
    return np.asarray(Image.open(out))


@pytest.mark.parametrize("name", ["smooth", "coffee", "cat", "grass"])
def test_the_mark_outlives_a_smaller_jpeg_and_spares_the_product(name: str) -> None:
    picture = scenes(1024)[name]
    alpha, payload = product_of(picture), 0x5A17C0FFEE
    marked = embed(picture, payload, alpha)
    near = cv2.dilate(alpha, np.ones((2 * MARGIN_PX + 1,) * 2, np.uint8)) > 0
    assert np.array_equal(marked[near], picture[near])
    error = ((marked.astype(float) - picture)[~near] ** 2).mean()
    assert 10 * np.log10(255**2 / error) >= 42
    assert read_mark(marked) == payload
    assert read_mark(as_jpeg(resized(marked, 768), 80)) == payload
    assert read_mark(picture) is None


def test_a_picture_without_room_for_a_mark_stays_as_it_is() -> None:
    white = np.full((400, 300, 3), 255, np.uint8)
    assert np.array_equal(embed(white, 7, None), white)
    assert read_mark(white) is None


def test_foreign_pictures_have_no_mark() -> None:
    rng = np.random.default_rng(0)
    photos = [skimage.data.coffee(), skimage.data.chelsea(), skimage.data.astronaut(), skimage.data.rocket()]
    for number in range(60):
        photo = photos[number % len(photos)]
        top, left = (int(rng.integers(0, side // 2)) for side in photo.shape[:2])
        assert read_mark(np.ascontiguousarray(photo[top : top + 240, left : left + 240])) is None


def test_a_longer_payload_is_refused() -> None:
    with pytest.raises(ValueError, match=f"at most {PAYLOAD_BITS} bits"):
        embed(np.zeros((64, 64, 3), np.uint8), 1 << PAYLOAD_BITS, None)
