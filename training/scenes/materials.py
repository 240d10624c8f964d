"""Surfaces and walls: colour as a function of the point that a ray hits.

All tensors are float32. RGB is in 0..1, in roughly linear display values.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from training.scenes.noise import CLOUD, FINE, GRAIN, MID, cell_random, noise_at

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
    shift = cell_random(row, row * 0 + 3.0, seed)
    end = torch.floor((u + shift * 5) / 3.2)
    tone = cell_random(row, end, seed + 1)
    along, across = u * 0.05 + shift * 7 + tone, v * 0.30 + shift * 3
    rings = v * 5.5 + 2.6 * noise_at(along, across, CLOUD) + tone * 5
    ring = 0.5 + 0.5 * torch.sin(rings * 6.2832)
    streak = noise_at(along * 1.2, v * 1.9 + shift, MID)
    pore = noise_at(u * 0.22 + shift, v * 2.6, FINE)
    amount = (0.42 * ring**1.5 + 0.17 * streak + 0.14 * pore + 0.38 * (tone - 0.35)).clamp(0, 1)
    colour = _mix(light, dark, amount)
    edge = torch.minimum((v / width) % 1.0, 1 - (v / width) % 1.0) * width
    return colour * (0.35 + 0.65 * _step(0.004, 0.022, edge))[..., None]


def _marble(u: T, v: T, seed: T) -> T:
    u, v = u * 0.8 + seed, v * 0.8 + seed * 0.7
    warp = 0.055 * noise_at(u * 0.21, v * 0.21, CLOUD)
    bold = noise_at(u * 0.15 + warp + 0.3, v * 0.15 - warp, CLOUD).abs()
    thin = noise_at(u * 0.30 - warp, v * 0.24 + warp + 0.5, CLOUD).abs()
    cloud = noise_at(u * 0.12, v * 0.12 + 0.2, CLOUD)
    vein = torch.exp(-bold * 17) * 0.85 + torch.exp(-bold * 4.5) * 0.28 + torch.exp(-thin * 24) * 0.5
    base = _mix(_rgb(u, 0.95, 0.945, 0.935), _rgb(u, 0.83, 0.84, 0.85), (0.35 + 0.3 * cloud).clamp(0, 1))
    return _mix(base, _rgb(u, 0.36, 0.36, 0.38), vein.clamp(0, 1))


def _slate(u: T, v: T, seed: T) -> T:
    u, v = u + seed, v + seed
    layer = noise_at(u * 0.16, v * 0.34, CLOUD)
    rough = noise_at(u * 0.35, v * 0.55, MID)
    grain = noise_at(u * 0.5, v * 0.7, FINE)
    crack = torch.exp(-noise_at(u * 0.17, v * 0.2 + 0.5, CLOUD).abs() * 26)
    value = 0.235 + 0.05 * layer + 0.055 * rough + 0.035 * grain - 0.13 * crack
    return value.clamp(0.05, 0.6)[..., None] * _rgb(u, 0.94, 1.0, 1.07)


def _concrete(u: T, v: T, seed: T) -> T:
    u, v = u + seed, v + seed
    cloud, mid = noise_at(u * 0.13, v * 0.13, CLOUD), noise_at(u * 0.3, v * 0.3, MID)
    pits = _step(1.5, 2.2, noise_at(u * 0.32, v * 0.32, FINE))
    value = 0.61 + 0.05 * cloud + 0.04 * mid + 0.02 * noise_at(u, v, FINE) - 0.22 * pits
    return value.clamp(0.1, 0.9)[..., None] * _rgb(u, 1.0, 0.99, 0.965)


def _linen(u: T, v: T, seed: T) -> T:
    fold = noise_at(u * 0.10 + seed, v * 0.05 + seed, CLOUD)
    wave = 0.02 * noise_at(u * 0.3 + seed, v * 0.3, MID)
    pitch = 0.085
    a, b = (u + wave + 0.05 * fold) / pitch, (v + wave) / pitch
    slub_a, slub_b = cell_random(torch.floor(a), a * 0 + 1, seed), cell_random(torch.floor(b), b * 0 + 2, seed)
    over = ((torch.floor(a) + torch.floor(b)) % 2) > 0.5
    hump_a, hump_b = torch.sin((a % 1.0) * 3.1416), torch.sin((b % 1.0) * 3.1416)
    thread = torch.where(
        over, 0.42 * hump_a + 0.2 * hump_b + 0.24 * (slub_a - 0.5), 0.2 * hump_a + 0.42 * hump_b + 0.24 * (slub_b - 0.5)
    )
    value = 0.42 + 0.85 * thread + 0.10 * fold
    return value.clamp(0.05, 1)[..., None] * _rgb(u, 0.97, 0.90, 0.78)


def _sand(u: T, v: T, seed: T) -> T:
    dune = noise_at(u * 0.07 + seed, v * 0.10 + seed, CLOUD)
    ripple = torch.sin(v * 11.0 + 2.4 * dune + 1.0 * noise_at(u * 0.22 + seed, v * 0.22, CLOUD))
    grain = noise_at(u * 0.55 + seed, v * 0.55, GRAIN)
    coarse = noise_at(u * 0.9 + seed, v * 0.9, FINE)
    value = 0.78 + 0.10 * ripple + 0.07 * dune + 0.10 * grain + 0.06 * coarse
    return value.clamp(0.1, 1.1)[..., None] * _rgb(u, 0.98, 0.83, 0.60)


def _black_marble(u: T, v: T, seed: T) -> T:
    u, v = u * 0.7 + seed, v * 0.7 + seed * 0.7
    warp = 0.06 * noise_at(u * 0.2, v * 0.2, CLOUD)
    bold = noise_at(u * 0.13 + warp + 0.3, v * 0.13 - warp, CLOUD).abs()
    thin = noise_at(u * 0.33 - warp, v * 0.26 + warp + 0.5, CLOUD).abs()
    base = 0.085 + 0.025 * noise_at(u * 0.2, v * 0.2 + 0.2, CLOUD)
    vein = (torch.exp(-bold * 30) * 0.8 + torch.exp(-thin * 40) * 0.35 + torch.exp(-bold * 6) * 0.08).clamp(0, 1)
    return _mix(base.clamp(0.02, 0.3)[..., None] * _rgb(u, 1.0, 1.0, 1.05), _rgb(u, 0.86, 0.82, 0.74), vein)


def _terrazzo(u: T, v: T, seed: T) -> T:
    """Chips of three colours and two sizes in pale cement. Each cell of a grid may contain one chip."""
    cement = 0.86 + 0.02 * noise_at(u * 0.4 + seed, v * 0.4, MID)
    colour = cement[..., None] * _rgb(u, 1.0, 0.985, 0.955)
    chips = torch.stack([_rgb(u, 0.72, 0.45, 0.36), _rgb(u, 0.36, 0.42, 0.40), _rgb(u, 0.78, 0.66, 0.48)])
    for layer, (pitch, chance) in enumerate(((0.05, 0.5), (0.13, 0.55))):
        x, y = u / pitch + 7.3 * layer, v / pitch
        i, j = torch.floor(x), torch.floor(y)
        pick = [cell_random(i, j, seed + 5 * layer + k) for k in range(5)]
        ragged = 0.06 * noise_at(u * 1.1 + seed, v * 1.1, MID)
        far = torch.maximum((x - i - 0.35 - 0.3 * pick[0]).abs(), (y - j - 0.35 - 0.3 * pick[1]).abs()) + ragged
        chip = _step(0.0, 0.08, 0.16 + 0.14 * pick[2] - far) * (pick[3] < chance)
        colour = _mix(colour, chips[(pick[4] * 2.999).long()], chip)
    return colour


def _grass(u: T, v: T, seed: T) -> T:
    patch = noise_at(u * 0.12 + seed, v * 0.12 + seed, CLOUD)
    blade = noise_at(u * 1.6 + seed, v * 0.55 + 0.1 * patch, MID) * 0.6 + noise_at(u * 1.1 + seed, v * 0.5, FINE) * 0.6
    amount = (0.45 + 0.20 * patch + 0.26 * blade).clamp(0, 1)
    return _mix(_rgb(u, 0.07, 0.17, 0.03), _rgb(u, 0.50, 0.66, 0.22), amount)


def _steel(u: T, v: T, seed: T) -> T:
    brush = noise_at(u * 0.03 + seed, v * 1.9 + seed, FINE)
    broad = noise_at(u * 0.02 + seed, v * 0.25, MID)
    value = 0.60 + 0.045 * brush + 0.07 * broad
    return value.clamp(0.2, 0.95)[..., None] * _rgb(u, 0.985, 1.0, 1.02)


def surface(kind: str, u: T, v: T, seed: T, colour: T) -> T:
    """RGB (..., 3) of a surface of `words.SURFACES` at floor coordinates (u, v), in product heights.

    `colour` is the RGB of paper.
    """
    if kind == "wood":
        return _wood(u, v, seed, _rgb(u, 0.84, 0.64, 0.42), _rgb(u, 0.56, 0.35, 0.18))
    if kind == "walnut":
        return _wood(u, v, seed, _rgb(u, 0.45, 0.28, 0.18), _rgb(u, 0.20, 0.115, 0.07))
    if kind == "paper":
        return colour * (1 + 0.012 * noise_at(u * 0.5 + seed, v * 0.5, FINE))[..., None]
    return _PLAIN[kind](u, v, seed)


_PLAIN = {
    "marble": _marble,
    "slate": _slate,
    "concrete": _concrete,
    "linen": _linen,
    "sand": _sand,
    "terrazzo": _terrazzo,
    "black_marble": _black_marble,
    "grass": _grass,
    "steel": _steel,
}


def brick(u: T, v: T, seed: T) -> T:
    """RGB (..., 3) of a red brick wall; u across, v up, in product heights."""
    height, width, mortar = 0.27, 0.64, 0.034
    row = torch.floor(v / height)
    x = u / width + 0.5 * (row % 2) + seed
    column = torch.floor(x)
    edge = torch.minimum(
        torch.minimum(x % 1.0, 1 - x % 1.0) * width, torch.minimum((v / height) % 1.0, 1 - (v / height) % 1.0) * height
    )
    tone = cell_random(row, column, seed)
    rough = noise_at(u * 0.4 + seed, v * 0.4, MID)
    colour = _mix(_rgb(u, 0.66, 0.30, 0.21), _rgb(u, 0.44, 0.19, 0.14), tone) * (1 + 0.12 * rough)[..., None]
    return _mix(_rgb(u, 0.74, 0.70, 0.65), colour, _step(mortar * 0.35, mortar * 0.75, edge))


def tile(u: T, v: T, seed: T) -> T:
    """RGB (..., 3) of a white tiled wall with grey joints; u across, v up, in product heights."""
    height, width, joint = 0.34, 0.68, 0.026
    row = torch.floor(v / height)
    x = u / width + 0.5 * (row % 2) + seed
    y = v / height
    edge = torch.minimum(torch.minimum(x % 1.0, 1 - x % 1.0) * width, torch.minimum(y % 1.0, 1 - y % 1.0) * height)
    tone = cell_random(row, torch.floor(x), seed)
    sheen = 0.05 * (y % 1.0) + 0.03 * noise_at(u * 0.1 + tone, v * 0.1, CLOUD)
    colour = (0.84 + 0.07 * tone + sheen)[..., None] * _rgb(u, 0.99, 1.0, 1.0)
    return _mix(_rgb(u, 0.50, 0.51, 0.52), colour, _step(joint * 0.3, joint * 0.9, edge))


def curtain(u: T, v: T, seed: T, colour: T) -> T:
    """RGB (..., 3) of cloth hanging in folds; u across, v up, in product heights. `colour`: RGB of the cloth."""
    bend = 0.5 * noise_at(u * 0.05 + seed, v * 0.03 + seed, CLOUD)
    fold = torch.sin(u * 7.5 + 3.0 * bend + seed) + 0.5 * torch.sin(u * 17.0 + 5.0 * bend + 2 * seed)
    weave = 0.012 * noise_at(u * 0.8, v * 0.8, GRAIN)
    return colour * (0.76 + 0.13 * fold + weave).clamp(0.2, 1.1)[..., None]


WALLS: dict[str, Callable[[T, T, T, T], T]] = {
    "brick": lambda u, v, seed, colour: brick(u, v, seed),
    "tile": lambda u, v, seed, colour: tile(u, v, seed),
    "curtain": curtain,
}
"""Upright surfaces by the name of their backdrop: of (u, v, seed, colour) the RGB colours."""
