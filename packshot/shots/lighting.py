"""From a shot's light to pixels: which shadow and which reflection the product gets in its scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from packshot.contract.light import Shadow
from packshot.contract.shot_spec import ShotSpec
from packshot.contract.verdict import Finding
from packshot.imaging.composite import Ground
from packshot.imaging.light.cast import cast_shadow, floating_shadow
from packshot.imaging.light.contact import contact_shadow
from packshot.imaging.light.estimate import scene_light
from packshot.types import U8, Flat

__all__ = ["USUAL_DIRECTION_DEG", "Lit", "lit_ground"]

USUAL_DIRECTION_DEG = 115.0
"""Where a shadow falls when neither the shot nor the scene says: a light from the upper left, a little behind."""


@dataclass(frozen=True)
class Lit:
    """What the product does to the ground, and the findings that say why."""

    ground: Ground
    findings: tuple[Finding, ...] = ()


def lit_ground(flat: Flat, spec: ShotSpec, scene: U8 | None) -> Lit:
    """The shadow and reflection of a layout. `scene` is the painted scene, uint8 HxWx3 RGB; None = a plain ground."""
    shadow = spec.shadow
    tint = (int(shadow.tint[1:3], 16), int(shadow.tint[3:5], 16), int(shadow.tint[5:7], 16))
    if shadow.kind == "none":
        return Lit(Ground(None, tint, spec.reflection))
    if shadow.kind == "contact":
        return Lit(Ground(contact_shadow(flat), tint, spec.reflection))
    if shadow.kind == "floating":
        return Lit(Ground(_dimmed(floating_shadow(flat, shadow.softness), shadow), tint, spec.reflection))
    direction, finding = _direction(flat, shadow, scene)
    cast = _dimmed(cast_shadow(flat, direction, shadow.length, shadow.softness), shadow)
    # each keeps away a share of the light that the other lets through
    light = (255 - cast.astype(np.uint16)) * (255 - contact_shadow(flat).astype(np.uint16))
    return Lit(Ground((255 - (light + 127) // 255).astype(np.uint8), tint, spec.reflection), (finding,))


def _dimmed(dark: U8, shadow: Shadow) -> U8:
    return np.asarray(np.rint(dark * shadow.intensity), np.uint8)


def _direction(flat: Flat, shadow: Shadow, scene: U8 | None) -> tuple[float, Finding]:
    """Where a cast shadow falls: as the shot says, else as the scene's light says, else as usual."""
    if shadow.direction_deg is not None:
        direction = shadow.direction_deg % 360
        return direction, Finding("light", "ok", f"the shadow falls to {direction:.0f} degrees, as asked", direction)
    if scene is not None:
        found = scene_light(scene, flat.alpha)
        if found.certain:
            detail = f"the shadow falls to {found.direction_deg:.0f} degrees, as the scene's light does"
            return found.direction_deg, Finding("light", "ok", detail, found.direction_deg)
    why = "the scene does not show where its light comes from" if scene is not None else "a plain ground has no light"
    detail = f"the shadow falls to {USUAL_DIRECTION_DEG:.0f} degrees, because {why}; direction_deg chooses another"
    return USUAL_DIRECTION_DEG, Finding("light", "ok", detail, USUAL_DIRECTION_DEG)
