"""What the engine sees, and how its picture comes back under a product that does not change."""

import numpy as np
import pytest

from packshot.contract.shot_spec import Canvas
from packshot.errors import BadInput
from packshot.imaging.composite import Ground, composite, enlarge, inpaint_mask, plain_background, product_on_grey
from packshot.imaging.edges import canny
from packshot.imaging.light.contact import contact_shadow
from packshot.types import Flat, Framing

RNG = np.random.default_rng(11)


def flat_with_soft_edge(size: int = 64) -> Flat:
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    alpha = np.clip((size * 0.3 - np.hypot(x, y)) / 3 + 0.5, 0, 1)
    pixels = RNG.integers(0, 256, (size, size, 4), np.uint8)
    pixels[..., 3] = np.rint(alpha * 255)
    return Flat(pixels)


def test_opaque_product_pixels_are_the_layouts_whatever_lies_behind() -> None:
    flat = flat_with_soft_edge()
    background = RNG.integers(0, 256, (64, 64, 3), np.uint8)
    shadow = RNG.integers(0, 256, (64, 64), np.uint8)
    solid = flat.alpha == 255
    for behind in (background, None):
        for dark in (shadow, None):
            picture = composite(flat, behind, Ground(dark))
            assert np.array_equal(picture[solid][:, :3], flat.rgb[solid])
    assert np.array_equal(composite(flat, background)[flat.alpha == 0], background[flat.alpha == 0])


def test_inputs_stay_as_they_were() -> None:
    """Ray hands arrays over read-only."""
    flat = flat_with_soft_edge()
    background, shadow = np.full((64, 64, 3), 200, np.uint8), np.full((64, 64), 90, np.uint8)
    for array in (flat.pixels, background, shadow):
        array.setflags(write=False)
    composite(flat, background, Ground(shadow))
    composite(flat, None, Ground(shadow))
    contact_shadow(flat)
    canny(flat)


def test_the_soft_edge_mixes_with_the_scene_beyond_it_not_with_what_the_engine_left_there() -> None:
    flat = flat_with_soft_edge()
    flat.pixels[..., :3] = 0
    background = np.full((64, 64, 3), 240, np.uint8)
    background[flat.alpha > 0] = (255, 0, 0)  # what an engine paints under and around a product
    edge = (flat.alpha > 0) & (flat.alpha < 255)
    picture = composite(flat, background).astype(int)[edge]
    expected = np.rint(240 * (1 - flat.alpha[edge] / 255))
    assert np.abs(picture - expected[:, None]).max() <= 1


def test_transparent_keeps_the_layout_and_puts_the_shadow_under_it() -> None:
    flat = flat_with_soft_edge()
    assert np.array_equal(composite(flat, None), flat.pixels)
    shadow = np.full((64, 64), 100, np.uint8)
    picture = composite(flat, None, Ground(shadow))
    assert tuple(picture[0, 0]) == (0, 0, 0, 100)
    over_white = picture[..., :3] * (picture[..., 3:] / 255) + 255 * (1 - picture[..., 3:] / 255)
    assert np.abs(over_white - composite(flat, np.full((64, 64, 3), 255, np.uint8), Ground(shadow))).max() <= 2


def test_sizes_must_agree() -> None:
    with pytest.raises(ValueError, match="layout's size"):
        composite(flat_with_soft_edge(), np.zeros((32, 32, 3), np.uint8))


def test_grey_is_neutral_and_the_mask_keeps_what_is_mostly_product() -> None:
    flat = flat_with_soft_edge()
    assert (product_on_grey(flat)[flat.alpha == 0] == 127).all()
    mask = inpaint_mask(flat)
    assert set(np.unique(mask)) == {0, 255}
    assert np.array_equal(mask == 0, flat.alpha >= 128)


def test_plain_backgrounds() -> None:
    assert (plain_background(Canvas(3, 2), "white") == 255).all()
    assert tuple(plain_background(Canvas(3, 2), "#0A80ff")[1, 2]) == (10, 128, 255)
    assert plain_background(Canvas(3, 2), "white").shape == (2, 3, 3)
    for wrong in ("red", "#12345", "#12345g", "generate", "#123456\n"):
        with pytest.raises(BadInput, match="invalid_request"):
            plain_background(Canvas(3, 2), wrong)


def test_enlarge_reaches_the_canvas_and_leaves_flat_colour_alone() -> None:
    assert (enlarge(np.full((16, 16, 3), 77, np.uint8), Canvas(50, 40)) == 77).all()
    assert enlarge(np.zeros((16, 16, 3), np.uint8), Canvas(50, 40)).shape == (40, 50, 3)


@pytest.mark.parametrize("render_px", [1, 2])
def test_a_canvas_shows_only_its_part_of_the_scene(render_px: int) -> None:
    """It equals the same part of the whole scene's enlargement, also when the decoder enlarged the render."""
    framing = Framing((32, 16), (4, 6, 28, 10), 2)
    render = np.random.default_rng(1).integers(0, 256, (16 * render_px, 32 * render_px, 3), np.uint8)
    whole = enlarge(render, Canvas(160, 80))
    shown = enlarge(render, Canvas(120, 20), framing)
    assert np.abs(shown.astype(int) - whole[30:50, 20:140]).mean() < 2  # half a scene pixel off gives 70


def test_canny_sees_the_product_and_not_the_canvas() -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[16:48, 16:48] = (250, 250, 250, 255)
    pixels[28:36, 28:36, :3] = 20
    edges = canny(Flat(pixels)).pixels
    assert set(np.unique(edges)) == {0, 255}
    assert not edges[:14].any()
    assert edges[14:18, 20:44].any(axis=0).all()  # the outline, all along
    assert edges[26:30, 29:35].any(axis=0).all()  # and the detail inside
    assert not canny(Flat(np.zeros((64, 64, 4), np.uint8))).pixels.any()


def standing_box(size: int = 200) -> Flat:
    pixels = np.zeros((size, size, 4), np.uint8)
    pixels[60:140, 60:140] = (90, 90, 90, 255)
    return Flat(pixels)


def test_the_shadow_lies_at_the_base_and_dies_away() -> None:
    shadow = contact_shadow(standing_box()).astype(int)
    assert shadow.shape == (200, 200)
    assert shadow[141, 80:120].min() > 80  # dark along the line of contact
    assert shadow[141, 100] > shadow[146, 100] > shadow[152, 100] > shadow[190, 100] - 1
    assert shadow[:70].max() == 0  # nothing around the upper half
    assert shadow[0].max() == shadow[-1].max() == shadow[:, 0].max() == shadow[:, -1].max() == 0
    assert np.abs(np.diff(shadow[140:, :], axis=1)).max() < 60  # soft
    assert np.abs(shadow - shadow[:, ::-1]).max() <= 6  # light from above


def test_each_part_casts_its_own_shadow_and_specks_none() -> None:
    pixels = np.zeros((200, 300, 4), np.uint8)
    pixels[20:60, 30:90] = pixels[100:160, 180:260] = (50, 50, 50, 255)
    pixels[5, 290] = (50, 50, 50, 255)
    shadow = contact_shadow(Flat(pixels))
    assert shadow[61, 60] > 60
    assert shadow[161, 220] > 60
    assert shadow[7, 290] == 0
    assert not contact_shadow(Flat(np.zeros((64, 64, 4), np.uint8))).any()


def test_a_shadow_stays_on_the_canvas_when_the_product_leaves_it() -> None:
    pixels = np.zeros((100, 100, 4), np.uint8)
    pixels[70:, 60:] = (50, 50, 50, 255)
    assert contact_shadow(Flat(pixels)).shape == (100, 100)
