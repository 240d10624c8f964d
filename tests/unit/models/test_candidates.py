"""The order of an answer: evidence of the photo and of the user's box, and the alternative of an opening."""

from __future__ import annotations

from unittest import mock

import cv2
import numpy as np
import pytest

from packshot.models.segment.candidates import (
    Draft,
    around,
    corrected,
    drafted,
    favoured,
    finished,
    joined,
    reconsidered,
)
from packshot.models.segment.refine import Shape
from tests.unit.models.drawn import bottle, drawn, iou, photographed, planks, ring, said, seen

PHOTO = (600, 800)


def board() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A photo of a circuit board, the board, and one of its chips, which has the stronger edges."""
    part, whole = np.zeros(PHOTO, bool), np.zeros(PHOTO, bool)
    whole[100:500, 150:650], part[220:380, 300:500] = True, True
    rng = np.random.default_rng(0)
    wires = np.kron(rng.integers(0, 2, (60, 80)), np.ones((10, 10)))[..., None] * (30, 60, 20)
    photo = np.where(whole[..., None], np.add((20, 70, 40), wires), (95, 90, 80))
    photo = np.where(part[..., None], (240, 240, 235), photo).astype(np.uint8)
    return photo, whole, part


def test_the_answer_that_fits_the_box_comes_first_though_the_network_prefers_a_part() -> None:
    photo, whole, part = board()
    looked = seen(photo)
    box = (150.0, 100.0, 650.0, 500.0)
    drafts = [
        drafted(said(mask, looked), score, box, photo=PHOTO, seen=looked)
        for mask, score in ((part, 0.92), (whole, 0.66))
    ]
    assert drafts[1].evidence > 1.2 * drafts[0].evidence
    found = finished([favoured(drafts), *drafts[1:]], 2, PHOTO, looked)
    assert iou(found[0].mask.pixels > 0, whole) > 0.95
    assert found[0].score > found[1].score


def test_a_mask_on_edges_has_more_evidence_than_one_that_leaks() -> None:
    truth = drawn(bottle)
    looked = seen(photographed(truth, (60, 86, 120), (150, 140, 130)))
    leaking = np.roll(truth, 60, axis=1)
    right, wrong = (drafted(said(m, looked), 0.8, None, photo=PHOTO, seen=looked) for m in (truth, leaking))
    assert right.evidence > wrong.evidence
    assert right.score == pytest.approx(0.8 * right.evidence)


def draft(score: float, evidence: float = 1.0, *, mask: np.ndarray | None = None) -> Draft:
    return Draft(Shape(np.eye(4, dtype=bool) if mask is None else mask), score, evidence)


def test_the_first_answer_to_a_clear_prompt_is_favoured_only_with_evidence() -> None:
    assert favoured([draft(0.5, 0.8), draft(0.9, 0.85)]).score == 0.9
    assert favoured([draft(0.5, 0.5), draft(0.9, 0.85)]).score == 0.5
    assert favoured([draft(0.0, 0.8), draft(0.9, 0.8)]).score == 0


def test_parts_are_united_with_their_lowest_score_and_evidence() -> None:
    left, right = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    left[:, 0], right[:, 3] = True, True
    both = joined([draft(0.9, 0.7, mask=left), draft(0.6, 0.8, mask=right)])
    assert (both.score, both.evidence) == (0.6, 0.7)
    assert np.array_equal(both.shape.mask, left | right)


def test_the_alternative_follows_the_best_and_an_equal_answer_makes_room() -> None:
    truth, filled = drawn(ring, 512, 384), drawn(ring, 512, 384)
    filled[100:280, 170:340] = True
    looked = seen(photographed(truth, (200, 160, 60), (255, 255, 255)))
    best, again = Draft(Shape(truth, 2, other=filled), 0.9), Draft(Shape(truth.copy(), 2), 0.89)
    small = Draft(Shape(drawn(bottle, 512, 384), 2), 0.5)
    found = finished([small, again, best], 3, (384, 512), looked)
    assert [round(one.score, 3) for one in found] == [0.9, 0.855, 0.5]
    assert [one.mask.pixels[192, 256] for one in found[:2]] == [0, 255]
    assert len(finished([small, again, best], 1, (384, 512), looked)) == 1


def test_the_same_drafts_give_the_same_masks() -> None:
    photo, whole, _ = board()
    looked = seen(photo)
    runs = [
        finished([drafted(said(whole, looked), 0.8, None, photo=PHOTO, seen=looked)], 1, PHOTO, looked) for _ in "ab"
    ]
    assert np.array_equal(runs[0][0].mask.pixels, runs[1][0].mask.pixels)


def test_a_correction_changes_only_what_its_click_asks_for() -> None:
    before, found = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    before[2:10, 2:10] = True
    found[2:10, 6:16] = True  # grows to the right as asked, and loses the left
    kept = corrected(draft(0.8, mask=found), before, [(4, 4, 1), (12, 5, 1)]).shape.mask
    assert np.array_equal(kept, before | found)
    cut = corrected(draft(0.8, mask=found), before, [(3, 4, 0)]).shape.mask
    assert np.array_equal(cut, before & found)


def test_an_answer_that_follows_no_click_is_given_as_it_is() -> None:
    before, found = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    before[2:10, 2:10], found[2:10, 2:16] = True, True
    assert np.array_equal(corrected(draft(0.8, mask=found), before, [(18, 18, 1)]).shape.mask, found)


def test_nearly_equal_answers_are_listed_once() -> None:
    """The bottle before paper gave three equal masks."""
    truth = drawn(bottle, 512, 384)
    looked = seen(photographed(truth, (60, 86, 120), (255, 255, 255)))
    fringed = truth.copy()
    fringed[330:332, 250:270] = True
    answers = [Draft(Shape(mask, 2), score) for mask, score in ((truth, 0.9), (fringed, 0.95), (truth.copy(), 0.8))]
    answers += [Draft(Shape(drawn(ring, 512, 384), 2), 0.4), Draft(Shape(np.zeros_like(truth)), 0.0)]
    found = finished([*answers, answers[-1]], 3, (384, 512), looked)
    assert [one.score for one in found] == [0.95, 0.4, 0.0]


def test_an_alternative_with_a_small_opening_is_not_taken_for_the_same() -> None:
    truth = np.zeros((384, 512), bool)
    truth[100:300, 100:400] = True
    holed = truth.copy()
    holed[180:205, 200:226] = False
    looked = seen(photographed(holed, (200, 160, 60), (255, 255, 255)))
    found = finished([Draft(Shape(holed, 2, other=truth), 0.9)], 3, (384, 512), looked)
    assert [one.mask.pixels[192, 213] for one in found] == [0, 255]


def test_only_the_best_candidate_is_cut_by_colour_at_once() -> None:
    photo, whole, part = board()
    looked = seen(photo)
    drafts = [drafted(said(m, looked, 24), s, None, photo=PHOTO, seen=looked) for m, s in ((whole, 0.9), (part, 0.3))]
    assert all(one.shape.rough for one in drafts)
    with mock.patch.object(cv2, "grabCut", wraps=cv2.grabCut) as cut:
        found = finished(drafts, 2, PHOTO, looked)
    assert cut.call_count == 1
    assert iou(found[0].mask.pixels > 0, whole) > 0.95
    assert iou(found[1].mask.pixels > 0, part) > 0.9


def test_a_mask_gives_way_to_that_of_its_own_box_where_the_colours_say_so_and_keeps_its_score() -> None:
    truth = drawn(bottle)
    looked = seen(photographed(truth, (200, 40, 36), planks(truth)))
    whole = cv2.resize(truth.astype(np.uint8), looked.thumbnail.shape[1::-1]) > 0
    half = whole.copy()
    half[: len(half) // 2] = False
    better = reconsidered(draft(0.7, mask=half), draft(0.2, mask=whole), looked)
    assert (better.score, better.shape.mask.sum()) == (0.7, whole.sum())
    assert np.array_equal(reconsidered(draft(0.7, mask=whole), draft(0.9, mask=half), looked).shape.mask, whole)


def test_a_mask_s_own_box_is_wider_and_ends_with_the_photo() -> None:
    assert around((100.0, 100.0, 200.0, 300.0), PHOTO) == (98.0, 96.0, 202.0, 304.0)
    assert around((0.0, 1.0, 799.0, 600.0), PHOTO) == (0.0, 0.0, 800.0, 600.0)
