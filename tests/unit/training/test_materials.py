"""The fit of the weights with which metal is told from a cutout."""

import numpy as np

from packshot.imaging.light.material import METAL, Cues, material_cues
from training.mini.materials import METALS, cropped, fitted, judged, traced


def test_weights_that_are_fitted_tell_what_can_be_told() -> None:
    rng = np.random.default_rng(0)
    metal = (np.arange(100) % 2).astype(np.float64)
    cues = np.stack([metal + rng.normal(0, 0.2, 100), rng.normal(0, 1, 100), np.ones(100)], axis=1)
    weights = fitted(cues, metal)
    assert weights[0] > 5 * abs(weights[1])
    assert ((judged(cues, metal) > 0.5) == (metal > 0.5)).mean() > 0.9


def test_a_product_is_not_judged_by_weights_that_saw_it() -> None:
    """Cues that only tell the products apart say nothing of a new one."""
    metal = (np.arange(20) % 2).astype(np.float64)
    alone = np.hstack([np.eye(20), np.ones((20, 1))])
    assert np.abs(judged(alone, metal) - 0.5).max() < 0.1


def test_the_shipped_weights_fit_the_cues() -> None:
    assert METAL.shape == Cues().of_surface.shape


def test_path_traced_products_of_known_material_have_cues() -> None:
    known = list(traced())
    assert len(known) > 40
    assert {one.metal for one in known} == {True, False}
    assert material_cues(known[0].cutout).top > 0
    assert "metal" in METALS


def test_a_product_is_cropped_to_its_extent() -> None:
    alpha = np.zeros((20, 30), np.uint8)
    alpha[5:9, 10:17] = 255
    assert cropped(np.zeros((20, 30, 3), np.uint8), alpha).pixels.shape == (4, 7, 4)
