"""What a marketplace would refuse is found in the decoded file: a cut product, an enlarged one, a strip, a crop."""

from __future__ import annotations

import io
from datetime import date

import numpy as np
import pytest
from PIL import Image

from packshot.delivery.deliver import Delivered, Preset, deliver, preset_named, presets
from packshot.delivery.files import read_file, write_file
from packshot.delivery.metadata import xmp_of
from packshot.errors import BadInput
from packshot.types import U8, BoxXYXY

TODAY = date(2026, 11, 26)
MAIN = [preset.name for preset in presets() if preset.role == "main"]
ADS = {"meta-ad-1x1": (1080, 1080), "meta-ad-4x5": (1080, 1350), "meta-ad-9x16": (1080, 1920)}


def on_plain(
    width: int, height: int, box: BoxXYXY, background: tuple[int, int, int] = (255, 255, 255)
) -> tuple[U8, U8]:
    """A dark product in `box` on a plain background: (pixels, alpha)."""
    alpha = np.zeros((height, width), np.uint8)
    alpha[box[1] : box[3], box[0] : box[2]] = 255
    pixels = np.full((height, width, 3), background, np.uint8)
    pixels[alpha > 0] = (30, 60, 90)
    return pixels, alpha


def small(name: str) -> Preset:
    """The preset at a quarter of its sizes, whose files are written and read back quickly."""
    preset = preset_named(name)
    sizes = ("min_longest_px", "min_width_px", "min_height_px", "zoom_longest_px", "advised_longest_px")
    return preset.model_copy(update={size: (getattr(preset, size) or 0) // 4 for size in sizes})


def make(
    pixels: U8, name: str, alpha: U8 | None = None, *, by: float | None = 1.0, generated: bool = False
) -> Delivered:
    return deliver(
        pixels, small(name), product_alpha=alpha, enlarged_by=by, expected=pixels, generated=generated, today=TODAY
    )


def decoded(made: Delivered) -> U8:
    return np.asarray(Image.open(io.BytesIO(made.data)).convert("RGB"))


def warned(made: Delivered) -> set[str]:
    return {finding.check for finding in made.findings if finding.level == "warning"}


@pytest.mark.parametrize("name", MAIN)
@pytest.mark.parametrize("side", ["left", "top", "right", "bottom"])
def test_a_main_image_whose_product_the_frame_cuts_is_refused(name: str, side: str) -> None:
    height = 289 if name == "zalando" else 200
    box = {
        "left": (0, 10, 190, height - 10),
        "top": (10, 0, 190, height - 10),
        "right": (10, 10, 200, height - 10),
        "bottom": (10, 10, 190, height),
    }[side]
    pixels, alpha = on_plain(200, height, box)
    with pytest.raises(BadInput, match=rf"preset_unmet: .*inside the frame, got a product cut at the {side}; use a s"):
        make(pixels, name, alpha)


def test_a_cut_product_is_not_hidden_by_padding() -> None:
    pixels, alpha = on_plain(400, 300, (50, 75, 350, 300))
    with pytest.raises(BadInput, match=r"cut at the bottom|touches the frame"):
        make(pixels, "walmart-main", alpha)


def test_a_cut_product_only_warns_in_a_detail_and_is_the_rule_in_a_swatch() -> None:
    pixels, alpha = on_plain(200, 200, (0, 0, 200, 200))
    assert "frame" in warned(make(pixels, "amazon-pt", alpha))
    assert "frame" not in warned(make(pixels, "amazon-swatch", alpha))


@pytest.mark.parametrize("name", [name for name in MAIN if preset_named(name).aspect is None])
def test_a_strip_is_no_main_image(name: str) -> None:
    pixels, alpha = on_plain(800, 100, (30, 10, 770, 90))
    with pytest.raises(BadInput, match=r"at most 2 times the shorter one, got a strip of \d+x\d+ px \([78]\.\d:1\)"):
        make(pixels, name, alpha)


@pytest.mark.parametrize("name", MAIN)
def test_a_main_image_whose_layout_enlarged_the_product_too_far_is_refused(name: str) -> None:
    height = 578 if name == "zalando" else 400
    pixels, alpha = on_plain(400, height, (20, 20, 380, height - 20))
    with pytest.raises(BadInput, match=r"the product may be enlarged at most 2x, got 2\.[35]\dx"):
        make(pixels, name, alpha, by=2.5)


def test_layout_and_delivery_together_enlarge_at_most_twice() -> None:
    pixels, alpha = on_plain(200, 200, (10, 10, 190, 190))
    made = make(pixels, "amazon-main", alpha, by=1.6)
    assert made.width == 250  # 1.6 x 1.25 = 2
    enlargement = next(finding for finding in made.findings if finding.check == "enlargement")
    assert enlargement.level == "ok"
    assert enlargement.value == pytest.approx(2.0)
    assert make(pixels, "amazon-main", alpha, by=0.5).width == 400
    with pytest.raises(BadInput, match=r"at least 375 px, got 250 px at 1\.25x .*; the product has too few"):
        make(pixels, "walmart-main", alpha, by=1.6)


def test_what_cannot_be_checked_is_said() -> None:
    scene = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    made = make(scene, "shopify", by=None, generated=True)
    assert {"frame", "enlargement"} <= warned(made)
    assert any("its mask is not available" in note for note in made.notes)


@pytest.mark.parametrize("name", ADS)
@pytest.mark.parametrize("size", [(250, 250), (400, 150), (150, 400), (270, 480)])
@pytest.mark.parametrize("background", [(255, 255, 255), (250, 240, 230)])
def test_reframing_never_crops_the_product_and_keeps_it_in_the_safe_zone(
    name: str, size: tuple[int, int], background: tuple[int, int, int]
) -> None:
    width, height = size
    pixels, alpha = on_plain(width, height, (5, height // 2, width - 5, height - 3), background)
    made = make(pixels, name, alpha)
    picture = decoded(made)
    across, down = ADS[name]
    assert made.width * down == pytest.approx(made.height * across, rel=0.002)
    dark = np.argwhere((picture < 150).all(axis=2))
    top, left = dark.min(axis=0)
    bottom, right = dark.max(axis=0) + 1
    shape = (right - left) / (bottom - top)
    assert shape == pytest.approx((width - 10) / (height - height // 2 - 3), rel=0.03)  # whole, and not stretched
    assert 0 < left < right < made.width
    if zone := preset_named(name).safe_zone:
        assert left >= zone.left * made.width - 2
        assert right <= (1 - zone.right) * made.width + 2
        assert top >= zone.top * made.height - 2
        assert bottom <= (1 - zone.bottom) * made.height + 2
    assert np.abs(picture[0, 0].astype(int) - background).max() <= 1
    assert warned(made) <= {"size", "enlargement"}


@pytest.mark.parametrize("name", ["meta-ad-1x1", "meta-ad-4x5", "meta-ad-9x16", "walmart-main", "zalando"])
def test_a_scene_is_refused_and_neither_cropped_nor_stretched(name: str) -> None:
    pixels, alpha = on_plain(375, 250, (75, 75, 225, 225), (200, 180, 160))
    with pytest.raises(
        BadInput, match=r"not_served: .*reframe: paint.*make the picture again on a canvas of \d+:\d+|g"
    ):
        make(pixels, name, alpha, generated=True)


def test_a_ratio_that_is_only_advised_leaves_a_scene_as_it_is() -> None:
    pixels, alpha = on_plain(375, 250, (75, 75, 225, 225), (200, 180, 160))
    made = make(pixels, "meta-catalogue", alpha, generated=True)
    assert (made.width, made.height) == (375, 250)
    assert "aspect" in warned(made)


def test_a_scene_whose_product_lies_under_the_buttons_is_refused() -> None:
    pixels, alpha = on_plain(270, 480, (50, 300, 220, 450), (200, 180, 160))
    with pytest.raises(BadInput, match=r"35% at the bottom .*got 62%, 6%, and 19%; move the layer to y 0\.4"):
        make(pixels, "meta-ad-9x16", alpha, generated=True)
    pixels, alpha = on_plain(270, 480, (50, 100, 220, 300), (200, 180, 160))
    assert "safe_zone" not in warned(make(pixels, "meta-ad-9x16", alpha, generated=True))


def test_a_shadow_that_touches_the_frame_is_not_cut_off_by_padding() -> None:
    pixels, alpha = on_plain(250, 200, (25, 25, 225, 190))
    pixels[198:, 25:225] = 254
    assert make(pixels, "meta-ad-9x16", alpha).height == 480  # too faint to be seen
    pixels[198:, 25:225] = 220
    with pytest.raises(BadInput, match=r"preset_unmet: .*the product or its shadow touches the frame: use a smaller"):
        make(pixels, "meta-ad-9x16", alpha)


def test_the_file_itself_is_checked_and_not_the_picture_before_it() -> None:
    """A JPEG of quality 80 rings far from white; the validator reads it back and sees that."""
    pixels, alpha = on_plain(300, 300, (40, 40, 260, 260))
    pixels[alpha > 0] = np.random.default_rng(2).integers(0, 256, (int((alpha > 0).sum()), 3), np.uint8)
    tight = preset_named("walmart-main").model_copy(
        update={"max_bytes": 125_000, "advised_longest_px": 300, "min_width_px": 1, "min_height_px": 1}
    )
    made = deliver(pixels, tight, product_alpha=alpha, enlarged_by=1.0, generated=False, today=TODAY)
    assert made.extension == "jpg"
    [background] = [finding for finding in made.findings if finding.check == "background"]
    assert background.level == "warning"
    assert background.value is not None
    assert background.value > 0
    assert (decoded(made)[alpha == 0] != 255).any()


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("value", ["http://cv.iptc.org/newscodes/digitalsourcetype/humanEdits", None])
def test_a_written_file_is_read_back_with_its_source_type(kind: str, value: str | None) -> None:
    pixels, _ = on_plain(64, 48, (8, 8, 40, 40))
    back = read_file(write_file(pixels, kind, 95, xmp_of(value, None)))  # type: ignore[arg-type]
    assert (back.format, back.size, back.source_type) == (kind, (64, 48), value)
    assert np.abs(back.pixels.astype(int) - pixels).max() <= (0 if kind == "png" else 40)


def test_every_finding_of_a_refused_file_is_told_at_once() -> None:
    pixels, alpha = on_plain(800, 100, (0, 10, 350, 90), (250, 250, 250))
    with pytest.raises(BadInput) as refused:
        make(pixels, "amazon-main", alpha, by=3.0)
    rules = [error["loc"][1] for error in refused.value.errors or []]
    assert rules == ["shape", "background", "fill", "frame", "enlargement"]


def test_amazons_names_hold_no_spaces_or_dashes() -> None:
    amazon = preset_named("amazon-main")
    assert amazon.name_note("B0C1234567.MAIN.jpg") is None
    assert "must not hold a space and `-`" in (amazon.name_note("my mug-1.MAIN.jpg") or "")
