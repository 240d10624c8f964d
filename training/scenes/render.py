"""One batch of scenes: sample parameters, trace products, shade floor and backdrop, cast shadows, put together."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from training.scenes import backdrops, materials, tracing
from training.scenes.shapes import Shapes, sample_shapes
from training.scenes.words import BACKDROPS, COLOUR_RGB, COLOURS, FAMILIES, FIELDS, SURFACES, describe

T = torch.Tensor
OVERSAMPLING = 2
_TINT_RGB = ((1.0, 1.0, 1.0), (1.12, 0.98, 0.78), (0.88, 0.98, 1.14))


@dataclass
class SceneBatch:
    """B scenes of size S.

    image: uint8 BxSxSx3 RGB, on the rendering device. mask: float32 BxSxS, exact coverage of the product, 0..1.
    edges: uint8 BxSxS, Canny of the product over grey. captions: B strings of the closed vocabulary.
    boxes: int64 Bx4 XYXY px, right and bottom exclusive. attributes: int64 Bx9, columns `words.FIELDS`.
    """

    image: T
    mask: T
    edges: T
    captions: list[str]
    boxes: T
    attributes: T


def product_edges(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Canny of the product over mid-grey. image: uint8 HxWx3; mask: float HxW 0..1. Returns uint8 HxW, 0 or 255."""
    over_grey = image * mask[..., None] + 128.0 * (1 - mask[..., None])
    return cv2.Canny(cv2.cvtColor(over_grey.round().astype(np.uint8), cv2.COLOR_RGB2GRAY), 100, 200)


def _sample_attributes(count: int, rng: np.random.Generator) -> np.ndarray:
    surfaces = rng.choice(len(SURFACES), count, p=(0.15, 0.12, 0.17, 0.10, 0.10, 0.11, 0.10, 0.15))
    backdrop = rng.choice(len(BACKDROPS), count, p=(0.30, 0.14, 0.13, 0.16, 0.13, 0.14))
    colours = rng.choice(len(COLOURS), (count, 2), p=(0.28, 0.12, 0.12, 0.11, 0.11, 0.08, 0.09, 0.09))
    colours[:, 1] = np.where((surfaces == 7) & (rng.random(count) < 0.6), colours[:, 0], colours[:, 1])
    columns = [
        surfaces, backdrop, rng.integers(0, 2, count), rng.integers(0, 2, count), rng.choice(3, count, p=(0.44, 0.30, 0.26)),
        colours[:, 0], colours[:, 1], rng.integers(0, len(FAMILIES), count), rng.integers(0, 1 << 20, count),
    ]  # fmt: skip
    return np.stack(columns, 1).astype(np.int64)


def _shade(shapes: Shapes, which: T, p: T, view: T, light: T, soft: T, tint: T, ambient: T) -> T:
    """Colour of own-frame surface points (R, 3): label, lambert, highlight, softbox reflection. RGB (R, 3)."""
    n = tracing.normal(shapes, which, p)
    s, y, zones, label = tracing.across(shapes, which, p), p[:, 1], shapes.zones[which], shapes.label[which]
    colours = shapes.colours[which]
    colour = colours[:, 0]
    colour = torch.where(((y > zones[:, 0]) | (y < zones[:, 1]))[:, None], colours[:, 1], colour)
    inside = (s < zones[:, 2]) & (y > zones[:, 3]) & (n[:, 1] > 0.5)
    colour = torch.where(inside[:, None], colours[:, 4], colour)
    round_ = shapes.core[which, 0] == 0
    u = torch.where(round_, torch.atan2(p[:, 0], p[:, 2]), p[:, 0]) / label[:, 2].clamp_min(1e-3)
    v = (y - label[:, 0]) / (label[:, 1] - label[:, 0]).clamp_min(1e-3)
    facing = torch.where(round_, n[:, 1].abs() < 0.6, n[:, 2] > 0.7)
    wraps = label[:, 3] == 1
    on = (label[:, 3] > 0) & (v > 0) & (v < 1) & facing & (wraps | (u.abs() < 1))
    colour = torch.where(on[:, None], colours[:, 2], colour)
    row, column = ((1 - v) * 12).long().clamp(0, 11), ((u * 0.5 + 0.5) * 24).long().clamp(0, 23)
    ink = shapes.glyphs[which, row, column] * on * (u.abs() < 1)
    colour = torch.where((ink > 0.5)[:, None], colours[:, 3], colour)

    finish = shapes.finish[which]
    lambert = (n * light).sum(1)
    wrap = torch.where(soft > 0.5, 0.45, 0.08)
    diffuse = ((lambert + wrap) / (1 + wrap)).clamp_min(0)
    sky = 0.5 + 0.5 * n[:, 1]
    near_floor = (0.55 + 0.45 * (y / 0.22)).clamp(0.55, 1)
    lit = colour * (
        ambient[:, None] * (0.55 + 0.45 * sky)[:, None] * near_floor[:, None] + (0.80 * diffuse)[:, None] * tint
    )
    reflected = view - 2 * (view * n).sum(1, keepdim=True) * n
    toward = (reflected * light).sum(1).clamp_min(0)
    highlight = torch.where(soft > 0.5, ((toward - 0.80) / 0.10).clamp(0, 1) * 0.55, toward ** finish[:, 1])
    fresnel = 0.25 + 0.75 * (1 + (view * n).sum(1)).clamp(0, 1) ** 3
    lit = lit * torch.where(inside, 0.8, 1.0)[:, None]
    return lit + (finish[:, 0] * (highlight * 0.8 + 0.18 * fresnel * sky * ambient))[:, None] * tint


def render(
    batch_size: int, size_px: int, seed: int, device: str | torch.device = "cpu", clutter: float = 0.12
) -> SceneBatch:
    """Draw `batch_size` scenes of `size_px` squared. The same seed draws the same scenes.

    clutter: the chance of a second product behind or beside, which is not part of the mask.
    """
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    device = torch.device(device)
    attributes = _sample_attributes(batch_size, rng)
    shapes = sample_shapes([FAMILIES[i] for i in attributes[:, 7]], rng)
    neighbours = sample_shapes([FAMILIES[i] for i in rng.integers(0, len(FAMILIES), batch_size)], rng)
    has_neighbour = torch.tensor(rng.random(batch_size) < clutter)
    side = torch.tensor(rng.choice([-1.0, 1.0], batch_size), dtype=torch.float32)
    neighbours.place = torch.stack(
        [
            side * torch.tensor(rng.uniform(0.5, 0.95, batch_size)).float(),
            torch.tensor(rng.uniform(-0.9, 0.1, batch_size)).float(),
        ],
        1,
    )
    neighbours.size *= 0.8
    same = torch.tensor(rng.random(batch_size) < 0.35)[:, None, None]
    neighbours.colours = torch.where(same, shapes.colours, neighbours.colours)
    shapes, neighbours = shapes.to(device), neighbours.to(device)
    tints = torch.tensor(_TINT_RGB)
    images, masks = [], []
    for b in range(batch_size):
        image, mask = _one(
            b, attributes[b], shapes, neighbours if has_neighbour[b] else None, size_px, rng, generator, tints, device
        )
        images.append(image)
        masks.append(mask)
    image, mask = torch.stack(images), torch.stack(masks)
    host_image, host_mask = image.cpu().numpy(), mask.cpu().numpy()
    edges = np.stack([product_edges(i, m) for i, m in zip(host_image, host_mask, strict=True)])
    boxes = []
    for m in host_mask:
        rows, columns = np.flatnonzero((m >= 0.5).any(1)), np.flatnonzero((m >= 0.5).any(0))
        boxes.append((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) if len(rows) else (0, 0, 0, 0))
    captions = [describe(dict(zip(FIELDS, row.tolist(), strict=True)), rng) for row in attributes]
    return SceneBatch(
        image,
        mask,
        torch.from_numpy(edges).to(device),
        captions,
        torch.tensor(np.asarray(boxes, np.int64)),
        torch.from_numpy(attributes),
    )


def _one(
    b: int,
    row: np.ndarray,
    shapes: Shapes,
    neighbours: Shapes | None,
    size_px: int,
    rng: np.random.Generator,
    generator: torch.Generator,
    tints: T,
    device: torch.device,
) -> tuple[T, T]:
    """Scene number b: image uint8 SxSx3 and mask float32 SxS."""
    a = dict(zip(FIELDS, row.tolist(), strict=True))
    side = -1.0 if a["side"] == 0 else 1.0
    soft = a["quality"] == 0
    tint = tints[a["tint"]].to(device)
    key = torch.tensor(
        [
            side * rng.uniform(0.75, 1.0),
            rng.uniform(0.75, 1.1) if soft else rng.uniform(0.6, 0.9),
            rng.uniform(0.15, 0.6),
        ],
        dtype=torch.float32,
    )
    key = (key / key.norm()).to(device)
    big = size_px * OVERSAMPLING
    extent = shapes.extent[b].cpu()
    span = max(float(extent[1]), 1.5 * float(extent[0]))

    # Camera: looks at the product's middle from the front, a little above.
    pitch, focal = rng.uniform(0.10, 0.60), rng.uniform(2.4, 3.6)
    away = focal * span / (2 * rng.uniform(0.40, 0.66))
    centre = torch.tensor([0.0, float(extent[1]) * 0.5, 0.0])
    forward = torch.tensor([0.0, -np.sin(pitch), -np.cos(pitch)], dtype=torch.float32)
    up = torch.tensor([0.0, np.cos(pitch), -np.sin(pitch)], dtype=torch.float32)
    eye = (centre - forward * away).to(device)
    shift_x, shift_y = rng.uniform(-0.22, 0.22), rng.uniform(-0.22, 0.06)
    line = (torch.arange(big, device=device) + 0.5) / big * 2 - 1
    sy, sx = torch.meshgrid(-line, line, indexing="ij")
    sx, sy = sx.reshape(-1), sy.reshape(-1)
    right = torch.tensor([1.0, 0, 0], device=device)
    direction = (
        forward.to(device)
        + ((sx - shift_x) / focal)[:, None] * right
        + ((sy - shift_y) / focal)[:, None] * up.to(device)
    )
    direction = direction / direction.norm(dim=1, keepdim=True)

    # Floor and backdrop.
    seed = torch.tensor(float(a["texture_seed"] % 997) / 99.7, device=device)
    wall_z = -float(rng.uniform(0.75, 2.4)) * span
    down = direction[:, 1].clamp_max(-1e-4)
    t_floor = -eye[1] / down
    floor = (direction[:, 1] < -1e-4) & (eye[2] + direction[:, 2] * t_floor > wall_z)
    at = eye + direction * torch.where(floor, t_floor, (wall_z - eye[2]) / direction[:, 2].clamp_max(-1e-4))[:, None]
    colour = torch.zeros(big * big, 3, device=device)
    fx, fz = at[floor, 0] / span, at[floor, 2] / span
    angle = (
        float(rng.choice([0.0, 0.0, np.pi / 2, rng.uniform(-0.4, 0.4)]))
        if a["surface"] < 2
        else float(rng.uniform(-0.3, 0.3))
    )
    u, v = fx * np.cos(angle) - fz * np.sin(angle), fx * np.sin(angle) + fz * np.cos(angle)
    paper = torch.tensor(COLOUR_RGB[a["paper_colour"]], device=device)
    colour[floor] = materials.surface(a["surface"], u, v, seed, paper)
    kind = BACKDROPS[a["backdrop"]]
    wall = ~floor
    wx, wy = at[wall, 0] / span, at[wall, 1] / span
    screen_x, screen_y = sx[wall], sy[wall]
    wall_colour = torch.tensor(COLOUR_RGB[a["wall_colour"]], device=device)
    if kind == "brick":
        colour[wall] = materials.brick(wx, wy, seed)
    elif kind == "tile":
        colour[wall] = materials.tile(wx, wy, seed)
    elif kind == "foliage":
        colour[wall] = backdrops.foliage(screen_x, screen_y, generator)
    elif kind == "night":
        colour[wall] = backdrops.night(screen_x, screen_y, generator)
    elif kind == "room":
        colour[wall] = backdrops.room(screen_x, screen_y, side, generator)
    else:
        colour[wall] = backdrops.plain(screen_x, screen_y, side, wall_colour)
    if kind == "plain" and a["surface"] == 7 and a["paper_colour"] == a["wall_colour"]:
        # A sweep: one paper, no horizon.
        blend = (1 - (at[:, 2] - wall_z) / (0.9 * span)).clamp(0, 1) * floor
        swept = backdrops.plain(sx, sy, side, paper)
        colour = colour + (swept - colour) * (blend * blend)[:, None]

    # Light on floor and wall: ambient, key, falloff away from the lamp, shadows at half resolution.
    ambient = {"night": 0.30}.get(kind, 0.42 if soft else 0.34)
    near_side = (1 + 0.20 * side * sx).clamp(0.7, 1.3)
    small = torch.zeros(size_px * size_px, dtype=torch.long, device=device)
    grid = torch.arange(big * big, device=device).reshape(big, big)[::OVERSAMPLING, ::OVERSAMPLING].reshape(-1)
    lit, occluded = torch.ones(len(grid), device=device), torch.ones(len(grid), device=device)
    on_floor = floor[grid]
    for group in (shapes, neighbours):
        if group is None:
            continue
        close = on_floor & ((at[grid, 0] - group.place[b, 0]).abs() < 2.6 * span) & (at[grid, 2].abs() < 1.8 * span)
        which = torch.full((int(close.sum()),), b, device=device)
        own = tracing.to_own(group, which, at[grid[close]])
        turned = tracing.turn(group, which, key.expand(len(which), 3))
        hardness = torch.full((len(which),), 2.6 if soft else 16.0, device=device)
        lit[close] = torch.minimum(lit[close], tracing.shadow(group, which, own, turned, hardness))
        lifted = own + torch.tensor([0.0, 0.03, 0.0], device=device)
        gap = tracing.distance(group, which, lifted).clamp_min(0)
        occluded[close] = torch.minimum(
            occluded[close], 1 - 0.62 * torch.exp(-gap / 0.05) - 0.22 * torch.exp(-gap / 0.22)
        )
    del small
    pair = torch.stack([lit, occluded]).reshape(1, 2, size_px, size_px)
    lit, occluded = F.interpolate(pair, scale_factor=OVERSAMPLING, mode="bilinear", align_corners=False)[0].reshape(
        2, -1
    )
    key_floor = 0.72 * (lit * (1.0 if not soft else 0.85) + (0.15 if soft else 0.0))
    light_floor = (ambient * 0.9 * occluded)[:, None] + (key_floor * occluded.clamp_min(0.55) * near_side)[
        :, None
    ] * tint
    screenlike = kind in ("foliage", "night", "room")
    light_wall = (
        (0.5 + 0.5 * tint) * torch.ones_like(sx)[:, None] if screenlike else (0.40 + 0.60 * near_side[:, None] * tint)
    )
    if not soft and not screenlike and rng.random() < 0.5:
        # Hard light leaves a slanted edge on the wall.
        edge = (sx * side + 0.55 * sy + rng.uniform(-0.2, 0.5)) / 0.05
        light_wall = light_wall * (0.80 + 0.20 * torch.sigmoid(edge))[:, None]
    if kind == "night":
        light_floor = light_floor * 0.82
    colour = colour * torch.where(floor[:, None], light_floor, light_wall)
    if a["surface"] in (2, 7) and not screenlike:
        pass
    # A dark line where floor and wall meet, softer for a table's far edge.
    if not (kind == "plain" and a["surface"] == 7):
        seam = torch.exp(-((at[:, 2] - wall_z) / (0.05 * span)).clamp_min(0)) * floor
        colour = colour * (1 - 0.25 * seam)[:, None]

    # Products: the neighbour first, the product over it where it is nearer.
    mask = torch.zeros(big * big, device=device)
    depth = torch.full((big * big,), 1e9, device=device)
    for group, counts in ((neighbours, False), (shapes, True)):
        if group is None:
            continue
        which = torch.full((big * big,), b, device=device)
        own_eye = tracing.to_own(group, which[:1], eye[None]).expand(big * big, 3)
        own_direction = tracing.turn(group, which, direction) / group.size[b]
        hit, t = tracing.trace(group, which, own_eye, own_direction)
        hit &= t < depth
        index = torch.nonzero(hit)[:, 0]
        if len(index) == 0:
            continue
        depth[index] = t[index]
        w = which[index]
        view = own_direction[index] * group.size[b]
        p = own_eye[index] + own_direction[index] * t[index, None]
        own_key = tracing.turn(group, w, key.expand(len(w), 3))
        level = torch.full((len(w),), ambient + 0.08, device=device)
        seen = _shade(group, w, p, view, own_key, torch.full((len(w),), float(soft), device=device), tint, level)
        glass = float(group.finish[b, 2])
        if glass:
            seen = seen * (1 - glass) + colour[index] * glass * (0.35 + 0.65 * group.colours[b, 0])
        colour[index] = seen
        mask[index] = float(counts)

    image = F.avg_pool2d(colour.clamp(0, 1).reshape(1, big, big, 3).permute(0, 3, 1, 2), OVERSAMPLING)[0]
    vignette = (
        1
        - 0.10
        * (
            sx.reshape(big, big)[::OVERSAMPLING, ::OVERSAMPLING] ** 2
            + sy.reshape(big, big)[::OVERSAMPLING, ::OVERSAMPLING] ** 2
        )
        / 2
    )
    image = (image * vignette).clamp(0, 1)
    mask = F.avg_pool2d(mask.reshape(1, 1, big, big), OVERSAMPLING)[0, 0]
    return (image.permute(1, 2, 0) * 255).round().to(torch.uint8), mask
