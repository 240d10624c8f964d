"""A scene that goes on with the product fails; one of its colour, a shadow and a plain scene do not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from packshot.types import U8, Flat
from packshot.verdict.expansion import expansion_finding

SIDE = 400
PRODUCT = (150, 150, 250, 300)  # x0, y0, x1, y1


def _scene(colour: tuple[int, int, int] = (200, 190, 175)) -> U8:
    ramp = np.linspace(0.85, 1.1, SIDE)[:, None, None]
    return np.clip(np.full((SIDE, SIDE, 3), colour) * ramp, 0, 255).astype(np.uint8)


def _flat(colour: tuple[int, int, int]) -> Flat:
    pixels = np.zeros((SIDE, SIDE, 4), np.uint8)
    x0, y0, x1, y1 = PRODUCT
    pixels[y0:y1, x0:x1] = (*colour, 255)
    return Flat(pixels)


@pytest.mark.parametrize(("colour", "taller_px"), [((180, 40, 40), 40), ((30, 30, 34), 25), ((245, 245, 245), 40)])
def test_a_product_that_is_painted_taller_fails(colour: tuple[int, int, int], taller_px: int) -> None:
    scene = _scene()
    x0, y0, x1, y1 = PRODUCT
    scene[y0 - taller_px : y1, x0:x1] = colour
    found = expansion_finding(_flat(colour), scene)
    assert found.level == "failed", found
    assert found.value == pytest.approx(taller_px / (y1 - y0), rel=0.2)
    assert "use another seed" in found.detail


def test_a_second_handle_fails() -> None:
    scene = _scene()
    cv2.ellipse(scene, (248, 225), (45, 50), 0, -80, 80, (180, 40, 40), 14)
    assert expansion_finding(_flat((180, 40, 40)), scene).level == "failed"


@pytest.mark.parametrize("colour", [(180, 40, 40), (30, 30, 34), (200, 190, 175)])
def test_a_scene_that_stays_outside_is_ok(colour: tuple[int, int, int]) -> None:
    """Also when the product has the scene's own colour, so that nothing can be told."""
    found = expansion_finding(_flat(colour), _scene())
    assert (found.check, found.level) == ("expansion", "ok")


def test_the_shadow_of_a_dark_product_is_no_part_of_it() -> None:
    shadow = np.zeros((SIDE, SIDE), np.float32)
    cv2.ellipse(shadow, (230, 300), (110, 22), 0, 0, 360, 1.0, -1)
    shadow = cv2.GaussianBlur(shadow, (0, 0), 9)[..., None]
    scene = np.rint(_scene() * (1 - 0.85 * shadow)).astype(np.uint8)
    assert expansion_finding(_flat((30, 30, 34)), scene).level == "ok"


def test_without_a_product_there_is_nothing_to_expand() -> None:
    assert expansion_finding(Flat(np.zeros((SIDE, SIDE, 4), np.uint8)), _scene()).level == "ok"
