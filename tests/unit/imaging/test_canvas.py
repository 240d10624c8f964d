"""Placement is exact where it says so, and never bleeds where it resamples."""

import math
from typing import Any

import cv2
import numpy as np
import pytest

from packshot.contract.shot_spec import Canvas
from packshot.errors import BadInput
from packshot.imaging.canvas import cut, fit_into, fit_to, flatten, layer_size, locked_mask
from packshot.types import Cutout, Flat, Framing, Layer, Layout, Mask, Photo

RNG = np.random.default_rng(5)


def noisy_photo(width: int = 160, height: int = 120) -> Photo:
    return Photo(RNG.integers(0, 256, (height, width, 3), np.uint8))


def blob(
    width: int = 160, height: int = 120, centre: tuple[int, int] = (80, 60), axes: tuple[int, int] = (45, 30)
) -> Mask:
    pixels = np.zeros((height, width), np.uint8)
    cv2.ellipse(pixels, centre, axes, 20, 0, 360, 255, -1)
    return Mask(pixels)


def disk_eroded(mask: Mask, radius: int = 2) -> np.ndarray:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return cv2.erode((mask.pixels >= 128).astype(np.uint8), (x * x + y * y <= radius * radius).astype(np.uint8)) > 0


def opaque(width: int, height: int, colour: tuple[int, int, int] | None = None) -> Cutout:
    pixels = np.full((height, width, 4), 255, np.uint8)
    pixels[..., :3] = RNG.integers(0, 256, (height, width, 3)) if colour is None else colour
    return Cutout(pixels)


def one_to_one(cutout: Cutout, canvas: Canvas, **placement: Any) -> Layer:
    return Layer(cutout, scale=max(cutout.width, cutout.height) / max(canvas.width, canvas.height), **placement)


def test_cut_is_opaque_and_untouched_inside_and_clear_outside() -> None:
    photo, mask = noisy_photo(), blob()
    cutout = cut(photo, mask)
    solid, alpha = cutout.pixels[..., 3] == 255, np.zeros((photo.height, photo.width), np.uint8)
    row, column = np.argwhere(solid)[0]
    places = np.argwhere((photo.pixels == cutout.pixels[row, column, :3]).all(axis=2)) - (row, column)
    assert len(places) == 1  # the photo is noise: every pixel is its own
    window = np.s_[places[0][0] : places[0][0] + cutout.height, places[0][1] : places[0][1] + cutout.width]
    assert np.array_equal(photo.pixels[window][solid], cutout.pixels[..., :3][solid])
    alpha[window] = cutout.pixels[..., 3]
    assert (alpha[disk_eroded(mask)] == 255).all()
    assert (alpha[cv2.dilate(mask.pixels, np.ones((7, 7), np.uint8)) == 0] == 0).all()


def test_cut_softens_the_edge() -> None:
    alpha = cut(Photo(np.full((120, 160, 3), 90, np.uint8)), blob()).pixels[..., 3]
    soft = (alpha > 20) & (alpha < 235)
    assert 100 < soft.sum() < 1200


def test_cut_follows_the_photo_where_the_mask_is_one_pixel_off() -> None:
    pixels = np.full((80, 80, 3), (20, 20, 20), np.uint8)
    pixels[20:60, 20:60] = (230, 220, 40)
    mask = np.zeros((80, 80), np.uint8)
    mask[20:60, 21:61] = 255  # one to the right
    flat = flatten(Layout(Canvas(80, 80), (one_to_one(cut(Photo(pixels), Mask(mask)), Canvas(80, 80)),)))
    row = flat.alpha[40]
    solid = np.flatnonzero(row > 127)
    assert solid[-1] - solid[0] + 1 == 40


def test_cut_takes_the_old_background_out_of_the_fringe() -> None:
    pixels = np.full((80, 80, 3), (0, 255, 0), np.uint8)  # a green screen
    cv2.circle(pixels, (40, 40), 25, (200, 40, 40), -1, cv2.LINE_AA)
    mask = np.zeros((80, 80), np.uint8)
    cv2.circle(mask, (40, 40), 26, 255, -1)
    cutout = cut(Photo(pixels), Mask(mask)).pixels
    half = (cutout[..., 3] > 0) & (cutout[..., 3] < 128)
    assert half.any()
    assert cutout[half][:, 1].mean() < 110


def test_cut_at_the_photos_border_stays_hard() -> None:
    mask = np.zeros((60, 60), np.uint8)
    mask[20:, 10:50] = 255
    cutout = cut(Photo(np.full((60, 60, 3), 120, np.uint8)), Mask(mask))
    assert (cutout.pixels[-1, 6:-6, 3] == 255).all()


def test_cut_refuses_an_empty_mask_and_one_of_another_size() -> None:
    with pytest.raises(BadInput, match="mask_empty"):
        cut(noisy_photo(), Mask(np.zeros((120, 160), np.uint8)))
    with pytest.raises(BadInput, match="invalid_request"):
        cut(noisy_photo(), Mask(np.full((10, 10), 255, np.uint8)))


@pytest.mark.parametrize(("x", "y"), [(0.5, 0.5), (0.503, 0.377), (0.1, 0.95), (0.0, 0.0)])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("size", [(50, 31), (30, 51)])
def test_a_one_to_one_layer_is_copied_to_the_documented_place(
    x: float, y: float, flip: bool, size: tuple[int, int]
) -> None:
    canvas, cutout = Canvas(200, 140), opaque(*size)
    flat = flatten(Layout(canvas, (one_to_one(cutout, canvas, x=x, y=y, flip=flip),)))
    left, top = math.floor(x * 200 - size[0] / 2 + 0.5), math.floor(y * 140 - size[1] / 2 + 0.5)
    expected = np.zeros((140 + 400, 200 + 400, 4), np.uint8)
    source = cutout.pixels[:, ::-1] if flip else cutout.pixels
    expected[200 + top : 200 + top + size[1], 200 + left : 200 + left + size[0]] = source
    assert np.array_equal(flat.pixels, expected[200:340, 200:400])


def test_inside_the_eroded_mask_the_layout_equals_the_photo() -> None:
    photo, mask = noisy_photo(), blob()
    canvas = Canvas(300, 300)
    cutout = cut(photo, mask)
    flat = flatten(Layout(canvas, (one_to_one(cutout, canvas),)))
    solid = locked_mask(flat) == 255
    assert solid.sum() >= disk_eroded(mask).sum()
    offset_y, offset_x = np.argwhere(flat.alpha == 255).min(axis=0) - np.argwhere(disk_eroded(mask)).min(axis=0)
    for dy in range(-4, 5):
        for dx in range(-4, 5):
            ys, xs = np.nonzero(disk_eroded(mask))
            there = flat.pixels[ys + offset_y + dy, xs + offset_x + dx]
            if np.array_equal(there[:, :3], photo.pixels[ys, xs]):
                assert (there[:, 3] == 255).all()
                return
    pytest.fail("the photo's pixels are not in the layout")


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_quarter_turns_are_exact_and_clockwise(turns: int) -> None:
    canvas, cutout = Canvas(100, 100), opaque(30, 20)
    flat = flatten(Layout(canvas, (one_to_one(cutout, canvas, rotation_deg=90.0 * turns),)))
    ys, xs = np.nonzero(flat.alpha)
    shown = flat.pixels[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    assert np.array_equal(shown, np.rot90(cutout.pixels, -turns))


def test_rotation_is_clockwise_about_the_centre_and_keeps_colour_and_area() -> None:
    cutout = opaque(60, 20, (200, 100, 50))
    cutout.pixels[:, 40:, :3] = (10, 200, 250)  # the right end
    canvas = Canvas(200, 200)
    flat = flatten(Layout(canvas, (one_to_one(cutout, canvas, rotation_deg=30),)))
    assert abs(flat.alpha.astype(float).sum() / 255 - 60 * 20) < 15
    assert np.abs(np.argwhere(flat.alpha > 127).mean(axis=0) - 99.5).max() < 0.3
    right_end = (flat.alpha > 250) & (flat.rgb[..., 2] > 200)
    assert np.argwhere(right_end).mean(axis=0)[0] > 105  # clockwise: the right end goes down


@pytest.mark.parametrize("scale", [0.3, 0.6, 1.1])
def test_rotation_leaves_no_halo(scale: float) -> None:
    cutout = opaque(60, 20, (200, 100, 50))
    flat = flatten(Layout(Canvas(100, 100), (Layer(cutout, scale=scale, rotation_deg=-17),)))
    assert np.abs(flat.rgb[flat.alpha > 16].astype(int) - (200, 100, 50)).max() <= 12
    assert np.array_equal(np.unique(flat.rgb[flat.alpha == 255], axis=0), [[200, 100, 50]])


@pytest.mark.parametrize("scale", [0.2, 0.33, 0.9])
def test_resampling_is_premultiplied(scale: float) -> None:
    """Clear pixels carry garbage; none of it may show."""
    pixels = np.zeros((80, 80, 4), np.uint8)
    pixels[..., :3] = (0, 255, 0)
    pixels[20:60, 20:60] = (200, 40, 40, 255)
    flat = flatten(Layout(Canvas(100, 100), (Layer(Cutout(pixels), scale=scale),)))
    seen = flat.alpha > 16
    assert np.abs(flat.rgb[seen].astype(int) - (200, 40, 40)).max() <= 12
    assert np.array_equal(np.unique(flat.rgb[flat.alpha == 255], axis=0), [[200, 40, 40]])


def test_layer_size_follows_the_longer_sides() -> None:
    canvas = Canvas(1024, 512)
    assert layer_size(Layer(opaque(40, 100), scale=0.5), canvas) == (205, 512)
    assert layer_size(Layer(opaque(100, 40), scale=100 / 1024), canvas) == (100, 40)


@pytest.mark.parametrize("angle", [0, 25])
def test_what_shows_of_a_huge_layer_is_what_cropping_it_would_show(angle: int) -> None:
    cutout, canvas = opaque(40, 30), Canvas(64, 64)
    flat = flatten(Layout(canvas, (Layer(cutout, x=0.4, y=0.6, scale=5.0, rotation_deg=angle),)))
    wide = flatten(Layout(Canvas(640, 640), (Layer(cutout, x=0.49, y=0.51, scale=0.5, rotation_deg=angle),)))
    window = wide.pixels[288:352, 288:352]
    assert np.abs(flat.pixels.astype(int) - window).max() <= 2


def test_an_absurd_scale_costs_no_more_than_the_canvas() -> None:
    flat = flatten(Layout(Canvas(64, 64), (Layer(opaque(40, 30), scale=5_000, rotation_deg=10),)))
    assert (flat.alpha == 255).all()


def test_later_layers_cover_earlier_ones() -> None:
    canvas = Canvas(100, 100)
    red, blue = opaque(40, 40, (255, 0, 0)), opaque(40, 40, (0, 0, 255))
    blue.pixels[..., 3] = 128
    flat = flatten(Layout(canvas, (one_to_one(red, canvas), one_to_one(blue, canvas, x=0.6))))
    assert tuple(flat.pixels[50, 35]) == (255, 0, 0, 255)
    assert tuple(flat.pixels[50, 75]) == (0, 0, 255, 128)
    assert np.abs(flat.pixels[50, 60].astype(int) - (127, 0, 128, 255)).max() <= 1


@pytest.mark.parametrize("layer", [{"x": 3.0}, {"y": -1.0}, {"scale": 0.001}, {"scale": 0.01, "tall": True}])
def test_a_layer_that_shows_nowhere_is_refused(layer: dict[str, Any]) -> None:
    cutout = opaque(2, 200) if layer.pop("tall", False) else opaque(40, 30)
    with pytest.raises(BadInput, match="layer_outside"):
        flatten(Layout(Canvas(100, 100), (Layer(cutout, **layer),)))


def test_fit_to_changes_size_only() -> None:
    pixels = np.zeros((100, 200, 4), np.uint8)
    pixels[20:80, 40:160] = (9, 99, 199, 255)
    fitted = fit_to(Flat(pixels), 128, 64)
    assert fitted.pixels.shape == (64, 128, 4)
    assert tuple(fitted.pixels[32, 64]) == (9, 99, 199, 255)
    assert fit_to(fitted, 128, 64) is fitted


def test_a_product_that_the_canvas_cuts_goes_on_in_the_scene() -> None:
    pixels = np.zeros((40, 200, 4), np.uint8)
    pixels[20:, 50:100] = (10, 200, 30, 255)  # cut by the lower border
    framing = Framing((96, 48), (0, 14, 96, 33), 2)
    scene = fit_into(Flat(pixels), framing)
    assert scene.pixels.shape == (48, 96, 4)
    assert np.array_equal(scene.pixels[14:33], fit_to(Flat(pixels), 96, 19).pixels)
    assert (scene.alpha[33:, 30:44] == 255).all()
    assert (scene.alpha[:14] == 0).all()
    whole = Framing.of_whole(100, 20)
    assert np.array_equal(fit_into(Flat(pixels), whole).pixels, fit_to(Flat(pixels), 100, 20).pixels)
