"""Resampling equals Pillow's on every premultiplied plane, and keeps premultiplied colours apart."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from packshot.imaging.resample import premultiplied, reduced, resized, straight
from packshot.types import U8


def picture(height: int, width: int) -> U8:
    """Random colours under a disc with a soft edge, clear at the top."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:height, :width]
    far = np.hypot(x - width / 2, y - height * 0.6) / min(height, width)
    alpha = np.clip((0.42 - far) * 40, 0, 1)
    return np.dstack([rng.integers(0, 256, (height, width, 3), np.uint8), np.rint(alpha * 255).astype(np.uint8)])


@pytest.mark.parametrize("size", [(67, 53), (16, 500), (300, 200), (611, 407), (1, 1), (301, 40)])
@pytest.mark.parametrize("window", [None, (10.0, 20.0, 300.5, 181.25)])
def test_equals_pillows_lanczos_on_float_planes(
    size: tuple[int, int], window: tuple[float, float, float, float] | None
) -> None:
    source = picture(203, 301)
    planes = [
        np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.LANCZOS, box=window))
        for plane in premultiplied(source)
    ]
    assert np.array_equal(resized(source, *size, window), straight(planes))


def test_takes_views_and_read_only_pixels() -> None:
    source = picture(80, 120)
    source.setflags(write=False)
    turned = np.rot90(source[:, ::-1])
    assert np.array_equal(resized(turned, 40, 60), resized(turned.copy(), 40, 60))


def test_a_reduced_picture_keeps_its_shape_and_its_colours_apart() -> None:
    pixels = np.full((200, 400, 4), (200, 0, 0, 255), np.uint8)
    pixels[:, 201:] = (0, 255, 0, 0)  # clear green, which must not show
    small = reduced(pixels, 100)
    assert small.shape == (50, 100, 4)
    assert small[0, 0].tolist() == [200, 0, 0, 255]
    assert small[0, 99, 3] == 0
    assert (small[small[..., 3] > 0][:, 1] == 0).all()
    assert reduced(pixels[..., :3], 64).shape == (32, 64, 3)
    assert reduced(pixels[..., 3], 64).shape == (32, 64)
    assert reduced(pixels, 400) is pixels
