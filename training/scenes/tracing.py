"""Sphere tracing of many products at once: flat lists of rays, each with the index of its product."""

from __future__ import annotations

import torch

from training.scenes.shapes import CELLS, S0, S1, Y0, Y1, Shapes

T = torch.Tensor


def to_own(shapes: Shapes, which: T, points: T) -> T:
    """World points (R, 3) in the product's own frame."""
    place, yaw, size = shapes.place[which], shapes.yaw[which], shapes.size[which]
    x, z = points[:, 0] - place[:, 0], points[:, 2] - place[:, 1]
    c, s = torch.cos(yaw), torch.sin(yaw)
    return torch.stack([c * x - s * z, points[:, 1], s * x + c * z], 1) / size[:, None]


def turn(shapes: Shapes, which: T, directions: T) -> T:
    """World directions (R, 3) in the product's own frame."""
    c, s = torch.cos(shapes.yaw[which]), torch.sin(shapes.yaw[which])
    x, z = directions[:, 0], directions[:, 2]
    return torch.stack([c * x - s * z, directions[:, 1], s * x + c * z], 1)


def across(shapes: Shapes, which: T, p: T) -> T:
    """s: how far own-frame points (R, 3) lie from the medial axis of the core."""
    core = shapes.core[which]
    qx, qz = p[:, 0].abs() - core[:, 0], p[:, 2].abs() - core[:, 1]
    outside = torch.sqrt(qx.clamp_min(0) ** 2 + qz.clamp_min(0) ** 2)
    return outside + torch.maximum(qx, qz).clamp_max(0) + shapes.shift[which]


def distance(shapes: Shapes, which: T, p: T) -> T:
    """Signed distance of own-frame points (R, 3), own units."""
    s, y = across(shapes, which, p), p[:, 1]
    fs, fy = (s - S0) / (S1 - S0) * (CELLS - 1), (y - Y0) / (Y1 - Y0) * (CELLS - 1)
    cs, cy = fs.clamp(0, CELLS - 1.001), fy.clamp(0, CELLS - 1.001)
    i, j = cy.long(), cs.long()
    a, b = cy - i, cs - j
    at = (which * CELLS + i) * CELLS + j
    flat = shapes.table.reshape(-1)
    low = flat[at] * (1 - b) + flat[at + 1] * b
    high = flat[at + CELLS] * (1 - b) + flat[at + CELLS + 1] * b
    beyond = torch.maximum((fs - cs).abs(), (fy - cy).abs()) * ((S1 - S0) / CELLS)
    d = low * (1 - a) + high * a + beyond
    handle = shapes.handle[which]
    ring = torch.sqrt((p[:, 0] - handle[:, 0]) ** 2 + (p[:, 1] - handle[:, 1]) ** 2) - handle[:, 2]
    wire = torch.sqrt(ring**2 + p[:, 2] ** 2) - handle[:, 3]
    # The ring's inner half would stick through the wall of the cup.
    wire = torch.where(
        (handle[:, 3] > 0) & (p[:, 0] > handle[:, 0] - handle[:, 2] * 0.6), wire, torch.full_like(wire, 9.0)
    )
    return torch.minimum(d, wire)


def trace(shapes: Shapes, which: T, origin: T, direction: T, steps: int = 44) -> tuple[T, T]:
    """March own-frame rays (R, 3). Returns hit (R, bool) and t (R), own units."""
    extent = shapes.extent[which]
    low = torch.stack([-extent[:, 0], torch.full_like(extent[:, 0], 0.0), -extent[:, 0]], 1)
    high = torch.stack([extent[:, 0], extent[:, 1], extent[:, 0]], 1)
    inverse = 1 / torch.where(direction.abs() < 1e-6, torch.full_like(direction, 1e-6), direction)
    t0, t1 = (low - origin) * inverse, (high - origin) * inverse
    enter, leave = torch.minimum(t0, t1).amax(1).clamp_min(0), torch.maximum(t0, t1).amin(1)
    hit = torch.zeros(len(which), dtype=torch.bool, device=which.device)
    t = enter.clone()
    live = torch.nonzero(leave > enter)[:, 0]
    for _ in range(0, steps, 4):
        if len(live) == 0:
            break
        w, o, d, at = which[live], origin[live], direction[live], t[live]
        near = torch.full_like(at, 1.0)
        for _ in range(4):
            near = distance(shapes, w, o + d * at[:, None])
            at = at + 0.9 * near
        t[live] = at
        touched = near < 0.006
        hit[live[touched]] = True
        live = live[~touched & (at < leave[live])]
    return hit, t


def normal(shapes: Shapes, which: T, p: T, eps: float = 0.008) -> T:
    """Unit normals of own-frame surface points (R, 3)."""
    k = torch.tensor([[1.0, -1, -1], [-1, -1, 1], [-1, 1, -1], [1, 1, 1]], device=p.device)
    n = sum(k[i] * distance(shapes, which, p + eps * k[i])[:, None] for i in range(4))
    return n / n.norm(dim=1, keepdim=True).clamp_min(1e-6)


def shadow(shapes: Shapes, which: T, origin: T, direction: T, hardness: T, steps: int = 14) -> T:
    """How much light reaches own-frame points (R, 3): 0 dark, 1 lit. hardness (R): 4 soft, 30 hard."""
    light = torch.ones(len(which), device=origin.device)
    t = torch.full_like(light, 0.03)
    for _ in range(steps):
        d = distance(shapes, which, origin + direction * t[:, None])
        light = torch.minimum(light, 0.5 + 0.5 * hardness * d / t)
        t = t + d.clamp(0.025, 0.25)
    light = light.clamp(0, 1)
    return light * light * (3 - 2 * light)
