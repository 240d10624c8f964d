"""The flows of what paints a part of a picture or photo that exists: a touch-up, and an enhancement.

picture or photo, region, layout -> prepare_repaint -> Fitted -> edges, paint -> finish_repaint -> a new picture
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from packshot.contract.enhancement import EnhancementSpec
from packshot.contract.shot_spec import Canvas
from packshot.contract.touchup_spec import TouchupSpec
from packshot.shots.flow import OnStep, adapters_of, brief_of, image_of, proofread, recipe_of, references_of
from packshot.shots.layout import find_layout
from packshot.shots.proofreading import find_text
from packshot.shots.stages import EnhancementOrder, RepaintOrder, Stages, Step, TouchupOrder
from packshot.store.records import Claim, NewImage
from packshot.store.store import Store
from packshot.telemetry.traces import span
from packshot.types import BoxXYXY, Brief


async def touch_up(store: Store, claim: Claim, stages: Stages, on_step: OnStep) -> list[NewImage]:
    """Paint a touch-up. Raises NotFound when the parent or a file of its layout was deleted, and EngineFailed."""
    touchup = TouchupSpec.from_json(claim.job)
    order = await asyncio.to_thread(_touchup_order, store, claim, touchup)
    brief = replace(
        brief_of(claim.spec, touchup.seed),
        prompt=touchup.prompt,
        negative_prompt=touchup.negative_prompt,
        strength=touchup.strength,
    )
    made = await _repaint(store, claim, stages, on_step, order, brief, touchup.box)
    return [replace(made, recipe=replace(made.recipe, touchup=touchup))]


async def enhance(store: Store, claim: Claim, stages: Stages, on_step: OnStep) -> list[NewImage]:
    """Paint an enhancement. Raises NotFound when the photo or the mask was deleted, and EngineFailed."""
    enhancement = EnhancementSpec.from_json(claim.job)
    order = await asyncio.to_thread(_enhancement_order, store, claim, enhancement)
    brief = replace(brief_of(claim.spec, claim.spec.seed), strength=enhancement.strength)
    made = await _repaint(store, claim, stages, on_step, order, brief, enhancement.box)
    return [replace(made, recipe=replace(made.recipe, enhancement=enhancement))]


async def _repaint(
    store: Store, claim: Claim, stages: Stages, on_step: OnStep, order: RepaintOrder, brief: Brief, box: BoxXYXY
) -> NewImage:
    """Paint the crop at `box`, XYXY in pixels of the canvas. Of all conditions only the edges guide it."""
    x0, y0, x1, y1 = box
    framing = stages.framing_of(Canvas(x1 - x0, y1 - y0), claim.spec.engine)
    with span("prepare"):
        placed = await stages.prepare_repaint(order, framing)
    adapters = await adapters_of(store, claim.tenant, claim.spec)
    enlarged_by = framing.enlargement((x1 - x0, y1 - y0))
    brief = replace(brief, conditions=(), enlarged_by=enlarged_by, adapters=adapters)
    async for update in stages.paint(
        placed.fitted,
        stages.edges(placed.fitted) if brief.control_scale else None,
        brief,
        interactive=claim.spec.interactive,
        alone=claim.crashes > 0,
        references=await references_of(store, claim.tenant, claim.spec, stages),
    ):
        if isinstance(update, Step):
            on_step(update)
            continue
        with span("finish"):
            finished = await stages.finish_repaint(placed.prepared, update, order)
        text = await asyncio.to_thread(find_text, store, claim.tenant, claim.spec, order.layout)
        finished, text_ms = await proofread(finished, text, stages)
        return image_of(0, finished, recipe_of(update, finished, claim.spec, **text_ms))
    raise RuntimeError("paint() must yield a Painted last, but it ended without one")


def _touchup_order(store: Store, claim: Claim, touchup: TouchupSpec) -> TouchupOrder:
    parent = store.images.get(claim.tenant, touchup.parent_id)
    if claim.job_key is None:
        raise RuntimeError(f"the touch-up {claim.shot_id} must have a region, but its row names none")
    layout = find_layout(store, claim.tenant, claim.spec)
    return TouchupOrder(claim.spec, touchup, layout, parent.asset_key, claim.job_key, parent.verdict, parent.gain_key)


def _enhancement_order(store: Store, claim: Claim, enhancement: EnhancementSpec) -> EnhancementOrder:
    photo = store.photos.get(claim.tenant, enhancement.photo_id)
    return EnhancementOrder(claim.spec, enhancement, find_layout(store, claim.tenant, claim.spec), photo.asset_key)
