"""Each defect of a drawn picture fails its finding and has a box; a picture without defects has none."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from bench.defects.__main__ import TARGET, judge
from packshot.contract.light import Shadow
from packshot.contract.shot_spec import Canvas, LayerSpec, ShotSpec
from packshot.contract.verdict import Finding
from packshot.types import U8, Flat
from packshot.verdict.defects import defect_findings
from packshot.verdict.scale import scale_finding
from tests.specs import spec_of

SIDE = 240
BOX = (90, 80, 150, 180)  # x0, y0, x1, y1
RED = (180, 40, 40)
WALL, FLOOR = (120, 150, 190), (200, 190, 175)


def _scene(ground_y: int = 140) -> U8:
    """A wall over a floor that begins at `ground_y`, with the light from the left."""
    scene = np.full((SIDE, SIDE, 3), WALL, np.float32)
    scene[ground_y:] = FLOOR
    return np.clip(scene * np.linspace(1.05, 0.95, SIDE)[None, :, None], 0, 255).astype(np.uint8)


def _with_shadow(scene: U8, y: int) -> U8:
    dark = np.zeros((SIDE, SIDE), np.float32)
    cv2.ellipse(dark, (120, y), (42, 9), 0, 0, 360, 0.6, -1)
    return np.rint(scene * (1 - cv2.GaussianBlur(dark, (0, 0), 3))[..., None]).astype(np.uint8)


def _found(
    scene: U8,
    colour: tuple[int, int, int] = RED,
    spec: ShotSpec | None = None,
    box: tuple[int, int, int, int] = BOX,
) -> dict[str, Finding]:
    pixels = np.zeros((SIDE, SIDE, 4), np.uint8)
    x0, y0, x1, y1 = box
    pixels[y0:y1, x0:x1] = (*colour, 255)
    flat = Flat(pixels, (box,))
    picture = np.where(flat.alpha[..., None] > 0, flat.rgb, scene)
    shot = spec or spec_of("a", canvas=Canvas(SIDE, SIDE))
    return {one.check: one for one in defect_findings(flat, picture, scene, shot)}


def test_a_product_that_stands_on_its_ground_has_no_defect() -> None:
    found = _found(_with_shadow(_scene(), BOX[3]))
    assert {check: one.level for check, one in found.items()} == dict.fromkeys(
        ("floating", "indistinct", "hallucination"), "ok"
    )
    assert all(one.box is None for one in found.values())


def test_a_product_before_the_wall_floats_over_the_ground_below() -> None:
    floating = _found(_scene(ground_y=205))["floating"]
    assert floating.level == "failed"
    assert floating.value == pytest.approx(0.25, abs=0.05)
    assert floating.box is not None
    assert floating.box == pytest.approx((90 / SIDE, 179 / SIDE, 150 / SIDE, 205 / SIDE), abs=0.02)


@pytest.mark.parametrize(("height", "level"), [(3, "ok"), (30, "failed")])
def test_a_speck_is_not_said_to_float(height: int, level: str) -> None:
    floating = _found(_scene(ground_y=205), box=(118, 180 - height, 122, 180))["floating"]
    assert floating.level == level
    assert ("too small" in floating.detail) == (level == "ok")


def test_a_table_whose_front_is_seen_below_the_product_is_its_ground() -> None:
    scene = _scene()
    scene[215:] = (90, 60, 40)
    assert _found(scene)["floating"].level == "ok"


def test_a_product_above_its_own_shadow_floats_unless_that_was_asked() -> None:
    scene = _with_shadow(_scene(), BOX[3] + 25)
    floating = _found(scene)["floating"]
    assert (floating.level, "shadow" in floating.detail) == ("failed", True)
    asked = spec_of("a", canvas=Canvas(SIDE, SIDE), shadow=Shadow("floating"))
    assert "floating" not in _found(scene, spec=asked)


def test_a_product_of_the_scenes_colour_is_indistinct() -> None:
    indistinct = _found(_scene(ground_y=60), FLOOR)["indistinct"]
    assert indistinct.level == "failed"
    assert indistinct.value is not None
    assert indistinct.value > 0.8


def test_a_copy_beside_the_product_and_a_part_grown_on_it_are_hallucinated() -> None:
    beside = _with_shadow(_scene(), BOX[3])
    beside[110:180, 180:215] = RED
    found = _found(beside)["hallucination"]
    assert found.level == "failed"
    assert found.box == pytest.approx((180 / SIDE, 110 / SIDE, 215 / SIDE, 180 / SIDE), abs=0.02)
    grown = _with_shadow(_scene(), BOX[3])
    grown[60:80, 90:150] = RED
    assert _found(grown)["hallucination"].level == "failed"


@pytest.mark.parametrize(("heights", "level"), [((100, 50), "ok"), ((100, 100), "failed"), ((100, None), None)])
def test_scales_are_compared_where_two_heights_are_known(
    heights: tuple[float, float | None], level: str | None
) -> None:
    layers = [LayerSpec(mask_id=name, height_mm=mm) for name, mm in zip("ab", heights, strict=True)]
    boxes = ((20, 50, 80, 150), (100, 100, 140, 150))
    found = scale_finding(layers, boxes, Canvas(200, 200))
    assert (found and found.level) == level
    if found is not None and level == "failed":
        assert found.box is not None
        assert scale_finding([replace(layers[0], rotation_deg=40), layers[1]], boxes, Canvas(200, 200)) is None


def test_without_a_product_nothing_is_found() -> None:
    empty = Flat(np.zeros((SIDE, SIDE, 4), np.uint8))
    assert defect_findings(empty, _scene(), _scene(), spec_of("a")) == ()


def test_a_slice_of_the_labelled_set_reaches_the_target() -> None:
    """`python -m bench.defects` judges all of it."""
    scores, cases = judge(every=30)
    assert cases >= 8
    assert {name: one.precision >= TARGET for name, one in scores.items()} == dict.fromkeys(scores, True)
    assert sum(one.right for one in scores.values()) >= 5
