"""From a shot's style to pixels: the painted scene in the colours of its palette."""

from __future__ import annotations

from dataclasses import dataclass

from packshot.contract.shot_spec import ShotSpec
from packshot.contract.verdict import Finding
from packshot.imaging.light.harmonise import harmonise, palette_distance
from packshot.types import U8

__all__ = ["StyledScene", "styled_scene", "unstyled_findings"]


@dataclass(frozen=True)
class StyledScene:
    """A scene in its style, uint8 HxWx3 RGB, and the finding that says how near it came."""

    pixels: U8
    findings: tuple[Finding, ...] = ()


def styled_scene(scene: U8, spec: ShotSpec, alpha: U8) -> StyledScene:
    """Move a painted scene towards the palette of the shot's style.

    `scene` is uint8 HxWx3 RGB and `alpha` the product's, uint8 HxW. The product, its shadow and its reflection are laid
    over the result, so none of them is moved. A shot without a palette keeps its scene.
    """
    palette = spec.style.colours if spec.style is not None else ()
    if spec.style is None or not palette:
        return StyledScene(scene)
    moved = harmonise(scene, palette, spec.style.strength, alpha, shares=spec.style.shares)
    before, after = (palette_distance(one, palette, alpha, shares=spec.style.shares) for one in (scene, moved))
    detail = f"the scene's colours are {after:.1f} from the palette, {before:.1f} before (CIE L*a*b*)"
    return StyledScene(moved, (Finding("style", "ok", detail, round(after, 2)),))


def unstyled_findings(spec: ShotSpec) -> tuple[Finding, ...]:
    """What a picture without a scene says of its style: the product covers the canvas, so there is none to move."""
    if spec.style is None:
        return ()
    return (Finding("style", "warning", "no scene shows beside the product, so there is none to style"),)
