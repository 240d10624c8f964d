"""Draw the set, the light and the captions of a take."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from training.path_traced import catalogue, framing
from training.path_traced.catalogue import Thing
from training.path_traced.scene_plan import CameraPlan, LightPlan, ProductPlan, Rgb, SetPlan, TakePlan
from training.scenes import words
from training.scenes.words import BACKDROPS, COLOUR_RGB, COLOURS, FAMILIES, FIELDS, QUALITIES, SIDES, SURFACES, TINTS

CAPTIONS = 4
SURFACE_WEIGHTS = (12, 9, 11, 8, 8, 8, 7, 15, 6, 7, 4, 5)
BACKDROP_WEIGHTS = (28, 9, 9, 13, 9, 13, 9, 9)
PHOTOGRAPHS = {"foliage": ("forest", "forest", "sunrise"), "room": ("interior",), "sea": ("sunset",)}
"""HDRIs seen behind the product, for each backdrop that is a photograph."""
GOOD_COLUMNS = {"sunset": ((0.40, 0.60),), "interior": ((0.51, 0.63), (0.79, 0.92))}
"""Which parts of a photograph may stand behind the product, as shares of its width; all of it where none are named."""
FURNISHED = 0.45
"""Of rooms: a wall with furniture before it, in place of the photograph."""
SEEN = 0.06
"""A backdrop that fills a smaller share of the frame is not spoken of."""


@dataclass(frozen=True)
class Place:
    """What a set must fit: the split, the products' role, cm a product size, the radius they need, the camera, and
    props at hand."""

    split: str
    role: str
    unit_cm: float
    room: float
    camera: CameraPlan
    props: tuple[Thing, ...]


def catalogued(dice: random.Random, thing: Thing, unit_cm: float, at: tuple[float, float], turn: float) -> ProductPlan:
    """A catalogue object at a place. unit_cm: cm a product size; turn: degrees."""
    restyle = dice.randrange(10**6) if dice.random() < 0.55 else -1
    size = tuple(round(max(cm, 0.2) / unit_cm, 4) for cm in (thing.width_cm, thing.depth_cm, thing.height_cm))
    return ProductPlan(
        thing.object_id, thing.name.lower(), thing.family, thing.archive, thing.member, thing.rotation,
        (size[0], size[1], size[2]), at, round(turn, 1), restyle,
    )  # fmt: skip


def draw_set(dice: random.Random, place: Place) -> SetPlan:
    surface = dice.choices(SURFACES, SURFACE_WEIGHTS)[0]
    backdrop = dice.choices(BACKDROPS, BACKDROP_WEIGHTS)[0]
    natural = surface in ("grass", "sand")
    if natural and backdrop in ("tile", "curtain", "night", "room"):
        backdrop = dice.choice(("foliage", "sea", "plain"))
    paper, wall = dice.randrange(len(COLOURS)), dice.randrange(len(COLOURS))
    if dice.random() < 0.3:
        paper = wall = 0
    if surface == "paper" and dice.random() < 0.6:
        wall = paper
    paper_rgb = _tinted(dice, paper)
    wall_rgb = paper_rgb if wall == paper else _tinted(dice, wall)
    furnished = backdrop == "room" and dice.random() < FURNISHED
    sky = dice.choice(PHOTOGRAPHS[backdrop]) if backdrop in PHOTOGRAPHS and not furnished else ""
    support = _support(
        dice, place, surface, backdrop, sweep=surface == "paper" and backdrop == "plain" and wall == paper
    )
    if furnished:
        distance = place.room + max(dice.uniform(1.5, 2.5), dice.uniform(150, 260) / place.unit_cm)
    else:
        distance = place.room + (dice.uniform(0.25, 0.8) if support == "shelf" else dice.uniform(0.7, 4.0))
    end = distance
    if support == "table":
        end = min(distance, place.room + dice.uniform(0.4, 1.5))
    elif sky or backdrop == "night":
        end = place.room + dice.uniform(1.5, 6.0)
    drop = max(framing.edge_angle(place.camera, end) - dice.uniform(1.5, 7.0), 0.0)
    low, high = dice.choice(GOOD_COLUMNS.get(sky, ((0.0, 1.0),)))
    turn = 90 - 360 * dice.uniform(low, high)  # column u of a photograph lies behind the product at 90 - 360 u degrees
    props = _props(dice, place, distance) if furnished else ()
    return SetPlan(
        surface, dice.randrange(10**6), paper_rgb, support, backdrop, dice.randrange(10**6), wall_rgb,
        round(distance, 3), round(end, 3),
        round(min(max(place.unit_cm, 9.0), 120.0) / 100, 4), sky, round(turn, 1), round(drop, 2), props,
    )  # fmt: skip


def _support(dice: random.Random, place: Place, surface: str, backdrop: str, *, sweep: bool) -> str:
    if sweep:
        return dice.choice(("sweep", "sweep", "sweep", "plinth"))
    if place.role == "furniture" or surface in ("grass", "sand"):
        return "plane"
    if backdrop in PHOTOGRAPHS or backdrop == "night":
        return "table"
    return dice.choice(("plane", "plane", "table", "table", "shelf", "plinth"))


def _props(dice: random.Random, place: Place, wall: float) -> tuple[ProductPlan, ...]:
    """Two or three pieces of furniture or plants along the wall."""
    found = []
    for side in dice.sample((-1.0, 0.1, 1.0), dice.choice((2, 3))):
        thing = dice.choice(place.props)
        x = side * dice.uniform(0.45, 0.9) * wall * 0.5
        y = wall - thing.depth_cm / place.unit_cm / 2 - dice.uniform(0.05, 0.4)
        found.append(catalogued(dice, thing, place.unit_cm, (round(x, 3), round(y, 3)), dice.gauss(0, 12)))
    return tuple(found)


def _tinted(dice: random.Random, index: int) -> Rgb:
    r, g, b = (round(min(max(c + dice.uniform(-0.05, 0.05), 0.02), 0.97), 3) for c in COLOUR_RGB[index])
    return r, g, b


def draw_light(dice: random.Random, split: str, stands_in: SetPlan) -> LightPlan:
    side, quality, tint = dice.choice(SIDES), dice.choice(QUALITIES), dice.choices(TINTS, (5, 3, 2))[0]
    walled = not stands_in.hdri and stands_in.backdrop != "night"  # a wall would stand before a light from behind
    azimuth = dice.uniform(35, 84) if walled else dice.choice((dice.uniform(40, 90), dice.uniform(90, 140)))
    held = catalogue.held_out_hdris()
    usable = [name for name in catalogue.HDRIS if (name in held) == (split == "heldout")]
    hdri = stands_in.hdri or ("night" if stands_in.backdrop == "night" and split == "train" else dice.choice(usable))
    hard = quality == "hard"
    return LightPlan(
        side, quality, tint, round(azimuth if side == "right" else 360 - azimuth, 1), round(dice.uniform(24, 58), 1),
        round(dice.uniform(0.6, 5.0) if hard else dice.uniform(26, 60), 2),
        round(dice.uniform(0.66, 0.86) if hard else dice.uniform(0.48, 0.74), 3),
        hdri, round(stands_in.hdri_turn_deg if stands_in.hdri else dice.uniform(0, 360), 1),
    )  # fmt: skip


def draw_take(
    dice: random.Random, main: ProductPlan, camera: CameraPlan, stands_in: SetPlan, light: LightPlan
) -> TakePlan:
    """A set in a light, and four ways to say it; a backdrop that the camera does not see is not said, and its
    attribute is -1."""
    seen = framing.backdrop_share(camera, stands_in.ground_end) >= SEEN or stands_in.support == "sweep"
    values = {
        "surface": SURFACES.index(stands_in.surface), "backdrop": BACKDROPS.index(stands_in.backdrop),
        "side": SIDES.index(light.side),
        "quality": QUALITIES.index(light.quality), "tint": TINTS.index(light.tint),
        "paper_colour": _nearest(stands_in.paper_rgb),
        "wall_colour": _nearest(stands_in.wall_rgb), "family": FAMILIES.index(main.family) if main.family else -1,
        "texture_seed": stands_in.surface_seed, "material": -1,
    }  # fmt: skip
    rng = np.random.default_rng(dice.randrange(2**32))
    said = [words.describe(values, rng, whole=number == 0) for number in range(CAPTIONS)]
    if not seen:
        said = [without_backdrop(text, values) for text in said]
        values["backdrop"] = -1
    return TakePlan(stands_in, light, tuple(said), tuple(values[field] for field in FIELDS), dice.randrange(2**31))


def without_backdrop(caption: str, values: dict[str, int]) -> str:
    """The caption less the part that names the backdrop; whole where nothing else would be left."""
    rng = np.random.default_rng(0)
    sayings = {words.describe({**values, "surface": 0, "paper_colour": 0}, rng, whole=True) for _ in range(400)}
    parts = {part for text in sayings for part in text.split(", ")}
    surface = {part for part in parts if "wood" in part}
    backdrop = {part for part in parts - surface if "light" not in part.split() and "photo" not in part.split()}
    kept = [part for part in caption.split(", ") if part not in backdrop]
    return ", ".join(kept) or caption


def _nearest(rgb: Rgb) -> int:
    return int(np.square(np.array(COLOUR_RGB) - np.array(rgb)).sum(1).argmin())
