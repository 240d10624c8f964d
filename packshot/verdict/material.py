"""The finding about what a shot's products are made of."""

from __future__ import annotations

from collections.abc import Sequence

from packshot.contract.verdict import Finding
from packshot.types import CERTAIN_MATERIAL, Material

__all__ = ["material_finding"]

ADVICE = {
    "metal": "it mirrors the room of its photo, which no new scene replaces; photograph it where its scene shall be",
    "glass": "the room of its photo shows through it, which no new scene replaces; photograph it before its scene",
}


def material_finding(materials: Sequence[Material]) -> Finding:
    """A warning where a product seems to be metal or glass with a confidence that counts; otherwise ok.

    `materials` are those of the layers. The value is the confidence in the material that is named.
    """
    named = max(materials, key=lambda one: (one.needs_care, one.confidence))
    if not named.needs_care:
        detail = f"no product seems to be metal or glass with a confidence of {CERTAIN_MATERIAL:g} or more"
        return Finding("material", "ok", detail, round(named.confidence, 3))
    detail = f"a product seems to be {named.kind}, with confidence {named.confidence:.2f}: {ADVICE[named.kind]}"
    return Finding("material", "warning", detail, round(named.confidence, 3))
