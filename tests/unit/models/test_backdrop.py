"""A plain backdrop: what stands before it, and where it shows through."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from packshot.models.segment.automatic import product_on_backdrop
from packshot.models.segment.backdrop import plain_backdrop
from packshot.models.segment.refine import Guide, place, refine, shape, within_box
from tests.unit.models.drawn import Bools, bag, bottle, drawn, iou, photographed, planks, ring, said, seen, three

WHITE, GREY, BLUE = (255, 255, 255), (200, 200, 198), (60, 86, 120)


def test_an_even_sheet_is_a_backdrop_and_planks_are_not() -> None:
    truth = drawn(bottle)
    found = plain_backdrop(photographed(truth, BLUE, GREY))
    assert found is not None
    assert found.plain == 1
    assert iou(~found.even, truth) > 0.97
    assert plain_backdrop(photographed(truth, BLUE, planks(truth))) is None


def test_a_backdrop_may_be_lit_from_one_side_and_noisy() -> None:
    truth = drawn(bottle)
    noise = np.random.default_rng(0).normal(0, 2, (*truth.shape, 1))
    light = np.linspace(-1, 1, truth.shape[1])[None, :, None]
    wall = np.clip(170 + 50 * light - 20 * light**2 + noise, 0, 255).repeat(3, axis=2)
    found = plain_backdrop(photographed(truth, BLUE, wall))
    assert found is not None
    assert iou(~found.even, truth) > 0.95


def test_a_soft_shadow_is_told_from_a_product_of_another_colour() -> None:
    truth = drawn(bottle)
    shadow = cv2.GaussianBlur(np.roll(truth, 40, axis=1).astype(np.float32), (0, 0), 12)[..., None]
    photo = photographed(truth, BLUE, 230 * (1 - 0.4 * shadow).repeat(3, axis=2))
    found = plain_backdrop(photo)
    assert found is not None
    assert not found.shadow[truth].any()
    dark = ~truth & (shadow[..., 0] > 0.5)
    assert found.shadow[cv2.erode(dark.astype(np.uint8), np.ones((5, 5))) > 0].mean() > 0.95


@pytest.mark.parametrize("colour", [(0, 0, 0), (128, 128, 128), (255, 255, 255)], ids=str)
def test_a_photo_of_one_colour_holds_no_product(colour: tuple[int, int, int]) -> None:
    found = plain_backdrop(np.full((60, 80, 3), colour, np.uint8))
    assert found is not None
    assert product_on_backdrop(found) is None


def test_a_product_over_the_whole_frame_has_no_backdrop() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    assert plain_backdrop(picture) is None


def placed(looked: Guide, mask: Bools | None) -> Bools:
    """A mask of the thumbnail as a mask of a photo of 800x600."""
    assert mask is not None
    return place(looked, mask, 2, (600, 800)) > 0


def filling(truth: Bools) -> Bools:
    """The mask with its openings filled."""
    outside = cv2.copyMakeBorder(truth.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    cv2.floodFill(outside, None, (0, 0), 2)
    return outside[1:-1, 1:-1] != 2


@pytest.mark.parametrize("inside", [0.0, 0.35, 0.6], ids=["no", "perhaps", "rather"])
def test_a_box_and_a_click_keep_an_opening_and_the_whole_strap(inside: float) -> None:
    """bag.png: the box filled the opening under the strap, and the click broke the strap."""
    truth = drawn(bag)
    looked = seen(photographed(truth, BLUE, GREY))
    guess = said(truth & ~drawn_strap_end(truth), looked)
    opening = cv2.resize((filling(truth) & ~truth).astype(np.uint8), guess.shape[::-1]) > 0
    guess[opening] = np.maximum(guess[opening], inside)
    for boxed in (True, False):
        mask = refine(looked, np.maximum(guess, 0.01), truth.shape, boxed=boxed) > 0
        assert iou(mask, truth) > 0.98
        assert cv2.connectedComponents((~mask).astype(np.uint8))[0] - 1 == 2, "the outside and one opening"


def drawn_strap_end(truth: Bools) -> Bools:
    """A part of the strap, which the network misses."""
    part = np.zeros_like(truth)
    part[:200, 440:] = truth[:200, 440:]
    return part


def test_where_opening_and_label_cannot_be_told_apart_both_are_given_the_open_one_first() -> None:
    truth = drawn(ring)
    looked = seen(photographed(truth, (200, 160, 60), WHITE))
    guess = product_on_backdrop(looked.backdrop) if looked.backdrop else None
    assert guess is not None
    found = shape(looked, guess)
    assert iou(placed(looked, found.mask), truth) > 0.98
    assert iou(placed(looked, found.other), filling(truth)) > 0.98


def test_a_white_label_of_which_the_network_is_certain_is_product_and_the_open_mask_the_alternative() -> None:
    truth, label = drawn(bottle), np.zeros((600, 800), bool)
    label[280:400, 340:460] = True
    looked = seen(photographed(truth & ~label, BLUE, WHITE))
    found = shape(looked, said(truth, looked))
    assert iou(placed(looked, found.mask), truth) > 0.98
    assert iou(placed(looked, found.other), truth & ~label) > 0.98


def test_a_click_decides_whether_an_area_of_the_backdrop_s_colour_is_product() -> None:
    truth = drawn(ring)
    looked = seen(photographed(truth, (200, 160, 60), WHITE))
    guess = said(filling(truth), looked, sureness=0.8)
    middle = (256.0, 192.0)
    assert not shape(looked, guess).mask[192, 256]
    for label in (0, 1):
        found = shape(looked, said(filling(truth), looked, sureness=0.8 + 0.2 * (1 - label)), clicks=[(*middle, label)])
        assert found.mask[192, 256] == (label == 1)
        assert found.other is None


def test_a_click_on_a_piece_takes_it_and_a_background_click_drops_it() -> None:
    truth = drawn(three)
    looked = seen(photographed(truth, BLUE, GREY))
    left_and_middle = truth & (np.arange(800) < 550)
    pieces = [(112.0, 192.0), (256.0, 192.0), (400.0, 192.0)]
    found = shape(looked, said(left_and_middle, looked), clicks=[(*pieces[0], 0), (*pieces[2], 1)])
    assert [bool(found.mask[int(y), int(x)]) for x, y in pieces] == [False, True, True]


def test_a_highlight_is_neither_an_opening_nor_a_doubt() -> None:
    truth, highlight = drawn(bottle), np.zeros((600, 800), bool)
    highlight[300:312, 350:358] = True
    looked = seen(photographed(truth & ~highlight, BLUE, WHITE))
    found = shape(looked, said(truth, looked, sureness=0.85))
    assert iou(placed(looked, found.mask), truth) > 0.98
    assert found.other is None


def test_three_equal_pieces_in_a_box_are_all_kept() -> None:
    truth = drawn(three)
    looked = seen(photographed(truth, BLUE, GREY))
    found = shape(looked, said(truth, looked), boxed=True)
    assert cv2.connectedComponents(found.mask.astype(np.uint8))[0] - 1 == 3


@pytest.mark.parametrize("backdrop", ["sheet", "planks"])
def test_a_small_cap_beside_its_bottle_stays_and_dust_does_not(backdrop: str) -> None:
    truth = drawn(bottle)
    truth[440:480, 560:600], truth[100, 100] = True, True
    photo = photographed(truth, (225, 225, 228), GREY if backdrop == "sheet" else planks(truth))
    photo = 255 - photo if backdrop == "sheet" else photo
    looked = seen(photo)
    found = shape(looked, said(truth, looked, cells=160), boxed=True).mask
    pieces = cv2.connectedComponentsWithStats(found.astype(np.uint8))[2][1:, cv2.CC_STAT_AREA]
    assert len(pieces) == 2


@pytest.mark.parametrize(
    ("product", "backdrop"), [(WHITE, (252, 252, 252)), ((6, 6, 6), (2, 2, 2))], ids=["white", "black"]
)
def test_white_on_white_and_black_on_black_keep_the_network_s_mask(product: object, backdrop: object) -> None:
    truth = drawn(bottle)
    looked = seen(photographed(truth, product, backdrop))
    found = shape(looked, said(truth, looked))
    assert iou(placed(looked, found.mask), truth) > 0.95


def test_a_dark_product_before_white_and_a_light_one_before_black_are_found_alike() -> None:
    truth = drawn(bag)
    dark = photographed(truth, (20, 20, 24), WHITE)
    masks = []
    for photo in (dark, 255 - dark):
        looked = seen(photo)
        masks.append(refine(looked, said(truth, looked), truth.shape) > 0)
    assert iou(masks[0], truth) > 0.98
    assert iou(*masks) > 0.99


def bricks(truth: Bools) -> np.ndarray:
    """A wall whose bricks are even and cover most of it, with joints of another colour, uint8 of the mask's size."""
    rows, columns = np.indices(truth.shape) + 20
    joint = (rows % 48 < 6) | ((columns + 60 * (rows // 48 % 2)) % 120 < 6)
    return np.where(joint[..., None], np.array((172, 106, 84), np.uint8), np.array((150, 84, 66), np.uint8))


def test_a_brick_wall_is_not_a_plain_backdrop() -> None:
    """Its bricks cover three quarters of the frame. Its joints were cut out with the product that touched them."""
    truth = drawn(bottle)
    photo = photographed(truth, BLUE, bricks(truth))
    assert plain_backdrop(photo) is None
    looked = seen(photo)
    assert iou(placed(looked, shape(looked, said(truth, looked), boxed=True).mask), truth) > 0.97


def test_neighbours_that_reach_the_frame_leave_the_backdrop_plain() -> None:
    truth = drawn(three)
    shelf = np.full((*truth.shape, 3), GREY, np.uint8)
    for x in range(0, 800, 100):
        shelf[:60, x + 20 : x + 70] = BLUE
        shelf[560:, x + 30 : x + 80] = (90, 40, 30)
    found = plain_backdrop(photographed(truth, BLUE, shelf))
    assert found is not None
    assert 0.6 < found.plain < 0.9


def test_what_a_box_cuts_through_is_not_taken_with_the_product() -> None:
    """The mast behind the violin: it touches the product, and goes on beyond the box around it."""
    truth = drawn(bottle)
    mast = np.full((*truth.shape, 3), GREY, np.uint8)
    mast[:, 335:347] = (40, 40, 44)
    mast[150:158, 200:600] = (40, 40, 44)
    looked = seen(photographed(truth, BLUE, mast))
    box = (304.0, 110.0, 496.0, 526.0)
    inside = within_box(said(truth, looked), box, truth.shape)
    assert looked.backdrop is not None
    assert iou(refine(looked, inside, (600, 800), boxed=True) > 0, truth) > 0.98


@pytest.mark.parametrize("off", [0, 1, 2])
def test_a_background_click_at_the_border_does_not_drop_the_product(off: int) -> None:
    """A second click on the ball's last pixels left nothing of it."""
    truth = drawn(bottle)
    looked = seen(photographed(truth, BLUE, GREY))
    scale = looked.thumbnail.shape[1] / truth.shape[1]
    clicks = [(400 * scale, 400 * scale, 1), ((310 + off) * scale, 400 * scale, 0)]
    assert iou(placed(looked, shape(looked, said(truth, looked), clicks=clicks).mask), truth) > 0.97


def test_a_product_click_at_the_border_does_not_fill_the_opening() -> None:
    truth = drawn(bag)
    looked = seen(photographed(truth, BLUE, GREY))
    scale = looked.thumbnail.shape[1] / truth.shape[1]
    guess = np.maximum(said(truth, looked), 0.3 * said(filling(truth), looked))
    clicks = [(400 * scale, 400 * scale, 1), (313 * scale, 240 * scale, 1)]
    assert iou(placed(looked, shape(looked, guess, clicks=clicks).mask), truth) > 0.97


def test_a_piece_with_clicks_of_both_kinds_is_cut_by_colour() -> None:
    """A bottle on its coaster before paper: one piece for the backdrop, but the clicks say that it is two things."""
    truth = drawn(bottle)
    both = truth.copy()
    both[515:545, 240:560] = True
    photo = photographed(both, BLUE, GREY).copy()
    photo[both & ~truth] = (190, 150, 60)
    looked = seen(photo)
    scale = looked.thumbnail.shape[1] / truth.shape[1]
    clicks = [(400 * scale, 300 * scale, 1), (250 * scale, 530 * scale, 0)]
    guess = np.maximum(said(truth, looked), 0.3 * said(both, looked))
    found = placed(looked, shape(looked, guess, clicks=clicks).mask)
    assert found[300, 400]
    assert not found[530, 250]
