"""The way of one shot, from its request to finished pictures.

    layers -> Cutouts -> Layout -> Flat ──────────────────────────────┐ (canvas size)
                                    └> small Flat -> edges ─┐         │
                                    └> inpaint mask ────────┴> paint -> enlarge -> composite -> inspect -> PNG

A plain background needs no engine, and neither does a product that covers the canvas: Flat goes to composite at once.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import packshot
from packshot.imaging.canvas import cut, enlargement, fit_to, flatten
from packshot.imaging.codec import encode_png, read_mask, read_photo
from packshot.imaging.composite import composite, enlarge, inpaint_mask, plain_background, product_on_grey
from packshot.imaging.shadow import contact_shadow
from packshot.store.records import MaskRecord, NewImage
from packshot.store.store import Store
from packshot.types import U8, Brief, Canvas, Cutout, Flat, Layer, Layout, Render, Verdict
from packshot.verdict.inspect import inspect


@dataclass(frozen=True)
class Step:
    """How far one picture is. `preview`: uint8 HxWx3 RGB, small, now and then."""

    index: int
    steps: int
    preview: U8 | None = None


@dataclass(frozen=True)
class Painted:
    """A finished scene and what it took to make: pack hashes, dtype, device, and times in milliseconds."""

    render: Render
    recipe: dict[str, Any]
    timing_ms: dict[str, float]


class Stages(Protocol):
    """The stages that the flow drives. `edges` may hand out a reference that only `paint` can read."""

    def edges(self, flat: Flat) -> Any:
        """Canny edges of a layout at the engine's size."""
        ...

    def paint(
        self, product: U8, repaint: U8, edges: Any, brief: Brief, *, interactive: bool, alone: bool
    ) -> AsyncIterator[Step | Painted]:
        """Paint one scene: steps as they come, then one Painted. Closing the iterator cancels the rendering.

        `interactive`: a person waits; `alone`: a suspect, no other scene shares its steps.
        """
        ...

    def size_for(self, canvas: Canvas) -> tuple[int, int]:
        """(width, height) at which the engine paints for this canvas."""
        ...


OnStep = Callable[[Step], None]
Look = Callable[..., Verdict]
"""`inspect` of a shot's own layout: takes the picture, and `enlarged_by`."""


def load_layout(store: Store, tenant: str, request: dict[str, Any]) -> Layout:
    """The request's layers, cut out of their photos. Raises NotFound when a mask or photo is gone."""
    cutouts = load_cutouts(store, tenant, {row["mask_id"] for row in request["layers"]})
    layers = [
        Layer(cutouts[row["mask_id"]], row["x"], row["y"], row["scale"], row["rotation_deg"], row["flip"])
        for row in request["layers"]
    ]
    return Layout(Canvas(request["canvas"]["width"], request["canvas"]["height"]), tuple(layers))


def load_cutouts(store: Store, tenant: str, mask_ids: set[str]) -> dict[str, Cutout]:
    """The cutout of each mask. Each photo is read once, however many masks it has. Raises NotFound when one is gone."""
    masks_of: dict[str, list[MaskRecord]] = defaultdict(list)
    for mask_id in mask_ids:
        mask = store.mask(tenant, mask_id)
        masks_of[mask.photo_id].append(mask)
    cutouts: dict[str, Cutout] = {}
    for photo_id, masks in masks_of.items():
        photo = read_photo(store.assets.get(store.photo(tenant, photo_id).asset_key))
        cutouts |= {mask.id: cut(photo, read_mask(store.assets.get(mask.asset_key))) for mask in masks}
    return cutouts


async def shoot(
    store: Store, tenant: str, request: dict[str, Any], stages: Stages, on_step: OnStep, *, alone: bool = False
) -> list[NewImage]:
    """Every picture of a shot. `request`: as accepted, all defaults resolved. `alone`: share no batch."""
    layout = await asyncio.to_thread(load_layout, store, tenant, request)
    flat = await asyncio.to_thread(flatten, layout)
    look = partial(inspect, flat, product_by=enlargement(layout), generated=request["background"] == "generate")
    if request["background"] != "generate" or (flat.alpha == 255).all():
        return await asyncio.to_thread(_plain, flat, request, look)

    canvas = Canvas(request["canvas"]["width"], request["canvas"]["height"])
    size = stages.size_for(canvas)
    small = await asyncio.to_thread(fit_to, flat, *size)
    product, repaint = product_on_grey(small), inpaint_mask(small)
    edges = stages.edges(small)
    interactive = request.get("priority", "interactive") == "interactive"
    progress = _Progress(request["images"], request["steps"], on_step)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_picture(index, painting, progress, partial(_finish, index, flat, request, look)))
                for index, painting in enumerate(
                    stages.paint(product, repaint, edges, brief, interactive=interactive, alone=alone)
                    for brief in _briefs(request)
                )
            ]
    except ExceptionGroup as failures:  # the pictures of a shot fail together, with the first one's reason
        raise failures.exceptions[0] from failures
    return [task.result() for task in tasks]


def _briefs(request: dict[str, Any]) -> list[Brief]:
    """One brief per picture: seeds count up from the request's."""
    return [
        Brief(
            prompt=request["prompt"],
            negative_prompt=request["negative_prompt"],
            seed=request["seed"] + index,
            steps=request["steps"],
            guidance_scale=request["guidance_scale"],
            control_scale=request["control_scale"],
            control_start=request["control_start"],
            control_end=request["control_end"],
        )
        for index in range(request["images"])
    ]


class _Progress:
    """Sums the steps of a shot's pictures, and passes the first picture's previews on."""

    def __init__(self, images: int, steps: int, on_step: OnStep) -> None:
        self._taken = [0] * images
        self._total = images * steps
        self._on_step = on_step

    def report(self, image: int, step: Step) -> None:
        self._taken[image] = step.index
        self._on_step(Step(sum(self._taken), self._total, step.preview if image == 0 else None))


async def _picture(
    index: int,
    painting: AsyncIterator[Step | Painted],
    progress: _Progress,
    finish: Callable[[Painted], NewImage],
) -> NewImage:
    async for update in painting:
        if isinstance(update, Step):
            progress.report(index, update)
        else:
            return await asyncio.to_thread(finish, update)
    raise RuntimeError("a painting ended without its picture")


def _finish(index: int, flat: Flat, request: dict[str, Any], look: Look, painted: Painted) -> NewImage:
    height, width = flat.alpha.shape
    scene = enlarge(painted.render.pixels, Canvas(width, height))
    enlarged_by = max(width / painted.render.pixels.shape[1], height / painted.render.pixels.shape[0])
    picture = composite(flat, scene, _shadow(flat, request))
    verdict = look(picture, enlarged_by=enlarged_by)
    verdict = Verdict((*verdict.findings, *painted.render.findings))
    took = {"timing_ms": {name: round(spent, 1) for name, spent in painted.timing_ms.items()}}
    recipe = _recipe(request, painted.render.seed, painted.recipe | took)
    return _image(index, painted.render.seed, picture, verdict, recipe)


def _plain(flat: Flat, request: dict[str, Any], look: Look) -> list[NewImage]:
    """Pictures on white, a colour or nothing, or of nothing but product: all alike, so painted once."""
    height, width = flat.alpha.shape
    transparent = request["background"] == "transparent"
    colour = "white" if request["background"] == "generate" else request["background"]
    background = None if transparent else plain_background(Canvas(width, height), colour)
    picture = composite(flat, background, None if transparent else _shadow(flat, request))
    verdict = look(picture)
    seed = request["seed"]
    first = _image(0, seed, picture, verdict, _recipe(request, seed, {}))
    return [
        NewImage(index, seed, first.width, first.height, first.png, first.verdict, first.recipe)
        for index in range(request["images"])
    ]


def _shadow(flat: Flat, request: dict[str, Any]) -> U8 | None:
    return contact_shadow(flat) if request["shadow"] == "contact" else None


def _recipe(request: dict[str, Any], seed: int, engine: dict[str, Any]) -> dict[str, Any]:
    return {"version": packshot.__version__, "seed": seed, "request": request, **engine}


def _image(index: int, seed: int, picture: U8, verdict: Verdict, recipe: dict[str, Any]) -> NewImage:
    height, width = picture.shape[:2]
    return NewImage(index, seed, width, height, encode_png(picture), verdict.as_json(), recipe)
