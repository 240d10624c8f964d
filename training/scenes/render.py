"""Renders a batch of scenes: samples parameters, shades floor and backdrop, casts shadows, and traces the products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from training.scenes import backdrops, materials, tracing
from training.scenes.shading import Around, Light, shade
from training.scenes.shapes import Product, sample_shapes
from training.scenes.words import (
    BACKDROPS,
    COLOUR_RGB,
    COLOURS,
    FAMILIES,
    FIELDS,
    MATERIALS,
    QUALITIES,
    SURFACES,
    TINTS,
    UNSEEN_FAMILIES,
    UNSEEN_MATERIALS,
    describe,
)

T = torch.Tensor
OVERSAMPLING = 2
OF_SCENE = [FIELDS.index(field) for field in FIELDS if field not in ("family", "material")]
"""The attributes of a scene without its product."""
Shown = Literal["product", "shadow", "nothing"]
FAR_AWAY = 1e3
"""Where a product stands that is not in the picture, in the scene's units."""
_TINT_RGB = ((1.0, 1.0, 1.0), (1.12, 0.98, 0.78), (0.88, 0.98, 1.14))


@dataclass
class SceneBatch:
    """B scenes with a side of S pixels.

    image: uint8 BxSxSx3 RGB, on the rendering device.
    mask: float32 BxSxS, exact coverage of the product, 0..1.
    product: float32 BxSxSx3, the product's colour times its coverage: `image` less what is seen beside the product.
    part: float32 BxSxS, coverage of a part that could be meant on its own (the neighbour, or the cup without its
        saucer); zero without one.
    depth: float32 BxSxS, along the ray, in product heights; inf on the backdrop.
    normals: float32 BxSxSx3, world frame (x right, y up, z to the camera); zero on the backdrop.
    edges: uint8 BxSxS, Canny edges of the product over grey.
    captions: B strings of the closed vocabulary.
    texts: B strings, the text of the labels.
    boxes: int64 Bx4 XYXY pixels, right and bottom exclusive.
    points: int64 Bx2 XY, the deepest pixel of each product.
    attributes: int64 Bx10, columns `words.FIELDS`.
    """

    image: T
    mask: T
    product: T
    part: T
    depth: T
    normals: T
    edges: T
    captions: list[str]
    texts: list[str]
    boxes: T
    points: T
    attributes: T


def product_edges(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Canny edges of the product over mid-grey, uint8 HxW, 0 or 255. image: uint8 HxWx3; mask: float HxW in 0..1."""
    over_grey = image * mask[..., None] + 128.0 * (1 - mask[..., None])
    edges: np.ndarray = cv2.Canny(cv2.cvtColor(over_grey.round().astype(np.uint8), cv2.COLOR_RGB2GRAY), 100, 200)
    return edges


def sample_attributes(
    count: int, rng: np.random.Generator, families: Sequence[str], materials: Sequence[str]
) -> np.ndarray:
    """The random attributes of `count` scenes, int64 (count, len(FIELDS))."""
    surfaces = rng.choice(
        len(SURFACES), count, p=(0.12, 0.10, 0.12, 0.07, 0.07, 0.08, 0.07, 0.13, 0.06, 0.07, 0.05, 0.06)
    )
    backdrop = rng.choice(len(BACKDROPS), count, p=(0.26, 0.11, 0.11, 0.13, 0.10, 0.12, 0.09, 0.08))
    colours = rng.choice(len(COLOURS), (count, 2), p=(0.28, 0.12, 0.12, 0.11, 0.11, 0.08, 0.09, 0.09))
    colours[:, 1] = np.where(
        (surfaces == SURFACES.index("paper")) & (rng.random(count) < 0.6), colours[:, 0], colours[:, 1]
    )
    kinds = rng.choice([FAMILIES.index(family) for family in families], count)
    sides, qualities = rng.integers(0, 2, count), rng.integers(0, 2, count)
    tints = rng.choice(3, count, p=(0.44, 0.30, 0.26))
    seeds = rng.integers(0, 1 << 20, count)
    finishes = np.array([MATERIALS.index(_material(FAMILIES[k], materials, rng)) for k in kinds])
    columns = [surfaces, backdrop, sides, qualities, tints, colours[:, 0], colours[:, 1], kinds, seeds, finishes]
    return np.stack(columns, 1).astype(np.int64)


def _material(family: str, pool: Sequence[str], rng: np.random.Generator) -> str:
    """A random material of the pool. Glass is used only for suitable families, unless the pool has nothing else."""
    if family == "glass" and "glass" in pool:
        return "glass"
    chances = {"matte": 0.36, "gloss": 0.46, "metal": 0.18, "glass": 0.25 if family in ("perfume", "vase") else 0.0}
    weights = np.array([chances.get(name, 1.0) for name in pool])
    return str(rng.choice(pool, p=weights / weights.sum() if weights.sum() else None))


def render(
    batch_size: int,
    size_px: int,
    seed: int,
    device: str | torch.device = "cpu",
    clutter: float = 0.12,
    families: Sequence[str] | None = None,
    materials: Sequence[str] | None = None,
    mixed_light: float = 0.0,
    alike: int = 1,
    shown: Shown = "product",
) -> SceneBatch:
    """Render `batch_size` scenes of `size_px` squared. The same seed gives the same scenes.

    `clutter` is the probability of a second product behind or beside the first, which is not part of the mask.
    `families` and `materials` are drawn from; by default all except the unseen ones. `mixed_light` is the probability
    that the product is lit by another lamp than the scene, like a product that is cut out of a photo. `alike`
    neighbours show one scene: its surface, backdrop, light and colours, seen by another camera with another product.
    `shown` leaves out the product of the same scene: its `shadow` remains, or `nothing` of it.
    """
    families = families or [name for name in FAMILIES if name not in UNSEEN_FAMILIES]
    pool = materials or [name for name in MATERIALS if name not in UNSEEN_MATERIALS]
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    device = torch.device(device)
    attributes = sample_attributes(batch_size, rng, families, pool)
    first = np.arange(batch_size) // alike * alike
    attributes[:, OF_SCENE] = attributes[first][:, OF_SCENE]
    shapes = sample_shapes([FAMILIES[i] for i in attributes[:, 7]], [MATERIALS[i] for i in attributes[:, 9]], rng)
    if shown == "nothing":
        shapes.place[:] = FAR_AWAY
    drawn = []
    for b in range(batch_size):
        products = [*_neighbour(shapes.colours[b], clutter, families, pool, rng, device), shapes.one(b, device)]
        cup = FAMILIES[attributes[b, 7]] == "cup"
        drawn.append(render_one(attributes[b], products, cup, size_px, mixed_light, rng, generator, device, shown))
    image, mask, product, part, depth, normals = (torch.stack(column) for column in zip(*drawn, strict=True))
    host_image, host_mask = image.cpu().numpy(), mask.cpu().numpy()
    edges = np.stack([product_edges(i, m) for i, m in zip(host_image, host_mask, strict=True)])
    boxes, points = [], []
    for m in host_mask:
        points.append(
            np.unravel_index(int(cv2.distanceTransform((m >= 0.5).astype(np.uint8), cv2.DIST_L2, 3).argmax()), m.shape)[
                ::-1
            ]
        )
        rows, columns = np.flatnonzero((m >= 0.5).any(1)), np.flatnonzero((m >= 0.5).any(0))
        boxes.append((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) if len(rows) else (0, 0, 0, 0))
    captions = [describe(dict(zip(FIELDS, row.tolist(), strict=True)), rng) for row in attributes]
    return SceneBatch(
        image,
        mask,
        product,
        part,
        depth,
        normals,
        torch.from_numpy(edges).to(device),
        captions,
        shapes.texts,
        torch.tensor(np.asarray(boxes, np.int64)),
        torch.tensor(np.asarray(points, np.int64)),
        torch.from_numpy(attributes),
    )


def _neighbour(
    colours: T,
    chance: float,
    families: Sequence[str],
    pool: Sequence[str],
    rng: np.random.Generator,
    device: torch.device,
) -> list[Product]:
    """With probability `chance`, a smaller product behind or beside the first, often in the same colours."""
    if rng.random() >= chance:
        return []
    family = families[int(rng.integers(len(families)))]
    shapes = sample_shapes([family], [_material(family, pool, rng)], rng)
    shapes.place[0] = torch.tensor((rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 0.95), rng.uniform(-0.9, 0.1)))
    shapes.size[0] = 0.8
    if rng.random() < 0.35:
        shapes.colours[0] = colours
    return [shapes.one(0, device)]


def _light(side: float, soft: bool, tint: int, night: bool, rng: np.random.Generator, device: torch.device) -> Light:
    """A lamp on the given side (-1 left, 1 right), above and in front of the product."""
    high = rng.uniform(0.75, 1.1) if soft else rng.uniform(0.6, 0.9)
    key = torch.tensor([side * rng.uniform(0.75, 1.0), high, rng.uniform(0.15, 0.6)], dtype=torch.float32)
    ambient = 0.30 if night else 0.42 if soft else 0.34
    return Light((key / key.norm()).to(device), torch.tensor(_TINT_RGB[tint], device=device), ambient, soft)


def render_one(
    row: np.ndarray,
    products: list[Product],
    cup: bool,
    size_px: int,
    mixed_light: float,
    rng: np.random.Generator,
    generator: torch.Generator,
    device: torch.device,
    shown: Shown,
) -> tuple[T, T, T, T, T, T]:
    """Render one scene, whose product is the last of `products`.

    Returns image uint8 SxSx3, mask float32 SxS, product float32 SxSx3, part and depth float32 SxS, and normals SxSx3.
    """
    a = dict(zip(FIELDS, row.tolist(), strict=True))
    side = -1.0 if a["side"] == 0 else 1.0
    soft = a["quality"] == 0
    kind = BACKDROPS[a["backdrop"]]
    light = _light(side, soft, a["tint"], kind == "night", rng, device)
    key, tint, ambient = light.key, light.tint, light.ambient
    on_product = light
    if rng.random() < mixed_light:
        other = (float(rng.choice([-1.0, 1.0])), bool(rng.integers(len(QUALITIES)) == 0), int(rng.integers(len(TINTS))))
        on_product = _light(*other, False, rng, device)
    big = size_px * OVERSAMPLING
    half, height = products[-1].extent
    span = max(height, 1.5 * half)

    # Camera: in front of the product and slightly above it, aimed at its middle.
    pitch, focal = rng.uniform(0.10, 0.60), rng.uniform(2.4, 3.6)
    away = focal * span / (2 * rng.uniform(0.40, 0.66))
    centre = torch.tensor([0.0, height * 0.5, 0.0])
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
        if SURFACES[a["surface"]] in ("wood", "walnut", "steel")
        else float(rng.uniform(-0.3, 0.3))
    )
    u, v = fx * np.cos(angle) - fz * np.sin(angle), fx * np.sin(angle) + fz * np.cos(angle)
    paper = torch.tensor(COLOUR_RGB[a["paper_colour"]], device=device)
    colour[floor] = materials.surface(SURFACES[a["surface"]], u, v, seed, paper)
    wall = ~floor
    wall_colour = torch.tensor(COLOUR_RGB[a["wall_colour"]], device=device)
    if kind in materials.WALLS:
        colour[wall] = materials.WALLS[kind](at[wall, 0] / span, at[wall, 1] / span, seed, wall_colour)
    else:
        colour[wall] = backdrops.out_of_focus(kind, size_px, OVERSAMPLING, side, wall_colour, generator, device)[wall]
    paper_sweep = kind == "plain" and SURFACES[a["surface"]] == "paper"
    if paper_sweep and a["paper_colour"] == a["wall_colour"]:
        # A sweep: one sheet of paper without a horizon.
        blend = (1 - (at[:, 2] - wall_z) / (0.9 * span)).clamp(0, 1) * floor
        swept = backdrops.plain(sx, sy, side, paper)
        colour = colour + (swept - colour) * (blend * blend)[:, None]

    # Light on floor and wall: ambient light, lamp, falloff away from the lamp, and shadows at half resolution.
    near_side = (1 + 0.20 * side * sx).clamp(0.7, 1.3)
    grid = torch.arange(big * big, device=device).reshape(big, big)[::OVERSAMPLING, ::OVERSAMPLING].reshape(-1)
    lit, occluded = torch.ones(len(grid), device=device), torch.ones(len(grid), device=device)
    on_floor = floor[grid]
    for product in products:
        close = on_floor & ((at[grid, 0] - product.place[0]).abs() < 2.6 * span) & (at[grid, 2].abs() < 1.8 * span)
        own = tracing.to_own(product, at[grid[close]])
        own_key = tracing.turn(product, key[None])[0]
        cast = tracing.shadow(product, own, own_key, 2.6 if soft else 22.0)
        opacity = 1 - 0.4 * product.finish[2] - 0.4 * product.finish[4]
        lit[close] = torch.minimum(lit[close], 1 - opacity * (1 - cast))
        gap = tracing.distance(product, own + torch.tensor([0.0, 0.03, 0.0], device=device)).clamp_min(0)
        occluded[close] = torch.minimum(
            occluded[close], 1 - 0.62 * torch.exp(-gap / 0.05) - 0.22 * torch.exp(-gap / 0.22)
        )
    pair = torch.stack([lit, occluded]).reshape(1, 2, size_px, size_px)
    lit, occluded = F.interpolate(pair, scale_factor=OVERSAMPLING, mode="bilinear", align_corners=False)[0].reshape(
        2, -1
    )
    key_floor = 0.72 * (lit * (1.0 if not soft else 0.85) + (0.15 if soft else 0.0))
    light_floor = (ambient * 0.9 * occluded)[:, None] + (key_floor * occluded.clamp_min(0.55) * near_side)[
        :, None
    ] * tint
    screenlike = kind in ("foliage", "night", "room", "sea")
    light_wall = (
        (0.5 + 0.5 * tint) * torch.ones_like(sx)[:, None] if screenlike else (0.40 + 0.60 * near_side[:, None] * tint)
    )
    if not soft and not screenlike and rng.random() < 0.5:
        # Hard light casts a slanted edge on the wall.
        edge = (sx * side + 0.55 * sy + rng.uniform(-0.2, 0.5)) / 0.05
        light_wall = light_wall * (0.80 + 0.20 * torch.sigmoid(edge))[:, None]
    if kind == "night":
        light_floor = light_floor * 0.82
    colour = colour * torch.where(floor[:, None], light_floor, light_wall)
    # A dark line where floor and wall meet.
    if not paper_sweep:
        seam = torch.exp(-((at[:, 2] - wall_z) / (0.05 * span)).clamp_min(0)) * floor
        colour = colour * (1 - 0.25 * seam)[:, None]

    # Products: the neighbour first, then the product, which covers the neighbour where it is nearer.
    around = Around(*(_mean_rgb(colour, where) for where in (floor, wall)))
    mask, part = torch.zeros(big * big, device=device), torch.zeros(big * big, device=device)
    depth = torch.where(floor, t_floor, torch.full_like(t_floor, torch.inf))
    normals = torch.zeros(big * big, 3, device=device)
    normals[floor] = torch.tensor([0.0, 1.0, 0.0], device=device)
    nearest = torch.full((big * big,), 1e9, device=device)
    for product in products if shown == "product" else products[:-1]:
        own_eye = tracing.to_own(product, eye[None])[0]
        own_direction = tracing.turn(product, direction)
        index, t = tracing.trace(product, own_eye, own_direction / product.size)
        nearer = t < nearest[index]
        index, t = index[nearer], t[nearer]
        if len(index) == 0:
            continue
        nearest[index], depth[index] = t, t
        view = own_direction[index]
        p = own_eye + view * (t / product.size)[:, None]
        seen, n = shade(product, p, view, on_product, around)
        if glass := product.finish[2]:
            seen = seen * (1 - glass) + colour[index] * glass * (0.35 + 0.65 * product.colours[0])
        colour[index], normals[index] = seen, tracing.turn_back(product, n)
        is_product = product is products[-1]
        mask[index] = float(is_product)
        if not is_product:
            part[index] = 1.0
        elif len(products) > 1:
            part[index] = 0.0
        elif cup:
            part[index] = (p[:, 1] > product.zones[1]).float()

    colour = colour.clamp(0, 1)
    seen = torch.cat([colour, colour * mask[:, None]], 1)
    image, of_product = F.avg_pool2d(seen.reshape(1, big, big, 6).permute(0, 3, 1, 2), OVERSAMPLING)[0].split(3)
    vignette = (
        1
        - 0.10
        * (
            sx.reshape(big, big)[::OVERSAMPLING, ::OVERSAMPLING] ** 2
            + sy.reshape(big, big)[::OVERSAMPLING, ::OVERSAMPLING] ** 2
        )
        / 2
    )
    image, of_product = (image * vignette).clamp(0, 1), (of_product * vignette).clamp(0, 1)
    mask, part = F.avg_pool2d(torch.stack([mask, part]).reshape(1, 2, big, big), OVERSAMPLING)[0]
    normals = F.avg_pool2d(normals.T.reshape(1, 3, big, big), OVERSAMPLING)[0].permute(1, 2, 0)
    return (
        (image.permute(1, 2, 0) * 255).round().to(torch.uint8),
        mask,
        of_product.permute(1, 2, 0),
        part,
        (depth / span).reshape(big, big)[::OVERSAMPLING, ::OVERSAMPLING],
        normals / normals.norm(dim=2, keepdim=True).clamp_min(1e-6),
    )


def _mean_rgb(colour: T, where: T) -> T:
    return colour[where].mean(0).clamp(0, 1) if bool(where.any()) else torch.full((3,), 0.5, device=colour.device)
