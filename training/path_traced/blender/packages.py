"""Packages made here, with printed labels: bottles, jars, tubes, boxes, cans, perfume and soap. Each part is a
material group."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import bpy

from training.path_traced.blender import looks
from training.path_traced.scene_plan import ProductPlan

Outline = Sequence[tuple[float, float]]
"""(radius, height) from bottom to top, radius in half widths, height 0..1."""
SEGMENTS = 64


class Parts:
    """Faces of several materials, joined into one mesh."""

    def __init__(self) -> None:
        self.points: list[tuple[float, float, float]] = []
        self.faces: list[tuple[int, ...]] = []
        self.uvs: list[tuple[tuple[float, float], ...]] = []
        self.slots: list[int] = []
        self.materials: list[Any] = []

    def material(self, material: Any) -> int:
        self.materials.append(material)
        return len(self.materials) - 1

    def face(
        self, slot: int, corners: Sequence[tuple[float, float, float]], uv: Sequence[tuple[float, float]] | None = None
    ) -> None:
        start = len(self.points)
        self.points += corners
        self.faces.append(tuple(range(start, start + len(corners))))
        self.uvs.append(tuple(uv or ((0.0, 0.0),) * len(corners)))
        self.slots.append(slot)

    def lathe(self, slot: int, outline: Outline, *, square: float = 2.0, flat: float = 1.0, arc: float = 1.0) -> None:
        """Turn an outline about z. square: exponent of the cross-section, 2 = round. flat: depth over width.

        arc: share of the turn, centred on the front; UV runs over it.
        """
        count = SEGMENTS if arc == 1 else max(8, int(SEGMENTS * arc))
        rings = []
        for radius, height in outline:
            ring = []
            for step in range(count + 1):
                angle = -math.pi / 2 + (step / count - 0.5) * math.tau * arc
                c, s = math.cos(angle), math.sin(angle)
                reach = radius / (abs(c) ** square + abs(s) ** square) ** (1 / square)
                ring.append((reach * c, reach * s * flat, height))
            rings.append(ring)
        start = len(self.points)
        for ring in rings:
            self.points += ring
        rise = [height for _, height in outline]
        low, span = min(rise), max(max(rise) - min(rise), 1e-6)
        for row in range(len(outline) - 1):
            for step in range(count):
                a = start + row * (count + 1) + step
                b = a + count + 1
                self.faces.append((a, a + 1, b + 1, b))
                u0, u1 = step / count, (step + 1) / count
                v0, v1 = (rise[row] - low) / span, (rise[row + 1] - low) / span
                self.uvs.append(((u0, v0), (u1, v0), (u1, v1), (u0, v1)))
                self.slots.append(slot)

    def build(self, name: str) -> Any:
        mesh = bpy.data.meshes.new(name)
        mesh.from_pydata(self.points, [], self.faces)
        layer = mesh.uv_layers.new(name="UVMap")
        flat = [value for face in self.uvs for corner in face for value in corner]
        layer.data.foreach_set("uv", flat)
        for material in self.materials:
            mesh.materials.append(material)
        mesh.polygons.foreach_set("material_index", self.slots)
        thing = bpy.data.objects.new(name, mesh)
        bpy.context.collection.objects.link(thing)
        _weld(mesh)
        return thing


def _weld(mesh: Any) -> None:
    import bmesh

    work = bmesh.new()
    work.from_mesh(mesh)
    bmesh.ops.remove_doubles(work, verts=work.verts, dist=1e-5)
    bmesh.ops.recalc_face_normals(work, faces=work.faces)
    work.to_mesh(mesh)
    work.free()
    mesh.shade_smooth()
    mesh.set_sharp_from_angle(angle=math.radians(38))


def rounded(outline: Outline, radius: float, steps: int = 5) -> list[tuple[float, float]]:
    """The outline with its inner corners cut into arcs."""
    points = [outline[0]]
    for before, here, after in zip(outline, outline[1:], outline[2:], strict=False):
        legs = [(p[0] - here[0], p[1] - here[1]) for p in (before, after)]
        lengths = [max(math.hypot(*leg), 1e-6) for leg in legs]
        cut = min(radius, *(0.45 * length for length in lengths))
        (ax, ay), (bx, by) = (
            (here[0] + x / n * cut, here[1] + y / n * cut) for (x, y), n in zip(legs, lengths, strict=True)
        )
        for step in range(steps + 1):
            t = step / steps
            u, v, w = (1 - t) ** 2, 2 * t * (1 - t), t**2
            points.append((u * ax + v * here[0] + w * bx, u * ay + v * here[1] + w * by))
    points.append(outline[-1])
    return points


def _body(parts: Parts, dice: random.Random, scale: float, *, clear: float) -> int:
    """The slot of a body's material; `clear`: chance of glass."""
    rgb = dice.choice(looks.PALETTE)
    if dice.random() < clear:
        tint = dice.choice(((0.95, 0.97, 0.96), (0.45, 0.20, 0.05), (0.10, 0.32, 0.16), (0.75, 0.86, 0.92)))
        return parts.material(looks.glass(tint, dice.choice((0.0, 0.03, 0.25))))
    return parts.material(
        looks.look(dice.choice(("plastic", "matte", "ceramic", "plastic", "painted")), rgb, dice, scale)
    )


def _cap(parts: Parts, dice: random.Random, scale: float) -> int:
    kind = dice.choice(("plastic", "matte", "metal", "brushed", "wood"))
    return parts.material(looks.look(kind, dice.choice(looks.PALETTE), dice, scale))


def _turned(plan: ProductPlan, kind: str, label: str, dice: random.Random, scale: float) -> Any:
    """Bottle, jar, can, tube and perfume: a body, a neck or a cap, a label around the straight part."""
    parts = Parts()
    square, flat = (
        (2.0, 1.0)
        if kind in ("jar", "can", "tube") or dice.random() < 0.6
        else (dice.uniform(3, 7), dice.uniform(0.6, 1.0))
    )
    low, top = (
        0.03,
        {
            "bottle": dice.uniform(0.5, 0.72),
            "jar": dice.uniform(0.62, 0.8),
            "can": 0.93,
            "tube": 0.8,
            "perfume": dice.uniform(0.55, 0.75),
        }[kind],
    )
    neck = {
        "bottle": dice.uniform(0.25, 0.5),
        "jar": 0.9,
        "can": 0.86,
        "tube": 0.75,
        "perfume": dice.uniform(0.2, 0.4),
    }[kind]
    metal = kind == "can"
    body = parts.material(looks.look("brushed", (0.8, 0.8, 0.8), dice, scale)) if metal else _body(
        parts, dice, scale, clear={"bottle": 0.35, "jar": 0.35, "tube": 0.0, "perfume": 0.7}[kind]
    )  # fmt: skip
    if kind == "tube":  # stands on its cap: a crimped end on top
        outline = rounded([(0.0, 0.14), (0.93, 0.14), (0.97, 0.18), (0.9, 0.6)], 0.03)
        parts.lathe(body, outline)
        _crimp(parts, body, 0.9, 0.6)
        parts.lathe(_cap(parts, dice, scale), rounded([(0.0, 0.0), (0.8, 0.0), (0.84, 0.14), (0.0, 0.14)], 0.02))
        low, top = 0.24, 0.55
    else:
        shoulder = top + dice.uniform(0.04, 0.16) * (1 - top) / 0.3
        outline = rounded(
            [(0.0, 0.0), (1.0, 0.0), (1.0, top), (neck, min(shoulder, 0.97)), (neck, 0.985), (0.0, 0.985)],
            dice.uniform(0.02, 0.08),
        )
        parts.lathe(body, outline, square=square, flat=flat)
        cap_low = min(shoulder, 0.97) + (0.01 if kind != "can" else 0.0)
        if kind == "can":
            parts.lathe(body, rounded([(0.86, 0.985), (0.9, 1.0), (0.8, 1.0), (0.78, 0.975), (0.0, 0.975)], 0.01))
        else:
            wide = 1.0 if kind == "jar" else min(neck * dice.uniform(1.05, 1.5), 1.0)
            cap_square = square if kind in ("perfume", "jar") else 2.0
            parts.lathe(
                _cap(parts, dice, scale),
                rounded([(0.0, cap_low), (wide, cap_low), (wide * 0.97, 1.0), (0.0, 1.0)], 0.02),
                square=cap_square,
                flat=flat,
            )
    if label:
        height = top - low
        wraps = dice.random() < 0.35 and square == 2.0 and kind != "tube"
        arc = 0.4 if square == 2.0 else 0.24
        a, b = (low + 0.04 * height, low + 0.94 * height) if kind != "tube" else (low, top)
        ends = (1.004, 1.004) if kind != "tube" else (0.97, 0.93)
        ring = [(ends[0], a), (ends[1], b)]
        if wraps and plan.label:
            parts.lathe(parts.material(looks.look("matte", plan.label.paper, dice, scale)), ring)
            ring = [(radius + 0.003, z) for radius, z in ring]
        roughness = dice.uniform(0.25, 0.6)
        parts.lathe(parts.material(looks.printed(label, roughness, dice)), ring, square=square, flat=flat, arc=arc)
    return parts.build(kind)


def _crimp(parts: Parts, slot: int, radius: float, height: float) -> None:
    """A tube's upper half: from a circle to a flat seam."""
    rows = 12
    for row in range(rows):
        bands = []
        for t in (row / rows, (row + 1) / rows):
            z, deep, wide = height + (1 - height) * t, radius * (1 - t) + 0.02, radius * (1 + 0.12 * t)
            bands.append(
                [
                    (wide * math.cos(k / SEGMENTS * math.tau), deep * math.sin(k / SEGMENTS * math.tau), z)
                    for k in range(SEGMENTS + 1)
                ]
            )
        for k in range(SEGMENTS):
            parts.face(slot, [bands[0][k], bands[0][k + 1], bands[1][k + 1], bands[1][k]])


def _box(plan: ProductPlan, label: str, dice: random.Random, scale: float) -> Any:
    """A carton: a printed front, plain sides. Coordinates are set to size afterwards."""
    parts = Parts()
    side = parts.material(
        looks.look("matte", plan.label.paper if plan.label else dice.choice(looks.PALETTE), dice, scale)
    )
    front = parts.material(looks.printed(label, dice.uniform(0.3, 0.6), dice)) if label else side
    x, y, z = 1.0, 1.0, 1.0
    uv = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    parts.face(front, [(-x, -y, 0), (x, -y, 0), (x, -y, z), (-x, -y, z)], uv)
    parts.face(side, [(x, -y, 0), (x, y, 0), (x, y, z), (x, -y, z)])
    parts.face(side, [(x, y, 0), (-x, y, 0), (-x, y, z), (x, y, z)])
    parts.face(side, [(-x, y, 0), (-x, -y, 0), (-x, -y, z), (-x, y, z)])
    parts.face(side, [(-x, -y, z), (x, -y, z), (x, y, z), (-x, y, z)])
    parts.face(side, [(-x, y, 0), (x, y, 0), (x, -y, 0), (-x, -y, 0)])
    return parts.build("box")


def _soap(plan: ProductPlan, label: str, dice: random.Random, scale: float) -> Any:
    """A pressed bar, with a paper band around it now and then."""
    parts = Parts()
    square = dice.uniform(3, 6)
    bar = parts.material(looks.look("matte", dice.choice(looks.PALETTE), dice, scale))
    parts.lathe(
        bar, rounded([(0.0, 0.0), (0.95, 0.0), (1.0, 0.5), (0.95, 1.0), (0.0, 1.0)], 0.25), square=square, flat=0.62
    )
    return parts.build("soap")


def make(plan: ProductPlan, label: str, scale: float) -> Any:
    """The package that `made/<kind>/<design>` names; shape and colours follow from the name. label: the printed
    picture, empty = none."""
    dice = random.Random(plan.object_id)
    kind = plan.object_id.split("/")[1]
    if kind == "box":
        return _box(plan, label, dice, scale)
    if kind == "soap":
        return _soap(plan, label, dice, scale)
    return _turned(plan, kind, label, dice, scale)
