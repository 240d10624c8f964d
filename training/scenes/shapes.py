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

from training.scenes.profiles import profile

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
