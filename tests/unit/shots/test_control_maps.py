"""A shot's conditions on their way to the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from packshot.contract.shot_spec import Canvas, Condition, LayerSpec, ShotSpec
from packshot.shots.control_maps import control_maps
from packshot.shots.finish import fit
from packshot.shots.flow import shoot
from packshot.shots.stages import Prepared
from packshot.store.store import Store
from packshot.types import ConditionMaps, Flat, Framing, Geometry
from tests.quick_stages import UNKNOWN
from tests.specs import spec_of
from tests.unit.shots.painter import Painter

CANNY = Condition(scale=0.8)
DEPTH = Condition(kind="depth", scale=0.5, end=0.7)


def shot_by(store: Store, painter: Painter, spec: ShotSpec) -> None:
    asyncio.run(shoot(store, store.tenants.local().id, spec, painter, lambda step: None))


def test_every_picture_of_a_shot_gets_the_same_maps(store: Store, spec_for: Callable[..., ShotSpec]) -> None:
    painter = Painter(store)
    segmentation = Condition(kind="segmentation", scale=1.0)
    spec = spec_for(images=2, conditions=(CANNY, DEPTH, segmentation))
    shot_by(store, painter, spec)
    for brief, maps in painter.briefs:
        assert brief.conditions == (DEPTH, segmentation)
        assert maps is painter.briefs[0][1]
        assert maps is not None
        assert set(maps.made) == {"depth", "segmentation"}
        assert {made.shape[1::-1] for made in maps.made.values()} == {painter.framing_of(spec.canvas).size}


@pytest.mark.parametrize("conditions", [(CANNY,), (CANNY, replace(DEPTH, scale=0.0))])
def test_a_shot_without_further_weight_makes_no_maps_and_asks_for_no_geometry(
    store: Store, spec_for: Callable[..., ShotSpec], conditions: tuple[Condition, ...]
) -> None:
    painter = Painter(store)
    shot_by(store, painter, spec_for(conditions=conditions))
    assert painter.briefs[0][0].conditions == ()
    assert painter.briefs[0][1] is None
    assert painter.understood == []


def ramp() -> Geometry:
    """A square product that comes nearer from left to right, and faces the left."""
    normals = np.zeros((32, 32, 3), np.int8)
    normals[..., 0] = -127
    depth = np.tile(np.linspace(0, 1, 32, dtype=np.float32), (32, 1))
    return Geometry(normals, depth, np.full((32, 32), 255, np.uint8))


def maps_of(framing: Framing, *layers: LayerSpec, geometries: tuple[Geometry, ...]) -> ConditionMaps:
    canvas = Canvas(128, 128)
    kinds = (Condition(kind="depth", scale=1.0), Condition(kind="normal", scale=1.0))
    spec = spec_of("mk_1", canvas=canvas, layers=layers, conditions=(CANNY, *kinds))
    fitted = fit(Prepared(Flat(np.zeros((128, 128, 4), np.uint8)), 1.0), framing)
    line = np.zeros(32, np.float32)
    products = [replace(UNKNOWN, geometry=one, height=one.depth, contact_y=line) for one in geometries]
    return control_maps(fitted, products, spec, framing)


def test_maps_stand_where_the_layer_stands_and_turn_with_it() -> None:
    whole = Framing.of_whole(64, 64)
    layer = LayerSpec(mask_id="mk_1", x=0.25, y=0.5, scale=0.25)
    made = maps_of(whole, layer, geometries=(ramp(),))
    assert made.depth is not None
    assert made.normal is not None
    columns, rows = np.flatnonzero(made.depth.any(axis=0)), np.flatnonzero(made.depth.any(axis=1))
    assert (columns[0], columns[-1], rows[0], rows[-1]) == (8, 23, 24, 39)
    assert made.depth[32, 22] > made.depth[32, 9] > 127
    assert made.normal[32, 16, 0] > 250, "red is left"
    flipped = maps_of(whole, replace(layer, flip=True), geometries=(ramp(),))
    assert flipped.depth is not None
    assert flipped.normal is not None
    assert flipped.depth[32, 9] > flipped.depth[32, 22]
    assert flipped.normal[32, 16, 0] < 5, "its mirror image faces the right"
    turned = maps_of(whole, replace(layer, rotation_deg=90.0), geometries=(ramp(),))
    assert turned.normal is not None
    assert turned.normal[32, 16, 1] > 250, "turned clockwise, what was left is up"


def test_a_later_layer_hides_an_earlier_one() -> None:
    flat_one = replace(ramp(), depth=np.full((32, 32), 0.5, np.float32))
    back = LayerSpec(mask_id="mk_1", x=0.5, y=0.5, scale=0.5)
    front = LayerSpec(mask_id="mk_2", x=0.5, y=0.5, scale=0.25)
    made = maps_of(Framing.of_whole(64, 64), back, front, geometries=(ramp(), flat_one))
    assert made.depth is not None
    inner = made.depth[26:38, 26:38]
    assert inner.min() == inner.max()
    assert made.depth[32, 46] > inner.max()


def test_a_product_that_the_canvas_cuts_goes_on_beyond_it() -> None:
    """In a scene that is larger than its shown part, the border's pixels are repeated."""
    framing = Framing((96, 64), (16, 0, 80, 64))
    made = maps_of(framing, LayerSpec(mask_id="mk_1", x=0.0, y=0.5, scale=0.5), geometries=(ramp(),))
    assert made.depth is not None
    assert made.depth.shape == (64, 96)
    assert (made.depth[32, :16] == made.depth[32, 16]).all()
    assert made.depth[32, 16] > 0
