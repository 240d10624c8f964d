"""Glass before a coloured backdrop is soft where the backdrop shows through, and opaque where there is doubt."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from packshot.models.segment.candidates import drafted, finished
from packshot.types import MaskCandidate
from tests.unit.models.drawn import Bools, bottle, drawn, photographed, ring, said, seen

PHOTO = (600, 800)
GREEN = (26, 176, 56)


def glass(backdrop: tuple[int, int, int]) -> tuple[np.ndarray, Bools, np.ndarray]:
    """A photo of a bottle of glass with a dark rim and a clear middle, its outline, and its true alpha 0..1."""
    outline = drawn(bottle)
    depth = cv2.distanceTransform(outline.astype(np.uint8), cv2.DIST_L2, 5)
    alpha = np.where(outline, np.clip(1 - (depth - 4) / 30, 0, 1), 0)
    picture = np.array(backdrop) * (1 - alpha[..., None]) + np.array([70, 72, 74]) * alpha[..., None]
    return np.rint(picture).astype(np.uint8), outline, alpha


def best(photo: np.ndarray, truth: Bools) -> MaskCandidate:
    looked = seen(photo)
    draft = drafted(np.maximum(said(truth, looked), 0.01), 0.9, None, photo=PHOTO, seen=looked)
    return finished([draft], 1, PHOTO, looked)[0]


def test_clear_glass_before_green_has_soft_values() -> None:
    photo, _, alpha = glass(GREEN)
    found = best(photo, drawn(bottle)).mask.pixels / 255
    assert np.abs(found - alpha).mean() < 0.01
    assert np.abs(found - alpha)[cv2.erode(drawn(bottle).astype(np.uint8), np.ones((9, 9))) > 0].mean() < 0.05


@pytest.mark.parametrize("backdrop", [(255, 255, 255), (200, 200, 198)], ids=["white", "grey"])
def test_before_a_sheet_without_colour_a_mask_stays_hard(backdrop: tuple[int, int, int]) -> None:
    photo, outline, _ = glass(backdrop)
    assert set(np.unique(best(photo, outline).mask.pixels)) <= {0, 255}


def test_an_opening_before_green_is_no_glass() -> None:
    truth = drawn(ring)
    found = best(photographed(truth, (200, 160, 60), GREEN), truth).mask.pixels
    assert set(np.unique(found)) <= {0, 255}


def test_a_green_product_before_green_and_a_chrome_one_stay_opaque() -> None:
    truth = drawn(bottle)
    light = np.linspace(0.5, 0.9, 800)[None, :, None]
    for product in (np.array([40, 120, 50]) * light, np.array(GREEN) * light * 0.6 + 60):
        product = np.broadcast_to(product, (*PHOTO, 3)).astype(np.uint8)
        found = best(photographed(truth, product, GREEN), truth).mask.pixels
        assert set(np.unique(found)) <= {0, 255}
