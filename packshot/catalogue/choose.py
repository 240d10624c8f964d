"""Choose the picture that is kept, of several that were painted for one (`choose.best_of`)."""

from __future__ import annotations

from collections.abc import Sequence

from packshot.contract.verdict import LEVELS
from packshot.store.records import ImageRecord

__all__ = ["choose"]


def choose(images: Sequence[ImageRecord]) -> ImageRecord:
    """The best picture of a shot: by its verdict's level, then by fewer findings of that level, then by sharpness.

    Sharpness is the scene's, as the verdict measured it. Among equals the first one is chosen, so the choice is the
    same each time. Raises ValueError without a picture.
    """

    def worth(image: ImageRecord) -> tuple[int, int, float, int]:
        verdict = image.verdict
        level = verdict.level
        told = sum(finding.level == level for finding in verdict.findings) if level != "ok" else 0
        sharpness = verdict.measures.sharpness if verdict.measures else None
        return -LEVELS.index(level), -told, sharpness or 0.0, -image.index

    return max(images, key=worth)
