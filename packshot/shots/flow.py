"""The way of one shot, from its request to finished pictures.

    layers -> Cutouts -> Layout -> Flat ──────────────────────────────┐ (canvas size)
                                    └> small Flat -> edges ─┐         │
                                    └> inpaint mask ────────┴> paint -> enlarge -> composite -> inspect -> PNG

A plain background needs no engine, and neither does a product that covers the canvas: Flat goes to composite at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import packshot
from packshot.contract.recipe import EngineStamp, Recipe
from packshot.contract.shot_spec import Canvas, Condition, ShotSpec
from packshot.contract.verdict import Verdict
from packshot.imaging.canvas import cut, enlargement, fit_to, flatten
from packshot.imaging.codec import encode_png, read_mask, read_photo
from packshot.imaging.composite import composite, enlarge, inpaint_mask, plain_background, product_on_grey
from packshot.imaging.shadow import contact_shadow
from packshot.store.records import NewImage
from packshot.store.store import Store
from packshot.types import U8, Brief, Flat, Layer, Layout, Render
from packshot.verdict.inspect import inspect


@dataclass(frozen=True)
class Step:
    """How far one picture is. `preview`: uint8 HxWx3 RGB, small, now and then."""

    index: int
    steps: int
    preview: U8 | None = None


@dataclass(frozen=True)
class Painted:
    """A finished scene, which engine painted it, and what each stage took in milliseconds."""

    render: Render
    engine: EngineStamp
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


def load_layout(store: Store, tenant: str, spec: ShotSpec) -> Layout:
    """The shot's layers, cut out of their photos. Raises NotFound when a mask or photo is gone."""
    layers = []
    for row in spec.layers:
        mask = store.masks.get(tenant, row.mask_id)
        photo = store.photos.get(tenant, mask.photo_id)
        cutout = cut(
            read_photo(store.assets.get(photo.asset_key)),
            read_mask(store.assets.get(mask.asset_key)),
        )
        layers.append(Layer(cutout, row.x, row.y, row.scale, row.rotation_deg, row.flip))
    return Layout(spec.canvas, tuple(layers))


async def shoot(
    store: Store, tenant: str, spec: ShotSpec, stages: Stages, on_step: OnStep, *, alone: bool = False
) -> list[NewImage]:
    """Every picture of a shot. `alone`: run unbatched, because this shot may have crashed a replica."""
    layout = await asyncio.to_thread(load_layout, store, tenant, spec)
    flat = await asyncio.to_thread(flatten, layout)
    look = partial(inspect, flat, product_by=enlargement(layout), generated=spec.background.generated)
    if not spec.background.generated or (flat.alpha == 255).all():
        return await asyncio.to_thread(_plain, flat, spec, look)

    size = stages.size_for(spec.canvas)
    small = await asyncio.to_thread(fit_to, flat, *size)
    product, repaint = product_on_grey(small), inpaint_mask(small)
    edges = stages.edges(small)
    progress = _Progress(spec.images, spec.steps, on_step)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_picture(index, painting, progress, partial(_finish, index, flat, spec, look)))
                for index, painting in enumerate(
                    stages.paint(product, repaint, edges, brief, interactive=spec.interactive, alone=alone)
                    for brief in _briefs(spec)
                )
            ]
    except ExceptionGroup as failures:  # the pictures of a shot fail together, with the first one's reason
        raise failures.exceptions[0] from failures
    return [task.result() for task in tasks]


def _briefs(spec: ShotSpec) -> list[Brief]:
    """One brief per picture."""
    canny = spec.condition("canny") or Condition(scale=0.0)
    return [
        Brief(
            prompt=spec.prompt,
            negative_prompt=spec.negative_prompt,
            seed=seed,
            steps=spec.steps,
            guidance_scale=spec.guidance_scale,
            control_scale=canny.scale,
            control_start=canny.start,
            control_end=canny.end,
        )
        for seed in spec.seeds
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


def _finish(index: int, flat: Flat, spec: ShotSpec, look: Look, painted: Painted) -> NewImage:
    height, width = flat.alpha.shape
    scene = enlarge(painted.render.pixels, Canvas(width, height))
    enlarged_by = max(width / painted.render.pixels.shape[1], height / painted.render.pixels.shape[0])
    picture = composite(flat, scene, _shadow(flat, spec))
    verdict = look(picture, enlarged_by=enlarged_by)
    verdict = Verdict((*verdict.findings, *painted.render.findings))
    recipe = Recipe(
        version=packshot.__version__,
        seed=painted.render.seed,
        spec=spec,
        engine=painted.engine,
        timing_ms={name: round(spent, 1) for name, spent in painted.timing_ms.items()},
    )
    return _image(index, picture, verdict, recipe)


def _plain(flat: Flat, spec: ShotSpec, look: Look) -> list[NewImage]:
    """Pictures on white, a colour or nothing, or of nothing but product: all alike, so painted once."""
    height, width = flat.alpha.shape
    transparent = spec.background.transparent
    colour = "white" if spec.background.generated else spec.background.name
    background = None if transparent else plain_background(Canvas(width, height), colour)
    picture = composite(flat, background, None if transparent else _shadow(flat, spec))
    verdict = look(picture)
    recipe = Recipe(version=packshot.__version__, seed=spec.seed, spec=spec)
    first = _image(0, picture, verdict, recipe)
    return [replace(first, index=index) for index in range(spec.images)]


def _shadow(flat: Flat, spec: ShotSpec) -> U8 | None:
    return contact_shadow(flat) if spec.shadow.kind == "contact" else None


def _image(index: int, picture: U8, verdict: Verdict, recipe: Recipe) -> NewImage:
    height, width = picture.shape[:2]
    return NewImage(index, recipe.seed, width, height, encode_png(picture), verdict, recipe)
