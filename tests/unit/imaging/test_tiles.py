"""What is computed on tiles equals what is computed on the whole picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from packshot.imaging.tiles import REACH_PX, nearby_colours, on_tiles
from packshot.types import F32, U8

RNG = np.random.default_rng(7)


@pytest.mark.parametrize("size", [(1, 1), (64, 64), (65, 200), (300, 70)])
@pytest.mark.parametrize("border", [cv2.BORDER_REFLECT, cv2.BORDER_REFLECT_101])
def test_a_filter_on_tiles_equals_the_filter_on_the_picture(size: tuple[int, int], border: int) -> None:
    values = RNG.random(size).astype(np.float32)
    wanted = RNG.random(size) < 0.01
    wanted[0, 0] = wanted[-1, -1] = True  # corners see the border

    def mean(strip: F32) -> F32:
        return np.asarray(cv2.boxFilter(strip, cv2.CV_32F, (5, 5), borderType=border), np.float32)

    found = np.full(size, np.nan, np.float32)
    for at, answer in on_tiles(wanted, mean, values, halo=2, border=border):
        found.reshape(-1)[at] = answer
    assert np.array_equal(~np.isnan(found), wanted)
    assert np.allclose(found[wanted], mean(values)[wanted], rtol=1e-6)


def test_nothing_wanted_is_nothing_computed() -> None:
    def never(strip: F32) -> F32:
        raise AssertionError("no tile is busy")

    assert not list(on_tiles(np.zeros((90, 90), bool), never, np.zeros((90, 90), np.float32), halo=2))


def test_a_pixel_takes_the_colours_of_the_sources_around_it() -> None:
    rgb: U8 = np.zeros((100, 100, 3), np.uint8)
    rgb[:, :50], rgb[:, 50:] = (200, 10, 30), (0, 0, 255)
    source, wanted = np.zeros((100, 100), bool), np.zeros((100, 100), bool)
    source[:, :50] = True
    wanted[30, 51] = wanted[30, 50 + REACH_PX + 1] = True  # the second lies out of reach
    ((at, colours),) = nearby_colours(rgb, source, wanted)
    assert at.tolist() == [30 * 100 + 51]
    assert np.allclose(colours, [[200, 10, 30]], atol=1e-3)
