"""Of several pictures, the best is kept: by its verdict, then by its sharpness."""

from datetime import UTC, datetime

import pytest

from packshot.catalogue.choose import choose
from packshot.contract.verdict import Finding, Measures, Verdict
from packshot.store.records import ImageRecord
from tests.specs import recipe_of

OK, WARNING, FAILED = Finding("lock", "ok", ""), Finding("scene", "warning", ""), Finding("lock", "failed", "")


def image(index: int, sharpness: float | None, *findings: Finding) -> ImageRecord:
    measures = Measures(box=(0, 0, 1, 1), sharpness=sharpness)
    verdict = Verdict(findings, measures)
    made = datetime(2026, 11, 1, tzinfo=UTC)
    return ImageRecord(
        f"im_{index}", "te", "sh", index, index, 8, 8, "key", verdict, recipe_of(index), None, None, made
    )


@pytest.mark.parametrize(
    ("images", "chosen"),
    [
        ([image(0, 9.0, FAILED), image(1, 1.0, WARNING), image(2, 0.5, OK)], 2),
        ([image(0, 9.0, WARNING, WARNING), image(1, 1.0, WARNING, OK)], 1),
        ([image(0, 1.0, OK), image(1, 3.0, OK), image(2, 2.0, OK)], 1),
        ([image(2, 1.0, OK), image(0, 1.0, OK), image(1, 1.0, OK)], 0),
        ([image(0, None, OK), image(1, 0.1, OK)], 1),
    ],
    ids=["verdict", "fewer findings", "sharper", "the first of equals", "not measured"],
)
def test_the_best_picture_is_kept(images: list[ImageRecord], chosen: int) -> None:
    assert choose(images).index == chosen
