"""Training on features that are computed once, and the calibration of scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.mini.calibration import least_absolute
from training.mini.clicks import corrections
from training.mini.segmenter import PADDING, without_padding


def test_a_line_of_least_absolute_error_ignores_a_few_failures() -> None:
    x = np.linspace(0.2, 0.9, 50)
    y = 0.5 + 0.4 * x
    y[::10] = 0.05
    assert least_absolute(x[:, None], y) == pytest.approx((0.5, 0.4), abs=0.02)


def test_most_corrective_clicks_lie_in_the_middle_of_the_largest_mistake() -> None:
    target = torch.zeros(40, 24, 24)
    target[:, 4:20, 4:20] = 1
    logits = torch.where(target > 0, 8.0, -8.0)
    logits[:, 4:15, 4:15] = -8  # missed
    logits[:, 21:23, 21:23] = 8  # leaked
    coords, labels = corrections(np.random.default_rng(0), logits, target)
    middle = ((coords[:, 0] / 4 - 9).abs() <= 1.5).all(1)
    assert 0.5 < float(middle.float().mean()) < 1
    inside = (coords[:, 0] < 60).all(1)
    assert torch.equal(labels[:, 0] == 1, inside)


def test_padding_is_not_part_of_a_picture() -> None:
    square = np.full((32, 32, 3), PADDING, np.uint8)
    square[:20, :28] = 90
    assert without_padding(square).shape == (20, 28, 3)
