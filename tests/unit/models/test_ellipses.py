"""A rim that colours put in the wrong place is mended along its ellipse, and nothing else is."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest

from packshot.models.segment.border import borders, filled, normals
from packshot.models.segment.ellipses import Ellipse, found, rounded
from packshot.models.segment.refine import edge_steepness
from tests.unit.models.drawn import Bools, border_off_px, iou

SIZE = (300, 400)
PLATE = ((200, 150), (150, 100), 10)
WOOD, RED, HIGHLIGHT = (150, 90, 50), (170, 40, 20), (250, 240, 230)


def disk(axes: tuple[int, int] = PLATE[1]) -> Bools:
    return cv2.ellipse(np.zeros(SIZE, np.uint8), PLATE[0], axes, PLATE[2], 0, 360, 1, cv2.FILLED) > 0


def sector(from_degree: float, to_degree: float) -> Bools:
    """The part of the picture that lies in these directions from the plate's centre."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    turn = np.rad2deg(np.arctan2(y - PLATE[0][1], x - PLATE[0][0])) % 360
    return (turn >= from_degree) & (turn < to_degree)


@cache
def photo() -> np.ndarray:
    """A red plate on wood; a highlight inside of its rim is a stronger edge than the rim itself."""
    picture = painted(disk())
    picture[disk((146, 96)) & ~disk((144, 94)) & sector(290, 340)] = HIGHLIGHT
    return blurred(picture)


def painted(mask: Bools) -> np.ndarray:
    return np.where(mask[..., None], np.array(RED, np.uint8), np.array(WOOD, np.uint8))


def blurred(picture: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.8))


def mended(mask: Bools, picture: np.ndarray | None = None) -> Bools:
    steepness = edge_steepness(photo() if picture is None else picture)
    return filled(rounded(borders(mask), steepness), mask.shape) > 0


def bitten() -> Bools:
    """The plate without its rim beyond the highlight."""
    return disk() & ~(sector(290, 340) & ~disk((144, 94)))


def test_the_ellipse_of_a_plate_is_found_though_a_bowl_hides_a_third_of_it() -> None:
    bowl = cv2.circle(np.zeros(SIZE, np.uint8), (200, 60), 60, 1, cv2.FILLED) > 0
    line = max(borders(bitten() | bowl), key=len)
    ellipse = found(line, normals(line, 1.5))
    assert ellipse is not None
    seen = [ellipse.x, ellipse.y, ellipse.long, ellipse.short, np.rad2deg(ellipse.angle) % 180]
    assert np.allclose(seen, [200.5, 150.5, 150.5, 100.5, 10], atol=1.0)


def test_a_rim_that_was_cut_along_a_highlight_is_whole_again() -> None:
    assert border_off_px(bitten(), disk()) > 0.8
    assert border_off_px(mended(bitten()), disk()) < 0.4


def test_a_burr_of_ground_is_taken_off() -> None:
    burr = disk((156, 106)) & sector(100, 120)
    assert border_off_px(mended(disk() | burr), disk()) < 0.4


def test_a_bite_in_the_product_stays_where_the_photo_shows_no_rim_there() -> None:
    """A cookie that was bitten, or a fruit that is nearly an ellipse."""
    truth = bitten()
    assert iou(mended(truth, blurred(painted(truth))), truth) > 0.995


def test_a_handle_stays() -> None:
    handle = cv2.rectangle(np.zeros(SIZE, np.uint8), (330, 120), (390, 140), 1, cv2.FILLED) > 0
    mask = disk() | handle
    assert iou(mended(mask, blurred(painted(mask))), mask) > 0.99


@pytest.mark.parametrize("draw", ["square", "small", "slim", "empty"])
def test_other_borders_follow_no_ellipse(draw: str) -> None:
    mask = np.zeros(SIZE, np.uint8)
    if draw == "square":
        cv2.rectangle(mask, (100, 60), (300, 240), 1, cv2.FILLED)
    elif draw == "small":
        cv2.circle(mask, (200, 150), 8, 1, cv2.FILLED)
    elif draw == "slim":
        cv2.ellipse(mask, (200, 150), (180, 12), 0, 0, 360, 1, cv2.FILLED)
    lines = borders(mask > 0)
    assert rounded(lines, edge_steepness(photo())) is lines


def test_the_same_border_has_the_same_ellipse() -> None:
    line = max(borders(bitten()), key=len)
    assert found(line, normals(line)) == found(line.copy(), normals(line))


def test_points_beside_an_ellipse_know_their_distance() -> None:
    ellipse = Ellipse(10.0, 20.0, 40.0, 25.0, 0.3)
    for out_px in (-1.0, 0.0, 2.0):
        assert np.allclose(ellipse.away(ellipse.outline(out_px=out_px).astype(np.float64)), out_px, atol=0.1)
