"""Out-of-focus backdrops, drawn in screen space: x and y in -1..1 with y up, RGB float32 in 0..1."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from training.scenes.noise import CLOUD, MID, noise_at

T = torch.Tensor


def _discs(x: T, y: T, base: T, centres: T, radii: T, colours: T, alphas: T, soft: float) -> T:
    """Paint N discs over `base`. Shapes: x, y: R; base: Rx3; centres: Nx2; radii, alphas: N; colours: Nx3."""
    out = base
    for i in range(len(radii)):
        d = torch.sqrt((x - centres[i, 0]) ** 2 + (y - centres[i, 1]) ** 2)
        a = alphas[i] * ((radii[i] * (1 + soft) - d) / (radii[i] * 2 * soft)).clamp(0, 1)
        out = out + (colours[i] - out) * a[:, None]
    return out


def _uniform(generator: torch.Generator, count: int, low: float, high: float) -> T:
    return torch.rand(count, generator=generator) * (high - low) + low


def foliage(x: T, y: T, generator: torch.Generator) -> T:
    """Sunlit leaves in the distance. x, y: flat, R. Returns Rx3."""
    n = 26
    shift = torch.rand(2, generator=generator)
    cloud = noise_at(x * 0.13 + float(shift[0]), y * 0.13 + float(shift[1]), CLOUD)
    value = (0.5 + 0.22 * cloud + 0.14 * y).clamp(0, 1)[:, None]
    dark, bright = torch.tensor([0.06, 0.20, 0.05]), torch.tensor([0.42, 0.62, 0.20])
    base = dark.to(x.device) + (bright - dark).to(x.device) * value
    light = _uniform(generator, n, 0.0, 1.0)[:, None]
    colours = torch.tensor([0.10, 0.30, 0.08]) * (1 - light) + torch.tensor([0.70, 0.86, 0.42]) * light
    centres = torch.stack([_uniform(generator, n, -1.1, 1.1), _uniform(generator, n, -0.3, 1.1)], 1)
    return _discs(
        x,
        y,
        base,
        centres.to(x.device),
        _uniform(generator, n, 0.06, 0.26).to(x.device),
        colours.to(x.device),
        _uniform(generator, n, 0.2, 0.55).to(x.device),
        0.22,
    )


def night(x: T, y: T, generator: torch.Generator) -> T:
    """City lights at night, out of focus. x, y: flat, R. Returns Rx3."""
    n = 22
    base = torch.tensor([0.035, 0.04, 0.085]).to(x.device) * (1.15 - 0.4 * y)[:, None]
    lamps = torch.tensor(
        [[1.0, 0.72, 0.32], [1.0, 0.50, 0.22], [0.45, 0.62, 1.0], [1.0, 0.86, 0.62], [0.92, 0.32, 0.38]]
    )
    colours = lamps[torch.randint(len(lamps), (n,), generator=generator)]
    centres = torch.stack([_uniform(generator, n, -1.1, 1.1), _uniform(generator, n, -0.25, 0.95)], 1)
    return _discs(
        x,
        y,
        base,
        centres.to(x.device),
        _uniform(generator, n, 0.05, 0.15).to(x.device),
        colours.to(x.device),
        _uniform(generator, n, 0.35, 0.85).to(x.device),
        0.10,
    )


def sea(x: T, y: T, generator: torch.Generator) -> T:
    """Sky over the sea, out of focus, with sunlight on the water. x, y: flat, R. Returns Rx3."""
    shift, level, sun = (float(v) for v in torch.rand(3, generator=generator))
    horizon = 0.12 + 0.3 * level
    haze = torch.tensor([0.90, 0.94, 0.97]).to(x.device)
    up = ((y - horizon) / 0.9).clamp(0, 1)[:, None]
    sky = haze + (torch.tensor([0.36, 0.60, 0.88]).to(x.device) - haze) * up.sqrt()
    cloud = noise_at(x * 0.11 + shift, y * 0.3 + shift, CLOUD).clamp_min(0)[:, None] * 0.35
    sky = sky + (1 - sky) * cloud.clamp(0, 0.8)
    down = ((horizon - y) / 0.8).clamp(0, 1)[:, None]
    water = (
        torch.tensor([0.42, 0.66, 0.78]).to(x.device) * (1 - down)
        + torch.tensor([0.06, 0.27, 0.42]).to(x.device) * down
    )
    swell = noise_at(x * 0.2 + shift, y * 1.1 + shift, MID)
    glitter = torch.exp(-(((x - 1.4 * sun + 0.7) / 0.35) ** 2)) * (swell - 0.3).clamp_min(0) * 0.35
    water = water * (1 + 0.10 * swell)[:, None] + glitter[:, None]
    return sky + (water - sky) * torch.sigmoid((horizon - y) / 0.012)[:, None]


def room(x: T, y: T, side: float, generator: torch.Generator) -> T:
    """A bright room, blurred, with a window on the light's side (-1 left, 1 right). x, y: flat, R. Returns Rx3."""
    u = [float(v) for v in torch.rand(8, generator=generator)]

    def slab(centre_x: float, centre_y: float, half_w: float, half_h: float, blur: float) -> T:
        return torch.sigmoid((half_w - (x - centre_x).abs()) / blur) * torch.sigmoid(
            (half_h - (y - centre_y).abs()) / blur
        )

    wall = torch.tensor([0.80, 0.76, 0.70]).to(x.device) * (0.94 + 0.10 * side * x)[:, None]
    out = wall
    pieces = [
        (side * (0.45 + 0.25 * u[0]), 0.55 + 0.2 * u[1], 0.26 + 0.12 * u[2], 0.42, 0.035, (1.0, 0.99, 0.95)),
        (-side * (0.35 + 0.5 * u[3]), -0.05 + 0.2 * u[4], 0.34, 0.20, 0.05, (0.47, 0.36, 0.28)),
        (-side * (0.3 + 0.5 * u[5]), 0.35 + 0.3 * u[6], 0.13, 0.17, 0.04, (0.36, 0.46, 0.36)),
        (-side * (0.7 - 0.5 * u[7]), 0.62, 0.24, 0.03, 0.03, (0.42, 0.34, 0.28)),
    ]
    for cx, cy, half_w, half_h, blur, colour in pieces:
        a = slab(cx, cy, half_w, half_h, blur)[:, None]
        out = out + (torch.tensor(colour).to(x.device) - out) * a
    bar = slab(pieces[0][0], pieces[0][1], 0.018, 0.42, 0.02)[:, None] * 0.4
    return out + (torch.tensor([0.72, 0.70, 0.66]).to(x.device) - out) * bar


def plain(x: T, y: T, side: float, colour: T) -> T:
    """A painted wall that is darker away from the lamp. x, y: flat, R. colour: 3. Returns Rx3."""
    glow = torch.exp(-(((x - 0.45 * side) ** 2) * 0.5 + ((y - 0.35) ** 2) * 0.55))
    return colour * (0.72 + 0.30 * glow)[:, None]


def out_of_focus(
    kind: str, size_px: int, scale: int, side: float, wall_colour: T, generator: torch.Generator, device: torch.device
) -> T:
    """A blurred backdrop in screen space, RGB (big * big, 3). It is drawn at `size_px` and enlarged by `scale`."""
    line = (torch.arange(size_px, device=device) + 0.5) / size_px * 2 - 1
    y, x = torch.meshgrid(-line, line, indexing="ij")
    x, y = x.reshape(-1), y.reshape(-1)
    if kind == "plain":
        drawn = plain(x, y, side, wall_colour)
    elif kind == "room":
        drawn = room(x, y, side, generator)
    else:
        drawn = {"foliage": foliage, "night": night, "sea": sea}[kind](x, y, generator)
    picture = drawn.T.reshape(1, 3, size_px, size_px)
    return F.interpolate(picture, scale_factor=scale, mode="bilinear", align_corners=False)[0].reshape(3, -1).T
