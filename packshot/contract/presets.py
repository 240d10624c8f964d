"""The answer of `GET /v1/presets`: the delivery presets."""

from __future__ import annotations

from datetime import date

from pydantic import Field

from packshot.contract.base import Answer


class PresetInfo(Answer):
    """One channel's rules for a main image. A rule that the channel does not have is null."""

    name: str = Field(description="The value of `preset` in `GET /v1/images/{id}`.")
    title: str = Field(description="Display name.")
    source: str = Field(description="The document from which the rules were taken.")
    dated: date = Field(description="The date on which they were taken.")
    expires: date = Field(description="The date after which they should be checked again.")
    formats: tuple[str, ...] = Field(description="File formats that the channel accepts, preferred first.")
    min_longest_px: int | None = Field(None, description="Smallest longer side, pixels.")
    min_width_px: int | None = Field(None, description="Smallest width, pixels.")
    min_height_px: int | None = Field(None, description="Smallest height, pixels.")
    max_longest_px: int | None = Field(None, description="Largest longer side, pixels.")
    max_pixels: int | None = Field(None, description="Largest number of pixels.")
    advised_longest_px: int = Field(description="The longer side that the channel recommends, pixels.")
    larger_is_fine: bool = Field(False, description="Whether the longer side may exceed the recommended one.")
    aspect: tuple[int, int] | None = Field(None, description="Required aspect ratio (width, height).")
    fill_min: float | None = Field(
        None,
        description="Smallest share of the frame's width or height that the product must span, 0 to 1; "
        "the larger of the two shares counts.",
    )
    fill_advised: tuple[float, float] | None = Field(
        None, description="Smallest and largest share that the channel recommends, 0 to 1."
    )
    background: str = Field(
        description="white (must be exactly 255,255,255), white_advised, white_or_transparent_advised or free."
    )
    max_bytes: int = Field(description="Largest file, bytes.")
    digital_source_type: str | None = Field(
        "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia",
        description="The IPTC digital source type that is written into a generated picture; null = none.",
    )
    advice: str = Field("", description="The channel's further rules, which Packshot does not check.")


class PresetsAnswer(Answer):
    """All delivery presets."""

    presets: tuple[PresetInfo, ...]
