"""Draw shard plans: which product, on what, before what, in which light, from where. A plan follows from split and
number alone.

A shard has four views of four takes. A view shows two sets, each in two lights:
takes 0 and 1 share a set, takes 2 and 3 another one.
Views 0 and 1, and views 2 and 3, are pairs: other products in the same two sets, lights and camera.
"""

from __future__ import annotations

import dataclasses
import functools
import random

import numpy as np

from training.path_traced import catalogue, framing
from training.path_traced.catalogue import Thing
from training.path_traced.draw_sets import Place, catalogued, draw_light, draw_set, draw_take
from training.path_traced.prints import draw_label
from training.path_traced.scene_plan import ProductPlan, ShardPlan, ViewPlan

VERSION = 1
VIEWS, TAKES = 4, 4
SPLITS = ("train", "heldout")
GROUP_SPLITS = ("train", "known", "heldout")
"""The splits of groups. `known`: the training objects in held-out light, for measuring."""
QUICK = 16
"""The views of a call of `quick_views`."""
GROUPS = 8
"""The views of a shard of groups; each has one take."""
MADE = {
    "bottle": (16.0, 26.0),
    "jar": (5.0, 10.0),
    "tube": (12.0, 19.0),
    "box": (6.0, 24.0),
    "can": (9.0, 17.0),
    "perfume": (8.0, 14.0),
    "soap": (7.0, 10.0),
}
"""Packages made here, with the range of their longest side in cm."""
DESIGNS = 60
"""Of each kind: shape and colours follow from the design, the print does not."""


def shard(split: str, number: int, size_px: int = 320, samples: int = 16) -> ShardPlan:
    """The plan of a shard; size and samples change the picture, not the scene."""
    dice = random.Random(f"packshot/path-traced/{VERSION}/{split}/{number}")
    views: list[ViewPlan] = []
    for pair in range(VIEWS // 2):
        views += _pair(dice, split, pair)
    return ShardPlan(VERSION, split, number, size_px, samples, tuple(views))


def groups(split: str, number: int, size_px: int = 320, samples: int = 4) -> ShardPlan:
    """The plan of a shard of groups: two or three products side by side, one take of each view. For lean shards."""
    dice = random.Random(f"packshot/groups/{VERSION}/{split}/{number}")
    return ShardPlan(VERSION, split, number, size_px, samples, tuple(_group(dice, split, n) for n in range(GROUPS)))


def _group(dice: random.Random, split: str, number: int) -> ViewPlan:
    neighbours: tuple[ProductPlan, ...] = ()
    while not neighbours:
        main, unit_cm = _main(dice, split, "product")
        room = max(main.size_xyz[0], main.size_xyz[1]) / 2
        neighbours = _neighbours(dice, split, unit_cm, room)
    camera = framing.frame(
        (main, *neighbours), round(dice.uniform(6, 40), 2), round(dice.uniform(22, 42), 2), dice.uniform(0.3, 0.5),
        (dice.uniform(-0.05, 0.05), dice.uniform(-0.04, 0.06)), round(dice.choice((0.0, dice.uniform(0.01, 0.03))), 4),
        round(dice.gauss(0, 0.8), 2),
    )  # fmt: skip
    place = Place(split, "product", unit_cm, room, camera, _things(split)["prop"])
    seen_set = draw_set(dice, place)
    light = draw_light(dice, "train" if split == "train" else "heldout", seen_set)
    take = draw_take(dice, main, camera, seen_set, light)
    return ViewPlan(main, neighbours, round(unit_cm, 2), camera, (take,), number)


def quick_views(split: str, number: int, *, made_only: bool = False) -> tuple[ViewPlan, ...]:
    """Views for `splat`, one take each: a product, alone or with one or two others of similar size.

    `made_only`: only packages that are made here, for which no catalogue is needed.
    """
    dice = random.Random(f"packshot/quick/{VERSION}/{split}/{number}")
    return tuple(_quick_view(dice, split, made_only, place) for place in range(QUICK))


def _quick_view(dice: random.Random, split: str, made_only: bool, number: int) -> ViewPlan:
    draw = functools.partial(_made, dice, split) if made_only else functools.partial(_quick_product, dice, split)
    main, unit_cm = draw(dice.uniform(-180, 180))
    room = max(main.size_xyz[0], main.size_xyz[1]) / 2
    side, others = dice.choice((-1, 1)), list[ProductPlan]()
    for _ in range(dice.choice((0, 1, 1, 2))):
        other, _ = draw(dice.uniform(-180, 180))
        size = dice.uniform(0.5, 1.2)
        width, depth, height = (round(part * size, 4) for part in other.size_xyz)
        away = side * (room + np.hypot(width, depth) / 2 + dice.uniform(0.0, 0.3))
        at = (round(float(away), 3), round(dice.uniform(-0.3, 0.7), 3))
        others.append(dataclasses.replace(other, size_xyz=(width, depth, height), at_xy=at))
        side = -side
    fill = dice.uniform(0.34, 0.5) if others else dice.uniform(0.46, 0.84)
    camera = framing.frame(
        (main, *others), round(dice.choice((dice.uniform(4, 30), dice.uniform(20, 60))), 2),
        round(dice.uniform(18, 42), 2), fill, (dice.uniform(-0.05, 0.05), dice.uniform(-0.05, 0.05)), 0.0, 0.0,
    )  # fmt: skip
    stands_in = draw_set(dice, Place(split, "product", unit_cm, room, camera, _things(split)["prop"]))
    take = draw_take(dice, main, camera, stands_in, draw_light(dice, split, stands_in))
    return ViewPlan(main, tuple(others), round(unit_cm, 2), camera, (take,), number)


def _quick_product(dice: random.Random, split: str, turn: float) -> tuple[ProductPlan, float]:
    """A product with its longest side 1; packages are one in five."""
    if dice.random() < 0.2:
        return _made(dice, split, turn)
    thing = dice.choice(_things(split)["product"])
    return catalogued(dice, thing, thing.longest_cm, (0.0, 0.0), turn), thing.longest_cm


@functools.cache
def _things(split: str) -> dict[str, tuple[Thing, ...]]:
    """The split's objects by use; props come from the training objects in both."""
    rows = [thing for thing in catalogue.read_table() if thing.held_out == (split == "heldout")]
    found = {role: tuple(thing for thing in rows if thing.role == role) for role in ("product", "furniture")}
    found["prop"] = tuple(thing for thing in catalogue.read_table() if thing.prop and not thing.held_out)
    return found


def _pair(dice: random.Random, split: str, number: int) -> list[ViewPlan]:
    role = "furniture" if dice.random() < 0.12 else "product"
    first, unit_cm = _main(dice, split, role)
    second, second_cm = _main(dice, split, role)
    if role == "product":
        unit_cm = (unit_cm * second_cm) ** 0.5
    mains = (first, second)
    room = max(max(plan.size_xyz[0], plan.size_xyz[1]) for plan in mains) / 2
    neighbours = _neighbours(dice, split, unit_cm, room) if role == "product" and dice.random() < 0.35 else ()
    flat = min(plan.size_xyz[2] for plan in mains) < 0.25
    elevation = dice.uniform(28, 62) if flat else dice.choice((dice.uniform(4, 14), dice.uniform(10, 32)))
    camera = framing.frame(
        mains, round(elevation, 2), round(dice.uniform(18, 42), 2), dice.uniform(0.46, 0.84),
        (dice.uniform(-0.07, 0.07), dice.uniform(-0.02, 0.09)),
        round(dice.choice((0.0, dice.uniform(0.01, 0.03), dice.uniform(0.03, 0.08))), 4),
        round(dice.gauss(0, 0.8), 2),
    )  # fmt: skip
    place = Place(split, role, unit_cm, room, camera, _things(split)["prop"])
    sets = [draw_set(dice, place) for _ in range(2)]
    lights = [draw_light(dice, split, sets[index]) for index in (0, 0, 1, 1)]
    views = []
    for main in mains:
        takes = tuple(draw_take(dice, main, camera, sets[index // 2], light) for index, light in enumerate(lights))
        views.append(ViewPlan(main, neighbours, round(unit_cm, 2), camera, takes, number))
    return views


def _main(dice: random.Random, split: str, role: str) -> tuple[ProductPlan, float]:
    """A main product, its longest side 1, and that side in cm."""
    turn = dice.choice((dice.gauss(0, 18), dice.uniform(-60, 60), dice.uniform(-180, 180)))
    if role == "product" and dice.random() < 0.42:
        return _made(dice, split, turn)
    thing = dice.choice(_things(split)[role])
    return catalogued(dice, thing, thing.longest_cm, (0.0, 0.0), turn), thing.longest_cm


def _made(dice: random.Random, split: str, turn: float) -> tuple[ProductPlan, float]:
    kind = dice.choice(tuple(MADE))
    names = [f"made/{kind}/{design:03d}" for design in range(DESIGNS)]
    held = [name for name in names if (catalogue.share(name) < catalogue.HELD_OUT_SHARE) == (split == "heldout")]
    object_id = dice.choice(held)
    shape = random.Random(object_id + "/size")
    longest = shape.uniform(*MADE[kind])
    wide, deep, high = {
        "bottle": (shape.uniform(0.28, 0.45), 1, 1.0), "jar": (1.0, 1, shape.uniform(0.55, 0.95)),
        "tube": (shape.uniform(0.26, 0.36), 1, 1.0),
        "box": (shape.uniform(0.35, 1.0), 0, 1.0), "can": (shape.uniform(0.42, 0.62), 1, 1.0),
        "perfume": (shape.uniform(0.5, 0.8), 1, 1.0),
        "soap": (1.0, 1, shape.uniform(0.25, 0.4)),
    }[kind]  # fmt: skip
    flatness = random.Random(object_id).random()
    depth = (
        wide * (1.0 if kind in ("jar", "can", "tube") or flatness < 0.6 else 0.72) if deep else shape.uniform(0.15, 0.6)
    )
    if kind == "soap":
        depth = 0.62
    label = None if dice.random() < 0.12 or kind == "soap" else draw_label(dice)
    size = (round(wide, 4), round(depth, 4), round(high, 4))
    narrow = dice.gauss(0, 22)  # the print is in front
    return ProductPlan(
        object_id, kind, kind, "", "", (), size, (0.0, 0.0), round(narrow if label else turn, 1), 0, label
    ), longest


def _neighbours(dice: random.Random, split: str, unit_cm: float, room: float) -> tuple[ProductPlan, ...]:
    """One or two other products of similar true size, mostly beside and behind."""
    fitting = [thing for thing in _things(split)["product"] if 0.3 < thing.longest_cm / unit_cm < 1.4]
    found: list[ProductPlan] = []
    side = dice.choice((-1, 1))
    for _ in range(dice.choice((1, 1, 2))):
        if not fitting:
            break
        thing = dice.choice(fitting)
        reach = np.hypot(thing.width_cm, thing.depth_cm) / unit_cm / 2
        away = room + reach + dice.uniform(0.03, 0.35)
        behind = dice.uniform(-0.15, 0.9)
        found.append(catalogued(dice, thing, unit_cm, (round(side * away, 3), round(behind, 3)), dice.uniform(-50, 50)))
        side = -side
    return tuple(found)
