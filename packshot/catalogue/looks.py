"""Adapters and style of a catalogue's shots: a row's own, else those of its scene, else the defaults'.

defaults <─ axes[].adapters, axes[].styles of the scene's values <─ the item's adapters and style
"""

from __future__ import annotations

from collections.abc import Iterator

from packshot.catalogue.plan import Scene
from packshot.contract.adapters import AdapterIn
from packshot.contract.catalogue import Axis, Item, Look, Manifest
from packshot.contract.shot_style import ShotStyleIn

__all__ = ["adapters_of_scene", "look_of", "pictures_of"]


def look_of(manifest: Manifest, scene: Scene, item: Item) -> Look:
    """The look of an item's picture in a painted scene."""
    look = manifest.defaults
    adapters, style = adapters_of_scene(manifest.axes, scene), style_of_scene(manifest.axes, scene)
    changes: dict[str, object] = {}
    if item.adapters is not None or adapters is not None:
        changes["adapters"] = adapters if item.adapters is None else item.adapters
    if item.style is not None or style is not None:
        changes["style"] = item.style or style
    return look.model_copy(update=changes) if changes else look


def adapters_of_scene(axes: list[Axis], scene: Scene) -> list[AdapterIn] | None:
    """The adapters of a scene's values, those of all its axes; None when no value names any."""
    values = dict(scene.values)
    found = [axis.adapters[values[axis.name]] for axis in axes if values.get(axis.name) in axis.adapters]
    return [one for adapters in found for one in adapters] if found else None


def style_of_scene(axes: list[Axis], scene: Scene) -> ShotStyleIn | None:
    """The style of a scene's values; the last axis that has one decides. None when no value names one."""
    values = dict(scene.values)
    found = [axis.styles[values[axis.name]] for axis in axes if values.get(axis.name) in axis.styles]
    return found[-1] if found else None


def pictures_of(manifest: Manifest) -> Iterator[str]:
    """The ids of all reference pictures and adapters that a catalogue's shots use; some occur several times."""
    styles = [manifest.defaults.style, *(style for axis in manifest.axes for style in axis.styles.values())]
    adapters = [manifest.defaults.adapters, *(some for axis in manifest.axes for some in axis.adapters.values())]
    styles += [item.style for item in manifest.items]
    adapters += [item.adapters for item in manifest.items if item.adapters]
    for style in styles:
        if style is not None:
            yield from (one.picture_id for one in style.references)
    for some in adapters:
        yield from (one.id for one in some)
