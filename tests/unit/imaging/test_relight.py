"""Relighting: a smooth gain over the product, exact to the last bit, and bounded."""

import time

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from packshot.contract.light import Relight, Shadow
from packshot.imaging.composite import composite
from packshot.imaging.light.gain import GAIN_PX, Gain, encode_gain, lit_box, read_gain, relit
from packshot.imaging.light.relief import Relief, inflated_relief
from packshot.imaging.light.relight import KeyLight, changed, gain_of, key_light, light_colour
from packshot.shots.relighting import relit_layout
from packshot.types import U8, Flat
from tests.specs import spec_of

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


def relief_of(flat: Flat) -> Relief:
    relief = inflated_relief(flat)
    assert relief is not None
    return relief


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
    gain = gain_of(flat, relief_of(flat), key_light(direction, 1.5), 0.4).factors.mean(axis=2)
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
        assert np.array_equal(relit(flat, gain_of(flat, relief_of(flat), light, amount)).pixels, flat.pixels)


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
    gain = gain_of(flat, relief_of(flat), key_light(90), 0.5)
    box = lit_box(flat)
    assert box is not None
    large = cv2.resize(gain.factors, (box[2] - box[0], box[3] - box[1]), interpolation=cv2.INTER_LINEAR)
    assert max(np.abs(np.diff(large, axis=axis)).max() for axis in (0, 1)) < 0.02


def test_bright_products_keep_their_detail() -> None:
    """A product that is nearly white is made darker on one side, and hardly brighter on the other."""
    flat = ball(colour=(244, 243, 240))
    lit = relit(flat, gain_of(flat, relief_of(flat), key_light(90), 0.8))
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
    [fine] = relit_layout(flat, spec_of(relight=Relight(0.1), shadow=shadow), scene).findings
    assert (fine.check, fine.level) == ("relight", "ok")
    [much] = relit_layout(flat, spec_of(relight=Relight(1.0), shadow=shadow), scene).findings
    assert much.level == "warning"
    assert "use a smaller amount" in much.detail
    assert (much.value or 0) > 8 > (fine.value or 0)


@pytest.mark.parametrize(("kind", "directed"), [("contact", False), ("cast", True)])
def test_without_a_direction_in_scene_or_shot_only_the_shadow_that_is_drawn_gives_one(
    kind: str, directed: bool
) -> None:
    flat, even = ball(), np.full((PX, PX, 3), 128, np.uint8)
    assert kind in ("contact", "cast")
    made = relit_layout(flat, spec_of(relight=Relight(0.4), shadow=Shadow(kind)), even)  # type: ignore[arg-type]
    assert made.gain_png is not None
    assert bool(np.ptp(read_gain(made.gain_png).values) > 100) is directed


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (16, 16)])
def test_the_smallest_products_are_relit_too(size: tuple[int, int]) -> None:
    pixels = np.zeros((220, 220, 4), np.uint8)
    pixels[10 : 10 + size[0], 10 : 10 + size[1]] = (120, 90, 60, 255)
    flat, scene = Flat(pixels), np.full((220, 220, 3), (220, 170, 120), np.uint8)
    made = relit_layout(flat, spec_of(relight=Relight(1.0), shadow=Shadow("cast")), scene)
    assert made.gain_png is not None
    assert np.array_equal(relit(flat, read_gain(made.gain_png)).pixels, made.flat.pixels)


def test_no_scene_and_no_product_give_no_gain_and_say_so() -> None:
    scene: U8 = np.full((64, 64, 3), 128, np.uint8)
    spec = spec_of(relight=Relight())
    for flat, painted in ((ball(64), None), (Flat(np.zeros((64, 64, 4), np.uint8)), scene)):
        made = relit_layout(flat, spec, painted)
        assert made.gain_png is None
        assert [finding.level for finding in made.findings] == ["warning"]
    assert relit_layout(ball(64), spec_of(), scene).findings == ()


def test_the_seam_of_a_relit_product_shows_no_halo() -> None:
    """On a plain scene the ring 1 to 3 px outside the product has the colour of the ring 10 to 20 px outside."""
    flat, scene = ball(), np.full((PX, PX, 3), (190, 180, 170), np.uint8)
    made = relit_layout(flat, spec_of(relight=Relight(0.5), shadow=Shadow("none", direction_deg=90.0)), scene)
    lab = cv2.cvtColor(composite(made.flat, scene).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    away = cv2.distanceTransform(np.where(flat.alpha > 0, np.uint8(0), np.uint8(1)), cv2.DIST_L2, 5)
    near, far = (lab[(away >= low) & (away <= high)].mean(axis=0) for low, high in ((1, 3), (10, 20)))
    assert np.linalg.norm(near - far) <= 3


def test_relighting_costs_less_than_300_ms_at_1024_px() -> None:
    flat, scene = textured(1024), np.full((1024, 1024, 3), (200, 180, 160), np.uint8)
    spec = spec_of(relight=Relight(), shadow=Shadow("cast", direction_deg=90.0))
    spent = []
    for _ in range(3):
        started_at = time.process_time()
        relit_layout(flat, spec, scene)
        spent.append(time.process_time() - started_at)
    assert min(spent) <= 0.3
