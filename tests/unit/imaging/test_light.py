"""Shadow, reflection and the light that a scene shows."""

import time
from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from packshot.contract.light import Reflection, Shadow
from packshot.contract.shot_spec import Background
from packshot.imaging.composite import Ground, composite
from packshot.imaging.light.cast import cast_shadow, floating_shadow
from packshot.imaging.light.contact import contact_shadow
from packshot.imaging.light.estimate import scene_light
from packshot.imaging.light.stand import stand_of
from packshot.shots.lighting import USUAL_DIRECTION_DEG, lit_ground
from packshot.types import U8, Flat
from tests.specs import spec_of

PX = 288


def can(px: int = PX, elevation: float = 0.3) -> Flat:
    """A cylinder that stands on a round base, seen from above by `elevation` (the sine)."""
    alpha = np.zeros((px, px), np.uint8)
    half, top, foot = px * 0.11, px * 0.30, px * 0.70
    cv2.rectangle(alpha, (int(px / 2 - half), int(top)), (int(px / 2 + half), int(foot)), 255, -1)
    for row in (top, foot):
        cv2.ellipse(alpha, (px // 2, int(row)), (int(half), int(half * elevation)), 0, 0, 360, 255, -1)
    pixels = np.zeros((px, px, 4), np.uint8)
    pixels[..., :3], pixels[..., 3] = (180, 40, 30), alpha
    return Flat(pixels)


def foot_of(px: int = PX) -> tuple[float, float]:
    """(x, y) of the middle of the can's base."""
    return px / 2, px * 0.70


def fallen(shadow: U8, px: int = PX) -> NDArray[np.float64]:
    """The mean of a shadow's darkness from the middle of the base, in pixels: (right, down)."""
    weight = shadow.astype(float)
    rows, columns = np.mgrid[: shadow.shape[0], : shadow.shape[1]]
    x, y = foot_of(px)
    return np.array([(weight * (columns - x)).sum(), (weight * (rows - y)).sum()]) / weight.sum()


@pytest.mark.parametrize("direction", [0, 45, 90, 135, 180, 225, 270, 315])
def test_a_cast_shadow_falls_where_it_should_and_twice_as_far_when_twice_as_long(direction: float) -> None:
    flat = can()
    right, down = fallen(cast_shadow(flat, direction, length=0.6))
    down /= 0.3  # the ground is foreshortened
    turn = np.degrees(np.arctan2(right, -down)) % 360
    assert abs((turn - direction + 180) % 360 - 180) < 12
    far = fallen(cast_shadow(flat, direction, length=1.2))
    assert np.hypot(far[0], far[1] / 0.3) > 1.5 * np.hypot(right, down)


def test_a_cast_shadow_begins_at_the_foot_and_grows_softer_and_lighter_away_from_it() -> None:
    shadow = cast_shadow(can(), 90, softness=0.8)
    x, y = foot_of()
    row = shadow[int(y), int(x + PX * 0.11) + 1 :].astype(float)
    assert row[0] > 150  # beside the base
    sharp = cast_shadow(can(), 90, softness=0.0)
    soft, hard = (np.count_nonzero((dark > 25) & (dark < 200)) for dark in (shadow, sharp))
    assert soft > 2 * hard


def test_the_cameras_height_is_read_from_a_round_base() -> None:
    for elevation in (0.15, 0.3, 0.5):
        alpha = np.ascontiguousarray(can(640, elevation).alpha)
        x, y, wide, high = cv2.boundingRect(alpha)
        assert stand_of(alpha[y : y + high, x : x + wide]).foreshortening == pytest.approx(elevation, abs=0.08)


def test_a_product_that_floats_has_its_shadow_below_it() -> None:
    shadow = floating_shadow(can(), 0.5)
    rows = np.flatnonzero(shadow.max(axis=1))
    assert rows[0] > PX * 0.70
    assert shadow[:, PX // 2].max() > 150


def test_a_reflection_mirrors_the_base_fades_and_leaves_the_product() -> None:
    flat = can()
    flat.pixels[: int(PX * 0.6), :, :3] = (20, 200, 40)  # the upper part, which the reflection shows farthest away
    scene = np.full((PX, PX, 3), 128, np.uint8)
    picture = composite(flat, scene, Ground(reflection=Reflection(strength=0.8, fade=1.0, blur=0.0)))
    solid = flat.alpha == 255
    assert np.array_equal(picture[solid], flat.rgb[solid])
    column = picture[:, PX // 2].astype(int)
    first = int(np.flatnonzero(flat.alpha[:, PX // 2])[-1]) + 1
    assert column[first, 0] > 128 + 30
    assert abs(column[first, 1] - 128) > 30  # red, as the base
    assert column[first + int(PX * 0.16), 1] > 128  # green, as the top
    beside = np.ones((PX, PX), bool)
    beside[:, int(PX * 0.38) : int(PX * 0.62)] = False
    assert np.array_equal(picture[beside], scene[beside])
    weaker = composite(flat, scene, Ground(reflection=Reflection(strength=0.2, fade=1.0, blur=0.0)))
    assert 0 < abs(int(weaker[first, PX // 2, 0]) - 128) < abs(column[first, 0] - 128)


@pytest.mark.parametrize("direction", range(30, 360, 30))
def test_the_light_is_read_back_from_a_shadow_on_uneven_ground(direction: int) -> None:
    flat, rng = can(320), np.random.default_rng(direction)
    ground = 150 + cv2.GaussianBlur(rng.normal(0, 60, (320, 320)).astype(np.float32), (0, 0), 12)
    scene = np.repeat(np.clip(ground, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    painted = composite(flat, scene, Ground((cast_shadow(flat, direction) * 0.6).astype(np.uint8)))
    found = scene_light(painted, flat.alpha)
    assert abs((found.direction_deg - direction + 180) % 360 - 180) < 35
    assert found.certain


def test_even_ground_tells_no_direction_and_the_shot_says_so() -> None:
    flat, scene = can(), np.full((PX, PX, 3), 190, np.uint8)
    assert not scene_light(scene, flat.alpha).certain
    assert not scene_light(scene, np.zeros((PX, PX), np.uint8)).certain
    soft = composite(flat, scene, Ground(contact_shadow(flat)))  # it shows in front alone
    assert not scene_light(soft, flat.alpha).certain
    behind = composite(flat, scene, Ground(cast_shadow(flat, 0)))  # the product hides it
    assert not scene_light(behind, flat.alpha).certain
    spec = spec_of(shadow=Shadow("cast"))
    [finding] = lit_ground(flat, spec, scene).findings
    assert finding.value == USUAL_DIRECTION_DEG
    assert "direction_deg" in finding.detail
    [asked] = lit_ground(flat, replace(spec, shadow=Shadow("cast", direction_deg=-90.0)), scene).findings
    assert asked.value == 270


def test_the_shadows_colour_and_darkness_are_the_shots() -> None:
    flat = can()
    spec = spec_of(background=Background("#c8c8c8"))
    grey = np.full((PX, PX, 3), 200, np.uint8)

    def darkest(shadow: Shadow) -> list[int]:
        picture = composite(flat, grey, lit_ground(flat, replace(spec, shadow=shadow), None).ground)
        return [int(value) for value in picture[flat.alpha == 0].min(axis=0)]

    cast = Shadow("cast", direction_deg=90.0)
    assert darkest(replace(cast, tint="#0000c8"))[2] > 190
    assert darkest(cast)[2] < 100
    light = lit_ground(flat, replace(spec, shadow=replace(cast, intensity=0.1)), None).ground.shadow
    dark = lit_ground(flat, replace(spec, shadow=replace(cast, intensity=0.9)), None).ground.shadow
    assert light is not None
    assert dark is not None
    assert dark.sum() > 2 * light.sum()


@pytest.mark.parametrize("shadow", [cast_shadow, lambda flat, _: floating_shadow(flat)])
def test_products_at_and_beyond_the_frame_and_tiny_ones_have_shadows_too(shadow: object) -> None:
    assert callable(shadow)
    whole = can(128).pixels
    for move in ((0, 60), (0, -60), (60, 0), (-60, 0)):
        moved = np.roll(whole, move, axis=(0, 1))
        assert shadow(Flat(moved), 90).shape == (128, 128)
    dot = np.zeros((64, 64, 4), np.uint8)
    dot[30, 30] = 255
    assert shadow(Flat(dot), 90).dtype == np.uint8
    assert not shadow(Flat(np.zeros((64, 64, 4), np.uint8)), 90).any()


@pytest.mark.parametrize("high", [1, 2, 4, 7])
def test_a_product_that_is_a_few_pixels_high_has_a_reflection(high: int) -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[30 : 30 + high, 20:44] = (200, 40, 30, 255)
    scene = np.full((64, 64, 3), 128, np.uint8)
    picture = composite(Flat(pixels), scene, Ground(reflection=Reflection(strength=0.8, fade=1.0)))
    assert np.array_equal(picture[30 : 30 + high, 20:44], pixels[30 : 30 + high, 20:44, :3])


def test_a_cast_shadow_and_a_reflection_cost_little() -> None:
    """At most 0.2 processor seconds more than a contact shadow, for a 1024 px picture."""
    flat, scene = can(1024), np.full((1024, 1024, 3), 190, np.uint8)

    def seconds(shadow: Shadow, reflection: Reflection | None) -> float:
        spec = spec_of(shadow=shadow, reflection=reflection)
        spent = []
        for _ in range(3):
            started_at = time.process_time()
            composite(flat, scene, lit_ground(flat, spec, scene).ground)
            spent.append(time.process_time() - started_at)
        return min(spent)

    assert seconds(Shadow("cast"), Reflection()) - seconds(Shadow("contact"), None) <= 0.2
