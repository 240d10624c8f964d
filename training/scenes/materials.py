"""Surfaces and walls: colour as a function of where a ray lands. All tensors float32; RGB in 0..1, linear-ish display values."""

from __future__ import annotations

import torch

from training.scenes.noise import CLOUD, FINE, GRAIN, MID, dice, look

T = torch.Tensor


def _mix(a: T, b: T, amount: T) -> T:
    return a + (b - a) * amount[..., None]


def _rgb(like: T, *values: float) -> T:
    return torch.tensor(values, device=like.device, dtype=torch.float32)


def _step(low: float, high: float, x: T) -> T:
    x = ((x - low) / (high - low)).clamp(0, 1)
    return x * x * (3 - 2 * x)


def _wood(u: T, v: T, seed: T, light: T, dark: T) -> T:
    width = 0.62
    row = torch.floor(v / width)
    shift = dice(row, row * 0 + 3.0, seed)
    end = torch.floor((u + shift * 5) / 3.2)
    tone = dice(row, end, seed + 1)
    along, across = u * 0.05 + shift * 7 + tone, v * 0.30 + shift * 3
    rings = v * 5.5 + 2.6 * look(along, across, CLOUD) + tone * 5
    ring = 0.5 + 0.5 * torch.sin(rings * 6.2832)
    streak = look(along * 1.2, v * 1.9 + shift, MID)
    pore = look(u * 0.22 + shift, v * 2.6, FINE)
    amount = (0.42 * ring**1.5 + 0.17 * streak + 0.14 * pore + 0.38 * (tone - 0.35)).clamp(0, 1)
    colour = _mix(light, dark, amount)
    edge = torch.minimum((v / width) % 1.0, 1 - (v / width) % 1.0) * width
    return colour * (0.35 + 0.65 * _step(0.004, 0.022, edge))[..., None]


def _marble(u: T, v: T, seed: T) -> T:
    u, v = u * 0.8 + seed, v * 0.8 + seed * 0.7
    warp = 0.055 * look(u * 0.21, v * 0.21, CLOUD)
    bold = look(u * 0.15 + warp + 0.3, v * 0.15 - warp, CLOUD).abs()
    thin = look(u * 0.30 - warp, v * 0.24 + warp + 0.5, CLOUD).abs()
    cloud = look(u * 0.12, v * 0.12 + 0.2, CLOUD)
    vein = torch.exp(-bold * 17) * 0.85 + torch.exp(-bold * 4.5) * 0.28 + torch.exp(-thin * 24) * 0.5
    base = _mix(_rgb(u, 0.95, 0.945, 0.935), _rgb(u, 0.83, 0.84, 0.85), (0.35 + 0.3 * cloud).clamp(0, 1))
    return _mix(base, _rgb(u, 0.36, 0.36, 0.38), vein.clamp(0, 1))


def _slate(u: T, v: T, seed: T) -> T:
    u, v = u + seed, v + seed
    layer = look(u * 0.16, v * 0.34, CLOUD)
    rough = look(u * 0.35, v * 0.55, MID)
    grain = look(u * 0.5, v * 0.7, FINE)
    crack = torch.exp(-look(u * 0.17, v * 0.2 + 0.5, CLOUD).abs() * 26)
    value = 0.235 + 0.05 * layer + 0.055 * rough + 0.035 * grain - 0.13 * crack
    return value.clamp(0.05, 0.6)[..., None] * _rgb(u, 0.94, 1.0, 1.07)


def _concrete(u: T, v: T, seed: T) -> T:
    u, v = u + seed, v + seed
    cloud, mid = look(u * 0.13, v * 0.13, CLOUD), look(u * 0.3, v * 0.3, MID)
    pits = _step(1.5, 2.2, look(u * 0.32, v * 0.32, FINE))
    value = 0.61 + 0.05 * cloud + 0.04 * mid + 0.02 * look(u, v, FINE) - 0.22 * pits
    return value.clamp(0.1, 0.9)[..., None] * _rgb(u, 1.0, 0.99, 0.965)


def _linen(u: T, v: T, seed: T) -> T:
    fold = look(u * 0.10 + seed, v * 0.05 + seed, CLOUD)
    wave = 0.02 * look(u * 0.3 + seed, v * 0.3, MID)
    pitch = 0.085
    a, b = (u + wave + 0.05 * fold) / pitch, (v + wave) / pitch
    slub_a, slub_b = dice(torch.floor(a), a * 0 + 1, seed), dice(torch.floor(b), b * 0 + 2, seed)
    over = ((torch.floor(a) + torch.floor(b)) % 2) > 0.5
    hump_a, hump_b = torch.sin((a % 1.0) * 3.1416), torch.sin((b % 1.0) * 3.1416)
    thread = torch.where(
        over, 0.42 * hump_a + 0.2 * hump_b + 0.24 * (slub_a - 0.5), 0.2 * hump_a + 0.42 * hump_b + 0.24 * (slub_b - 0.5)
    )
    value = 0.42 + 0.85 * thread + 0.10 * fold
    return value.clamp(0.05, 1)[..., None] * _rgb(u, 0.97, 0.90, 0.78)


def _sand(u: T, v: T, seed: T) -> T:
    dune = look(u * 0.07 + seed, v * 0.10 + seed, CLOUD)
    ripple = torch.sin(v * 11.0 + 2.4 * dune + 1.0 * look(u * 0.22 + seed, v * 0.22, CLOUD))
    grain = look(u * 0.55 + seed, v * 0.55, GRAIN)
    coarse = look(u * 0.9 + seed, v * 0.9, FINE)
    value = 0.78 + 0.10 * ripple + 0.07 * dune + 0.10 * grain + 0.06 * coarse
    return value.clamp(0.1, 1.1)[..., None] * _rgb(u, 0.98, 0.83, 0.60)


def surface(kind: int, u: T, v: T, seed: T, colour: T) -> T:
    """RGB (..., 3) of surface `kind` at floor coordinates (u, v) in product heights. `colour`: RGB of paper."""
    if kind == 0:
        return _wood(u, v, seed, _rgb(u, 0.84, 0.64, 0.42), _rgb(u, 0.56, 0.35, 0.18))
    if kind == 1:
        return _wood(u, v, seed, _rgb(u, 0.45, 0.28, 0.18), _rgb(u, 0.20, 0.115, 0.07))
    if kind == 2:
        return _marble(u, v, seed)
    if kind == 3:
        return _slate(u, v, seed)
    if kind == 4:
        return _concrete(u, v, seed)
    if kind == 5:
        return _linen(u, v, seed)
    if kind == 6:
        return _sand(u, v, seed)
    return colour * (1 + 0.012 * look(u * 0.5 + seed, v * 0.5, FINE))[..., None]


def brick(u: T, v: T, seed: T) -> T:
    """RGB (..., 3) of a red brick wall; u across, v up, in product heights."""
    height, width, mortar = 0.27, 0.64, 0.034
    row = torch.floor(v / height)
    x = u / width + 0.5 * (row % 2) + seed
    column = torch.floor(x)
    edge = torch.minimum(
        torch.minimum(x % 1.0, 1 - x % 1.0) * width, torch.minimum((v / height) % 1.0, 1 - (v / height) % 1.0) * height
    )
    tone = dice(row, column, seed)
    rough = look(u * 0.4 + seed, v * 0.4, MID)
    colour = _mix(_rgb(u, 0.66, 0.30, 0.21), _rgb(u, 0.44, 0.19, 0.14), tone) * (1 + 0.12 * rough)[..., None]
    return _mix(_rgb(u, 0.74, 0.70, 0.65), colour, _step(mortar * 0.35, mortar * 0.75, edge))


def tile(u: T, v: T, seed: T) -> T:
    """RGB (..., 3) of a white tiled wall with grey joints; u across, v up, in product heights."""
    height, width, joint = 0.34, 0.68, 0.026
    row = torch.floor(v / height)
    x = u / width + 0.5 * (row % 2) + seed
    y = v / height
    edge = torch.minimum(torch.minimum(x % 1.0, 1 - x % 1.0) * width, torch.minimum(y % 1.0, 1 - y % 1.0) * height)
    tone = dice(row, torch.floor(x), seed)
    sheen = 0.05 * (y % 1.0) + 0.03 * look(u * 0.1 + tone, v * 0.1, CLOUD)
    colour = (0.84 + 0.07 * tone + sheen)[..., None] * _rgb(u, 0.99, 1.0, 1.0)
    return _mix(_rgb(u, 0.50, 0.51, 0.52), colour, _step(joint * 0.3, joint * 0.9, edge))
