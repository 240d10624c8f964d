"""A catalogue's set report: how far the pictures of one set differ from each other, and which ones stand out."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from packshot.contract.answers import FindingAnswer
from packshot.contract.base import Answer, Number

Measure = Literal["ground", "fill", "background", "shadow"]
"""ground: the height on which products stand. fill: a product's size as a share of the one it should have. background:
the distance of the mean colour from the set's, ΔE (CIE 1976). shadow: the angle to the set's shadow, degrees."""

MAX_OUTLIERS = 100
MAX_DEFECTIVE = 100


class Spread(Answer):
    """One measure of a set's pictures."""

    measure: Measure = Field(description="ground, fill, background or shadow.")
    unit: str = Field(description="What the numbers are.")
    target: Number = Field(description="What every picture should have.")
    tolerance: Number = Field(description="How far a picture may be from the target.")
    measured: int = Field(description="Pictures in which it could be measured.")
    mean: Number | None = Field(description="The mean; null when nothing was measured, as for the next two.")
    least: Number | None = Field(description="The least value.")
    most: Number | None = Field(description="The greatest value.")
    outliers: int = Field(description="Pictures beyond the tolerance.")
    values: tuple[Number, ...] = Field(description="The value of each picture, for plots; at most 1,000.")


class SetOfReport(Answer):
    """Pictures that should look alike: one scene on one canvas."""

    scene: str = Field(description="The values of the axes, joined by a dash; or the plain background.")
    canvas: tuple[int, int] = Field(description="Width and height in pixels.")
    fill: Number = Field(description="Share of the canvas's longer side that the largest product spans.")
    pictures: int
    background_lab: tuple[Number, Number, Number] | None = Field(
        description="The set's background in CIE L*a*b*: the median of its pictures; null when it is transparent."
    )
    shadow_deg: Number | None = Field(
        description="Where the set's shadows fall, degrees clockwise from up; null when they have no direction."
    )
    spreads: tuple[Spread, ...]


class Outlier(Answer):
    """A picture that differs from its set by more than a tolerance."""

    sku: str
    view: str
    scene: str
    canvas: tuple[int, int]
    image_id: str
    measure: Measure = Field(description="The measure in which it differs most, in tolerances.")
    value: Number
    target: Number
    off: Number = Field(description="How far it is from the target, in tolerances; above 1.")
    detail: str = Field(description="What differs, in one sentence, with what can be done.")


class Defective(Answer):
    """A picture whose verdict found something at a place in it."""

    sku: str
    view: str
    scene: str
    canvas: tuple[int, int]
    image_id: str
    findings: tuple[FindingAnswer, ...] = Field(
        description="The warnings and failed findings that have a `box`, the failed ones first."
    )


class SetReport(Answer):
    """How far the pictures of a catalogue look like one set. The worst outliers and defects come first."""

    catalogue_id: str
    name: str
    pictures: int = Field(description="Chosen pictures.")
    measured: int = Field(description="Pictures whose measures are known.")
    generated: int = Field(0, description="Pictures whose product an engine painted: `product: generated`.")
    within: bool = Field(description="Whether no picture is beyond a tolerance.")
    sets: tuple[SetOfReport, ...]
    outliers: tuple[Outlier, ...] = Field(description=f"The worst {MAX_OUTLIERS}, one entry a picture.")
    outliers_total: int
    defective: tuple[Defective, ...] = Field(
        (), description=f"Pictures with findings that have a place: the worst {MAX_DEFECTIVE}, one entry a picture."
    )
    defective_total: int = 0
