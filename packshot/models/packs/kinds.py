"""Engine packs paint, and segmenter packs cut: the second kind holds only what reads photos."""

from __future__ import annotations

from typing import Any, Literal

PackKind = Literal["engine", "segmenter"]

SEGMENTER_ROLES = ("segmenter", "matting", "geometry", "detector", "judge", "reader")
"""The roles that a segmenter pack may have. The first one is required."""
ENGINE_FIELDS = (
    "family",
    "recipe",
    "native_px",
    "buckets",
    "prediction_type",
    "renderable",
    "reason",
    "controls",
    "defaults",
)
"""What only an engine has."""


def with_kind(manifest: Any) -> Any:
    """The manifest's content with what every pack has; a segmenter pack states no field of an engine.

    Raises ValueError for a segmenter pack that states one, or that has a role of an engine.
    """
    if not isinstance(manifest, dict) or manifest.get("kind") != "segmenter":
        return manifest
    roles = manifest.get("roles")
    stated = [name for name in ENGINE_FIELDS if name in manifest]
    strange = sorted(set(roles) - set(SEGMENTER_ROLES)) if isinstance(roles, dict) else []
    if stated or strange:
        raise ValueError(
            f"a pack of kind segmenter must have only roles of {', '.join(SEGMENTER_ROLES)} and no field of an engine, "
            f"got {', '.join([*strange, *stated])}"
        )
    if not isinstance(roles, dict) or "segmenter" not in roles:
        raise ValueError("a pack of kind segmenter must have the role segmenter")
    return manifest | {
        "family": "segmenter",
        "native_px": (1024, 1024),
        "buckets": ((1024, 1024),),
        "prediction_type": "none",
        "renderable": False,
        "reason": "it cuts products out and paints nothing; name it as PACKSHOT_SEGMENTER beside an engine's pack",
    }


__all__ = ["ENGINE_FIELDS", "SEGMENTER_ROLES", "PackKind", "with_kind"]
