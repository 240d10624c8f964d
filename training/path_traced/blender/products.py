"""Products in the scene: catalogue models, imported and set to size, or packages made here."""

from __future__ import annotations

import random
import zipfile
from pathlib import Path
from typing import Any

import bpy
import mathutils

from training.path_traced.blender import looks, packages
from training.path_traced.scene_plan import ProductPlan


def unpack(catalogues: Path, cache: Path, plan: ProductPlan) -> Path:
    """The OBJ of a catalogue model, with its MTL and textures, unpacked once under `cache`."""
    target = cache / Path(plan.archive).stem / plan.member
    if not target.exists():
        folder = plan.member.rsplit("/", 1)[0] + "/"
        with zipfile.ZipFile(catalogues / plan.archive) as archive:
            members = [name for name in archive.namelist() if name.startswith(folder) and not name.endswith("/")]
            for name in sorted(
                members, key=lambda name: name == plan.member
            ):  # the OBJ last: it says that all is there
                archive.extract(name, cache / Path(plan.archive).stem)
    return target


def place(plan: ProductPlan, path: Path | None, label: str, scale: float) -> Any:
    """One mesh object that stands at its place. path: the OBJ, None for a made package. scale: metres a scene unit."""
    dice = random.Random(f"{plan.object_id}/{plan.restyle}")
    if path is None:
        thing = packages.make(plan, label, scale)
    else:
        thing = _import(path)
        _turn(thing, plan.rotation)
        slots = thing.data.materials
        for index, material in enumerate(slots):
            if material is not None:
                slots[index] = looks.improve(material, dice, restyle=plan.restyle >= 0, scale=scale)
    _fit(thing, plan.size_xyz)
    thing.rotation_euler = (0, 0, plan.turn_deg * 3.141592653589793 / 180)
    thing.location = (*plan.at_xy, 0.0)
    thing.name = plan.object_id
    return thing


def _import(path: Path) -> Any:
    before = set(bpy.data.objects)
    bpy.ops.wm.obj_import(filepath=str(path), forward_axis="NEGATIVE_Z", up_axis="Y", use_split_objects=False)
    things = [thing for thing in bpy.data.objects if thing not in before]
    if not things:
        raise ValueError(f"{path.name} must hold a mesh, got none")
    for thing in things:
        thing.select_set(True)
    bpy.context.view_layer.objects.active = things[0]
    if len(things) > 1:
        bpy.ops.object.join()
    bpy.ops.object.transform_apply(location=True, rotation=True, scale=True)
    bpy.ops.object.select_all(action="DESELECT")
    return things[0]


def _turn(thing: Any, rotation: tuple[float, ...]) -> None:
    """The catalogue's own rotation, which is given in the OBJ's frame (y up)."""
    if rotation:
        rows = mathutils.Matrix([rotation[0:3], rotation[3:6], rotation[6:9]])
        to_z_up = mathutils.Matrix(((1, 0, 0), (0, 0, -1), (0, 1, 0)))
        thing.data.transform((to_z_up @ rows @ to_z_up.inverted()).to_4x4())


def _fit(thing: Any, size_xyz: tuple[float, float, float]) -> None:
    """Scale each axis to the wanted size, centre over the origin, stand on z = 0."""
    corners = [mathutils.Vector(corner) for corner in thing.bound_box]
    low = [min(corner[axis] for corner in corners) for axis in range(3)]
    high = [max(corner[axis] for corner in corners) for axis in range(3)]
    spans = [max(b - a, 1e-6) for a, b in zip(low, high, strict=True)]
    factors = [max(want, 1e-3) / span for want, span in zip(size_xyz, spans, strict=True)]
    middle = mathutils.Vector((-(low[0] + high[0]) / 2, -(low[1] + high[1]) / 2, -low[2]))
    thing.data.transform(mathutils.Matrix.Diagonal((*factors, 1.0)) @ mathutils.Matrix.Translation(middle))
    thing.data.update()
