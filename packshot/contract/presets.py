"""The answer of `GET /v1/presets`: the delivery presets."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field

from packshot.contract.base import Answer

Role = Literal["main", "secondary", "swatch", "ad"]
Rule = Literal[
    "format",
    "bytes",
    "size",
    "aspect",
    "shape",
    "background",
    "fill",
    "frame",
    "enlargement",
    "safe_zone",
    "generated",
    "relight",
    "name",
]
Severity = Literal["refuse", "warn"]


class SafeZone(Answer):
    """The margins that a channel covers, as shares of the frame. The product must lie inside of them."""

    top: float = Field(ge=0, lt=1, description="Share of the height.")
    right: float = Field(ge=0, lt=1, description="Share of the width.")
    bottom: float = Field(ge=0, lt=1, description="Share of the height.")
    left: float = Field(ge=0, lt=1, description="Share of the width.")


class PresetChange(Answer):
    """A change of a channel's rules that is announced. Until that day, a picture that breaks it is warned about."""

    since: date = Field(description="The first day of the new rule.")
    min_width_px: int = Field(description="Smallest width from then on, pixels.")
    min_height_px: int = Field(description="Smallest height from then on, pixels.")


class PresetInfo(Answer):
    """One channel's rules for one kind of image. A rule that the channel does not have is null."""

    name: str = Field(description="The value of `preset` in `GET /v1/images/{id}`.")
    title: str = Field(description="Display name.")
    role: Role = Field("main", description="main, secondary, swatch or ad.")
    source: str = Field(description="The document from which the rules were taken.")
    dated: date = Field(description="The date on which they were taken.")
    expires: date = Field(description="The date after which they should be checked again.")
    warning: str | None = Field(None, description="Set when the rules have expired.")
    formats: tuple[str, ...] = Field(description="File formats that are delivered, preferred first.")
    min_longest_px: int | None = Field(None, description="Smallest longer side, pixels.")
    min_width_px: int | None = Field(None, description="Smallest width, pixels.")
    min_height_px: int | None = Field(None, description="Smallest height, pixels.")
    changes: tuple[PresetChange, ...] = Field((), description="Announced changes of the smallest size, by date.")
    zoom_longest_px: int | None = Field(None, description="Smallest longer side with which the channel zooms, pixels.")
    max_longest_px: int | None = Field(None, description="Largest longer side, pixels.")
    max_sum_px: int | None = Field(None, description="Largest sum of width and height, pixels.")
    max_pixels: int | None = Field(None, description="Largest number of pixels.")
    advised_longest_px: int = Field(description="The longer side that the channel recommends, pixels.")
    larger_is_fine: bool = Field(False, description="Whether the longer side may exceed the recommended one.")
    aspect: tuple[int, int] | None = Field(None, description="Required aspect ratio (width, height).")
    max_aspect: float | None = Field(None, description="Largest ratio of the longer to the shorter side.")
    safe_zone: SafeZone | None = Field(None, description="Margins in which the product must not lie.")
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
    generated: bool = Field(True, description="Whether the channel takes a scene that an engine painted.")
    locked_product: bool = Field(
        False,
        description="Whether the channel takes only a product as it was photographed: a picture whose verdict says "
        "`product: generated` is refused with `product_generated`.",
    )
    max_bytes: int = Field(description="Largest file, bytes.")
    severity: dict[Rule, Severity] = Field(
        default_factory=dict,
        description="The rules whose breach only warns (or refuses where that is not the default): "
        "`frame`, `shape` and `enlargement` refuse for a main image and warn otherwise, every other rule refuses.",
    )
    secondary: tuple[Rule, ...] = Field((), description="The rules from a secondary source; they never refuse.")
    digital_source_type: str | None = Field(
        "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia",
        description="The IPTC digital source type that is written into a generated picture; null = none.",
    )
    plain_source_type: str | None = Field(
        "http://cv.iptc.org/newscodes/digitalsourcetype/humanEdits",
        description="The IPTC digital source type of a picture without generated content; null = none.",
    )
    file_name: str | None = Field(None, description="The template of the names that the channel asks for.")
    file_name_without: str = Field("", description="Characters that the channel's names must not hold.")
    advice: str = Field("", description="The channel's further rules, which Packshot does not check.")


class PresetsAnswer(Answer):
    """All delivery presets."""

    presets: tuple[PresetInfo, ...]
