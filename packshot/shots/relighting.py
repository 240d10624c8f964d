"""From a shot's `relight` to the layout under its scene's light, with the findings that say what was done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from packshot.contract.light import Shadow
from packshot.contract.shot_spec import ShotSpec
from packshot.contract.verdict import Finding
from packshot.errors import Conflict
from packshot.imaging.light.estimate import scene_light
from packshot.imaging.light.gain import encode_gain, relit
from packshot.imaging.light.relief import relief_of
from packshot.imaging.light.relight import Change, changed, gain_of, key_light, light_colour
from packshot.shots.lighting import USUAL_DIRECTION_DEG
from packshot.store.assets import Assets
from packshot.types import U8, Flat, Understanding
from packshot.verdict.inspect import relit_lock

__all__ = ["MAX_DELTA_E", "MAX_HUE_DEG", "Relit", "load_gain", "prove", "relit_layout", "unlit_findings"]

MAX_DELTA_E = 8.0
"""The 95th percentile of the product's ΔE from which the verdict warns."""
MAX_HUE_DEG = 4.0
"""The turn of the product's hues from which the verdict warns, degrees."""


@dataclass(frozen=True)
class Relit:
    """The layout that the picture shows, the gain file that was laid over it, and the findings.

    `gain_png` is None where the layout is the photo's own.
    """

    flat: Flat
    gain_png: bytes | None = None
    findings: tuple[Finding, ...] = ()


def relit_layout(flat: Flat, spec: ShotSpec, scene: U8, products: Sequence[Understanding] | None) -> Relit:
    """Relight a layout as its shot asks. `scene` is the painted scene, uint8 HxWx3 RGB.

    `products` is what is known of each layer's product. Glass is not relit: what shines through it is not its own.
    Raises ValueError for a shot with `relight` without them.
    """
    if spec.relight is None:
        return Relit(flat)
    if products is None:
        raise ValueError("relight needs what is known of each layer's product, got None; call the stage understand")
    clear = next((one.material for one in products if one.material.see_through), None)
    if clear is not None:
        seems = f"it seems to be {clear.kind} (confidence {clear.confidence:.2f}), and its photo's room shines through"
        return Relit(flat, findings=(Finding("relight", "warning", f"the product was not relit, because {seems}"),))
    relief = relief_of(flat, spec.canvas, spec.layers, [one.geometry for one in products])
    if relief is None:
        return Relit(flat, findings=(Finding("relight", "warning", "no product is visible, so none was relit"),))
    direction, why = _direction(flat, spec.shadow, scene)
    length = spec.shadow.length if spec.shadow.kind == "cast" else None
    light = key_light(direction, length, light_colour(scene, flat.alpha))
    gain = gain_of(flat, relief, light, spec.relight.amount)
    lit = relit(flat, gain)
    return Relit(lit, encode_gain(gain), (_finding(changed(flat, lit), why),))


def unlit_findings(spec: ShotSpec) -> tuple[Finding, ...]:
    """What a picture without a scene says of `relight`: the product covers the canvas, so there is no light to take."""
    if spec.relight is None:
        return ()
    detail = "the product was not relit, because it covers the canvas, so there is no scene whose light it could take"
    return (Finding("relight", "warning", detail),)


def _direction(flat: Flat, shadow: Shadow, scene: U8) -> tuple[float | None, str]:
    """Where shadows fall in the scene, degrees, and how that is known. None = the light's colour alone counts."""
    if shadow.direction_deg is not None:
        return shadow.direction_deg % 360, f"a light whose shadow falls to {shadow.direction_deg % 360:.0f} degrees"
    found = scene_light(scene, flat.alpha)
    if found.certain:
        return found.direction_deg, f"the scene's light, whose shadow falls to {found.direction_deg:.0f} degrees"
    if shadow.kind == "cast":  # the product's shadow has a direction, so its light has it too
        return USUAL_DIRECTION_DEG, f"the light of its shadow, which falls to {USUAL_DIRECTION_DEG:.0f} degrees"
    return None, "the colour of the scene's light alone, because the scene does not show where its light comes from"


def _finding(change: Change, why: str) -> Finding:
    detail = (
        f"the product takes {why}: ΔE {change.mean:.1f} on average and at most {change.p95:.1f} for 95 % of it, "
        f"hues turn by {change.hue_deg:.1f} degrees"
    )
    broken = []
    if change.p95 > MAX_DELTA_E:
        broken.append(f"ΔE should stay within {MAX_DELTA_E:g}")
    if change.hue_deg > MAX_HUE_DEG:
        broken.append(f"hues should turn by at most {MAX_HUE_DEG:g} degrees")
    if broken:
        return Finding("relight", "warning", f"{detail}; {' and '.join(broken)}: use a smaller amount", change.p95)
    return Finding("relight", "ok", detail, change.p95)


def load_gain(assets: Assets, gain_key: str) -> bytes:
    """The gain file of a picture. Raises Conflict `gain_altered` when it is not the one that was stored."""
    data = assets.get(gain_key)
    if assets.key_of(data, ".png") != gain_key:
        rule = "a gain file must have the hash under which it was stored, and this one was altered in the storage"
        raise Conflict("gain_altered", f"{rule}; restore the file from a backup, or make the picture again")
    return data


def prove(assets: Assets, flat: Flat | None, picture: U8, gain_key: str) -> Finding:
    """The finding `relit_lock` of a stored picture, from its layout, its gain file and its pixels.

    `flat` is None when the layout was deleted. Raises Conflict `gain_altered`, and NotFound when the file is gone.
    """
    gain_png = load_gain(assets, gain_key)
    if flat is None or flat.alpha.shape != picture.shape[:2]:
        detail = "the relit product was not compared with its photo, because its mask is not available"
        return Finding("relit_lock", "warning", detail)
    return relit_lock(flat, picture, gain_png)
