"""Product shapes: a profile polygon in (s, y) that is swept around a rounded-rectangle core.

A round bottle has no core; a box is a thin profile around a wide core. Each product has a table of signed distances to
its profile, with which all shapes are traced by the same code. A product stands on y = 0, and its largest extent is
about 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import cv2
import numpy as np
import torch

S0, S1, Y0, Y1, CELLS = -0.12, 1.08, -0.12, 1.18, 112  # range of the table, and its cells per side
MAX_POINTS = 40
INK_ROWS, INK_COLUMNS = 40, 80
BRANDS = (
    "NORD",
    "LUNA",
    "OLEA",
    "TERRA",
    "MIRO",
    "SOLE",
    "AQUA",
    "FERN",
    "KAFFE",
    "HONEY",
    "ROSA",
    "ALBA",
    "VERDE",
    "PURE",
    "MINT",
    "CACAO",
    "SALT",
    "AMBER",
    "IRIS",
    "POLAR",
)
KINDS = ("500 ml", "250 g", "No. 5", "CREAM", "BALM", "TEA", "OIL", "SOAP", "WATER", "12 pcs", "SINCE 1987", "ORGANIC")
METALS = (
    (0.90, 0.91, 0.93),
    (0.95, 0.78, 0.45),
    (0.94, 0.66, 0.53),
    (0.34, 0.35, 0.38),
)  # steel, gold, copper, gunmetal


@dataclass
class Shapes:
    """The shapes of N products. Every tensor is float32, with N as the first dimension."""

    table: torch.Tensor  # N, CELLS, CELLS: signed distance at (y, s)
    core: torch.Tensor  # N, 2: half width in x and z of the core
    shift: torch.Tensor  # N: s = distance from the core + shift
    yaw: torch.Tensor  # N, radians
    size: torch.Tensor  # N: scale
    place: torch.Tensor  # N, 2: x, z on the floor
    handle: torch.Tensor  # N, 6: x, y, ring radius, wire radius (0 = none), drawn right of this x, squeezed in z by
    extent: torch.Tensor  # N, 2: half width, height, in own units
    zones: torch.Tensor  # N, 4: cap above y, saucer below y, interior within s, interior above y
    label: torch.Tensor  # N, 4: y low, y high, half angle or half width, kind (0 none, 1 wrap, 2 patch)
    colours: torch.Tensor  # N, 5, 3: body, cap, label, ink, interior
    finish: torch.Tensor  # N, 5: gloss 0..1, sharpness, glass 0..1, metal 0..1, translucency 0..1
    taper: torch.Tensor  # N, 0..1: how much lower the right end is than the left
    glyphs: torch.Tensor  # N, INK_ROWS, INK_COLUMNS: 0..1, ink on the label
    texts: list[str]  # the text of each label; "" without a label

    def one(self, index: int, device: torch.device | str) -> Product:
        """One product of the batch, with its tensors on `device` and its numbers as Python numbers."""
        numbers = {
            name: tuple(getattr(self, name)[index].tolist())
            for name in ("core", "place", "handle", "extent", "zones", "label", "finish")
        }
        return Product(
            table=self.table[index][None, None].to(device),
            shift=float(self.shift[index]),
            yaw=float(self.yaw[index]),
            size=float(self.size[index]),
            taper=float(self.taper[index]),
            colours=self.colours[index].to(device),
            glyphs=self.glyphs[index].to(device),
            **numbers,
        )


@dataclass
class Product:
    """One product of `Shapes`, with the same fields without the dimension N."""

    table: torch.Tensor  # 1, 1, CELLS, CELLS
    core: tuple[float, float]
    shift: float
    yaw: float
    size: float
    place: tuple[float, float]
    handle: tuple[float, float, float, float, float, float]
    extent: tuple[float, float]
    zones: tuple[float, float, float, float]
    label: tuple[float, float, float, float]
    colours: torch.Tensor
    finish: tuple[float, float, float, float, float]
    taper: float
    glyphs: torch.Tensor


def _curve(a: tuple[float, float], b: tuple[float, float], bulge: float, n: int = 9) -> list[tuple[float, float]]:
    """Points on a curve from a to b (exclusive) that bends sideways by `bulge`."""
    t = np.linspace(0, 1, n, endpoint=False)
    dx, dy = b[0] - a[0], b[1] - a[1]
    bend = bulge * np.sin(np.pi * t)
    return [(float(a[0] + dx * u - dy * w), float(a[1] + dy * u + dx * w)) for u, w in zip(t, bend, strict=True)]


@dataclass(frozen=True)
class Traits:
    """The properties of a product besides its profile, in the profile's units.

    A height of 9 or -1 lies outside the product. The columns are those of `Shapes`.
    """

    cap_y: float = 9.0
    label: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    core: tuple[float, float] = (0.0, 0.0)
    handle: tuple[float, float, float, float, float, float] = (0.0, 0.5, 0.1, 0.0, 0.0, 1.0)
    tube_cap: float = -1.0  # the cap of a tube lies below this y
    saucer_y: float = -1.0
    interior: tuple[float, float] = (-1.0, 9.0)
    taper: float = 0.0


def profile(family: str, rng: np.random.Generator) -> tuple[list[tuple[float, float]], Traits]:
    """A random profile polygon of a family, from the axis at the bottom to the axis at the top, and its traits."""

    def u(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    r = u(0.17, 0.26)
    traits = Traits()
    if family in ("bottle", "glass"):
        r, neck, shoulder, cap = u(0.15, 0.22), u(0.05, 0.085), u(0.55, 0.72), u(0.84, 0.9)
        points = [
            (0, 0),
            (r * 0.95, 0),
            (r, 0.02),
            *_curve((r, shoulder), (neck, shoulder + u(0.06, 0.14)), u(0.05, 0.3)),
            (neck, cap),
            (neck * u(1.05, 1.35), cap),
            (neck * 1.2, 1.0),
            (0, 1.0),
        ]
        traits = Traits(cap_y=cap, label=(0.14, shoulder - 0.08, u(0.8, 1.6), int(rng.integers(0, 3))))
    elif family == "jar":
        r, h = u(0.27, 0.38), u(0.55, 0.75)
        cap = h * u(0.72, 0.8)
        points = [
            (0, 0),
            (r * 0.93, 0),
            (r, 0.03),
            (r, cap - 0.05),
            (r * 0.92, cap - 0.01),
            (r * 0.92, cap),
            (r * 0.98, cap),
            (r * 0.98, h - 0.015),
            (r * 0.95, h),
            (0, h),
        ]
        traits = Traits(cap_y=cap, label=(0.1, cap - 0.1, u(0.7, 1.6), int(rng.integers(0, 3))))
    elif family in ("mug", "cup", "bowl"):
        h = {"mug": u(0.6, 0.8), "cup": u(0.4, 0.5), "bowl": u(0.28, 0.4)}[family]
        top = {"mug": u(0.28, 0.36), "cup": u(0.28, 0.34), "bowl": u(0.45, 0.55)}[family]
        low = top * {"mug": u(0.85, 1.0), "cup": u(0.5, 0.65), "bowl": u(0.3, 0.5)}[family]
        base, wall, fill = (0.05 if family == "cup" else 0.0), 0.035, u(0.12, 0.3) * h
        bulge = 0.0 if family == "mug" else -u(0.1, 0.25)
        saucer = (
            [(0, 0), (0.3, 0), (0.5, 0.045), (0.52, 0.065), (0.3, 0.045), (low, 0.045)] if family == "cup" else [(0, 0)]
        )
        outer = [*saucer, *_curve((low, base), (top, base + h), bulge)]
        inner_y = base + h - fill
        points = [
            *outer,
            (top, base + h),
            (top - wall, base + h),
            (max(top - wall - fill * 0.25 * (family != "mug"), 0.1), inner_y),
            (0, inner_y),
        ]
        handle, label = traits.handle, traits.label
        if family == "mug" or (family == "cup" and rng.random() < 0.8):
            ring = h * u(0.22, 0.3)
            x = (low + top) / 2 + ring * 0.55
            # Only the outer part of the ring is drawn, because its inner half would intersect the wall of the cup.
            handle = (x, base + h * 0.52, ring, u(0.03, 0.045), x - ring * 0.6, 1.0)
        if family == "mug" and rng.random() < 0.5:
            label = (0.18, h - 0.16, u(0.4, 0.8), 2)
        traits = Traits(
            label=label,
            handle=handle,
            saucer_y=0.07 if family == "cup" else -1.0,
            interior=(top - wall * 0.6, inner_y - 0.03),
        )
    elif family == "can":
        r, h = u(0.2, 0.3), u(0.7, 0.95)
        points = [
            (0, 0),
            (r * 0.85, 0),
            (r, 0.05),
            (r, h - 0.06),
            (r * 0.88, h),
            (r * 0.82, h),
            (r * 0.8, h - 0.03),
            (0, h - 0.03),
        ]
        traits = Traits(cap_y=h - 0.045, label=(0.1, h - 0.12, 3.2, 1))
    elif family == "tube":
        r = u(0.14, 0.2)
        points = [(0, 0), (r * 0.7, 0), (r * 0.7, 0.16), (r, 0.19), (r, 0.95), (r * 0.98, 1.0), (0, 1.0)]
        traits = Traits(cap_y=-1.0, tube_cap=0.17, label=(0.32, 0.82, 0.9, int(rng.integers(1, 3))))
    elif family == "vase":
        h, belly, foot, lip = u(0.7, 1.0), u(0.25, 0.4), u(0.12, 0.2), u(0.06, 0.16)
        mid = h * u(0.35, 0.5)
        points = [
            (0, 0),
            *_curve((foot, 0), (belly, mid), -u(0.1, 0.3)),
            *_curve((belly, mid), (lip, h), -u(0.05, 0.2)),
            (lip, h),
            (0, h - 0.01),
        ]
    elif family == "soap":
        r, h = u(0.05, 0.11), u(0.18, 0.3)
        points = [(-1, 0), (0, 0), *_curve((r * 0.4, 0), (r * 0.4, h), -u(0.25, 0.5)), (0, h), (-1, h)]
        traits = Traits(core=(u(0.25, 0.4), u(0.14, 0.22)))
    elif family == "perfume":
        h, cap, neck = u(0.5, 0.75), u(0.14, 0.25), u(-0.03, 0.0)
        r = u(0.03, 0.06)
        points = [
            (-1, 0),
            (r * 0.7, 0),
            (r, 0.03),
            (r, h - 0.03),
            (r * 0.6, h),
            (-0.06 + neck, h),
            (-0.06 + neck, h + cap),
            (-1, h + cap),
        ]
        traits = Traits(
            core=(u(0.16, 0.26), u(0.10, 0.13)),
            cap_y=h + 0.01,
            label=(0.1, h - 0.12, u(0.1, 0.16), int(rng.integers(0, 2)) * 2),
        )
    elif family == "lamp":
        foot, stem, low, wide, narrow = u(0.14, 0.22), u(0.015, 0.03), u(0.5, 0.62), u(0.26, 0.36), u(0.12, 0.22)
        points = [(0, 0), (foot, 0), (foot, 0.03), (stem, 0.06), (stem, low), (wide, low), (narrow, 1.0), (0, 1.0)]
        traits = Traits(cap_y=low - 0.01)
    elif family == "ball":
        r = u(0.25, 0.5)
        turn = np.linspace(-np.pi / 2, np.pi / 2, 24)
        points = [(r * float(np.cos(t)), r + r * float(np.sin(t))) for t in turn]
    elif family == "bag":
        h, r = u(0.45, 0.65), 0.03
        wide, deep = u(0.26, 0.36), u(0.08, 0.14)
        points = [(-1, 0), (r, 0), (r * 1.4, 0.04), (r * 0.4, h), (-1, h)]
        traits = Traits(
            core=(wide, deep),
            handle=(0.0, h, wide * u(0.45, 0.65), u(0.014, 0.022), -9.0, 1.0),
            label=(h * 0.3, h * 0.7, u(0.08, 0.2), int(rng.integers(0, 2)) * 2),
        )
    elif family == "watch":
        ring, r, thick = u(0.30, 0.38), u(0.17, 0.24), u(0.05, 0.09)
        top = 2 * ring + 0.03
        points = [(0, top - 0.02), (r, top - 0.02), (r, top + thick - 0.02), (r - 0.03, top + thick), (0, top + thick)]
        traits = Traits(handle=(0.0, ring + 0.03, ring, 0.03, -9.0, 0.32), interior=(r - 0.045, top + thick - 0.02))
    elif family == "shoe":
        h, r = u(0.34, 0.46), u(0.12, 0.16)
        points = [
            (-1, 0),
            (r * 0.95, 0),
            (r, 0.02),
            (r, 0.07),
            (r * 0.9, 0.09),
            *_curve((r * 0.95, 0.1), (r * 0.5, h), -u(0.02, 0.12)),
            (-1, h),
        ]
        traits = Traits(
            core=(u(0.28, 0.36), 0.001),
            taper=u(0.5, 0.65),
            saucer_y=0.085,
            interior=(r * 0.42, h * 0.8),
        )
    else:  # box
        h, r = u(0.45, 1.0), 0.015
        points = [(-1, 0), (r, 0), (r, h), (-1, h)]
        traits = Traits(
            core=(u(0.16, 0.42), u(0.1, 0.3)),
            label=(h * 0.2, h * u(0.6, 0.9), u(0.1, 0.3), int(rng.integers(0, 3))),
        )
    return points, traits


def distance_table(points: torch.Tensor) -> torch.Tensor:
    """The signed distance to closed polygons (N, MAX_POINTS, 2), on a grid (N, CELLS, CELLS) at (y, s)."""
    s = torch.linspace(S0, S1, CELLS, device=points.device)
    y = torch.linspace(Y0, Y1, CELLS, device=points.device)
    ps, py = s[None, :].expand(CELLS, CELLS), y[:, None].expand(CELLS, CELLS)
    best = torch.full((len(points), CELLS, CELLS), 1e9, device=points.device)
    inside = torch.zeros_like(best, dtype=torch.bool)
    for k in range(MAX_POINTS):
        a, b = points[:, k, :, None, None], points[:, (k + 1) % MAX_POINTS, :, None, None]
        ex, ey = b[:, 0] - a[:, 0], b[:, 1] - a[:, 1]
        wx, wy = ps - a[:, 0], py - a[:, 1]
        t = ((wx * ex + wy * ey) / (ex * ex + ey * ey).clamp_min(1e-9)).clamp(0, 1)
        dx, dy = wx - ex * t, wy - ey * t
        best = torch.minimum(best, dx * dx + dy * dy)
        crosses = (a[:, 1] > py) != (b[:, 1] > py)
        at = a[:, 0] + ex * (py - a[:, 1]) / torch.where(ey.abs() < 1e-9, torch.full_like(ey, 1e-9), ey)
        inside ^= crosses & (ps < at)
    return torch.where(inside, -1.0, 1.0) * best.sqrt()


def _colour(rng: np.random.Generator) -> np.ndarray:
    """A random packaging colour: often white, black or muted, sometimes saturated."""
    kind = rng.random()
    if kind < 0.22:
        return np.full(3, rng.uniform(0.82, 0.97)) * rng.uniform(0.96, 1.0, 3)
    if kind < 0.34:
        return np.full(3, rng.uniform(0.04, 0.16)) * rng.uniform(0.8, 1.2, 3)
    hue, saturation, value = rng.random(), rng.uniform(0.15, 0.85), rng.uniform(0.25, 0.95)
    k = (np.array([5.0, 3.0, 1.0]) + hue * 6) % 6
    return value - value * saturation * np.clip(np.minimum(k, 4 - k), 0, 1)


def _ink(rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """A random print of a label, float32 INK_ROWS x INK_COLUMNS in 0..1, and its text.

    It has a brand name and a line below it, sometimes with a dot above or a bar at the bottom.
    """
    ink = np.zeros((INK_ROWS, INK_COLUMNS), np.uint8)
    brand, kind = str(rng.choice(BRANDS)), str(rng.choice(KINDS))
    high = int(rng.integers(10, 15))
    line = 20 + int(rng.integers(-4, 5))
    for text, tall, bottom, thick in ((brand, high, line, 2), (kind, 6, line + int(rng.integers(9, 14)), 1)):
        scale = tall / 22
        wide = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, scale, thick)[0][0]
        scale *= min(1.0, (INK_COLUMNS - 6) / wide)
        wide = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, scale, thick)[0][0]
        at = ((INK_COLUMNS - wide) // 2, bottom)
        cv2.putText(ink, text, at, cv2.FONT_HERSHEY_DUPLEX, scale, 255, thick, cv2.LINE_AA)
    if rng.random() < 0.4:
        cv2.circle(ink, (INK_COLUMNS // 2, 4), 3, 255, int(rng.choice([-1, 1])), cv2.LINE_AA)
    if rng.random() < 0.5:
        ink[-2:] = 255
    return ink.astype(np.float32) / 255, f"{brand} {kind}"


def _finish(material: str, rng: np.random.Generator) -> tuple[float, float, float, float, float]:
    """Random gloss, sharpness, glass, metal and translucency of a material of `words.MATERIALS`."""
    glossy = material in ("gloss", "glass", "metal")
    return (
        rng.uniform(0.35, 0.8) if glossy else rng.uniform(0.0, 0.2),
        rng.uniform(25, 90),
        0.55 if material == "glass" else 0.0,
        rng.uniform(0.75, 1.0) if material == "metal" else 0.0,
        rng.uniform(0.6, 1.0) if material == "translucent" else 0.0,
    )


def sample_shapes(families: Sequence[str], materials: Sequence[str], rng: np.random.Generator) -> Shapes:
    """A random product for each pair of family and material."""
    rows: dict[str, list[object]] = {f.name: [] for f in fields(Shapes)}
    texts = []
    polygons = []
    for family, material in zip(families, materials, strict=True):
        points, traits = profile(family, rng)
        core = np.array(traits.core, dtype=np.float32)
        shift = float(core.min())
        # In a profile around a core, s = -1 stands for the medial axis of the core.
        polygon = np.array([(0.0 if s <= -1 else s + shift, y) for s, y in points], dtype=np.float32)
        # The left edge lies outside the table, so that the axis is not a surface.
        polygon[0, 0] = polygon[-1, 0] = S0 - 1.0
        polygons.append(np.concatenate([polygon, np.repeat(polygon[-1:], MAX_POINTS - len(polygon), 0)]))
        handle = traits.handle
        reach = float(polygon[:, 0].max()) - shift
        half = max(float(core.max()) + reach, handle[0] + handle[2] + handle[3] if handle[3] else 0.0)
        rows["core"].append(core)
        rows["shift"].append(shift)
        wide = core.max() > 0
        rows["yaw"].append(
            rng.uniform(-0.75, 0.75) if wide else rng.uniform(-0.9, 0.9) + (np.pi if rng.random() < 0.4 else 0.0)
        )
        rows["size"].append(1.0)
        rows["place"].append((0.0, 0.0))
        rows["handle"].append(handle)
        top = max(float(polygon[:, 1].max()), handle[1] + handle[2] + handle[3] if handle[3] else 0.0)
        rows["extent"].append((half * (1.42 if wide else 1.02), top + 0.01))
        cap_y = traits.cap_y if traits.tube_cap < 0 else 9.0
        rows["zones"].append((cap_y, max(traits.saucer_y, traits.tube_cap), *traits.interior))
        labelled = traits.label[3] > 0 and rng.random() < 0.85
        rows["label"].append(traits.label if labelled else (0, 0, 0, 0))
        rows["taper"].append(traits.taper)
        body, cap, label, ink, interior = (_colour(rng) for _ in range(5))
        if rng.random() < 0.3 or family in ("mug", "cup", "bowl"):
            cap = body
        if family in ("mug", "cup") and rng.random() < 0.6:
            interior = np.array([0.24, 0.13, 0.07]) if rng.random() < 0.7 else np.array([0.72, 0.5, 0.25])
        if material == "metal":
            body = np.array(METALS[int(rng.integers(len(METALS)))])
            cap = body if rng.random() < 0.7 else cap
        rows["colours"].append(np.stack([body, cap, label, ink, interior]).clip(0.02, 0.98))
        rows["finish"].append(_finish(material, rng))
        glyphs, text = _ink(rng)
        rows["glyphs"].append(glyphs)
        texts.append(text if labelled else "")
    tensors = {k: torch.tensor(np.asarray(v, dtype=np.float32)) for k, v in rows.items() if k not in ("table", "texts")}
    return Shapes(table=distance_table(torch.tensor(np.asarray(polygons))), texts=texts, **tensors)
