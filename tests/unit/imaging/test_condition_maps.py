"""The control images of a product's shape and area."""

from __future__ import annotations

import numpy as np
import pytest

from packshot.contract.shot_spec import ConditionKind
from packshot.imaging.condition_maps import PRODUCT_COLOUR, condition_maps
from packshot.imaging.pose import pose_map
from packshot.types import Flat, Geometry

SIDE = 8
INSIDE = np.s_[2:6, 2:6]
ALL: tuple[ConditionKind, ...] = ("depth", "normal", "segmentation")


def flat() -> Flat:
    pixels = np.zeros((SIDE, SIDE, 4), np.uint8)
    pixels[INSIDE] = (200, 10, 10, 255)
    return Flat(pixels)


def shape(normal: tuple[int, int, int] = (0, 0, 127)) -> Geometry:
    """A product whose columns come nearer from left to right."""
    normals, depth = np.zeros((SIDE, SIDE, 3), np.int8), np.zeros((SIDE, SIDE), np.float32)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    normals[INSIDE], mask[INSIDE] = normal, 255
    depth[INSIDE] = np.linspace(0, 1, 4)
    return Geometry(normals, depth, mask)


def test_depth_is_white_where_the_product_is_nearest_and_black_beyond_it() -> None:
    depth = condition_maps(["depth"], flat(), shape()).depth
    assert depth is not None
    row = depth[3].tolist()
    assert row[5] == 255
    assert row[2:6] == sorted(row[2:6])
    assert row[2] > 127, "the product's farthest part is still far nearer than the ground behind it"
    assert set(depth[depth < 128].tolist()) == {0}


@pytest.mark.parametrize(
    ("normal", "colour"),
    [((-127, 0, 0), (255, 128, 128)), ((0, 127, 0), (128, 255, 128)), ((0, 0, 127), (128, 128, 255))],
    ids=["red is left", "green is up", "blue is to the viewer"],
)
def test_normals_have_the_colours_of_the_published_net(
    normal: tuple[int, int, int], colour: tuple[int, int, int]
) -> None:
    made = condition_maps(["normal"], flat(), shape(normal)).normal
    assert made is not None
    assert np.abs(made[3, 3].astype(int) - colour).max() <= 1
    assert made[0, 0].tolist() == [128, 128, 255], "the ground faces the viewer"


def test_segmentation_needs_no_shape_and_knows_only_the_product() -> None:
    made = condition_maps(["segmentation"], flat(), None).segmentation
    assert made is not None
    assert tuple(made[3, 3]) == PRODUCT_COLOUR
    assert not made[0, 0].any()


def test_only_the_kinds_that_are_wanted_are_made() -> None:
    assert set(condition_maps(ALL, flat(), shape()).made) == set(ALL)
    assert set(condition_maps(["normal"], flat(), shape()).made) == {"normal"}
    assert condition_maps([], flat(), None).made == {}


def test_a_layout_without_a_product_is_all_ground() -> None:
    empty = Geometry(np.zeros((4, 4, 3), np.int8), np.zeros((4, 4), np.float32), np.zeros((4, 4), np.uint8))
    made = condition_maps(ALL, Flat(np.zeros((4, 4, 4), np.uint8)), empty)
    assert made.depth is not None
    assert made.segmentation is not None
    assert not made.depth.any()
    assert not made.segmentation.any()


def test_a_missing_shape_or_one_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="need a shape"):
        condition_maps(["depth"], flat(), None)
    with pytest.raises(ValueError, match="one size"):
        condition_maps(["depth"], Flat(np.zeros((4, 4, 4), np.uint8)), shape())


def test_a_pose_is_drawn_as_openpose_draws_it() -> None:
    """The neck in its joint's colour, the bone to the nose at 60 % of its own, and black elsewhere."""
    person = ((0.5, 0.25), (0.5, 0.75), *[None] * 16)
    drawn = pose_map([person], (64, 128), (0, 32, 64, 96))  # a square canvas in the middle of a tall scene
    assert drawn.shape == (128, 64, 3)
    assert drawn[32 + 48, 32].tolist() == [255, 85, 0], "the neck"
    assert drawn[32 + 16, 32].tolist() == [255, 0, 0], "the nose"
    assert drawn[64, 32].tolist() == [int(0.6 * part) for part in (0, 0, 255)], "the bone between them"
    assert not drawn[:40].any()
    assert not drawn[:, :24].any()
