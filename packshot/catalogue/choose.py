"""Choose the picture that is kept, of several that were painted for one (`choose.best_of`)."""

from __future__ import annotations

from collections.abc import Sequence

from packshot.store.records import ImageRecord

__all__ = ["choose"]


def choose(images: Sequence[ImageRecord]) -> ImageRecord:
    """The best picture of a shot: by its verdict's level, then by fewer findings of that level, then by sharpness.

    Sharpness is the scene's, as the verdict measured it. Among equals the first one is chosen, so the choice is the
    same each time. Raises ValueError without a picture.
    """
    return max(images, key=lambda image: (*image.verdict.worth, -image.index))
