"""Relighting: a smooth gain over the product, exact to the last bit, and bounded."""

import time
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from packshot.contract.light import Relight, Shadow
from packshot.contract.shot_spec import Canvas, LayerSpec
from packshot.imaging.composite import composite
from packshot.imaging.light.gain import GAIN_PX, Gain, encode_gain, lit_box, read_gain, relit
from packshot.imaging.light.relief import Relief, relief_of
from packshot.imaging.light.relight import KeyLight, changed, gain_of, key_light, light_colour
from packshot.shots.relighting import Relit, relit_layout
from packshot.types import U8, Flat, Geometry, Material, Understanding
from tests.specs import spec_of
from tests.understood import OPAQUE, understood

PX = 240


def ball(px: int = PX, colour: tuple[int, int, int] = (150, 110, 90)) -> Flat:
    """A disc in the middle, of half the canvas's size."""
    alpha = np.zeros((px, px), np.uint8)
    cv2.circle(alpha, (px // 2, px // 2), px // 4, 255, -1, cv2.LINE_AA)
    pixels = np.zeros((px, px, 4), np.uint8)
    pixels[..., :3], pixels[..., 3] = colour, alpha
    return Flat(pixels)


def textured(px: int = PX, seed: int = 0) -> Flat:
    flat = ball(px)
    flat.pixels[..., :3] = np.random.default_rng(seed).integers(0, 256, (px, px, 3), np.uint8)
    return flat


def whole(flat: Flat) -> tuple[Canvas, list[LayerSpec], Understanding]:
    """The layout as one layer that covers its canvas, and what is known of it."""
    height, width = flat.alpha.shape
    return Canvas(width, height), [LayerSpec(mask_id="a", scale=1.0)], understood(flat.alpha)


def relief(flat: Flat) -> Relief:
    canvas, layers, known = whole(flat)
    found = relief_of(flat, canvas, layers, [known.geometry])
    assert found is not None
    return found


def relit_whole(flat: Flat, scene: U8, material: Material = OPAQUE, **changes: Any) -> Relit:
    canvas, layers, known = whole(flat)
    spec = spec_of(canvas=canvas, layers=tuple(layers), **changes)
    return relit_layout(flat, spec, scene, [replace(known, material=material)])


def test_a_gain_file_holds_exactly_the_gain() -> None:
    random = np.random.default_rng(1)
    for size in ((1, 1), (7, 128), (128, 90)):
        gain = Gain.of((1 + 0.2 * random.standard_normal((*size, 3))).astype(np.float32))
        assert np.array_equal(read_gain(encode_gain(gain)).values, gain.values)
        assert 0.72 - 1e-4 <= gain.factors.min() <= gain.factors.max() <= 1.28 + 1e-4


@pytest.mark.parametrize(
    "values",
    [
        np.full((4, 4, 3), 32768 * 1.4, np.uint16),
        np.full((4, 4, 3), 32768 * 0.5, np.uint16),
        np.full((GAIN_PX + 1, 4, 3), 32768, np.uint16),
        np.full((4, 4), 32768, np.uint16),
        np.full((0, 4, 3), 32768, np.uint16),
        np.full((4, 4, 3), 200, np.uint8),
    ],
)
def test_a_gain_out_of_its_bounds_is_refused(values: NDArray[np.uint16]) -> None:
    with pytest.raises(ValueError, match="a gain"):
        Gain(values)


@pytest.mark.parametrize("data", [b"", b"no png", encode_gain(Gain.of(np.ones((4, 4, 3), np.float32)))[:40]])
def test_other_bytes_are_no_gain_file(data: bytes) -> None:
    with pytest.raises(ValueError, match="16-bit RGB PNG"):
        read_gain(data)


def test_the_relit_product_is_the_rounded_product_of_photo_and_gain_and_can_be_undone() -> None:
    flat = textured()
    box = lit_box(flat)
    assert box is not None
    x0, y0, x1, y1 = box
    gain = Gain.of(np.random.default_rng(2).uniform(0.72, 1.28, (9, 8, 3)).astype(np.float32))
    lit = relit(flat, gain)
    factors = cv2.resize(gain.factors, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR).astype(np.float64)
    photo, shown = (one.rgb[y0:y1, x0:x1].astype(np.float64) for one in (flat, lit))
    assert np.abs(np.minimum(photo * factors, 255) - shown).max() < 0.51
    open_ = shown < 255  # what became brighter than white cannot be undone
    assert np.abs(shown / factors - photo)[open_].max() < 0.72
    assert np.array_equal(lit.alpha, flat.alpha)
    outside = np.ones(flat.alpha.shape, bool)
    outside[y0:y1, x0:x1] = False
    assert np.array_equal(lit.rgb[outside], flat.rgb[outside])
    assert np.array_equal(relit(flat, Gain.of(np.ones((5, 5, 3), np.float32))).pixels, flat.pixels)


@pytest.mark.parametrize(("direction", "side"), [(90, "left"), (270, "right"), (0, "front"), (180, "behind")])
def test_the_side_that_faces_the_light_is_brighter(direction: float, side: str) -> None:
    flat = ball()
    gain = gain_of(flat, relief(flat), key_light(direction, 1.5), 0.4).factors.mean(axis=2)
    middle = gain.shape[0] // 2
    left, right, centre = gain[middle, 12], gain[middle, -13], gain[middle, middle]
    rim = (left + right) / 2
    found = {"left": left - right, "right": right - left, "front": centre - rim, "behind": rim - centre}[side]
    assert found > 0.03
    assert gain.mean() == pytest.approx(1, abs=0.03)  # the product is as bright as before


def test_the_shadows_length_gives_the_lights_height() -> None:
    heights = [light.towards[1] for length in (0.4, 0.8, 3.0, 100.0) if (light := key_light(0, length)).towards]
    assert heights == sorted(heights, reverse=True)
    assert heights[-1] == pytest.approx(np.sin(np.radians(20)))
    assert key_light(None).towards is None


def test_an_amount_of_nothing_and_a_light_without_direction_or_colour_change_nothing() -> None:
    flat = textured()
    for light, amount in ((key_light(90), 0.0), (KeyLight(), 1.0)):
        assert np.array_equal(relit(flat, gain_of(flat, relief(flat), light, amount)).pixels, flat.pixels)


def test_the_colour_of_the_scenes_light_is_taken_at_the_same_luminance() -> None:
    flat = ball()
    warm = np.full((PX, PX, 3), (240, 180, 110), np.uint8)
    red, green, blue = light_colour(warm, flat.alpha)
    assert red > 0.02 > -0.02 > blue
    assert 0.299 * red + 0.587 * green + 0.114 * blue == pytest.approx(0, abs=1e-6)
    assert light_colour(np.full((PX, PX, 3), 90, np.uint8), flat.alpha) == pytest.approx((0, 0, 0), abs=1e-6)
    assert light_colour(warm, np.full((PX, PX), 255, np.uint8)) == (0, 0, 0)


def test_light_changes_no_text_and_no_edge() -> None:
    """Neighbouring pixels keep their ratio: the gain between them differs by far less than a step of 255."""
    flat = ball(640, (90, 90, 90))
    cv2.putText(flat.pixels, "GIN", (220, 340), cv2.FONT_HERSHEY_SIMPLEX, 3.6, (200, 200, 200, 255), 9)
    flat.pixels[..., 3] = ball(640).alpha
    gain = gain_of(flat, relief(flat), key_light(90), 0.5)
    box = lit_box(flat)
    assert box is not None
    large = cv2.resize(gain.factors, (box[2] - box[0], box[3] - box[1]), interpolation=cv2.INTER_LINEAR)
    assert max(np.abs(np.diff(large, axis=axis)).max() for axis in (0, 1)) < 0.03


def test_bright_products_keep_their_detail() -> None:
    """A product that is nearly white is made darker on one side, and hardly brighter on the other."""
    flat = ball(colour=(244, 243, 240))
    lit = relit(flat, gain_of(flat, relief(flat), key_light(90), 0.8))
    change = changed(flat, lit)
    assert change.clipped == 0
    assert change.mean > 1


def test_a_change_is_measured_in_delta_e_and_hue() -> None:
    flat = ball(colour=(180, 60, 40))
    same = changed(flat, flat)
    assert (same.mean, same.p95, same.hue_deg, same.clipped) == (0, 0, 0, 0)
    darker = changed(flat, relit(flat, Gain.of(np.full((2, 2, 3), 0.8, np.float32))))
    assert darker.mean == pytest.approx(darker.p95, abs=0.5)
    assert darker.mean > 8
    turned = changed(flat, relit(flat, Gain.of(np.full((2, 2, 3), (1, 1.28, 0.72), np.float32))))
    assert turned.hue_deg > 4
    assert changed(Flat(np.zeros((8, 8, 4), np.uint8)), Flat(np.zeros((8, 8, 4), np.uint8))).mean == 0


def test_the_verdict_warns_of_a_light_that_changes_the_product_too_much() -> None:
    flat = ball(colour=(170, 90, 60))
    scene = np.full((PX, PX, 3), 128, np.uint8)
    shadow = Shadow("cast", direction_deg=90.0)
    [fine] = relit_whole(flat, scene, relight=Relight(0.1), shadow=shadow).findings
    assert (fine.check, fine.level) == ("relight", "ok")
    [much] = relit_whole(flat, scene, relight=Relight(1.0), shadow=shadow).findings
    assert much.level == "warning"
    assert "use a smaller amount" in much.detail
    assert (much.value or 0) > 8 > (fine.value or 0)


@pytest.mark.parametrize(("kind", "directed"), [("contact", False), ("cast", True)])
def test_without_a_direction_in_scene_or_shot_only_the_shadow_that_is_drawn_gives_one(
    kind: str, directed: bool
) -> None:
    flat, even = ball(), np.full((PX, PX, 3), 128, np.uint8)
    assert kind in ("contact", "cast")
    made = relit_whole(flat, even, relight=Relight(0.4), shadow=Shadow(kind))  # type: ignore[arg-type]
    assert made.gain_png is not None
    assert bool(np.ptp(read_gain(made.gain_png).values) > 100) is directed


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (16, 16)])
def test_the_smallest_products_are_relit_too(size: tuple[int, int]) -> None:
    pixels = np.zeros((220, 220, 4), np.uint8)
    pixels[10 : 10 + size[0], 10 : 10 + size[1]] = (120, 90, 60, 255)
    flat, scene = Flat(pixels), np.full((220, 220, 3), (220, 170, 120), np.uint8)
    made = relit_whole(flat, scene, relight=Relight(1.0), shadow=Shadow("cast"))
    assert made.gain_png is not None
    assert np.array_equal(relit(flat, read_gain(made.gain_png)).pixels, made.flat.pixels)


GREY: U8 = np.full((64, 64, 3), 128, np.uint8)


@pytest.mark.parametrize(
    ("flat", "material", "why"),
    [
        (ball(64), Material("glass", 0.7), "seems to be glass (confidence 0.70)"),
        (Flat(np.zeros((64, 64, 4), np.uint8)), OPAQUE, "no product is visible"),
    ],
)
def test_glass_and_nothing_at_all_are_not_relit_and_the_verdict_says_why(
    flat: Flat, material: Material, why: str
) -> None:
    made = relit_whole(flat, GREY, material, relight=Relight())
    assert made.gain_png is None
    assert made.flat is flat
    [finding] = made.findings
    assert (finding.check, finding.level) == ("relight", "warning")
    assert why in finding.detail


@pytest.mark.parametrize("material", [Material("metal", 0.9), Material("glass", 0.5), Material("glossy", 1.0)])
def test_other_materials_and_uncertain_glass_are_relit(material: Material) -> None:
    assert relit_whole(ball(64), GREY, material, relight=Relight()).gain_png is not None


def test_a_shot_that_is_not_relit_needs_to_know_nothing_and_a_relit_one_does() -> None:
    made = relit_layout(ball(64), spec_of(), GREY, None)
    assert (made.gain_png, made.findings) == (None, ())
    with pytest.raises(ValueError, match="call the stage understand"):
        relit_layout(ball(64), spec_of(relight=Relight()), GREY, None)


@pytest.mark.parametrize(("turn", "flip", "side"), [(0, False, 1), (180, False, -1), (0, True, -1), (180, True, 1)])
def test_the_shape_turns_with_its_layer(turn: float, flip: bool, side: int) -> None:
    """A wall at the left that looks to the left: turned or mirrored, it stands at the right and looks to the right."""
    normals = np.zeros((32, 32, 3), np.int8)
    normals[:, :16] = (-90, 0, 90)
    normals[:, 16:] = (0, 0, 127)
    known = Geometry(normals, np.ones((32, 32), np.float32), np.full((32, 32), 255, np.uint8))
    pixels = np.zeros((128, 128, 4), np.uint8)
    pixels[32:96, 32:96] = (120, 120, 120, 255)
    flat, layer = Flat(pixels), LayerSpec(mask_id="a", scale=0.5, rotation_deg=turn, flip=flip)
    found = relief_of(flat, Canvas(128, 128), [layer], [known])
    assert found is not None
    assert found.product.all()
    wall, front = found.normals[:, ::side][:, 8], found.normals[:, ::side][:, -8]
    assert np.allclose(wall, (-side * np.sqrt(0.5), 0, np.sqrt(0.5)), atol=0.02)
    assert np.allclose(front, (0, 0, 1), atol=0.02)


def test_the_seam_of_a_relit_product_shows_no_halo() -> None:
    """On a plain scene the ring 1 to 3 px outside the product has the colour of the ring 10 to 20 px outside."""
    flat, scene = ball(), np.full((PX, PX, 3), (190, 180, 170), np.uint8)
    made = relit_whole(flat, scene, relight=Relight(0.5), shadow=Shadow("none", direction_deg=90.0))
    lab = cv2.cvtColor(composite(made.flat, scene).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    away = cv2.distanceTransform(np.where(flat.alpha > 0, np.uint8(0), np.uint8(1)), cv2.DIST_L2, 5)
    near, far = (lab[(away >= low) & (away <= high)].mean(axis=0) for low, high in ((1, 3), (10, 20)))
    assert np.linalg.norm(near - far) <= 3


def test_relighting_costs_less_than_300_ms_at_1024_px() -> None:
    flat, scene = textured(1024), np.full((1024, 1024, 3), (200, 180, 160), np.uint8)
    spent = []
    for _ in range(3):
        started_at = time.process_time()
        relit_whole(flat, scene, relight=Relight(), shadow=Shadow("cast", direction_deg=90.0))
        spent.append(time.process_time() - started_at)
    assert min(spent) <= 0.3
