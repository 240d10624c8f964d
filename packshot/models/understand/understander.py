"""What is known of products from their cutouts: geometry, how they lie, and what they are made of.

Cutout ─┬─> estimator ─> Geometry ─> how it lies ─┬─> Understanding
        └─> material cues ────────────────────────┘
"""

from __future__ import annotations

from collections.abc import Sequence

from packshot.imaging.light.ground import lying
from packshot.imaging.light.material import gloss_of, material_cues, material_of
from packshot.models.understand.geometry import GeometryEstimator
from packshot.types import F32, U8, Cutout, Geometry, Understanding


class Understander:
    """Understands cutouts. `estimator` finds their geometry, in one call for all."""

    def __init__(self, estimator: GeometryEstimator) -> None:
        self._estimator = estimator

    def understand(self, cutouts: Sequence[Cutout]) -> list[Understanding]:
        """What is known of each cutout, in order. A cutout without a visible pixel has an empty geometry."""
        geometries = self._estimator.estimate(cutouts)
        return [_understood(cutout, geometry) for cutout, geometry in zip(cutouts, geometries, strict=True)]

    def scene_depth(self, picture: U8) -> F32 | None:
        """The depth of a whole picture, as `GeometryEstimator.scene_depth` gives it."""
        return self._estimator.scene_depth(picture)


def _understood(cutout: Cutout, geometry: Geometry) -> Understanding:
    how, cues = lying(geometry), material_cues(cutout)
    return Understanding(geometry, how.height, how.contact_y, how.pose, gloss_of(cues), material_of(cues))


__all__ = ["Understander"]
