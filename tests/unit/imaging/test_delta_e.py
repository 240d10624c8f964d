"""Colour differences equal those of the formula's authors and of scikit-image."""

import numpy as np
from skimage.color import deltaE_ciede2000

from packshot.imaging.delta_e import ciede2000, delta_e

PUBLISHED = (  # Sharma, Wu and Dalal (2005), table 1: two colours in L*a*b*, and their difference
    (50.0, 2.6772, -79.7751, 50.0, 0.0, -82.7485, 2.0425),
    (50.0, 0.0, 0.0, 50.0, -1.0, 2.0, 2.3669),
    (50.0, 2.49, -0.001, 50.0, -2.49, 0.0011, 7.2195),
    (50.0, 2.5, 0.0, 73.0, 25.0, -18.0, 27.1492),
    (60.2574, -34.0099, 36.2677, 60.4626, -34.1751, 39.4387, 1.2644),
    (22.7233, 20.0904, -46.694, 23.0331, 14.973, -42.5619, 2.0373),
    (90.8027, -2.0831, 1.441, 91.1528, -1.6435, 0.0447, 1.4441),
)


def test_differences_equal_the_published_ones() -> None:
    rows = np.array(PUBLISHED, np.float32)
    assert np.allclose(ciede2000(rows[:, :3], rows[:, 3:6]), rows[:, 6], atol=2e-4)


def test_differences_equal_those_of_scikit_image() -> None:
    rng = np.random.default_rng(0)
    one = (rng.random((4000, 3)) * [100, 200, 200] - [0, 100, 100]).astype(np.float32)
    other = (one + rng.normal(0, 4, one.shape)).astype(np.float32)
    other[:100, 1:], one[100:200, 1:], other[200:300] = 0, 0, one[200:300]
    assert np.abs(ciede2000(one, other) - deltaE_ciede2000(one, other)).max() < 1e-3


def test_equal_colours_do_not_differ_and_black_from_white_by_100() -> None:
    colours = np.array([[0, 0, 0], [255, 255, 255], [12, 200, 90]], np.uint8)
    assert (delta_e(colours, colours) == 0).all()
    assert np.isclose(delta_e(colours[:1], colours[1:2])[0], 100, atol=0.1)
