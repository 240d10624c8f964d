"""`POST /v1/photos/{id}/enhancements`: repaint the product of a photo, its scene, or all of it."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Depends, Request, Response

from packshot.api.accept import check_layer, checked_label, json_body, pick_engine, resolved
from packshot.api.adapting import found_adapters
from packshot.api.auth import Caller
from packshot.api.budgets import limited
from packshot.api.limits import cancel_on_disconnect
from packshot.api.openapi import (
    BODY_PROBLEMS,
    TIMING,
    answer_json,
    body_json,
    keyed_problems_json,
    problems_json,
)
from packshot.api.photo_masks import candidates
from packshot.api.services import Services, Wired, in_thread
from packshot.api.shots import (
    ACCEPTED_HEADERS,
    JOB_HEADERS,
    answer_when_accepted,
    idempotency_key,
    repeated,
    stored_by,
)
from packshot.api.touchups import crop_row_steps, repaint_steps
from packshot.api.word_masks import named
from packshot.contract import examples
from packshot.contract.engines import EngineInfo
from packshot.contract.enhancement import STRENGTHS, EnhancementSpec
from packshot.contract.enhancements import ENHANCEMENT, ENHANCEMENT_REQUEST, OF_SHOT, EnhancementRequest
from packshot.contract.product import RETOUCHED
from packshot.contract.requests import LayerIn, ShotRequest
from packshot.contract.shot_spec import ShotSpec
from packshot.contract.touchups import LONGEST_PX
from packshot.errors import BadInput, BudgetSpent, Conflict, FieldError, NotFound, StorageFull, Unavailable
from packshot.imaging.repaint import crop_around
from packshot.store.records import MaskRecord, NewJob, PhotoRecord, ShotRecord
from packshot.telemetry.context import carrier
from packshot.types import BoxXYXY, Prompts, Words

router = APIRouter(prefix="/v1/photos/{photo_id}", tags=["photos"], responses=keyed_problems_json())

SHORTEST_PX = 64
"""Shortest side of a photo that an engine repaints, pixels: the shortest side of a canvas."""


@router.post(
    "/enhancements",
    status_code=202,
    operation_id="enhance_photo",
    summary="Repaint the product of a photo, its scene, or all of it",
    responses=answer_json(ENHANCEMENT, "The enhancement is stored.", status=202, headers=ACCEPTED_HEADERS)
    | answer_json(examples.SHOT, "The enhancement has ended, under `Prefer: wait`.", headers=ACCEPTED_HEADERS | TIMING)
    | problems_json(*BODY_PROBLEMS, NotFound, Conflict, BudgetSpent, StorageFull, Unavailable),
    openapi_extra=body_json(ENHANCEMENT_REQUEST) | JOB_HEADERS,
    dependencies=[Depends(limited)],
)
async def enhance_photo(photo_id: str, request: Request, services: Wired, tenant: Caller) -> Response:
    """The engine starts from the photo's pixels and follows the product's own edges. What is no target stays the same.

    The result is a picture of its own, at the photo's size or at most 4,096 px a side. It runs, is watched and
    cancelled like a shot, with the kind enhancement. When the product was painted (product, all), its verdict says that
    the lock does not apply, and a person must approve it. 422 `no_product` when the words name nothing in the photo.
    """
    key = idempotency_key(request)
    body = await json_body(request, EnhancementRequest)
    _check_fields(body)

    async def accept() -> ShotRecord:
        sent = {"photo_id": photo_id, **body.model_dump(mode="json", exclude_unset=True)}
        if earlier := await repeated(services, tenant, key, sent):
            return earlier
        photo = await in_thread(services.store.photos.get, tenant.id, photo_id)
        mask = await cancel_on_disconnect(request, _product(services, photo, body))
        engine = pick_engine(body.engine, services.graph.engines())
        adapters = await found_adapters(services, tenant.id, body.adapters, engine)
        spec = _spec(services, photo, mask, body.model_copy(update={"adapters": adapters}) if adapters else body)
        if spec.proof is not None and spec.proof.master is not None:
            await in_thread(services.store.photos.get, tenant.id, spec.proof.master)
        job = _job(photo, mask, body, spec, engine)
        add = partial(
            services.store.shots.add,
            tenant.id,
            spec,
            idempotency_key=key,
            project_id=body.project_id,
            key_id=tenant.key_id,
            sku=None if body.sku is None else checked_label(body.sku, "sku"),
            meta={name: checked_label(value, f"meta.{name}") for name, value in body.meta.items()},
            row_steps=crop_row_steps(job.box, job.strength, spec, engine),
            origin=carrier(),
            sent=sent,
            category=None if job.locked else RETOUCHED,
            job=NewJob("enhancement", job.to_json(), steps=repaint_steps(spec, job.strength)),
            price_device_s=engine.price_of(spec),
        )
        return await stored_by(services, add)

    return await answer_when_accepted(request, services, tenant, accept)


def _check_fields(body: EnhancementRequest) -> None:
    """Raise BadInput `invalid_request` for fields that do not go together."""
    field, rule = "", ""
    if body.text is not None and body.mask_id is not None:
        field, rule = "text", "must not come with mask_id, got both; say once what the product is"
    elif body.not_text is not None and body.text is None:
        field, rule = "not_text", "must come with text, got not_text alone; name what is looked for in text"
    if rule:
        found: list[FieldError] = [{"loc": [field], "msg": rule}]
        raise BadInput("invalid_request", f"{field} {rule}.", errors=found)


async def _product(services: Services, photo: PhotoRecord, body: EnhancementRequest) -> MaskRecord:
    """The mask of the product. Raises BadInput `no_product` when the photo does not show what the words name."""
    if body.mask_id is not None:
        mask = await in_thread(services.store.masks.get, photo.tenant, body.mask_id)
        if mask.photo_id != photo.id:
            rule = f"must be a mask of photo {photo.id}, got one of {mask.photo_id}"
            errors: list[FieldError] = [{"loc": ["mask_id"], "msg": rule}]
            raise BadInput("mask_of_other_photo", f"mask_id {rule}; send a mask of this photo.", errors=errors)
        return mask
    if body.text is not None:
        words = Words(body.text.strip(), (body.not_text or "").strip())
        found = await named(services.store, services.graph, photo, words, Prompts(multimask=False))
        stored = await found.stored(services.store, photo)
        if not stored:
            said = "; ".join(note.detail for note in found.notes)
            raise BadInput("no_product", f"the photo must show the product, got none: {said}")
        return stored[0]
    own, segmented = await candidates(services.store, services.graph, photo, None, Prompts(multimask=False))
    if own is not None:
        return own
    if not segmented.masks:
        raise BadInput("no_product", "the photo must show a product, got none; mark it, and send the mask as mask_id")
    (mask,) = await in_thread(services.store.masks.add, photo.tenant, photo.id, list(segmented.masks[:1]))
    return mask


def _spec(services: Services, photo: PhotoRecord, mask: MaskRecord, body: EnhancementRequest) -> ShotSpec:
    """A shot of the photo's shape with the product on its own place. Raises as `resolved` and `check_layer`."""
    factor = min(1.0, LONGEST_PX / max(photo.width, photo.height))
    width, height = round(photo.width * factor), round(photo.height * factor)
    if min(width, height) < SHORTEST_PX:
        rule = f"a photo to repaint must be at least {SHORTEST_PX} px on its shorter side, got {width} x {height} px"
        raise BadInput("photo_too_small", f"{rule}; upload a larger one, or one of another shape")
    x0, y0, x1, y1 = mask.cutout_bbox_xyxy or mask.bbox_xyxy
    layer = LayerIn(
        mask_id=mask.id,
        x=(x0 + x1) / 2 / photo.width,
        y=(y0 + y1) / 2 / photo.height,
        scale=max(x1 - x0, y1 - y0) / max(photo.width, photo.height),
    )
    check_layer(0, layer, mask.bbox_xyxy, (width, height), mask.cutout_bbox_xyxy)
    fields = body.model_dump(include=set(OF_SHOT), exclude_unset=True)
    canvas = {"width": width, "height": height}
    shot = ShotRequest.model_validate(fields | {"canvas": canvas, "layers": [layer], "shadow": "none"})
    return resolved(shot, services.graph.engines(), services.settings)


def _job(
    photo: PhotoRecord, mask: MaskRecord, body: EnhancementRequest, spec: ShotSpec, engine: EngineInfo
) -> EnhancementSpec:
    """What is repainted. The engine paints a crop around the product, or else the whole canvas."""
    size = spec.canvas.width, spec.canvas.height
    box: BoxXYXY = (0, 0, *size)
    if body.target == "product":
        x0, y0, x1, y1 = mask.cutout_bbox_xyxy or mask.bbox_xyxy
        by = size[0] / photo.width
        part = [round(number * by) for number in (x0, y0, x1 - x0, y1 - y0)]
        box = crop_around(part, size, engine.native_px)
    strength = STRENGTHS[body.target] if body.strength is None else body.strength
    return EnhancementSpec(photo_id=photo.id, target=body.target, strength=strength, box=box)
