"""The profile polygons of product families, in (s, y), and what else a family says of its products."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
