"""Scores that a person sees are expected IoUs, and keep the order of an answer's candidates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

import packshot
from packshot.models.segment.calibration import KINDS, Calibration, kind_of, settled
from packshot.models.segment.candidates import Draft, finished
from packshot.models.segment.refine import Shape
from packshot.types import Mask, Prompts

MANIFEST = Path(packshot.__file__).parent / "packs/mini/manifest.yaml"
POINT = (5.0, 5.0, 1)


@pytest.mark.parametrize(
    ("prompts", "kind"),
    [
        (Prompts(), None),
        (Prompts((POINT,)), "click"),
        (Prompts((POINT, POINT)), "clicks"),
        (Prompts((POINT,), mask=Mask(np.zeros((9, 9), np.uint8))), "clicks"),
        (Prompts((POINT,), ((0.0, 0.0, 9.0, 9.0),)), "box"),
    ],
)
def test_a_prompt_has_a_kind(prompts: Prompts, kind: str | None) -> None:
    assert kind_of(prompts) == kind


def test_a_border_that_moved_far_is_less_settled() -> None:
    before = np.zeros((40, 60), bool)
    before[10:30, 10:50] = True
    whole, half = (np.zeros((80, 120), np.uint8) for _ in "ab")
    whole[20:60, 20:100] = 255
    half[20:40, 20:100] = 255
    assert settled(before, whole) == 1
    assert settled(before, half) == 0.5


def test_scores_stay_where_nothing_was_fitted() -> None:
    assert Calibration().of("box") is None
    assert Calibration({"box": (0, 1, 0)}).of(None) is None


def test_the_pack_s_candidates_keep_their_order() -> None:
    planes = yaml.safe_load(MANIFEST.read_text("utf-8"))["roles"]["segmenter"]["config"]["expected_iou"]
    assert set(planes) == set(KINDS)
    for kind in KINDS:
        expected = Calibration(planes).of(kind)
        assert expected is not None
        for likeness in (0.6, 0.9, 1.0):
            scores = [expected(score, likeness) for score in np.linspace(0, 1, 21)]
            assert scores == sorted(scores)
            assert 0 < scores[0] < scores[-1] <= 1
        assert expected(0.8, 0.95) > expected(0.8, 0.7)  # a border that moved far is a bad sign


def test_a_mask_is_never_taken_for_none() -> None:
    """A catalogue's row with the score 0 has no product."""
    expected = Calibration({"box": (-2, 1, 1)}).of("box")
    assert expected is not None
    assert expected(0.1, 0.1) > 0


def test_an_empty_mask_is_expected_to_be_wrong() -> None:
    mask = np.zeros((9, 9), bool)
    mask[2:7, 2:7] = True
    drafts = [Draft(Shape(np.zeros((9, 9), bool)), 0.0), Draft(Shape(mask), 0.4)]
    found = finished(drafts, 3, (9, 9), None, Calibration({"click": (0.5, 0.2, 0.1)}).of("click"))
    assert [one.score for one in found] == [pytest.approx(0.68), 0.0]
