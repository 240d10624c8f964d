"""Reframing of a finished picture for a delivery: the engine paints the sides that a channel's frame adds.

    picture, preset ──margins_for──> margins ──touch-up──> a picture of its own, in review ──> delivery

A touch-up of these margins is stored once for a picture, and found again by its key, so that a repeated request waits
for the same work. It supersedes nothing: the picture in its own frame still counts beside it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import count

import numpy as np
from fastapi import Request

from packshot.api.services import Services, in_thread
from packshot.api.shots import repeated
from packshot.api.touchups import store_touchup
from packshot.contract.presets import PresetInfo
from packshot.contract.shot_spec import ShotSpec
from packshot.contract.status import ENDED
from packshot.contract.touchup_spec import Margins
from packshot.contract.touchups import MarginsIn, TouchupRequest
from packshot.delivery.reframe import NO_MARGINS, fits_aspect, frame_around, inside
from packshot.errors import NotFound
from packshot.imaging.canvas import layer_transform
from packshot.shots.layout import layer_of
from packshot.store.records import ImageRecord, ShotRecord, Tenant
from packshot.store.store import Store
from packshot.types import BoxXYXY, Cutout

__all__ = ["Reframed", "margins_for", "reframed"]


@dataclass(frozen=True)
class Reframed:
    """A picture in a channel's frame, the touch-up that painted its sides, and what that did."""

    image: ImageRecord
    shot: ShotRecord
    change: str


def margins_for(store: Store, image: ImageRecord, spec: ShotSpec, preset: PresetInfo) -> Margins:
    """By how much a painted picture must grow for a preset's aspect ratio and safe zone.

    No margin is needed for a preset without a ratio, nor for a plain background, which a delivery extends itself.
    Raises NotFound when a mask was deleted.
    """
    if preset.aspect is None or not spec.background.generated:
        return Margins()
    size, zone = (image.width, image.height), preset.safe_zone or NO_MARGINS
    box = product_box(store, image.tenant, spec)
    if fits_aspect(size, preset.aspect) and (box is None or inside(size, box, zone)):
        return Margins()
    frame = frame_around(size, preset.aspect, box, zone)
    return Margins(
        left=frame.left,
        top=frame.top,
        right=frame.width - frame.left - image.width,
        bottom=frame.height - frame.top - image.height,
    )


def product_box(store: Store, tenant_id: str, spec: ShotSpec) -> BoxXYXY | None:
    """The box around all layers as their masks say, XYXY in pixels of the canvas; None when none is on it.

    It holds the product's soft edge, and all of a turned layer's rectangle.
    """
    canvas, corners = spec.canvas, []
    for placement in spec.layers:
        mask = store.masks.get(tenant_id, placement.mask_id)
        x0, y0, x1, y1 = mask.cutout_bbox_xyxy or mask.bbox_xyxy
        size_only = np.broadcast_to(np.zeros((1, 1, 4), np.uint8), (y1 - y0, x1 - x0, 4))
        matrix = layer_transform(layer_of(placement, Cutout(size_only)), canvas)
        corners += [matrix @ (x, y, 1) for x in (0, x1 - x0) for y in (0, y1 - y0)]
    found = np.array(corners)
    left, top = np.maximum(np.floor(found.min(axis=0) + 0.01), 0).astype(int).tolist()
    right, bottom = np.minimum(np.ceil(found.max(axis=0) - 0.01), (canvas.width, canvas.height)).astype(int).tolist()
    return (left, top, right, bottom) if right > left and bottom > top else None


async def reframed(
    request: Request, services: Services, tenant: Tenant, image: ImageRecord, shot: ShotRecord, preset: PresetInfo
) -> Reframed | ShotRecord | None:
    """The picture in the preset's frame; the work that paints its sides while it runs; None when no side is missing.

    The first request stores that work. One that failed or was cancelled is stored anew. Raises as the route of
    touch-ups does.
    """
    try:
        margins = await in_thread(margins_for, services.store, image, shot.spec, preset)
    except NotFound:
        return None  # without its masks the picture cannot grow, and the delivery says why it is refused
    if not margins.any:
        return None
    sides = asdict(margins)
    sent: dict[str, object] = {"reframe": image.id, **sides}
    for attempt in count():
        key = f"reframe·{image.id}·{'·'.join(map(str, sides.values()))}·{attempt}"  # no client's key has a `·`
        work = await repeated(services, tenant, key, sent)
        if work is None:
            body = TouchupRequest(canvas=MarginsIn(**sides))
            work = await store_touchup(request, services, tenant, image, shot, body, key, sent, supersedes=None)
        if work.status not in ENDED:
            return work
        if work.status == "done" and work.images:
            painted = ", ".join(f"{px} px {side}" for side, px in sides.items() if px)
            change = f"the engine painted {painted} of {image.id} for the frame; the picture is {work.images[0].id}"
            return Reframed(work.images[0], work, change)
    raise AssertionError("count() does not end")
