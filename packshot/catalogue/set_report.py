"""How far the pictures of a catalogue look like one set.

    chosen pictures with their measures ──by scene and canvas──> sets ──spreads──> outliers, the worst first

Ground line and size have targets that follow from the look. Background and shadow are compared with the set's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from packshot.catalogue.placement import Stand
from packshot.catalogue.plan import Variant
from packshot.contract.answers import FindingAnswer
from packshot.contract.catalogue import SizeMm, View
from packshot.contract.product import ProductSource
from packshot.contract.set_report import (
    MAX_DEFECTIVE,
    MAX_OUTLIERS,
    Defective,
    Measure,
    Outlier,
    SetOfReport,
    SetReport,
    Spread,
)
from packshot.contract.verdict import LEVELS, Finding, Measures

__all__ = ["SetPicture", "set_report"]

GROUND = 0.01
"""Share of the canvas's height by which a product may stand above or below the line."""
FILL = 0.02
"""Share of its size by which a product may be larger or smaller than the set asks."""
BACKGROUND = 8.0
"""Distance of a background's mean colour from the set's, ΔE: more is seen at a glance in a grid of pictures."""
SHADOW = 30.0
"""Degrees between a picture's shadow and the set's."""
MIN_SHADOWS = 3
"""Fewer shadows with a direction have no common one, and neither has less than half of a set."""
MAX_VALUES = 1000

Lab = tuple[float, float, float]


@dataclass(frozen=True)
class SetPicture:
    """A chosen picture. `size_mm` is its product's true size, and `measures` are None when they are not known.

    `findings` are those of its verdict. `product` says whose product it shows, the photo's or one that an engine
    painted.
    """

    sku: str
    view: View
    variant: Variant
    image_id: str
    measures: Measures | None
    size_mm: SizeMm | None = None
    findings: tuple[Finding, ...] = ()
    product: ProductSource = "locked"

    @property
    def placed(self) -> tuple[Finding, ...]:
        """The findings that are not ok and have a place in the picture, the failed ones first."""
        found = [one for one in self.findings if one.box is not None and one.level != "ok"]
        return tuple(sorted(found, key=lambda one: -LEVELS.index(one.level)))


@dataclass(frozen=True)
class _Value:
    picture: SetPicture
    measure: Measure
    value: float
    target: float
    tolerance: float

    @property
    def off(self) -> float:
        return abs(self.value - self.target) / self.tolerance


def set_report(
    catalogue_id: str, name: str, pictures: Iterable[SetPicture], stand_of: Callable[[Variant], Stand]
) -> SetReport:
    """The report of a catalogue's chosen pictures. `stand_of` says where the products of a variant stand."""
    by_variant: dict[Variant, list[SetPicture]] = {}
    for picture in pictures:
        by_variant.setdefault(picture.variant, []).append(picture)
    sets = []
    worst: dict[str, _Value] = {}
    for variant, members in by_variant.items():
        one, values = _set_of(variant, members, stand_of(variant))
        sets.append(one)
        for value in values:
            before = worst.get(value.picture.image_id)
            if value.off > 1 and (before is None or value.off > before.off):
                worst[value.picture.image_id] = value
    outliers = sorted(worst.values(), key=lambda value: (-value.off, value.picture.sku, value.picture.image_id))
    defective = [one for members in by_variant.values() for one in members if one.placed]
    defective.sort(key=_badness)
    return SetReport(
        catalogue_id=catalogue_id,
        name=name,
        pictures=sum(one.pictures for one in sets),
        measured=sum(picture.measures is not None for members in by_variant.values() for picture in members),
        generated=sum(one.product == "generated" for members in by_variant.values() for one in members),
        within=not outliers,
        sets=tuple(sets),
        outliers=tuple(_outlier(value) for value in outliers[:MAX_OUTLIERS]),
        outliers_total=len(outliers),
        defective=tuple(map(_defective, defective[:MAX_DEFECTIVE])),
        defective_total=len(defective),
    )


def _badness(picture: SetPicture) -> tuple[int, int, str, str]:
    """Orders pictures by their findings that have a place: the most failed ones first, then the most warnings."""
    failed = sum(one.level == "failed" for one in picture.placed)
    return -failed, failed - len(picture.placed), picture.sku, picture.image_id


def _defective(picture: SetPicture) -> Defective:
    return Defective(
        sku=picture.sku,
        view=picture.view,
        scene=scene_of(picture.variant),
        canvas=picture.variant.canvas,
        image_id=picture.image_id,
        findings=tuple(FindingAnswer.model_validate(one.to_json()) for one in picture.placed),
    )


def scene_of(variant: Variant) -> str:
    """The name of a variant's scene, or its plain background."""
    return variant.background if not variant.generated else variant.scene.name or "scene"


def _set_of(variant: Variant, members: Sequence[SetPicture], stand: Stand) -> tuple[SetOfReport, list[_Value]]:
    measured = [(one, one.measures) for one in members if one.measures is not None]
    width, height = variant.canvas
    line, middle = stand.line, (stand.zone.top + 1 - stand.zone.bottom) / 2
    grounds, fills = [], []
    for picture, measures in measured:
        x0, y0, x1, y1 = measures.box
        at, target = (y1, line) if line is not None else ((y0 + y1) / 2, middle)
        grounds.append(_Value(picture, "ground", at, target, GROUND))
        wanted = stand.factor(((x1 - x0) * width, (y1 - y0) * height), picture.size_mm, picture.view)
        fills.append(_Value(picture, "fill", 1 / wanted, 1.0, FILL))
    colours = [(picture, measures.background_lab) for picture, measures in measured if measures.background_lab]
    lab = _median([colour for _, colour in colours])
    backgrounds = [
        _Value(picture, "background", math.dist(colour, lab), 0.0, BACKGROUND) for picture, colour in colours if lab
    ]
    directed = [(picture, measures.shadow_deg) for picture, measures in measured if measures.shadow_deg is not None]
    angles = [angle for _, angle in directed]
    shadow_deg = _mean_direction(angles) if len(angles) >= max(MIN_SHADOWS, len(measured) / 2) else None
    shadows = [
        _Value(picture, "shadow", _apart(angle, shadow_deg), 0.0, SHADOW)
        for picture, angle in directed
        if shadow_deg is not None
    ]
    spreads = (
        _spread("ground", "share of the height" + ("" if line is not None else ", middle"), grounds, line or middle),
        _spread("fill", "share of the wanted size", fills, 1.0, FILL),
        _spread("background", "ΔE from the set's colour", backgrounds, 0.0, BACKGROUND),
        _spread("shadow", "degrees from the set's shadow", shadows, 0.0, SHADOW),
    )
    report = SetOfReport(
        scene=scene_of(variant),
        canvas=variant.canvas,
        fill=variant.fill,
        pictures=len(members),
        background_lab=lab and (round(lab[0], 1), round(lab[1], 1), round(lab[2], 1)),
        shadow_deg=shadow_deg if shadow_deg is None else round(shadow_deg),
        spreads=spreads,
    )
    return report, [*grounds, *fills, *backgrounds, *shadows]


def _spread(measure: Measure, unit: str, values: Sequence[_Value], target: float, tolerance: float = GROUND) -> Spread:
    numbers = [round(value.value, 4) for value in values]
    return Spread(
        measure=measure,
        unit=unit,
        target=round(target, 4),
        tolerance=tolerance,
        measured=len(numbers),
        mean=round(fmean(numbers), 4) if numbers else None,
        least=min(numbers, default=None),
        most=max(numbers, default=None),
        outliers=sum(value.off > 1 for value in values),
        values=tuple(numbers[:MAX_VALUES]),
    )


def _median(colours: Sequence[Lab]) -> Lab | None:
    if not colours:
        return None
    lightness, a, b = (median(channel) for channel in zip(*colours, strict=True))
    return lightness, a, b


def _mean_direction(angles_deg: Sequence[float]) -> float | None:
    """The direction of the angles' mean vector; None when they cancel out."""
    across = fmean(math.cos(math.radians(angle)) for angle in angles_deg)
    down = fmean(math.sin(math.radians(angle)) for angle in angles_deg)
    return math.degrees(math.atan2(down, across)) % 360 if math.hypot(across, down) > 0.1 else None


def _apart(one_deg: float, other_deg: float) -> float:
    """The angle between two directions, 0..180 degrees."""
    return abs((one_deg - other_deg + 180) % 360 - 180)


def _outlier(value: _Value) -> Outlier:
    picture = value.picture
    return Outlier(
        sku=picture.sku,
        view=picture.view,
        scene=scene_of(picture.variant),
        canvas=picture.variant.canvas,
        image_id=picture.image_id,
        measure=value.measure,
        value=round(value.value, 4),
        target=round(value.target, 4),
        off=round(value.off, 2),
        detail=_detail(value),
    )


def _detail(value: _Value) -> str:
    if value.measure == "ground":
        way = "below" if value.value > value.target else "above"
        far = abs(value.value - value.target)
        return f"stands {far:.1%} of the height {way} the line; look at its mask's lower edge"
    if value.measure == "fill":
        way = "larger" if value.value > 1 else "smaller"
        return f"is {abs(value.value - 1):.1%} {way} than the set asks; look at its mask and its size_mm"
    if value.measure == "background":
        return f"has a background {value.value:.0f} ΔE from the set's colour; try another seed"
    return f"has its shadow {value.value:.0f} degrees from the set's; look at its photo's light, or try another seed"
