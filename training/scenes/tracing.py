"""Sphere tracing of one product, with flat lists of rays or points in the product's own frame."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from training.scenes.shapes import CELLS, S0, S1, Y0, Y1, Product

T = torch.Tensor


def to_own(product: Product, points: T) -> T:
    """Convert world points (R, 3) to the product's own frame."""
    x0, z0 = product.place
    return turn(product, points - torch.tensor((x0, 0.0, z0), device=points.device)) / product.size


def turn(product: Product, directions: T) -> T:
    """Convert world directions (R, 3) to the product's own frame."""
    c, s = math.cos(product.yaw), math.sin(product.yaw)
    x, y, z = directions.unbind(1)
    return torch.stack([c * x - s * z, y, s * x + c * z], 1)


def turn_back(product: Product, directions: T) -> T:
    """Convert own-frame directions (R, 3) to the world frame."""
    c, s = math.cos(product.yaw), math.sin(product.yaw)
    x, y, z = directions.unbind(1)
    return torch.stack([c * x + s * z, y, c * z - s * x], 1)


def across(product: Product, p: T) -> T:
    """The distance s of own-frame points (R, 3) from the medial axis of the core."""
    core_x, core_z = product.core
    if core_x == core_z == 0.0:
        return torch.hypot(p[:, 0], p[:, 2])
    qx, qz = p[:, 0].abs() - core_x, p[:, 2].abs() - core_z
    return torch.hypot(qx.clamp_min(0), qz.clamp_min(0)) + torch.maximum(qx, qz).clamp_max(0) + product.shift


def distance(product: Product, p: T) -> T:
    """The signed distance of own-frame points (R, 3) to the surface, in own units."""
    high = p[:, 1]
    if product.taper:
        along = (p[:, 0] / product.core[0] * 0.5 + 0.35).clamp(0, 1)
        high = high / (1 - product.taper * along * along * (3 - 2 * along))
    fs = (across(product, p) - S0) * (2 / (S1 - S0)) - 1
    fy = (high - Y0) * (2 / (Y1 - Y0)) - 1
    grid = torch.stack([fs, fy], 1)
    inside = F.grid_sample(product.table, grid[None, None], padding_mode="border", align_corners=True).reshape(-1)
    beyond = (grid.abs().amax(1) - 1).clamp_min(0) * ((S1 - S0) / CELLS * (CELLS - 1) / 2)
    d = (inside + beyond) * (1 - product.taper)  # in squeezed space the gradient is steeper
    x, y, ring, wire, from_x, squeeze = product.handle
    if wire <= 0:
        return d
    loop = torch.hypot(torch.hypot(p[:, 0] - x, p[:, 1] - y) - ring, p[:, 2] * squeeze) - wire
    return torch.where(p[:, 0] > from_x, torch.minimum(d, loop), d)


def trace(product: Product, origin: T, direction: T, steps: int = 44) -> tuple[T, T]:
    """March own-frame rays with origin (3) and direction (R, 3).

    Returns the indices of the rays that hit (K), and their t (K) in own units.
    """
    half, height = product.extent
    low = torch.tensor((-half, 0.0, -half), device=direction.device)
    high = torch.tensor((half, height, half), device=direction.device)
    inverse = 1 / torch.where(direction.abs() < 1e-6, torch.full_like(direction, 1e-6), direction)
    t0, t1 = (low - origin) * inverse, (high - origin) * inverse
    enter, leave = torch.minimum(t0, t1).amax(1).clamp_min(0), torch.maximum(t0, t1).amin(1)
    live = torch.nonzero(leave > enter)[:, 0]
    at, end, way = enter[live], leave[live], direction[live]
    found, depths = [], []
    for _ in range(0, steps, 4):
        if len(live) == 0:
            break
        near = at
        for _ in range(4):
            near = distance(product, origin + way * at[:, None])
            at = at + 0.9 * near
        touched = near < 0.006
        found.append(live[touched])
        depths.append(at[touched])
        keep = ~touched & (at < end)
        live, at, end, way = live[keep], at[keep], end[keep], way[keep]
    if not found:
        return live, at
    return torch.cat(found), torch.cat(depths)


def normal(product: Product, p: T, eps: float = 0.014) -> T:
    """The unit normals at own-frame surface points (R, 3), by finite differences of `eps`."""
    k = torch.tensor([[1.0, -1, -1], [-1, -1, 1], [-1, 1, -1], [1, 1, 1]], device=p.device)
    d = distance(product, (p[None] + eps * k[:, None]).reshape(-1, 3)).reshape(4, -1)
    return F.normalize((k[:, None] * d[:, :, None]).sum(0), dim=1, eps=1e-6)


def shadow(product: Product, origin: T, direction: T, hardness: float, steps: int = 14) -> T:
    """The share of light that reaches own-frame points (R, 3) from `direction` (3): 0 dark, 1 lit.

    `hardness` is about 4 for soft and 30 for hard shadows.
    """
    light = torch.ones(len(origin), device=origin.device)
    t = torch.full_like(light, 0.03)
    for _ in range(steps):
        d = distance(product, origin + direction * t[:, None])
        light = torch.minimum(light, 0.5 + 0.5 * hardness * d / t)
        t = t + d.clamp(0.025, 0.25)
    light = light.clamp(0, 1)
    return light * light * (3 - 2 * light)
