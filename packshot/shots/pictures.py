"""Reference pictures: their files in the store, and what is read of them.

references ──find──> PictureFile ──load──> pixels ──read──> FoundStyle: palette and light
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from packshot.contract.style import Reference
from packshot.errors import BadInput, NotFound
from packshot.imaging.codec import read_png
from packshot.imaging.light.estimate import CERTAIN, SceneLight, side_light
from packshot.imaging.light.palette import PaletteColour, palette_of
from packshot.imaging.resample import reduced
from packshot.store.assets import Assets
from packshot.store.store import Store
from packshot.types import U8

__all__ = ["READ_PX", "FoundStyle", "PictureFile", "find_pictures", "load_picture", "read_style"]

MIN_SIDE_PX = 64
"""The shortest side of a reference: a smaller picture shows no scene."""
READ_PX = 256
"""The longer side at which a reference's palette and light are read."""
CUTOUT_SHARE = 0.5
"""A photo whose own alpha shows less of it than this is a cutout: most of it is no scene."""


@dataclass(frozen=True)
class PictureFile:
    """A reference's file. `asset_key` names an RGB PNG, and equal keys mean equal bytes.

    `weight` is its share of all references, so that they add up to 1. `shadow_deg` is where its shadow falls, degrees,
    if its recipe says so; else None.
    """

    asset_key: str
    weight: float
    shadow_deg: float | None = None


@dataclass(frozen=True)
class FoundStyle:
    """What references show. `light_deg` is where their light comes from, degrees; None = they do not show it."""

    palette: tuple[PaletteColour, ...]
    light_deg: float | None


def find_pictures(store: Store, tenant_id: str, references: Sequence[Reference]) -> tuple[PictureFile, ...]:
    """The files of references. Raises NotFound for one that does not exist, with its place in `errors`, and BadInput
    `reference_too_small` or `reference_cutout` for one that shows no scene."""
    total = sum(one.weight for one in references)
    found = []
    for at, one in enumerate(references):
        try:
            file = _file(store, tenant_id, one, one.weight / total)
        except (NotFound, BadInput) as error:
            error.errors = [{"loc": ["style", "references", at], "msg": error.detail}]
            raise
        found.append(file)
    return tuple(found)


def _file(store: Store, tenant_id: str, one: Reference, weight: float) -> PictureFile:
    if one.picture_id.startswith("im_"):
        image = store.images.get(tenant_id, one.picture_id)
        _require_scene(one.picture_id, image.width, image.height, shown=not image.recipe.spec.background.transparent)
        light = next((finding.value for finding in image.verdict.findings if finding.check == "light"), None)
        return PictureFile(image.asset_key, weight, light)
    photo = store.photos.get(tenant_id, one.picture_id)
    own = store.masks.own_alpha(tenant_id, photo.id)
    shown = own is None or own.area_px >= CUTOUT_SHARE * photo.width * photo.height
    _require_scene(photo.id, photo.width, photo.height, shown=shown)
    return PictureFile(photo.asset_key, weight)


def _require_scene(picture_id: str, width: int, height: int, *, shown: bool) -> None:
    if min(width, height) < MIN_SIDE_PX:
        rule = f"a reference must be at least {MIN_SIDE_PX} px on each side, got {picture_id} of {width} x {height} px"
        raise BadInput("reference_too_small", f"{rule}; use a larger picture.")
    if not shown:
        rule = f"a reference must show a scene, and most of {picture_id} is transparent"
        raise BadInput("reference_cutout", f"{rule}; use a picture with its background.")


def load_picture(assets: Assets, asset_key: str, longest_px: int) -> U8:
    """The pixels of a reference, uint8 HxWx3 RGB of at most `longest_px`. Raises NotFound for a deleted file."""
    pixels = read_png(assets.get(asset_key))
    return reduced(pixels[..., :3], longest_px)


def read_style(load: Callable[[str], U8], files: Sequence[PictureFile]) -> FoundStyle:
    """Read the palette and the light of references. `load` gives the pixels of a file of READ_PX by its asset key."""
    pictures = [(load(file.asset_key), file.weight) for file in files]
    lights = [
        (SceneLight(file.shadow_deg, 1.0) if file.shadow_deg is not None else side_light(pixels), weight)
        for file, (pixels, weight) in zip(files, pictures, strict=True)
    ]
    return FoundStyle(palette_of(pictures), _light_deg(lights))


def _light_deg(lights: Sequence[tuple[SceneLight, float]]) -> float | None:
    """Where the light of pictures comes from, by their weights; None where they do not show it, or disagree."""
    certain = [(light, weight) for light, weight in lights if light.certain]
    mean = sum(cmath.rect(weight * light.confidence, math.radians(light.direction_deg)) for light, weight in certain)
    if abs(mean) < CERTAIN:  # the weights add up to 1, so this is a confidence
        return None
    return round((math.degrees(cmath.phase(mean)) + 180) % 360, 1)
