"""Every delivery meets its channel's rules or is refused with the rule, the value and the remedy."""

import io
from datetime import date, timedelta

import numpy as np
import pytest
from PIL import Image

from packshot.delivery.deliver import Delivered, Preset, deliver, preset_named, presets
from packshot.errors import BadInput

TODAY = date(2026, 11, 21)
RNG = np.random.default_rng(2)


def packshot(
    width: int, height: int, fill: float = 0.9, colour: tuple[int, int, int] = (30, 60, 90)
) -> tuple[np.ndarray, np.ndarray]:
    """A product on white: (pixels, alpha)."""
    alpha = np.zeros((height, width), np.uint8)
    half_x, half_y = int(width * fill / 2), int(height * fill / 2)
    alpha[height // 2 - half_y : height // 2 + half_y, width // 2 - half_x : width // 2 + half_x] = 255
    pixels = np.full((height, width, 3), 255, np.uint8)
    pixels[alpha > 0] = colour
    return pixels, alpha


def scene(width: int, height: int) -> np.ndarray:
    small = RNG.integers(0, 256, (8, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def opened(delivered: Delivered) -> Image.Image:
    return Image.open(io.BytesIO(delivered.data))


def found(delivered: Delivered, check: str) -> list[str]:
    """The levels of the findings of one check."""
    return [finding.level for finding in delivered.findings if finding.check == check]


def make(
    pixels: np.ndarray, name: str, alpha: np.ndarray | None = None, generated: bool = False, today: date = TODAY
) -> Delivered:
    preset = preset_named(name)
    return deliver(
        pixels, preset, product_alpha=alpha, enlarged_by=1.0, expected=pixels, generated=generated, today=today
    )


@pytest.mark.parametrize("name", [preset.name for preset in presets()])
def test_a_white_packshot_is_delivered_to_every_channel(name: str) -> None:
    preset = preset_named(name)
    pixels, alpha = packshot(1400, 2021 if name == "zalando" else 1400, fill=0.86)
    delivered = make(pixels, name, alpha)
    image = opened(delivered)
    assert image.format is not None
    assert image.format.lower() in preset.formats
    assert image.size == (delivered.width, delivered.height)
    assert max(image.size) == preset.advised_longest_px or preset.larger_is_fine
    assert {finding.level for finding in delivered.findings} == {"ok"}
    assert len(delivered.data) <= preset.max_bytes
    assert delivered.media_type == Image.MIME[image.format]
    assert "icc_profile" in image.info
    assert delivered.source_type == "http://cv.iptc.org/newscodes/digitalsourcetype/humanEdits"  # no generated content
    assert b"rainedAlgorithmicMedia" not in delivered.data
    if preset.background == "white":
        assert (np.asarray(image.convert("RGB"))[0] == 255).all()


def test_white_stays_exactly_white_after_resampling() -> None:
    pixels, alpha = packshot(1000, 1000, colour=(0, 0, 0))
    image = np.asarray(opened(make(pixels, "amazon-main", alpha)))
    assert image.shape == (1600, 1600, 3)
    rows = image[800]
    assert set(np.unique(rows[:70])) == {255}


def test_amazon_refuses_a_scene_a_tint_and_a_small_product() -> None:
    pixels, alpha = packshot(1600, 1600)
    with pytest.raises(BadInput, match=r"255,255,255, got a generated scene; .*secondary slot"):
        make(scene(1600, 1600), "amazon-main", alpha, generated=True)
    tinted = pixels.copy()
    tinted[0, 0] = (255, 254, 255)
    with pytest.raises(BadInput, match=r"got 1 pixels of another colour; .*shadow `none`"):
        make(tinted, "amazon-main", alpha)
    with pytest.raises(BadInput, match="got 1 pixels"):
        make(tinted, "amazon-main")
    small, small_alpha = packshot(1600, 1600, fill=0.5)
    with pytest.raises(BadInput, match=r"at least 85% of the frame, got 50\.0%; multiply the layer's scale by 1\.70"):
        make(small, "amazon-main", small_alpha)
    with pytest.raises(BadInput, match=r"85% of the frame, got 50\.0%"):
        make(small, "amazon-main")


def test_amazon_keeps_what_is_larger_than_advised() -> None:
    pixels, alpha = packshot(2000, 2000)
    assert make(pixels, "amazon-main", alpha).width == 2000


def test_nothing_is_enlarged_beyond_twice_its_size() -> None:
    pixels, alpha = packshot(600, 600)
    delivered = make(pixels, "amazon-main", alpha)
    assert delivered.width == 1200
    assert any("enlarged 2.00x" in note for note in delivered.notes)
    assert any("1600 px" in note for note in delivered.notes)
    tiny, tiny_alpha = packshot(200, 200)
    with pytest.raises(BadInput, match="at least 500 px, got 400 px"):
        make(tiny, "amazon-main", tiny_alpha)


def test_walmart_pads_white_to_a_square_and_refuses_to_crop_a_scene() -> None:
    pixels, alpha = packshot(2200, 1800)
    delivered = make(pixels, "walmart-main", alpha)
    assert (delivered.width, delivered.height) == (2200, 2200)
    assert any("padded" in note for note in delivered.notes)
    with pytest.raises(BadInput, match="1801:2600"):
        make(scene(1500, 1500), "zalando", generated=True)


def test_zalando_gets_its_own_numbers() -> None:
    pixels, alpha = packshot(1801, 2600)
    delivered = make(pixels, "zalando", alpha)
    assert (delivered.width, delivered.height, delivered.extension) == (1801, 2600, "jpg")


@pytest.mark.parametrize(
    ("name", "value"),
    [("google-merchant", b'"TrainedAlgorithmicMedia"'), ("ebay", b"digitalsourcetype/compositeWithTrainedAlgorithmic")],
)
def test_a_generated_scene_says_so_in_the_channels_own_words(name: str, value: bytes) -> None:
    delivered = make(scene(1024, 1024), name, generated=True)
    assert b"DigitalSourceType" in delivered.data
    assert value in delivered.data


def test_transparency_is_kept_where_the_channel_takes_it_and_laid_over_white_elsewhere() -> None:
    pixels, alpha = packshot(1500, 1500, fill=0.8)
    clear = np.dstack([pixels, alpha])
    kept = make(clear, "google-merchant")
    assert opened(kept).mode == "RGBA"
    laid = make(clear, "ebay")
    assert opened(laid).mode == "RGB"
    assert "the transparent picture was composited over white" in laid.notes
    assert (np.asarray(opened(laid))[0] == 255).all()


def test_a_file_over_the_limit_loses_quality_before_it_is_refused() -> None:
    noise = RNG.integers(0, 256, (1600, 1600, 3), np.uint8)
    tight = preset_named("google-merchant").model_copy(update={"max_bytes": 4_500_000})
    assert len(deliver(noise, tight, generated=False, today=TODAY).data) <= 4_500_000
    hopeless = tight.model_copy(update={"max_bytes": 10_000, "formats": ("jpeg",)})
    with pytest.raises(BadInput, match=r"at most 0\.01 MB"):
        deliver(noise, hopeless, generated=False, today=TODAY)


def test_a_limit_from_a_secondary_source_warns_and_does_not_refuse() -> None:
    noise = RNG.integers(0, 256, (600, 600, 3), np.uint8)
    hopeless = preset_named("ebay").model_copy(update={"max_bytes": 10_000, "formats": ("jpeg",)})
    delivered = deliver(noise, hopeless, generated=False, today=TODAY)
    assert found(delivered, "bytes") == ["warning"]
    assert any("at most 0.01 MB" in note for note in delivered.notes)


def test_an_announced_rule_warns_before_its_day_and_refuses_from_then_on() -> None:
    pixels, alpha = packshot(240, 240, fill=0.8)
    before = make(pixels, "google-merchant", alpha, today=date(2027, 1, 30))
    assert any("from 2027-01-31 on at least 500x500 px" in note for note in before.notes)
    with pytest.raises(BadInput, match="the width must be at least 500 px, got 480 px"):
        make(pixels, "google-merchant", alpha, today=date(2027, 1, 31))


def test_the_same_picture_gives_the_same_file() -> None:
    pixels, alpha = packshot(800, 800)
    assert make(pixels, "shopify", alpha).data == make(pixels, "shopify", alpha).data


def test_presets_are_data_that_add_up() -> None:
    names = [preset.name for preset in presets()]
    assert len(names) == len(set(names)) == 14
    for preset in presets():
        assert preset.source
        assert "//" not in preset.source
        assert all(preset.severity_of(rule) == "warn" for rule in preset.secondary)
        assert preset.on(preset.expires).warning is None
        assert "expired on" in (preset.on(preset.expires + timedelta(days=1)).warning or "")
        assert preset.dated < preset.expires
        assert preset.advised_longest_px >= max(preset.min_longest_px or 0, preset.min_height_px or 0)
    with pytest.raises(BadInput, match="unknown_preset"):
        preset_named("amazon")
    with pytest.raises(ValueError, match="a rule from a secondary source must warn, bytes of ebay refuses"):
        Preset.model_validate(preset_named("ebay").model_dump() | {"severity": {}})
