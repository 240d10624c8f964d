"""Refinement on edges and the choice of a product when nobody points."""

from __future__ import annotations

import cv2
import numpy as np

from packshot.models.segment.automatic import grid_points, most_product_like
from packshot.models.segment.refine import box_fit, guide, refine, within_box


def disc(height: int, width: int, x: float, y: float, radius: float) -> np.ndarray:
    ys, xs = np.mgrid[:height, :width]
    return (xs + 0.5 - x) ** 2 + (ys + 0.5 - y) ** 2 < radius**2


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return np.count_nonzero(one & other) / np.count_nonzero(one | other)


def coarse(mask: np.ndarray, cells: int = 12) -> np.ndarray:
    """What a small network would say: right, but on a coarse grid."""
    small = cv2.resize(mask.astype(np.float32), (cells, cells), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, mask.shape[::-1], interpolation=cv2.INTER_LINEAR)


def scene(truth: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 8, (*truth.shape, 3))
    return np.clip(np.where(truth[..., None], (170, 60, 40), (90, 110, 140)) + noise, 0, 255).astype(np.uint8)


def test_a_coarse_border_moves_to_the_edge_in_the_photo() -> None:
    truth = disc(200, 300, 150, 100, 70)
    guess = coarse(truth)
    fine = refine(guide(scene(truth)), guess, (200, 300)) > 0
    assert iou(guess > 0.5, truth) < 0.97
    assert iou(fine, truth) > 0.985


def test_a_photo_larger_than_the_thumbnail_gets_a_smooth_border() -> None:
    truth = disc(600, 900, 450, 300, 210)
    small = disc(200, 300, 150, 100, 70)
    fine = refine(guide(scene(small)), coarse(small), (600, 900))
    assert fine.shape == (600, 900)
    assert set(np.unique(fine)) == {0, 255}
    assert iou(fine > 0, truth) > 0.98


def test_pinholes_are_filled_and_crumbs_dropped_but_a_handle_stays_open() -> None:
    truth = disc(200, 300, 150, 100, 70) & ~disc(200, 300, 150, 100, 25)
    guess = truth.astype(np.float32)
    guess[60:63, 110:113] = 0
    guess[5:8, 5:8] = 1
    fine = refine(guide(scene(truth)), guess, (200, 300)) > 0
    assert fine[61, 111]
    assert not fine[6, 6]
    assert not fine[100, 150]


def test_an_answer_that_strays_is_dropped_for_the_network_s() -> None:
    """Camouflage: the colours say nothing, the network's border must survive."""
    truth = disc(200, 300, 150, 100, 70)
    flat = np.full((200, 300, 3), 128, np.uint8)
    assert iou(refine(guide(flat), coarse(truth, 24), (200, 300)) > 0, truth) > 0.9


def test_the_same_click_gives_the_same_mask() -> None:
    truth = disc(200, 300, 150, 100, 70)
    masks = [refine(guide(scene(truth)), coarse(truth), (200, 300)) for _ in range(3)]
    assert all(np.array_equal(masks[0], mask) for mask in masks)


def test_nothing_and_everything_pass() -> None:
    picture = scene(disc(20, 30, 15, 10, 5))
    assert not refine(guide(picture), np.zeros((20, 30), np.float32), (40, 60)).any()
    assert refine(guide(picture), np.ones((20, 30), np.float32), (40, 60)).all()


def test_grid_points_are_the_middles_of_equal_cells() -> None:
    assert grid_points(100, 60, 2) == [(25.0, 15.0), (75.0, 15.0), (25.0, 45.0), (75.0, 45.0)]


def test_the_centred_whole_thing_wins_over_table_corner_and_copy() -> None:
    product, corner, table = disc(60, 100, 50, 30, 18), disc(60, 100, 8, 8, 14), np.ones((60, 100), bool)
    table[:5] = False
    logits = np.stack([np.where(mask, 6.0, -6.0) for mask in (table, corner, product, product)]).astype(np.float32)
    found = most_product_like(logits, np.array([0.95, 0.95, 0.9, 0.89], np.float32), 3)
    assert found[0][0] == 2
    assert 3 not in [row for row, _ in found]


def test_an_unstable_mask_loses() -> None:
    sure, unsure = np.where(disc(60, 100, 50, 30, 18), 6.0, -6.0), np.where(disc(60, 100, 50, 30, 18), 0.4, -6.0)
    found = most_product_like(np.stack([unsure, sure]).astype(np.float32), np.array([0.9, 0.9], np.float32), 1)
    assert [row for row, _ in found] == [1]


def test_one_answer_comes_back_even_when_none_looks_like_a_product() -> None:
    empty = np.full((3, 60, 100), -5.0, np.float32)
    assert len(most_product_like(empty, np.zeros(3, np.float32), 3)) == 1


def test_a_box_bounds_the_mask() -> None:
    """The shadow beside the product looks like it, and the network believes in it; the person's box does not."""
    shadowed = disc(200, 300, 150, 100, 70) | (np.indices((200, 300))[0] > 130)
    guess = within_box(coarse(shadowed), (80, 30, 220, 170), (200, 300))
    fine = refine(guide(scene(shadowed)), guess, (200, 300)) > 0
    assert not fine[175:].any()
    assert not fine[:, :75].any()
    assert (
        iou(fine, shadowed & within_box(np.ones((200, 300), np.float32), (80, 30, 220, 170), (200, 300)).astype(bool))
        > 0.95
    )


def test_a_box_is_taken_in_photo_pixels_with_a_little_slack() -> None:
    kept = within_box(np.ones((100, 100), np.float32), (100, 100, 300, 300), (400, 400))  # 4 photo pixels to one
    rows, columns = np.nonzero(kept)
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (24, 76, 24, 76)


def test_a_box_that_ends_before_the_frame_ends_the_product_there() -> None:
    """GrabCut then knows that the frame's pixels are ground, though the slack reaches them."""
    for gap, first, last in ((3, 3, 97), (2, 0, 100)):
        kept = within_box(np.ones((100, 100), np.float32), (gap, gap, 100 - gap, 100 - gap), (100, 100))
        rows, columns = np.nonzero(kept)
        assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (first, last, first, last)


def test_box_fit_is_one_only_for_the_same_box() -> None:
    assert box_fit((10, 10, 30, 20), (10.0, 10.0, 30.0, 20.0)) == 1
    assert box_fit((10, 10, 20, 20), (10.0, 10.0, 30.0, 20.0)) == 0.5
    assert box_fit((0, 0, 0, 0), (10.0, 10.0, 30.0, 20.0)) == 0
