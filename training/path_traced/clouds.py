"""The products as coloured points on their surfaces, for pictures that need no path tracer (`splat`).

A cloud is made once per catalogue object, from its OBJ, MTL and textures, and kept in the cache folder. The packages
that are made here (`made/<kind>/<design>`) are turned outlines; a point cloud of one takes milliseconds.
"""

from __future__ import annotations

import itertools
import math
import random
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training.path_traced.scene_plan import ProductPlan

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
POINTS = 80_000
Outline = list[tuple[float, float]]
"""(radius in half widths, height 0..1) from bottom to top."""


@dataclass(frozen=True)
class Cloud:
    """N points of a surface, even by area. `points` float32 (N, 3) fill the box -0.5..0.5, -0.5..0.5, 0..1 (z up).

    `normals` float32 (N, 3) have length 1, on either side of the surface. `colours` uint8 (N, 3) are sRGB. `parts`
    uint8 (N) number the material groups.
    """

    points: F32
    normals: F32
    colours: U8
    parts: U8


def cloud(plan: ProductPlan, catalogues: Path, cache: Path) -> Cloud:
    """The cloud of a planned product. `catalogues` holds the .sh3f files; `cache` keeps what was read of them."""
    if not plan.archive:
        return _made(plan)
    path = cache / f"{plan.object_id}.npz"
    if not path.exists():
        rotation = np.array(plan.rotation or np.eye(3).ravel(), np.float32).reshape(3, 3)
        found = _sampled(catalogues / plan.archive, plan.member, rotation, random.Random(plan.object_id))
        path.parent.mkdir(parents=True, exist_ok=True)
        packed = (found.points.astype(np.float16), (found.normals * 127).astype(np.int8), found.colours, found.parts)
        with path.open("wb") as file:
            np.savez(file, *packed)
    with np.load(path) as saved:
        points, normals, colours, parts = (saved[f"arr_{number}"] for number in range(4))
    return Cloud(points.astype(np.float32), normals.astype(np.float32) / 127, colours, parts)


def _in_box(points: F32, normals: F32) -> tuple[F32, F32]:
    """Points scaled into the box of a `Cloud`, and their normals after that."""
    low, high = points.min(0), points.max(0)
    span = np.maximum(high - low, 1e-6)
    middle = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]], np.float32)
    turned = normals * span
    return (points - middle) / span, turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-9)


# Catalogue objects


def _sampled(archive: Path, member: str, rotation: F32, dice: random.Random) -> Cloud:
    with zipfile.ZipFile(archive) as file:
        folder = member.rpartition("/")[0]
        lines = file.read(member).decode("latin-1").splitlines()
        materials = _materials(file, folder, lines)
        corners, uv, slots, names = _triangles(lines)
    corners = corners @ (np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float32) @ rotation).T  # OBJ's y is up
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(cross, axis=1).astype(np.float64) + 1e-12
    rng = np.random.default_rng(dice.randrange(2**32))
    chosen = rng.choice(len(area), POINTS, p=area / area.sum())
    a, b = np.sqrt(rng.random(POINTS)), rng.random(POINTS)
    weights = np.stack([1 - a, a * (1 - b), a * b], 1).astype(np.float32)
    points = np.einsum("nk,nkc->nc", weights, corners[chosen])
    normals = (cross[chosen] / area[chosen, None]).astype(np.float32)
    at = np.einsum("nk,nkc->nc", weights, uv[chosen])
    colours = np.full((POINTS, 3), 180, np.uint8)
    for slot, name in enumerate(names):
        mine = slots[chosen] == slot
        if mine.any() and name in materials:
            colour, picture = materials[name]
            colours[mine] = np.asarray(colour, np.uint8) if picture is None else _looked_up(picture, at[mine])
    points, normals = _in_box(points, normals)
    return Cloud(points, normals, colours, (slots[chosen] % 250 + 1).astype(np.uint8))


def _triangles(lines: list[str]) -> tuple[F32, F32, NDArray[np.int64], list[str]]:
    """Corners (T, 3, 3), texture coordinates (T, 3, 2), material numbers (T), and the materials' names."""
    points: list[list[float]] = []
    texture: list[list[float]] = [[0.0, 0.0]]
    faces: list[list[tuple[int, int]]] = []
    slots: list[int] = []
    names: dict[str, int] = {}
    slot = names.setdefault("", 0)
    for line in lines:
        head, _, rest = line.partition(" ")
        if head == "v":
            points.append([float(part) for part in rest.split()[:3]])
        elif head == "vt":
            texture.append([float(part) for part in rest.split()[:2]])
        elif head == "usemtl":
            slot = names.setdefault(rest.strip(), len(names))
        elif head == "f":
            corners = []
            for part in rest.split():
                v, _, others = part.partition("/")
                t = others.partition("/")[0]
                corners.append((_index(v, len(points)), _index(t, len(texture) - 1) + 1 if t else 0))
            for second, third in itertools.pairwise(corners[1:]):
                faces.append([corners[0], second, third])
                slots.append(slot)
    ids = np.array(faces, np.int64)
    return (
        np.array(points, np.float32)[ids[..., 0]],
        np.array(texture, np.float32)[ids[..., 1]],
        np.array(slots, np.int64),
        list(names),
    )


def _index(text: str, count: int) -> int:
    """A face's index from 0; a negative one counts back from the last."""
    number = int(text)
    return number - 1 if number > 0 else count + number


Material = tuple[tuple[int, int, int], U8 | None]


def _materials(file: zipfile.ZipFile, folder: str, lines: list[str]) -> dict[str, Material]:
    """The colour and the picture of each material. Files that the archive lacks are left out."""
    here = {name.lower(): name for name in file.namelist()}
    found: dict[str, Material] = {}
    for library in [line.partition(" ")[2].strip() for line in lines if line.startswith("mtllib")]:
        path = here.get(f"{folder}/{library}".lower())
        name = ""
        for line in file.read(path).decode("latin-1").splitlines() if path else ():
            head, _, rest = line.strip().partition(" ")
            if head == "newmtl":
                name = rest.strip()
                found[name] = ((180, 180, 180), None)
            elif head == "Kd" and name:
                red, green, blue = (min(max(float(part), 0.0), 1.0) for part in rest.split()[:3])
                found[name] = ((round(255 * red), round(255 * green), round(255 * blue)), found[name][1])
            elif head == "map_Kd" and name:
                picture = here.get(f"{folder}/{rest.split()[-1]}".lower().replace("\\", "/"))
                decoded = cv2.imdecode(np.frombuffer(file.read(picture), np.uint8), 1) if picture else None
                found[name] = (found[name][0], None if decoded is None else np.asarray(decoded[..., ::-1], np.uint8))
    return found


def _looked_up(picture: U8, at: F32) -> U8:
    height, width = picture.shape[:2]
    turned = np.nan_to_num(at) % 1.0
    x = np.minimum((turned[:, 0] * width).astype(int), width - 1)
    y = np.minimum(((1 - turned[:, 1]) * height).astype(int), height - 1)
    return np.asarray(picture[y, x])


# Packages made here

PALETTE = ((235, 235, 232), (40, 42, 46), (176, 58, 52), (48, 96, 150), (92, 130, 88), (214, 176, 92), (196, 148, 160),
           (120, 84, 60), (150, 190, 200), (236, 214, 190))  # fmt: skip


def _made(plan: ProductPlan) -> Cloud:
    """A package: body, cap and label. Shape and colours follow from the design, the label's print from the plan."""
    dice = random.Random(plan.object_id)
    rng = np.random.default_rng(dice.randrange(2**32))
    kind = plan.family if plan.family else plan.object_id.split("/")[1]
    body, cap = (np.array(dice.choice(PALETTE)) for _ in range(2))
    square = 2.0 if kind in ("jar", "can", "tube") or dice.random() < 0.6 else dice.uniform(3, 7)
    if kind in ("box", "soap"):
        square = 40.0 if kind == "box" else dice.uniform(3, 6)
    points, normals, rise = _turned(_outline(kind, dice), square, rng)
    top = {"bottle": 0.78, "jar": 0.72, "can": 0.95, "tube": 0.14, "perfume": 0.7}.get(kind, 1.1)
    capped = rise < top if kind == "tube" else rise > top
    colours = np.where(capped[:, None], cap, body).astype(np.uint8)
    parts = np.where(capped, 2, 1).astype(np.uint8)
    if plan.label:
        paper, ink = (np.array(rgb) * 255 for rgb in (plan.label.paper, plan.label.ink))
        low, high = (0.24, 0.6) if kind == "tube" else (0.08, min(top, 0.9) - 0.1)
        front = -0.45 if kind == "box" else 0.0
        on = (points[:, 1] < front) & (rise > low) & (rise < high) & ((np.abs(points[:, 0]) < 0.42) | (kind == "box"))
        rows, columns = (rise * 22).astype(int), ((points[:, 0] + 0.5) * 40).astype(int)
        text = (rows % 3 == 1) & (rng.random((64, 64))[rows % 64, columns % 64] < 0.6) & (np.abs(points[:, 0]) < 0.3)
        colours[on] = np.where(text[on, None], ink, paper).astype(np.uint8)
        parts[on] = 3
    return Cloud(points, normals, colours, parts)


def _outline(kind: str, dice: random.Random) -> Outline:
    top = {"bottle": dice.uniform(0.5, 0.72), "jar": dice.uniform(0.62, 0.8), "can": 0.93,
           "perfume": dice.uniform(0.55, 0.75)}.get(kind, 1.0)  # fmt: skip
    neck = {"bottle": dice.uniform(0.25, 0.5), "jar": 0.9, "can": 0.86, "perfume": dice.uniform(0.2, 0.4)}.get(kind, 1)
    if kind == "tube":
        return [(0, 0), (0.8, 0), (0.84, 0.14), (0.97, 0.15), (0.95, 0.6), (0.5, 1.0), (0, 1.0)]
    if kind in ("box", "soap"):
        return [(0, 0), (1, 0), (1, 1), (0, 1)] if kind == "box" else [(0, 0), (0.9, 0), (1, 0.5), (0.9, 1), (0, 1)]
    shoulder = min(top + dice.uniform(0.04, 0.16) * (1 - top) / 0.3, 0.97)
    wide = 1.0 if kind in ("jar", "can") else min(neck * dice.uniform(1.05, 1.5), 1.0)
    return [(0, 0), (1, 0), (1, top), (neck, shoulder), (wide, shoulder + 0.01), (wide * 0.97, 1.0), (0, 1.0)]


def _turned(outline: Outline, square: float, rng: np.random.Generator) -> tuple[F32, F32, F32]:
    """Points and normals of a turned outline, and the points' heights 0..1. square: exponent of the cross-section."""
    ends = np.array(outline, np.float64)
    start, step = ends[:-1], np.diff(ends, axis=0)
    weight = np.hypot(step[:, 0], step[:, 1] * 2) * (start[:, 0] + step[:, 0] / 2 + 1e-3)
    leg = rng.choice(len(weight), POINTS, p=weight / weight.sum())
    t, angle = rng.random(POINTS), rng.random(POINTS) * math.tau
    radius, rise = (start[leg, axis] + t * step[leg, axis] for axis in (0, 1))
    c, s = np.cos(angle), np.sin(angle)
    reach = 1 / (np.abs(c) ** square + np.abs(s) ** square) ** (1 / square)
    points = np.stack([radius * reach * c, radius * reach * s, rise], 1)
    out = np.stack([np.sign(c) * np.abs(c * reach) ** (square - 1), np.sign(s) * np.abs(s * reach) ** (square - 1)], 1)
    out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)
    normals = np.column_stack([out * step[leg, 1, None], -step[leg, 0]])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    boxed, turned = _in_box(points.astype(np.float32), normals.astype(np.float32))
    return boxed, turned, rise.astype(np.float32)
