"""What clients read about a delivery preset: `GET /v1/presets`."""

from __future__ import annotations

from datetime import date

from pydantic import Field

from packshot.contract.base import Answer


class PresetInfo(Answer):
    """One channel's rules for a main image. None = the channel has no such rule."""

    name: str = Field(description="The value of `preset` in `GET /v1/images/{id}`.")
    title: str = Field(description="A name for people.")
    source: str = Field(description="Where the rules were read.")
    dated: date = Field(description="When they were read.")
    expires: date = Field(description="When they should be read again.")
    formats: tuple[str, ...] = Field(description="File formats that the channel takes, preferred first.")
    min_longest_px: int | None = Field(None, description="Smallest longer side, pixels.")
    min_width_px: int | None = Field(None, description="Smallest width, pixels.")
    min_height_px: int | None = Field(None, description="Smallest height, pixels.")
    max_longest_px: int | None = Field(None, description="Largest longer side, pixels.")
    max_pixels: int | None = Field(None, description="Most pixels in all.")
    advised_longest_px: int = Field(description="The longer side that the channel advises, pixels.")
    larger_is_fine: bool = Field(False, description="Whether a picture may exceed the advised side.")
    aspect: tuple[int, int] | None = Field(None, description="Width to height.")
    fill_min: float | None = Field(
        None, description="Least share of the frame that the product must span, by its longer extent, 0 to 1."
    )
    fill_advised: tuple[float, float] | None = Field(None, description="The span that the channel advises, 0 to 1.")
    background: str = Field(description="white (exactly 255,255,255), white_advised, … or free.")
    max_bytes: int = Field(description="Largest file, bytes.")
    digital_source_type: str | None = Field(
        "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia",
        description="The IPTC label of a generated scene; null = no label.",
    )
    advice: str = Field("", description="What else the channel asks for, in words.")


class PresetsAnswer(Answer):
    """Every delivery preset."""

    presets: tuple[PresetInfo, ...]
