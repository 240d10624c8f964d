"""What a box's mask holds of the ground, and of the product's shadow, is cut."""

from __future__ import annotations

import cv2
import numpy as np

from packshot.models.segment.ground import likelier, without_ground, without_leak
from packshot.models.segment.pieces import without_holes
from packshot.models.segment.refine import edge_steepness, refine
from tests.unit.models.drawn import bottle, drawn, iou, photographed, planks, ring, said, seen

GREY, BLUE, RED = (200, 200, 198), (60, 86, 120), (200, 40, 36)


def test_a_box_s_mask_opens_where_the_wall_shows_through_a_ring() -> None:
    truth = drawn(ring)
    looked = seen(photographed(truth, RED, planks(truth)))
    assert looked.backdrop is None
    sure, filled = said(truth, looked), said(without_holes(truth), looked)
    for inside in (0.62, 0.74):
        likely = np.maximum(0.9 * sure, inside * filled).astype(np.float32)
        found = refine(looked, likely, truth.shape, boxed=True) > 0
        assert iou(found, truth) > 0.95


def test_a_label_of_the_wall_s_colour_stays_where_the_network_is_sure_of_it() -> None:
    truth = without_holes(drawn(ring))
    looked = seen(photographed(drawn(ring), RED, planks(truth)))
    found = refine(looked, said(truth, looked, sureness=0.9), truth.shape, boxed=True) > 0
    assert iou(found, truth) > 0.97


def test_a_product_of_the_ground_s_colours_is_left_alone() -> None:
    ground = np.random.default_rng(0).integers(90, 160, (96, 128, 3)).astype(np.uint8)
    likelihood = np.zeros((96, 128), np.float32)
    likelihood[24:72, 32:96] = 0.9
    assert without_ground(ground, likelihood) is None


def test_a_mask_without_ground_in_it_is_left_alone() -> None:
    truth = drawn(bottle, 160, 120)
    picture = photographed(truth, BLUE, planks(truth))
    assert without_ground(picture, truth.astype(np.float32)) is None


def test_a_box_over_the_whole_photo_says_nothing_of_the_ground() -> None:
    truth = drawn(bottle, 160, 120)
    assert without_ground(photographed(truth, BLUE, planks(truth)), np.full(truth.shape, 0.6, np.float32)) is None


def cast(truth: np.ndarray, product: tuple[int, int, int]) -> np.ndarray:
    """A product on grey paper with its soft shadow at the right."""
    soft = cv2.GaussianBlur(np.roll(truth, 14, axis=1).astype(np.float32), (0, 0), 7)[..., None]
    return photographed(truth, product, np.array(GREY) * (1 - 0.35 * soft))


def test_the_shadow_on_plain_paper_stays_outside() -> None:
    truth = drawn(bottle)
    looked = seen(cast(truth, BLUE))
    held = truth | np.roll(truth, 10, axis=1)
    found = refine(looked, said(held, looked), truth.shape, boxed=True) > 0
    assert iou(found, truth) > 0.97


def test_a_grey_product_is_no_shadow() -> None:
    truth = drawn(bottle)
    looked = seen(cast(truth, (120, 120, 119)))
    found = refine(looked, said(truth, looked), truth.shape, boxed=True) > 0
    assert iou(found, truth) > 0.95


def boxed(bottom: int) -> np.ndarray:
    """1 in a box that ends at this row, else 0: float32 120x160."""
    box = np.zeros((120, 160), np.float32)
    box[8:bottom, 30:130] = 1
    return box


def leaking(shade: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A red disk on brown ground, a slab of this colour below it, each bool 120x160, and the photo's steepness."""
    disk = cv2.circle(np.zeros((120, 160), np.uint8), (80, 55), 40, 1, cv2.FILLED) > 0
    slab = cv2.rectangle(np.zeros((120, 160), np.uint8), (62, 60), (98, 111), 1, cv2.FILLED) > 0
    picture = np.where(disk[..., None], RED, np.where(slab[..., None], shade, (150, 90, 50))).astype(np.uint8)
    return disk, slab, edge_steepness(picture)


def test_a_shadow_that_a_box_s_side_cuts_is_ground() -> None:
    disk, slab, steepness = leaking((146, 86, 46))
    box = boxed(112)
    mask = (disk | slab).astype(np.uint8)
    assert iou(mask > 0, disk) < 0.92
    assert iou(without_leak(mask, box, steepness) > 0, disk) > 0.95


def test_a_foot_that_stands_on_a_box_s_side_stays() -> None:
    """It has edges at its other sides, so the mask is no better without it."""
    disk, slab, steepness = leaking((20, 30, 90))
    box = boxed(112)
    mask = (disk | slab).astype(np.uint8)
    assert (without_leak(mask, box, steepness) == mask).all()


def test_a_product_that_a_small_box_cuts_stays() -> None:
    disk, _, steepness = leaking((150, 90, 50))
    box = boxed(70)
    mask = (disk & (box > 0)).astype(np.uint8)
    assert (without_leak(mask, box, steepness) == mask).all()


def test_colours_speak_for_the_whole_product_and_not_for_a_piece_of_ground() -> None:
    truth = drawn(bottle)
    picture = photographed(truth, RED, planks(truth))
    half, too_much = truth.copy(), truth | np.roll(truth, 60, axis=1)
    half[: truth.shape[0] // 2] = False
    assert likelier(picture, half, truth)
    assert likelier(picture, too_much, truth)
    assert not likelier(picture, truth, half)
    assert not likelier(picture, truth, too_much)


def test_colours_choose_nothing_between_equal_masks_or_strangers() -> None:
    truth = drawn(bottle)
    picture = photographed(truth, RED, planks(truth))
    assert not likelier(picture, truth, truth)
    assert not likelier(picture, np.zeros_like(truth), truth), "they agree on no product"
    assert not likelier(picture, ~truth, truth), "they agree on nothing"


def test_a_product_of_two_colours_is_left_as_it_is() -> None:
    """Nothing in the rest of the product has the colour of its other half."""
    truth = drawn(bottle)
    upper = truth.copy()
    upper[truth.shape[0] // 2 :] = False
    picture = photographed(upper, RED, photographed(truth, BLUE, planks(truth)))
    assert not likelier(picture, upper, truth)
