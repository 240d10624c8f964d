"""Harmonising moves a scene's colours towards a palette, and nothing of the product."""

import time

import cv2
import numpy as np
import pytest

from packshot.errors import BadInput
from packshot.imaging.composite import composite
from packshot.imaging.light.harmonise import harmonise, palette_distance
from packshot.types import U8, Flat

PALETTE = ["#2a4d69", "#f4e1d2", "#e07a5f"]


def scene(px: int = 192) -> U8:
    """A floor, a wall and a plant, with texture."""
    pixels = np.full((px, px, 3), (190, 205, 120), np.uint8)
    pixels[px // 2 :] = (120, 85, 60)
    cv2.circle(pixels, (px // 5, px // 3), px // 8, (30, 120, 50), -1)
    noise = np.random.default_rng(0).normal(0, 6, pixels.shape)
    return np.asarray(np.clip(pixels + noise, 0, 255), np.uint8)


def product(px: int = 192) -> Flat:
    alpha = np.zeros((px, px), np.uint8)
    cv2.circle(alpha, (px // 2, px // 2), px // 5, 255, -1, cv2.LINE_AA)
    pixels = np.zeros((px, px, 4), np.uint8)
    pixels[..., :3], pixels[..., 3] = (40, 60, 200), alpha
    return Flat(pixels)


@pytest.mark.parametrize("palette", [PALETTE[:1], PALETTE, ["#0b6e4f", "#fdf6e3"], ["#808080"], [*PALETTE, *PALETTE]])
def test_the_scene_comes_nearer_to_the_palette_with_the_strength(palette: list[str]) -> None:
    before = scene()
    distances = [palette_distance(harmonise(before, palette, strength), palette) for strength in (0, 0.5, 1)]
    assert distances[0] > distances[1] > distances[2]
    assert distances[2] < 0.75 * distances[0]


def test_without_strength_or_with_its_own_colours_the_scene_stays() -> None:
    before = scene()
    assert np.array_equal(harmonise(before, PALETTE, 0.0), before)
    own = ["#becd78", "#78553c", "#1e7832"]
    assert np.abs(harmonise(before, own, 1.0).astype(int) - before).mean() < 6


def test_light_and_shade_and_texture_are_the_scenes_own() -> None:
    before = scene()
    after = harmonise(before, PALETTE, 1.0)
    lightness = [cv2.cvtColor(one, cv2.COLOR_RGB2LAB)[..., 0].astype(float) for one in (before, after)]
    assert np.corrcoef(lightness[0].ravel(), lightness[1].ravel())[0, 1] > 0.9
    grain = [float((one - cv2.blur(one, (5, 5)))[20:80, 90:180].std()) for one in lightness]
    assert grain[1] == pytest.approx(grain[0], rel=0.35)


def test_the_product_stays_exactly_and_its_edge_has_no_halo() -> None:
    flat, before = product(), np.full((192, 192, 3), (190, 205, 120), np.uint8)
    after = composite(flat, harmonise(before, ["#e07a5f"], 1.0, flat.alpha))
    solid = flat.alpha == 255
    assert np.array_equal(after[solid], flat.rgb[solid])
    lab = cv2.cvtColor(after.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    away = cv2.distanceTransform(np.where(flat.alpha > 0, np.uint8(0), np.uint8(1)), cv2.DIST_L2, 5)
    near, far = (lab[(away >= low) & (away <= high)].mean(axis=0) for low, high in ((1, 3), (10, 20)))
    assert np.linalg.norm(near - far) <= 3


def test_what_lies_under_the_product_is_no_colour_of_the_scene() -> None:
    flat, before = product(), scene()
    other = before.copy()
    other[flat.alpha > 0] = (255, 0, 255)
    outside = flat.alpha == 0
    found = [harmonise(one, PALETTE, 0.8, flat.alpha)[outside] for one in (before, other)]
    assert np.array_equal(*found)
    covered = np.full(flat.alpha.shape, 255, np.uint8)
    assert np.array_equal(harmonise(before, PALETTE, 1.0, covered), before)  # there is no scene


def test_smooth_tones_stay_smooth() -> None:
    """A gradient has no visible bands: neighbours differ by at most two more steps than before."""
    ramp = np.repeat(np.linspace(40, 220, 256).astype(np.uint8)[None, :, None], 3, axis=2).repeat(64, axis=0)
    steps = np.abs(np.diff(harmonise(ramp, PALETTE, 1.0).astype(int), axis=1)).max()
    assert steps <= np.abs(np.diff(ramp.astype(int), axis=1)).max() + 2


@pytest.mark.parametrize(
    ("palette", "strength", "why"),
    [
        ([], 0.5, "1 to 8 colours, got 0"),
        (["#000000"] * 9, 0.5, "1 to 8 colours, got 9"),
        (["red"], 0.5, "must be #rrggbb, got 'red'"),
        (["#12345g"], 0.5, "must be #rrggbb"),
        (PALETTE, 1.5, "strength must be 0 to 1, got 1.5"),
        (PALETTE, float("nan"), "strength must be 0 to 1, got nan"),
    ],
)
def test_a_palette_or_strength_that_is_none_is_refused(palette: list[str], strength: float, why: str) -> None:
    with pytest.raises(BadInput, match=f"invalid_request: .*{why}"):
        harmonise(scene(64), palette, strength)


def test_one_pixel_and_black_and_white_can_be_harmonised() -> None:
    for colour in (0, 255, 128):
        small = np.full((1, 1, 3), colour, np.uint8)
        assert harmonise(small, PALETTE, 1.0).shape == (1, 1, 3)


def test_harmonising_costs_little() -> None:
    """60 ms at 1024 px were asked; the bound leaves room for a busy machine."""
    large = cv2.resize(scene(), (1024, 1024))
    spent = []
    for _ in range(4):
        started_at = time.process_time()
        harmonise(large, PALETTE, 0.8)
        spent.append(time.process_time() - started_at)
    assert min(spent) <= 0.2
