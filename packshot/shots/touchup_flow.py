"""The flow of a touch-up: one picture, painted anew in a part by the same engine.

parent, region, layout -> prepare_touchup -> Fitted -> edges, paint -> finish_touchup -> the next version
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from packshot.contract.shot_spec import Canvas
from packshot.contract.touchup_spec import TouchupSpec
from packshot.shots.flow import OnStep, brief_of, image_of, proofread, recipe_of, references_of
from packshot.shots.layout import find_layout
from packshot.shots.proofreading import find_text
from packshot.shots.stages import Stages, Step, TouchupOrder
from packshot.store.records import Claim, NewImage
from packshot.store.store import Store
from packshot.telemetry.traces import span


async def touch_up(store: Store, claim: Claim, stages: Stages, on_step: OnStep) -> list[NewImage]:
    """Paint a touch-up. Raises NotFound when the parent or a file of its layout was deleted, and EngineFailed."""
    touchup, spec = TouchupSpec.from_json(claim.job), claim.spec
    order = await asyncio.to_thread(_order, store, claim, touchup)
    x0, y0, x1, y1 = touchup.box
    framing = stages.framing_of(Canvas(x1 - x0, y1 - y0), spec.engine)
    with span("prepare"):
        placed = await stages.prepare_touchup(order, framing)
    brief = replace(
        brief_of(spec, touchup.seed, framing),
        prompt=touchup.prompt,
        negative_prompt=touchup.negative_prompt,
        strength=touchup.strength,
        conditions=(),
        enlarged_by=framing.enlargement((x1 - x0, y1 - y0)),
    )
    edges = stages.edges(placed.fitted) if brief.control_scale else None
    async for update in stages.paint(
        placed.fitted,
        edges,
        brief,
        interactive=spec.interactive,
        alone=claim.crashes > 0,
        references=await references_of(store, claim.tenant, spec, stages),
    ):
        if isinstance(update, Step):
            on_step(update)
            continue
        with span("finish"):
            finished = await stages.finish_touchup(placed.prepared, update, order)
        text = await asyncio.to_thread(find_text, store, claim.tenant, spec, order.layout)
        finished, text_ms = await proofread(finished, text, stages)
        return [image_of(0, finished, replace(recipe_of(update, finished, spec, **text_ms), touchup=touchup))]
    raise RuntimeError("paint() must yield a Painted last, but it ended without one")


def _order(store: Store, claim: Claim, touchup: TouchupSpec) -> TouchupOrder:
    parent = store.images.get(claim.tenant, touchup.parent_id)
    if claim.job_key is None:
        raise RuntimeError(f"the touch-up {claim.shot_id} must have a region, but its row names none")
    layout = find_layout(store, claim.tenant, claim.spec)
    return TouchupOrder(claim.spec, touchup, layout, parent.asset_key, claim.job_key, parent.verdict, parent.gain_key)
