"""A set report finds the pictures that do not look like their set, and nothing else."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from packshot.catalogue.placement import Stand
from packshot.catalogue.plan import Scene, Variant
from packshot.catalogue.set_report import SetPicture, set_report
from packshot.contract.catalogue import SizeMm
from packshot.contract.requests import ShadowIn
from packshot.contract.set_report import SetReport
from packshot.contract.verdict import Finding, Measures
from packshot.imaging.report_picture import draw_report

MARBLE = Variant(Scene((("scene", "marble"),), "on marble"), "generate", (1600, 1200), ShadowIn(mode="contact"), 0.7)
WHITE = Variant(Scene((), ""), "white", (1600, 1200), ShadowIn(mode="none"), 0.7)


def stand_of(variant: Variant, ground: float | None = 0.82) -> Stand:
    return Stand(variant.canvas, variant.fill, ground, largest_mm=200)


def picture(sku: str, variant: Variant = MARBLE, *, size_mm: SizeMm | None = None) -> SetPicture:
    """A product that stands on the line, half as wide as it is high, before a background of the set's colour."""
    high = 0.7 * 1600 * ((size_mm.height or 200) / 200 if size_mm else 1) / 1200
    high = min(high, 0.9)
    wide = high * 1200 / 1600 / 2
    line = stand_of(variant).line or 0.5
    measures = Measures(
        box=(0.5 - wide / 2, line - high, 0.5 + wide / 2, line),
        background_lab=(70.0, 3.0, 8.0),
        shadow_deg=30.0 if variant is MARBLE else None,
    )
    return SetPicture(sku, "front", variant, f"im_{variant.background}_{sku}", measures, size_mm)


def changed(one: SetPicture, **fields: object) -> SetPicture:
    assert one.measures is not None
    return replace(one, measures=replace(one.measures, **fields))  # type: ignore[arg-type]


def report(*pictures: SetPicture) -> SetReport:
    return set_report("ct_1", "Frühling", pictures, stand_of)


def lower(one: SetPicture, by: float) -> SetPicture:
    assert one.measures is not None
    x0, y0, x1, y1 = one.measures.box
    return changed(one, box=(x0, y0 + by, x1, y1 + by))


def smaller(one: SetPicture, by: float) -> SetPicture:
    assert one.measures is not None
    x0, y0, x1, y1 = one.measures.box
    return changed(one, box=(x0, y1 - (y1 - y0) * by, x0 + (x1 - x0) * by, y1))


ALIKE = [picture(f"S{at}", size_mm=SizeMm(height=height)) for at, height in enumerate((50, 100, 150, 120))]


def test_a_set_that_looks_alike_has_no_outlier() -> None:
    found = report(*ALIKE, *(picture(f"S{at}", WHITE) for at in range(3)))
    assert (found.within, found.outliers_total, found.pictures, found.measured) == (True, 0, 7, 7)
    assert [(one.scene, one.pictures) for one in found.sets] == [("marble", 4), ("white", 3)]
    ground, fill, _, shadow = found.sets[0].spreads
    assert (ground.least, ground.most) == (ground.target, ground.target)
    assert (fill.least, fill.most) == pytest.approx((1.0, 1.0), abs=1e-3)
    assert (found.sets[0].shadow_deg, shadow.measured) == (30, 4)
    assert found.sets[1].spreads[3].measured == 0


@pytest.mark.parametrize(
    ("wrong", "measure", "detail"),
    [
        (lower(ALIKE[0], 0.011), "ground", "1.1% of the height below"),
        (lower(ALIKE[0], -0.02), "ground", "2.0% of the height above"),
        (smaller(ALIKE[0], 0.96), "fill", "4.0% smaller"),
        (changed(ALIKE[0], background_lab=(50.0, 3.0, 8.0)), "background", "20 ΔE"),
        (changed(ALIKE[0], shadow_deg=330.0), "shadow", "46 degrees"),
    ],
    ids=["below", "above", "small", "dark", "shadow"],
)
def test_a_picture_that_differs_is_told_with_its_measure(wrong: SetPicture, measure: str, detail: str) -> None:
    found = report(wrong, *ALIKE[1:])
    (outlier,) = found.outliers
    assert (outlier.sku, outlier.measure, found.within) == ("S0", measure, False)
    assert detail in outlier.detail


def test_a_few_shadows_give_a_set_no_direction() -> None:
    without = [changed(one, shadow_deg=None) for one in ALIKE]
    some = [changed(picture(f"T{at}"), shadow_deg=120.0 * at) for at in range(3)]
    found = report(*without, *some)
    assert found.sets[0].shadow_deg is None
    assert found.within


def test_what_is_within_the_tolerances_is_none() -> None:
    near = [lower(ALIKE[0], 0.009), smaller(ALIKE[1], 0.985), changed(ALIKE[2], background_lab=(65.0, 3.0, 8.0))]
    assert report(*near, ALIKE[3]).within


def test_the_worst_comes_first_and_unmeasured_pictures_are_counted() -> None:
    old = replace(picture("OLD"), measures=None)
    found = report(lower(ALIKE[0], 0.02), lower(smaller(ALIKE[1], 0.8), 0.05), *ALIKE[2:], old)
    assert [one.sku for one in found.outliers] == ["S1", "S0"]
    assert (found.pictures, found.measured) == (5, 4)
    empty = report(old)
    assert (empty.within, empty.sets[0].spreads[0].mean) == (True, None)


def test_the_drawn_report_shows_the_outliers_first() -> None:
    found = report(lower(ALIKE[0], 0.05), *ALIKE[1:])
    thumbnail = io.BytesIO()
    Image.new("RGB", (80, 60), (10, 200, 30)).save(thumbnail, "PNG")
    with Image.open(io.BytesIO(draw_report(found, {found.outliers[0].image_id: thumbnail.getvalue()}))) as drawn:
        pixels = np.asarray(drawn.convert("RGB"))
    with Image.open(io.BytesIO(draw_report(found, {}))) as without:
        assert without.height < drawn.height
    green = (pixels == (10, 200, 30)).all(axis=2)
    red = (pixels == (0xC0, 0x39, 0x2B)).all(axis=2)
    assert green.sum() > 10_000
    assert np.flatnonzero(green.any(axis=1))[-1] < np.flatnonzero(red.any(axis=1))[-1], "the plots come below"


BESIDE = Finding("hallucination", "failed", "something stands beside it; use another seed", 0.3, (0.5, 0.25, 0.75, 0.5))
UNREAD = Finding("text", "warning", "a line is too small", None, (0.1, 0.1, 0.2, 0.2))
BLANK = Finding("scene", "warning", "the scene is one flat colour", 1.0)


def test_pictures_with_findings_at_a_place_are_listed_the_most_failed_first() -> None:
    marked = [
        replace(ALIKE[0], findings=(BLANK, replace(BESIDE, level="ok"))),
        replace(ALIKE[1], findings=(UNREAD,)),
        replace(ALIKE[2], findings=(UNREAD, BLANK, BESIDE)),
    ]
    found = report(*marked, ALIKE[3])
    assert (found.within, found.defective_total) == (True, 2)
    assert [one.sku for one in found.defective] == ["S2", "S1"]
    assert [(one.check, one.box) for one in found.defective[0].findings] == [
        ("hallucination", BESIDE.box),
        ("text", UNREAD.box),
    ]


def test_the_drawn_report_frames_the_findings() -> None:
    found = report(replace(ALIKE[0], findings=(BESIDE,)), *ALIKE[1:])
    thumbnail = io.BytesIO()
    Image.new("RGB", (80, 60), (10, 200, 30)).save(thumbnail, "PNG")
    with Image.open(io.BytesIO(draw_report(found, {ALIKE[0].image_id: thumbnail.getvalue()}))) as drawn:
        pixels = np.asarray(drawn.convert("RGB"))
    green, red = ((pixels == colour).all(axis=2) for colour in ((10, 200, 30), (0xC0, 0x39, 0x2B)))
    rows, columns = np.flatnonzero(green.any(axis=1)), np.flatnonzero(green.any(axis=0))
    shown = red[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    framed = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    height, width = shown.shape
    assert framed[1][0] / width == pytest.approx(0.5, abs=0.02)
    assert framed[1][-1] / width == pytest.approx(0.75, abs=0.02)
    assert framed[0][0] / height == pytest.approx(0.25, abs=0.02)
