"""The shading of a product's surface under one lamp, a sky, and reflections of its surroundings."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from training.scenes import tracing
from training.scenes.shapes import Product

T = torch.Tensor


@dataclass
class Light:
    """The light of a scene.

    `key` is the unit vector (3) towards the lamp in the world frame, and `tint` the RGB (3) of its light. `ambient` is
    the strength of the sky's light.
    """

    key: T
    tint: T
    ambient: float
    soft: bool


@dataclass
class Around:
    """The mean RGB (3) of floor and wall, which metal and translucent products reflect or transmit."""

    floor: T
    wall: T


def shade(product: Product, p: T, view: T, light: Light, around: Around) -> tuple[T, T]:
    """Shade surface points of a product. Points and normals are in the product's own frame.

    p, view: (R, 3). Returns RGB (R, 3) and unit normals (R, 3).
    """
    n = tracing.normal(product, p)
    key = tracing.turn(product, light.key[None])[0]
    colour, inside = _paint(product, p, n)
    gloss, sharpness, _, metal, translucency = product.finish
    wrap = 0.45 if light.soft else 0.08
    facing = n @ key
    diffuse = ((facing + wrap) / (1 + wrap)).clamp_min(0)
    sky = 0.5 + 0.5 * n[:, 1]
    near_floor = (0.55 + 0.45 * (p[:, 1] / 0.22)).clamp(0.55, 1)
    dim = light.ambient * (0.55 + 0.45 * sky) * near_floor
    lit = colour * (dim[:, None] + (0.80 * diffuse)[:, None] * light.tint)
    reflected = view - 2 * (view * n).sum(1, keepdim=True) * n
    toward = (reflected @ key).clamp_min(0)
    if translucency:
        # Light scatters inside: the dark side glows, and light from the floor is transmitted from below.
        glow = colour * (light.ambient + 0.45 + 0.35 * facing.clamp(-0.5, 1))[:, None] * (0.4 + 0.6 * light.tint)
        through = around.floor * colour * (0.55 - 0.35 * sky)[:, None]
        lit = lit + (glow + through - lit) * translucency * 0.75
    if metal:
        lit = lit + (_mirror(product, colour, reflected, toward, light, around) * near_floor[:, None] - lit) * metal
    highlight = ((toward - 0.80) / 0.10).clamp(0, 1) * 0.55 if light.soft else toward**sharpness
    fresnel = 0.25 + 0.75 * (1 + (view * n).sum(1)).clamp(0, 1) ** 3
    lit = lit * torch.where(inside, 0.8, 1.0)[:, None]
    return lit + (gloss * (highlight * 0.8 + 0.18 * fresnel * sky * light.ambient))[:, None] * light.tint, n


def _paint(product: Product, p: T, n: T) -> tuple[T, T]:
    """The surface colour of points, RGB (R, 3), and whether each lies inside a cup (R, bool)."""
    s, y = tracing.across(product, p), p[:, 1]
    cap_y, saucer_y, inner_s, inner_y = product.zones
    body, cap, paper, ink, interior = product.colours
    colour = torch.where(((y > cap_y) | (y < saucer_y))[:, None], cap, body)
    inside = (s < inner_s) & (y > inner_y) & (n[:, 1] > 0.5)
    colour = torch.where(inside[:, None], interior, colour)
    low, high, half, kind = product.label
    if kind > 0:
        round_ = product.core[0] == 0
        u = (torch.atan2(p[:, 0], p[:, 2]) if round_ else p[:, 0]) / max(half, 1e-3)
        v = (y - low) / max(high - low, 1e-3)
        facing = n[:, 1].abs() < 0.6 if round_ else n[:, 2] > 0.7
        patch = (v > 0) & (v < 1) & facing
        printed = patch & (u.abs() < 1)
        colour = torch.where((patch if kind == 1 else printed)[:, None], paper, colour)
        rows, columns = product.glyphs.shape
        row = ((1 - v) * rows).long().clamp(0, rows - 1)
        column = ((u * 0.5 + 0.5) * columns).long().clamp(0, columns - 1)
        colour = colour + (ink - colour) * (product.glyphs[row, column] * printed)[:, None]
    return colour, inside


def _mirror(product: Product, colour: T, reflected: T, toward: T, light: Light, around: Around) -> T:
    """The reflections in brushed metal, RGB (R, 3): floor below, wall above, a bright band between, two softboxes."""
    up = reflected[:, 1]
    seen = around.floor + (around.wall - around.floor) * torch.sigmoid(up / 0.12)[:, None]
    turn = torch.atan2(reflected[:, 0], reflected[:, 2]) - product.yaw
    boxes = torch.exp(-(((torch.sin(turn * 1.5 + 0.6)) / 0.35) ** 2)) * torch.sigmoid((up + 0.15) / 0.1)
    dark = 0.45 + 0.55 * torch.sigmoid((torch.cos(turn * 2.0 - 0.8) + 0.2) / 0.25)
    bright = 0.95 * boxes + 0.5 * torch.exp(-(((up - 0.12) / 0.10) ** 2)) + 0.6 * toward**6
    return colour * (seen * dark[:, None] * (0.55 + light.ambient) + bright[:, None] * light.tint * 0.75)
