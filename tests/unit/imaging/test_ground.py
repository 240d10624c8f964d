"""How a product lies, what it is made of, and its geometry on the canvas."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from packshot.contract.light import Reflection
from packshot.contract.shot_spec import Canvas, LayerSpec
from packshot.imaging.canvas import flatten
from packshot.imaging.light.ground import lying
from packshot.imaging.light.material import Cues, gloss_of, material_cues, material_of
from packshot.imaging.light.placed import place_geometries
from packshot.imaging.light.reflection import reflect
from packshot.models.understand.geometry import InflatedGeometry
from packshot.models.understand.understander import Understander
from packshot.types import Cutout, Flat, Geometry, Layer, Layout, Material, Understanding

RGB = tuple[int, int, int]


def box(width: int = 100, height: int = 160, colour: RGB = (120, 90, 60)) -> Cutout:
    """A plain rectangle with a margin of ten pixels."""
    pixels = np.zeros((height + 20, width + 20, 4), np.uint8)
    pixels[10:-10, 10:-10] = (*colour, 255)
    return Cutout(pixels)


def geometry_of(cutout: Cutout) -> Geometry:
    return InflatedGeometry().estimate([cutout])[0]


def test_height_grows_from_the_contact_line_up() -> None:
    found = lying(geometry_of(box()))
    assert found.pose == "upright"
    assert found.contact_y == pytest.approx(169, abs=1)
    column = found.height[10:170, 60]
    assert (np.diff(column) <= 0).all()
    assert column[0] == pytest.approx(150, abs=12)  # its upper edge stands a little behind its front
    assert column[-1] <= 2
    assert not found.height[:9].any()


def test_a_product_whose_surface_faces_up_lies_flat() -> None:
    cutout = box(200, 60)
    upright = geometry_of(cutout)
    normals = np.where(upright.mask[..., None] > 0, np.array([0, 106, 70], np.int8), np.int8(0))
    found = lying(Geometry(normals, upright.depth, upright.mask))
    assert found.pose == "flat"
    assert not found.height.any()


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((16, 16, 4), np.uint8),
        np.full((16, 16, 4), 255, np.uint8),
        np.full((1, 1, 4), 255, np.uint8),
        np.zeros((1, 1, 4), np.uint8),
        np.full((1, 900, 4), 255, np.uint8),
        np.full((900, 1, 4), 255, np.uint8),
    ],
    ids=["empty", "16 px", "1 px", "1 empty px", "a row", "a column"],
)
def test_a_cutout_of_any_size_is_understood(pixels: NDArray[np.uint8]) -> None:
    [found] = Understander(InflatedGeometry()).understand([Cutout(pixels)])
    assert np.isfinite(found.height).all()
    assert np.isfinite(found.contact_y).all()
    assert 0 <= found.gloss <= 1
    assert 0 < found.material.confidence <= 1
    assert not found.material.needs_care


def test_maps_that_do_not_fit_are_refused() -> None:
    geometry = geometry_of(box())
    high, wide = geometry.mask.shape
    with pytest.raises(TypeError, match="must fit the geometry"):
        Understanding(geometry, np.zeros((high, wide + 1), np.float32), np.zeros(wide, np.float32), "flat", 0.0, MATTE)


MATTE = Material("opaque", 0.9)


def test_a_few_rows_of_product_have_a_reflection() -> None:
    """A contact line of a silhouette of a few rows is its last one."""
    pixels = np.zeros((40, 40, 4), np.uint8)
    pixels[20:22, 5:35] = (200, 10, 10, 255)
    picture = np.full((40, 40, 3), 250, np.uint8)
    reflect(picture, Flat(pixels), Reflection(strength=0.5, fade=1.0, blur=0.0))
    assert (picture[22, 20] < 240).any()


# What a product is made of


def test_a_see_through_product_is_glass_and_a_plain_one_is_not() -> None:
    plain = box()
    clear = plain.pixels.copy()
    clear[20:-20, 20:-20, 3] = 120
    assert material_of(material_cues(Cutout(clear))).see_through
    assert material_of(material_cues(plain)).kind == "opaque"


def test_a_soft_edge_is_not_see_through() -> None:
    pixels = box().pixels.copy()
    pixels[..., 3] = cv2.GaussianBlur(pixels[..., 3], (0, 0), 1.5)
    assert material_of(material_cues(Cutout(pixels))).kind == "opaque"


def test_small_bright_spots_are_gloss() -> None:
    dull, shiny = box(colour=(150, 30, 30)), box(colour=(150, 30, 30))
    cv2.ellipse(shiny.pixels, (45, 50), (5, 18), 10, 0, 360, (255, 250, 250, 255), -1)
    assert gloss_of(material_cues(dull)) == 0
    assert gloss_of(material_cues(shiny)) > 0.3


def test_no_cue_is_an_opaque_product() -> None:
    assert material_of(Cues()).kind == "opaque"
    assert material_of(Cues()).confidence > 0.6


# On the canvas


@pytest.mark.parametrize(
    "placement",
    [
        LayerSpec(mask_id="m"),
        LayerSpec(mask_id="m", x=0.3, y=0.7, scale=0.4, rotation_deg=33, flip=True),
        LayerSpec(mask_id="m", scale=0.1, rotation_deg=90),
        LayerSpec(mask_id="m", x=0.9, y=0.1, scale=1.4, rotation_deg=200),
    ],
)
def test_a_geometry_lies_where_its_cutout_does(placement: LayerSpec) -> None:
    pixels = box().pixels.copy()
    pixels[10:60, 60:110] = 0
    cutout, canvas = Cutout(pixels), Canvas(640, 480)
    layer = Layer(cutout, placement.x, placement.y, placement.scale, placement.rotation_deg, placement.flip)
    alpha = cv2.resize(flatten(Layout(canvas, (layer,))).alpha, (320, 240), interpolation=cv2.INTER_AREA) >= 128
    placed = place_geometries([geometry_of(cutout)], [placement], canvas, (320, 240))
    same = (placed.mask > 0) & alpha
    assert same.sum() / ((placed.mask > 0) | alpha).sum() > 0.95
    assert not placed.normals[placed.mask == 0].any()
    lengths = np.linalg.norm(placed.normals[placed.mask > 0].astype(float), axis=1)
    assert np.abs(lengths - 127).max() < 2


@pytest.mark.parametrize(
    ("turn_deg", "flip", "wanted"),
    [(0, False, (1, 0)), (0, True, (-1, 0)), (90, False, (0, -1)), (90, True, (0, 1)), (180, False, (-1, 0))],
)
def test_normals_turn_and_are_mirrored_with_their_product(turn_deg: float, flip: bool, wanted: tuple[int, int]) -> None:
    """All of a product faces right, so after a quarter turn clockwise it faces down."""
    mask = np.full((40, 40), 255, np.uint8)
    normals = np.broadcast_to(np.array([127, 0, 0], np.int8), (40, 40, 3)).copy()
    geometry = Geometry(normals, np.full((40, 40), 0.5, np.float32), mask)
    placement = LayerSpec(mask_id="m", rotation_deg=turn_deg, flip=flip)
    placed = place_geometries([geometry], [placement], Canvas(100, 100), (100, 100))
    assert placed.normals[50, 50].tolist() == [127 * wanted[0], 127 * wanted[1], 0]
    assert placed.depth[50, 50] == pytest.approx(0.5)


def test_a_later_product_hides_an_earlier_one() -> None:
    def flat(depth: float) -> Geometry:
        return Geometry(
            np.full((20, 20, 3), (0, 0, 127), np.int8),
            np.full((20, 20), depth, np.float32),
            np.full((20, 20), 255, np.uint8),
        )

    places = [LayerSpec(mask_id="m", x=0.4), LayerSpec(mask_id="n", x=0.7)]
    placed = place_geometries([flat(0.9), flat(0.2)], places, Canvas(100, 100), (100, 100))
    assert [round(float(placed.depth[50, x]), 2) for x in (20, 50, 80, 5)] == [0.9, 0.2, 0.2, 0]
