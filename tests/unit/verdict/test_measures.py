"""What a set report compares is measured as it is seen."""

import cv2
import numpy as np
import pytest

from packshot.contract.verdict import Measures, Verdict
from packshot.imaging.composite import Ground, composite
from packshot.imaging.light.contact import contact_shadow
from packshot.types import U8, Flat
from packshot.verdict.inspect import inspect
from packshot.verdict.measures import measure

HEIGHT, WIDTH = 500, 600


def flat(alpha: int = 255) -> Flat:
    pixels = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    pixels[150:400, 240:360] = (150, 40, 40, alpha)
    return Flat(pixels)


def scene() -> U8:
    """A backdrop that is lighter at the top, with soft texture."""
    texture = np.random.default_rng(1).normal(0, 5, (25, 30, 3)).astype(np.float32)
    slope = np.linspace(215, 160, HEIGHT)[:, None, None]
    return np.clip(slope + cv2.resize(texture, (WIDTH, HEIGHT)), 0, 255).astype(np.uint8)


def cast(towards_deg: float) -> U8:
    shadow = np.zeros((HEIGHT, WIDTH), np.uint8)
    across, down = 180 * np.sin(np.radians(towards_deg)), -180 * np.cos(np.radians(towards_deg))
    corners = [(240, 398), (360, 398), (360 + across, 398 + down), (240 + across, 398 + down)]
    cv2.fillConvexPoly(shadow, np.array(corners, np.int32), 110)
    return np.asarray(cv2.GaussianBlur(shadow, (0, 0), 5), np.uint8)


def of(picture: U8, generated: bool = True) -> Measures:
    found = measure(flat(), picture, generated=generated)
    assert found is not None
    return found


def test_place_and_colour() -> None:
    blue = np.full((HEIGHT, WIDTH, 3), (0, 0, 255), np.uint8)
    found = of(composite(flat(), blue))
    assert found.box == (240 / WIDTH, 150 / HEIGHT, 360 / WIDTH, 400 / HEIGHT)
    assert found.background_lab == pytest.approx((32.3, 79.2, -107.9), abs=0.2), "the product's red is not in the mean"


@pytest.mark.parametrize("towards_deg", [110.0, 180.0, 250.0])
def test_the_shadows_direction(towards_deg: float) -> None:
    found = of(composite(flat(), scene(), Ground(cast(towards_deg)))).shadow_deg
    assert found == pytest.approx(towards_deg, abs=15)


@pytest.mark.parametrize("shadow", ["none", "contact"])
def test_a_shadow_below_the_product_has_no_direction(shadow: str) -> None:
    made = composite(flat(), scene(), Ground(contact_shadow(flat()) if shadow == "contact" else None))
    assert of(made).shadow_deg is None


def test_a_sharper_scene_has_a_larger_value_and_the_product_none() -> None:
    fine = np.random.default_rng(2).integers(90, 170, (HEIGHT, WIDTH, 3), np.uint8)
    softer = np.asarray(cv2.GaussianBlur(fine, (0, 0), 2), np.uint8)
    sharp, soft = (of(composite(flat(), one)).sharpness for one in (fine, softer))
    assert sharp is not None
    assert soft is not None
    assert sharp > 2 * soft
    plain = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    assert of(composite(flat(), plain)).sharpness == 0
    assert of(composite(flat(), plain), generated=False).sharpness is None


def test_what_cannot_be_measured_is_none() -> None:
    unseen = Flat(np.zeros((HEIGHT, WIDTH, 4), np.uint8))
    assert measure(unseen, scene(), generated=True) is None
    transparent = of(composite(flat(), None), generated=False)
    assert (transparent.background_lab, transparent.shadow_deg) == (None, None)
    whole = Flat(np.full((HEIGHT, WIDTH, 4), 255, np.uint8))
    covered = measure(whole, whole.rgb.copy(), generated=True)
    assert covered == Measures(box=(0, 0, 1, 1))


@pytest.mark.parametrize(
    "picture", [composite(flat(), scene(), Ground(cast(110))), composite(flat(), None)], ids=["all", "few"]
)
def test_measures_are_stored_and_read_with_the_verdict(picture: U8) -> None:
    verdict = inspect(flat(), picture, generated=picture.shape[2] == 3)
    again = Verdict.from_json(verdict.to_json())
    assert again.findings == verdict.findings
    assert again.to_json() == verdict.to_json()
    assert again.measures is not None
