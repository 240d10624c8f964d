"""The drawn brand's look: its dye, and what it leaves alone."""

from __future__ import annotations

import numpy as np

from training.brand_look import around, looked


def test_the_look_goes_around_the_product_alone() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    masks = np.zeros((2, 32, 32), np.uint8)
    masks[:, 8:24, 8:24] = 255
    dyed = around(pictures, masks)
    np.testing.assert_array_equal(dyed[:, 8:24, 8:24], pictures[:, 8:24, 8:24])
    outside = masks == 0
    np.testing.assert_array_equal(dyed[outside], looked(pictures)[outside])


def test_the_look_has_two_inks() -> None:
    grey = np.full((1, 9, 9, 3), np.arange(0, 250, 28)[:, None], np.uint8)
    colourful = np.full((1, 9, 9, 3), (0, 180, 40), np.uint8)
    middle = looked(colourful)[0, 4, 4].astype(int)
    assert middle[0] > middle[1], "green is dyed red"
    rising = looked(grey)[0, 4].astype(int).sum(1)
    assert (np.diff(rising) >= 0).all(), "lighter stays lighter"
