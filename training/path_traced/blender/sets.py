"""What a product stands on and before: supports and backdrops as meshes."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import bpy

from training.path_traced import develop
from training.path_traced.blender import surfaces
from training.path_traced.blender.nodes import Graph
from training.path_traced.scene_plan import SetPlan

FAR = 60.0
BUILT = ("plain", "brick", "tile", "curtain", "room")
"""Backdrops that may be walls; a photograph, where the plan names one, takes their place."""


def build(plan: SetPlan, reach: float, table_height: float, eye: Sequence[float]) -> list[Any]:
    """Every object of the set. reach: radius of what stands on it. table_height: how far below the floor lies, in
    product sizes. eye: where the camera stands.
    """
    dice = random.Random(plan.surface_seed)
    material = surfaces.ground(plan.surface, plan.surface_seed, plan.texture_scale, plan.paper_rgb)
    wall = None
    if plan.backdrop in BUILT and not plan.hdri:
        wall = surfaces.wall(plan.backdrop, plan.backdrop_seed, plan.texture_scale, plan.wall_rgb)
    y = plan.wall_distance
    things: list[Any] = []
    if plan.support == "sweep":
        return [_sweep(material, y, dice.uniform(0.8, 2.0))]
    if plan.support == "plane":
        far = plan.ground_end
        things.append(_grid(material, (-FAR, FAR), (-12.0, far), lambda x, y: (x, y, 0.0), 1, 1))
    elif plan.support == "plinth":
        height = dice.uniform(0.35, 1.2)
        things.append(_plinth(material, reach * dice.uniform(1.12, 1.5), height, round_top=dice.random() < 0.6))
        floor = surfaces.plaster(dice, plan.texture_scale, plan.wall_rgb)
        things.append(_grid(floor, (-FAR, FAR), (-12.0, y if wall else FAR), lambda x, y: (x, y, -height), 1, 1))
    else:
        back = plan.ground_end
        front = -reach - (dice.uniform(0.1, 0.6) if dice.random() < 0.4 else dice.uniform(1.5, 3.0))
        thick = dice.uniform(0.06, 0.14)
        things.append(_slab(material, (-FAR / 8, FAR / 8), (front, back), thick))
        if wall:
            floor = surfaces.ground(
                dice.choice(("wood", "walnut", "concrete")), plan.surface_seed + 1, plan.texture_scale, plan.paper_rgb
            )
            things.append(_grid(floor, (-FAR, FAR), (-12.0, y), lambda x, y: (x, y, -table_height), 1, 1))
    if wall:
        wave = _folds(random.Random(plan.backdrop_seed)) if plan.backdrop == "curtain" else None
        low, high = -table_height - 1, 25.0
        count = 900 if wave else 1
        span = 14.0 if wave else FAR
        place = (lambda x, z: (x, y + wave(x, z), z)) if wave else (lambda x, z: (x, y, z))
        things.append(_grid(wall, (-span, span), (low, high), place, count, 24 if wave else 1, smooth=bool(wave)))
    elif plan.backdrop == "night":
        things += _lamps(plan, random.Random(plan.backdrop_seed), eye)
    return things


def _object(
    name: str, points: Sequence[tuple[float, float, float]], faces: Sequence[tuple[int, ...]], material: Any
) -> Any:
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(points, [], faces)
    mesh.materials.append(material)
    thing = bpy.data.objects.new(name, mesh)
    bpy.context.collection.objects.link(thing)
    return thing


def _grid(
    material: Any,
    u: tuple[float, float],
    v: tuple[float, float],
    place: Callable[[float, float], tuple[float, float, float]],
    across: int,
    up: int,
    *,
    smooth: bool = False,
) -> Any:
    points = [
        place(u[0] + (u[1] - u[0]) * i / across, v[0] + (v[1] - v[0]) * j / up)
        for j in range(up + 1)
        for i in range(across + 1)
    ]
    row = across + 1
    faces = [
        (j * row + i, j * row + i + 1, (j + 1) * row + i + 1, (j + 1) * row + i)
        for j in range(up)
        for i in range(across)
    ]
    thing = _object("ground", points, faces, material)
    if smooth:
        thing.data.shade_smooth()
    return thing


def _folds(dice: random.Random) -> Callable[[float, float], float]:
    waves = [(dice.uniform(0.02, 0.16) / n, dice.uniform(2.5, 5.0) * n, dice.uniform(0, 6)) for n in (1, 2, 3.3)]
    return lambda x, z: sum(a * math.sin(f * x + p + 0.25 * math.sin(0.8 * x + 0.12 * z + p)) for a, f, p in waves)


def _sweep(material: Any, wall_y: float, radius: float) -> Any:
    """A paper roll: floor, curve and wall in one."""
    radius = min(radius, wall_y * 0.7)
    path = [(-12.0, 0.0), (wall_y - radius, 0.0)]
    path += [
        (wall_y - radius + radius * math.sin(a), radius - radius * math.cos(a))
        for a in (math.pi / 2 * k / 24 for k in range(1, 25))
    ]
    path.append((wall_y, 30.0))
    points = [(x, y, z) for y, z in path for x in (-FAR, FAR)]
    faces = [(2 * k, 2 * k + 1, 2 * k + 3, 2 * k + 2) for k in range(len(path) - 1)]
    thing = _object("sweep", points, faces, material)
    thing.data.shade_smooth()
    return thing


def _slab(material: Any, x: tuple[float, float], y: tuple[float, float], thick: float) -> Any:
    bevel = thick * 0.12
    return _bevelled([(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])], -thick, 0.0, bevel, material)


def _plinth(material: Any, reach: float, height: float, *, round_top: bool) -> Any:
    if round_top:
        rim = [(reach * math.cos(math.tau * k / 96), reach * math.sin(math.tau * k / 96)) for k in range(96)]
    else:
        rim = [(-reach, -reach), (reach, -reach), (reach, reach), (-reach, reach)]
    return _bevelled(rim, -height, 0.0, 0.02, material)


def _bevelled(rim: Sequence[tuple[float, float]], low: float, high: float, bevel: float, material: Any) -> Any:
    """A prism with a rounded upper edge."""
    count = len(rim)
    centre = (sum(p[0] for p in rim) / count, sum(p[1] for p in rim) / count)
    reach = [max(abs(p[i] - centre[i]) for p in rim) for i in (0, 1)]
    rings = [(1.0, low)]
    rings += [
        (1 - bevel * (1 - math.cos(a)), high - bevel * (1 - math.sin(a)))
        for a in (math.pi / 2 * k / 5 for k in range(6))
    ]
    points = [
        (
            centre[0] + (x - centre[0]) * (1 - (1 - s) / reach[0]),
            centre[1] + (y - centre[1]) * (1 - (1 - s) / reach[1]),
            z,
        )
        for s, z in rings
        for x, y in rim
    ]
    faces: list[tuple[int, ...]] = []
    for ring in range(len(rings) - 1):
        for k in range(count):
            a, b = ring * count + k, ring * count + (k + 1) % count
            faces.append((a, b, b + count, a + count))
    top = (len(rings) - 1) * count
    faces.append(tuple(range(top, top + count)))
    thing = _object("support", points, faces, material)
    thing.data.shade_smooth()
    thing.data.set_sharp_from_angle(angle=math.radians(40))
    return thing


def _lamps(plan: SetPlan, dice: random.Random, eye: Sequence[float]) -> list[Any]:
    """Lights of a town far away, just above the ground's edge: soft discs, as a lens makes of them."""
    colours = (
        (1.0, 0.62, 0.28),
        (1.0, 0.8, 0.5),
        (0.9, 0.9, 1.0),
        (1.0, 0.25, 0.15),
        (0.3, 0.55, 1.0),
        (0.35, 1.0, 0.6),
    )
    typical = dice.uniform(0.1, 0.32)
    lamps = []
    for colour in dice.sample(colours, 3):
        points: list[tuple[float, float, float]] = []
        faces: list[tuple[int, ...]] = []
        for _ in range(dice.randrange(10, 28)):
            x, y = dice.uniform(-8, 8), dice.uniform(9, 14)
            sinks = math.radians(plan.horizon_drop_deg + 5 - 20 * dice.random() ** 1.4)
            z = eye[2] - (y - eye[1]) * math.tan(sinks)
            size, start = typical * dice.uniform(0.6, 1.3), len(points)
            points += [
                (x + size * math.cos(math.tau * k / 24), y, z + size * math.sin(math.tau * k / 24)) for k in range(24)
            ]
            faces.append(tuple(range(start, start + 24)))
        lamps.append(_object("lamp", points, faces, _glow(colour, dice.uniform(0.5, 2.2), dice.uniform(0.25, 0.7))))
        lamps[-1].pass_index = develop.SHINES
    return lamps


def _glow(colour: tuple[float, float, float], strength: float, cover: float) -> Any:
    """Light of one colour, half transparent."""
    g = Graph("lamp")
    glow = g.add("ShaderNodeEmission", Color=colour, Strength=strength)
    chooser = g.add("ShaderNodeMixShader", Fac=cover)
    g.tree.links.new(g.add("ShaderNodeBsdfTransparent").outputs[0], chooser.inputs[1])
    g.tree.links.new(glow.outputs[0], chooser.inputs[2])
    g.finish(chooser.outputs[0])
    return g.material
