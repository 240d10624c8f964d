"""Palettes and lights of pictures: each picture counts by its weight, and shares decide how far a scene goes."""

from __future__ import annotations

import numpy as np
import pytest

from packshot.imaging.light.estimate import side_light
from packshot.imaging.light.harmonise import harmonise, palette_distance
from packshot.imaging.light.palette import palette_of
from packshot.types import U8

SEA, SAND, RED = (20, 90, 140), (225, 200, 160), (200, 40, 30)


def halves(above: tuple[int, int, int], below: tuple[int, int, int], share: float = 0.5, px: int = 120) -> U8:
    pixels = np.full((px, px, 3), below, np.uint8)
    pixels[: round(px * share)] = above
    noise = np.random.default_rng(0).normal(0, 3, pixels.shape)
    return np.asarray(np.clip(pixels + noise, 0, 255), np.uint8)


def rgb(name: str) -> list[int]:
    return list(bytes.fromhex(name[1:]))


def test_the_main_colours_come_first_and_their_shares_add_up() -> None:
    found = palette_of([(halves(SEA, SAND, 0.3), 1.0)])
    assert [rgb(one.name) for one in found] == [pytest.approx(SAND, abs=6), pytest.approx(SEA, abs=6)]
    assert [one.share for one in found] == [pytest.approx(0.7, abs=0.03), pytest.approx(0.3, abs=0.03)]
    assert palette_of([(halves(SEA, SAND, 0.3), 1.0)]) == found


def test_each_picture_counts_by_its_weight_whatever_its_size() -> None:
    large, small = halves(SEA, SEA, px=400), halves(RED, RED, px=64)
    found = palette_of([(large, 1.0), (small, 3.0)])
    assert [rgb(one.name) for one in found] == [pytest.approx(RED, abs=6), pytest.approx(SEA, abs=6)]
    assert found[0].share == pytest.approx(0.75, abs=0.01)


def test_lit_and_shaded_sides_are_one_colour_and_specks_are_none() -> None:
    wall = np.full((120, 120, 3), SAND, np.float64) * np.linspace(0.9, 1.0, 120)[None, :, None]
    wall[:6, :6] = RED  # 0.25 %
    (only,) = palette_of([(np.asarray(wall, np.uint8), 1.0)])
    assert only.share == 1


@pytest.mark.parametrize(("left", "right", "falls"), [(1.0, 0.6, 115), (0.6, 1.0, 245)])
def test_shadows_fall_away_from_the_brighter_side(left: float, right: float, falls: int) -> None:
    lit = halves(SEA, SAND) * np.linspace(left, right, 120)[None, :, None]
    found = side_light(np.asarray(lit, np.uint8))
    assert found.certain
    assert found.direction_deg == falls


def test_a_dark_table_below_a_bright_wall_says_nothing_of_the_light() -> None:
    assert not side_light(halves((240, 240, 240), (40, 40, 40))).certain
    assert not side_light(np.zeros((1, 1, 3), np.uint8)).certain


def test_a_scene_takes_the_shares_of_its_palette() -> None:
    """Half of the wall's grey and the table's brown becomes sea and sand, in their parts, not the nearer one alone."""
    scene, palette = halves((150, 150, 150), (120, 85, 60)), ["#145a8c", "#e1c8a0"]
    moved = harmonise(scene, palette, 1.0, shares=(0.5, 0.5))
    before, after = (palette_distance(one, palette, shares=(0.5, 0.5)) for one in (scene, moved))
    assert after <= 0.5 * before
    wall, table = moved[:50].mean(axis=(0, 1)), moved[70:].mean(axis=(0, 1))
    assert wall[2] > wall[0], "the wall is blue"
    assert table[0] > table[2], "the table is sand"
