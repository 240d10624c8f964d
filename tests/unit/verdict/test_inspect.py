"""A verdict says what is so: a product that changed is never ok."""

import cv2
import numpy as np
import pytest

from packshot.contract.verdict import Finding, Verdict
from packshot.types import Flat
from packshot.verdict.inspect import inspect


def product(size: int = 40) -> Flat:
    pixels = np.zeros((size, size, 4), np.uint8)
    pixels[10:30, 10:30] = (10, 120, 230, 255)
    return Flat(pixels)


def finished(flat: Flat, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 3, 3), np.uint8)
    picture = cv2.resize(coarse, flat.alpha.shape[::-1], interpolation=cv2.INTER_CUBIC)
    picture[flat.alpha == 255] = flat.rgb[flat.alpha == 255]
    return picture


def finding(verdict: Verdict, check: str) -> Finding:
    return next(found for found in verdict.findings if found.check == check)


def test_an_untouched_product_is_ok() -> None:
    flat = product()
    verdict = inspect(flat, finished(flat), generated=True)
    assert verdict.level == "ok"
    assert finding(verdict, "lock").value == 0
    assert finding(verdict, "fill").value == pytest.approx(0.25)


def test_one_level_in_one_pixel_fails_the_lock() -> None:
    flat = product()
    picture = finished(flat)
    picture[20, 20, 1] += 1
    verdict = inspect(flat, picture)
    assert verdict.level == "failed"
    assert finding(verdict, "lock").value == 1


def test_enlargement_above_twice_is_a_warning() -> None:
    flat = product()
    assert inspect(flat, finished(flat), enlarged_by=2.0).level == "ok"
    assert finding(inspect(flat, finished(flat), enlarged_by=2.1), "enlargement").level == "warning"


@pytest.mark.parametrize(
    ("by", "told"),
    [(0.75, "shrunk to 0.75 of its size"), (1.0, "not resized"), (1.5, "enlarged 1.50x")],
)
def test_a_size_is_told_as_what_was_done(by: float, told: str) -> None:
    flat = product()
    assert told in finding(inspect(flat, finished(flat), product_by=by), "product").detail


def test_a_product_that_the_frame_cuts_is_a_warning() -> None:
    pixels = product().pixels.copy()
    pixels[:10, 10:30] = pixels[15, 15]
    flat = Flat(pixels)
    cut = finding(inspect(flat, finished(flat)), "frame")
    assert cut.level == "warning"
    assert "top" in cut.detail


def test_a_generated_scene_of_one_colour_is_a_warning() -> None:
    flat = product()
    blank = np.full(flat.rgb.shape, 127, np.uint8)
    blank[flat.alpha == 255] = flat.rgb[flat.alpha == 255]
    assert finding(inspect(flat, blank, generated=True), "scene").level == "warning"
    assert inspect(flat, blank).level == "ok"


@pytest.mark.parametrize("enlarged_by", [1.0, 2.5, 4.0])
@pytest.mark.parametrize("grain_px", [1, 8])
def test_noise_presented_as_a_scene_fails(enlarged_by: float, grain_px: int) -> None:
    flat = Flat(np.pad(product().pixels, ((80, 80), (80, 80), (0, 0))))
    side = round(200 / enlarged_by / grain_px)
    noise = np.random.default_rng(0).integers(60, 200, (side, side, 3), np.uint8)
    picture = cv2.resize(noise, (200, 200), interpolation=cv2.INTER_CUBIC)
    picture[flat.alpha == 255] = flat.rgb[flat.alpha == 255]
    assert finding(inspect(flat, picture, enlarged_by=enlarged_by, generated=True), "scene").level == "failed"
    assert inspect(flat, picture).level == "ok"  # a plain background is not judged


def test_noise_that_an_upscaler_enlarged_fails() -> None:
    """The render is the picture's size, and its grain that of the engine's own pixels."""
    noise = np.random.default_rng(0).integers(60, 200, (7, 7, 3), np.uint8)
    picture = cv2.resize(noise, (200, 200), interpolation=cv2.INTER_CUBIC)
    flat = Flat(np.zeros((200, 200, 4), np.uint8))
    found = {one.check: one for one in inspect(flat, picture, scene_by=3.9, generated=True).findings}
    assert (found["scene"].level, found["enlargement"].level) == ("failed", "ok")


def test_faint_grain_of_a_white_sweep_is_no_noise() -> None:
    flat = product()
    sweep = np.random.default_rng(0).normal(245, 3, flat.rgb.shape).astype(np.uint8)
    sweep[flat.alpha == 255] = flat.rgb[flat.alpha == 255]
    assert finding(inspect(flat, sweep, generated=True), "scene").level == "ok"


def test_a_product_that_leaves_no_scene_is_a_warning() -> None:
    flat = Flat(np.full((40, 40, 4), 255, np.uint8))
    covered = finding(inspect(flat, flat.rgb, generated=True), "scene")
    assert covered.level == "warning"
    assert "0.00% of the frame" in covered.detail


def test_a_product_of_three_pixels_or_blown_up_is_a_warning() -> None:
    pixels = np.zeros((400, 400, 4), np.uint8)
    pixels[200:203, 200:203] = 255
    speck = Flat(pixels)
    assert finding(inspect(speck, finished(speck)), "fill").level == "warning"
    assert finding(inspect(product(), finished(product()), product_by=40.0), "product").level == "warning"


def test_transparent_pictures_and_wrong_sizes() -> None:
    flat = product()
    assert inspect(flat, flat.pixels).level == "ok"
    with pytest.raises(ValueError, match="layout's size"):
        inspect(flat, np.zeros((8, 8, 3), np.uint8))
