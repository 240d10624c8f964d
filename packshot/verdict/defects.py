"""The defects of a painted scene: each is a finding with a place, for which `retry` can paint the picture again."""

from __future__ import annotations

import numpy as np

from packshot.contract.shot_spec import ShotSpec
from packshot.contract.verdict import Finding
from packshot.types import U8, Flat
from packshot.verdict.expansion import expansion_finding
from packshot.verdict.floating import floating_finding
from packshot.verdict.hallucination import hallucination_finding
from packshot.verdict.indistinct import indistinct_finding
from packshot.verdict.scale import scale_finding
from packshot.verdict.seen import Seen

__all__ = ["defect_findings", "with_own_pixels"]


def defect_findings(flat: Flat, picture: U8, scene: U8, spec: ShotSpec) -> tuple[Finding, ...]:
    """Look for defects in a finished picture.

    `picture` and `scene`, the painted scene without the product, are uint8 HxWx3 RGB of the layout's size. The findings
    are `expansion` where no edges held the engine, `floating` (unless the shot's shadow is `floating`), `indistinct`,
    `hallucination`, and `scale` where two layers state their heights. Without a product only `expansion` is there. All
    but `expansion` work on a copy of at most 256 px.
    """
    held = (expansion_finding(flat, scene),) if not spec.canny.scale else ()
    seen = Seen.of(flat, picture, scene)
    if seen is None:
        return held
    scale = scale_finding(spec.layers, flat.boxes, spec.canvas)
    found = (
        None if spec.shadow.kind == "floating" else floating_finding(seen),
        indistinct_finding(seen),
        hallucination_finding(seen),
        scale,
    )
    return (*held, *(finding for finding in found if finding is not None))


def with_own_pixels(flat: Flat, picture: U8) -> Flat:
    """The layout with the pixels of the picture (uint8 HxWx3 RGB): a product that an engine painted on its place."""
    return Flat(np.dstack([picture, flat.alpha]), flat.boxes)
