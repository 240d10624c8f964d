"""A mask's border on the photo's edges, from a thumbnail to twelve megapixels."""

from __future__ import annotations

import numpy as np
import pytest

from packshot.imaging.canvas import cut
from packshot.models.segment.border import borders, filled, scaled, snapped
from packshot.models.segment.refine import place, refine
from packshot.types import Cutout, Mask, Photo
from tests.unit.models.drawn import bag, border_off_px, bottle, drawn, iou, photographed, planks, ring, said, seen

SIZES = pytest.mark.parametrize(("width", "height"), [(800, 600), (2000, 1500), (4000, 3000)], ids=lambda n: str(n))


@pytest.mark.parametrize("draw", [bottle, bag, ring])
def test_a_mask_s_borders_give_the_mask(draw: object) -> None:
    mask = drawn(draw)  # type: ignore[arg-type]
    assert border_off_px(filled(borders(mask), mask.shape) > 0, mask) < 0.3


def test_a_product_cut_by_the_frame_ends_squarely_at_the_frame() -> None:
    mask = np.zeros((60, 80), bool)
    mask[20:, 30:] = True
    assert np.array_equal(filled(borders(mask), mask.shape)[30:, 40:] > 0, mask[30:, 40:])
    assert filled(borders(np.ones((60, 80), bool)), (60, 80)).all()


@SIZES
def test_the_border_is_right_at_the_photo_s_resolution_before_a_plain_backdrop(width: int, height: int) -> None:
    truth = drawn(bottle, width, height)
    looked = seen(photographed(truth, (190, 190, 192), (26, 176, 56)))
    found = refine(looked, said(truth, looked), truth.shape, boxed=True) > 0
    assert border_off_px(found, truth) < 0.4


@SIZES
def test_the_border_is_right_at_the_photo_s_resolution_before_a_wooden_wall(width: int, height: int) -> None:
    truth = drawn(bottle, width, height)
    looked = seen(photographed(truth, (190, 190, 192), planks(truth)))
    assert looked.backdrop is None
    found = refine(looked, said(truth, looked), truth.shape) > 0
    assert border_off_px(found, truth) < 0.8


def test_no_wedge_of_the_old_wall_stays_in_a_corner() -> None:
    """Neck and foot of green_bottle.png had 983 opaque green pixels."""
    truth = drawn(bottle, 1600, 1200)
    photo = photographed(truth, (190, 190, 192), (26, 176, 56))
    looked = seen(photo)
    mask = refine(looked, said(truth, looked), truth.shape, boxed=True)
    for pixels, allowed in ((photo[mask > 0], 8), (opaque(cut(Photo(photo), Mask(mask))), 0)):
        red, green = pixels[:, 0].astype(int), pixels[:, 1].astype(int)
        assert np.count_nonzero(green - red > 100) <= allowed


def opaque(cutout: Cutout) -> np.ndarray:
    return cutout.pixels[cutout.pixels[..., 3] == 255]


def test_both_sides_of_a_thin_strap_find_their_own_edge() -> None:
    truth = np.zeros((100, 200), bool)
    truth[48:52, 20:180] = True
    guess = np.zeros_like(truth)
    guess[47:53, 20:180] = True
    photo = photographed(truth, (40, 40, 60), (200, 200, 190))
    found = filled(snapped(borders(guess), photo, 4), truth.shape) > 0
    assert iou(found[:, 30:170], truth[:, 30:170]) > 0.95


def test_a_border_stays_where_the_photo_shows_no_edge() -> None:
    mask = drawn(bottle, 400, 300)
    flat = np.full((300, 400, 3), 128, np.uint8)
    assert border_off_px(filled(snapped(borders(mask), flat, 5), mask.shape) > 0, mask) < 0.5


def test_a_border_does_not_leave_its_reach() -> None:
    """The only edge is 12 px away: it belongs to something else."""
    near, far = np.zeros((80, 120), bool), np.zeros((80, 120), bool)
    near[20:60, 30:90], far[:, :102] = True, True
    found = filled(snapped(borders(near), photographed(far, (40, 40, 40), (200, 200, 200)), 4), near.shape) > 0
    assert border_off_px(found, near) < 1


def test_borders_scale_with_the_picture() -> None:
    large = drawn(ring, 1600, 1200)
    small = large.reshape(300, 4, 400, 4).mean((1, 3)) > 0.5
    found = filled(scaled(borders(small), (300, 400), (1200, 1600)), (1200, 1600)) > 0
    assert border_off_px(found, large) < 1


def test_a_border_that_is_looked_at_half_as_often_lies_on_the_same_edge() -> None:
    """All candidates but the best have such borders."""
    truth = drawn(bottle, 1600, 1200)
    looked = seen(photographed(truth, (190, 190, 192), planks(truth)))
    guess = np.roll(said(truth, looked) > 0.5, 3, axis=1)
    best, hasty = (place(looked, guess, 5, truth.shape, hasty=hasty) > 0 for hasty in (False, True))
    assert not np.array_equal(best, hasty)
    assert border_off_px(best, truth) < 0.8
    assert border_off_px(hasty, truth) < 0.8
