"""Brush strokes on masks."""

import time

import numpy as np
import pytest

from packshot.errors import BadInput
from packshot.imaging.strokes import MAX_PAINTED_PX, check_strokes, paint
from packshot.types import U8, Stroke

EMPTY: U8 = np.zeros((120, 200), np.uint8)


def test_a_dab_is_a_disk_of_its_radius() -> None:
    painted = paint(EMPTY, [Stroke(((100.0, 60.0),), 20.0)])
    y, x = np.mgrid[:120, :200]
    away = np.hypot(x - 100, y - 60)
    assert (painted[away < 19] == 255).all()
    assert (painted[away > 21] == 0).all()


def test_a_stroke_has_round_caps_and_joints() -> None:
    painted = paint(EMPTY, [Stroke(((40.0, 60.0), (100.0, 60.0), (100.0, 100.0)), 10.0)])
    assert painted[60, 31] == painted[51, 70] == painted[60, 109] == painted[109, 100] == 255
    assert painted[52, 32] == painted[60, 29] == painted[52, 108] == 0  # the corners of a square cap or joint


def test_strokes_apply_in_their_order_and_leave_soft_values() -> None:
    soft = np.full((120, 200), 90, np.uint8)
    add, erase = Stroke(((50.0, 60.0), (150.0, 60.0)), 8.0), Stroke(((100.0, 60.0),), 20.0, erase=True)
    erased_last, added_last = paint(soft, [add, erase]), paint(soft, [erase, add])
    assert erased_last[60, 100] == 0
    assert added_last[60, 100] == 255
    assert erased_last[60, 55] == added_last[60, 55] == 255
    assert erased_last[5, 5] == added_last[5, 5] == soft[0, 0] == 90
    assert (soft == 90).all()  # the base is not changed


def test_a_stroke_partly_outside_is_clipped() -> None:
    stroke = Stroke(((-500.0, 60.0), (20.0, 60.0), (1e6, -1e6)), 5.0)
    check_strokes([stroke], 200, 120)
    painted = paint(EMPTY, [stroke])
    assert painted[60, 0] == 255
    assert painted.shape == EMPTY.shape


@pytest.mark.parametrize("at", [(-11.0, 60.0), (210.0, 60.0), (100.0, -11.0), (100.0, 131.0)])
def test_a_stroke_outside_is_refused_with_its_place(at: tuple[float, float]) -> None:
    inside = Stroke(((100.0, 60.0),), 10.0)
    with pytest.raises(BadInput) as refused:
        check_strokes([inside, Stroke((at,), 10.0)], 200, 120)
    assert refused.value.code == "stroke_outside"
    assert "200 x 120 px" in refused.value.detail
    assert refused.value.errors is not None
    assert refused.value.errors[0]["loc"] == ["strokes", 1, "points"]


def test_work_without_bound_is_refused() -> None:
    zigzag = tuple((float(x % 2 * 199), float(x % 3 * 60)) for x in range(2_000))
    with pytest.raises(BadInput) as refused:
        check_strokes([Stroke(zigzag, 1_000.0)] * 2, 200, 120)
    assert refused.value.code == "strokes_too_large"
    assert str(MAX_PAINTED_PX) in refused.value.detail


def test_a_long_straight_pen_stroke_costs_as_much_as_its_ends() -> None:
    points = tuple((20.0 + index / 20, 60.0) for index in range(2_000))
    assert np.array_equal(paint(EMPTY, [Stroke(points, 7.0)]), paint(EMPTY, [Stroke((points[0], points[-1]), 7.0)]))


def test_a_usual_stroke_on_12_megapixels_is_quick() -> None:
    mask = np.zeros((3_000, 4_000), np.uint8)
    turn = np.linspace(0, 6, 300)
    points = tuple((2_000 + 900 * float(np.cos(t)), 1_500 + 900 * float(np.sin(t))) for t in turn)
    spent_s = []
    for _ in range(4):
        began_s = time.process_time()
        paint(mask, [Stroke(points, 60.0)])
        spent_s.append(time.process_time() - began_s)
    assert min(spent_s) < 0.1
