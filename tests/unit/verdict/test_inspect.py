"""A verdict says what is so: a product that changed is never ok."""

import numpy as np
import pytest

from packshot.types import Flat
from packshot.verdict.inspect import inspect


def product(size=40):
    pixels = np.zeros((size, size, 4), np.uint8)
    pixels[10:30, 10:30] = (10, 120, 230, 255)
    return Flat(pixels)


def finished(flat, seed=0):
    picture = np.random.default_rng(seed).integers(0, 256, flat.rgb.shape, np.uint8)
    picture[flat.alpha == 255] = flat.rgb[flat.alpha == 255]
    return picture


def finding(verdict, check):
    return next(found for found in verdict.findings if found.check == check)


def test_an_untouched_product_is_ok():
    flat = product()
    verdict = inspect(flat, finished(flat), generated=True)
    assert verdict.level == "ok"
    assert finding(verdict, "lock").value == 0
    assert finding(verdict, "fill").value == pytest.approx(0.25)


def test_one_level_in_one_pixel_fails_the_lock():
    flat = product()
    picture = finished(flat)
    picture[20, 20, 1] += 1
    verdict = inspect(flat, picture)
    assert verdict.level == "failed"
    assert finding(verdict, "lock").value == 1


def test_enlargement_above_twice_is_a_warning():
    flat = product()
    assert inspect(flat, finished(flat), enlarged_by=2.0).level == "ok"
    assert finding(inspect(flat, finished(flat), enlarged_by=2.1), "enlargement").level == "warning"


def test_a_product_that_the_frame_cuts_is_a_warning():
    pixels = product().pixels.copy()
    pixels[:10, 10:30] = pixels[15, 15]
    flat = Flat(pixels)
    cut = finding(inspect(flat, finished(flat)), "frame")
    assert cut.level == "warning"
    assert "top" in cut.detail


def test_a_generated_scene_of_one_colour_is_a_warning():
    flat = product()
    blank = np.full(flat.rgb.shape, 127, np.uint8)
    blank[flat.alpha == 255] = flat.rgb[flat.alpha == 255]
    assert finding(inspect(flat, blank, generated=True), "scene").level == "warning"
    assert inspect(flat, blank).level == "ok"


def test_transparent_pictures_and_wrong_sizes():
    flat = product()
    assert inspect(flat, flat.pixels).level == "ok"
    with pytest.raises(ValueError, match="layout's size"):
        inspect(flat, np.zeros((8, 8, 3), np.uint8))
