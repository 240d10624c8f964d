"""`/v1/images/{id}/touchups`, `…/versions` and `…/restore`: paint a part of a picture anew, and go back."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from fastapi import APIRouter, Depends, Request, Response

from packshot.api.accept import checked_prompt, json_body, pick_engine
from packshot.api.auth import Caller
from packshot.api.budgets import limited
from packshot.api.conversions import image_answer, whole_image_answer
from packshot.api.limits import cancel_on_disconnect, shield_to_completion
from packshot.api.openapi import (
    BODY_PROBLEMS,
    TIMING,
    answer_json,
    body_json,
    keyed_problems_json,
    problems_json,
)
from packshot.api.services import Services, Wired, decode_slot, in_thread
from packshot.api.shots import (
    ACCEPTED_HEADERS,
    JOB_HEADERS,
    answer_when_accepted,
    idempotency_key,
    repeated,
    stored_by,
)
from packshot.contract import examples
from packshot.contract.answers import WholeImageAnswer
from packshot.contract.engines import EngineInfo
from packshot.contract.product import RETOUCHED
from packshot.contract.requests import MAX_SEED
from packshot.contract.shot_spec import Canvas, ShotSpec, rows_per_step
from packshot.contract.touchup_examples import TOUCHUP, TOUCHUP_REQUEST, VERSIONS
from packshot.contract.touchup_spec import Margins, TouchupSpec
from packshot.contract.touchups import LONGEST_PX, MAX_MASK_CHARS, TouchupRequest, VersionsAnswer
from packshot.errors import BadInput, BudgetSpent, Conflict, FieldError, NotFound, StorageFull, Unavailable
from packshot.imaging.strokes import check_strokes
from packshot.models.packs.framing import window_steps
from packshot.review.redo import NEXT_SEED
from packshot.shots.layout import find_layout
from packshot.shots.stages import RegionOrder
from packshot.shots.touchup import moved
from packshot.store.records import ImageRecord, NewJob, ShotRecord, Tenant
from packshot.telemetry.context import carrier
from packshot.types import BoxXYXY, Stroke

router = APIRouter(prefix="/v1/images/{image_id}", tags=["images"], responses=keyed_problems_json())

MAX_TOUCHUP_BYTES = MAX_MASK_CHARS + 1024 * 1024


@router.post(
    "/touchups",
    status_code=202,
    operation_id="touch_up_image",
    summary="Paint a part of a picture anew, or make it larger",
    responses=answer_json(TOUCHUP, "The touch-up is stored.", status=202, headers=ACCEPTED_HEADERS)
    | answer_json(examples.SHOT, "The touch-up has ended, under `Prefer: wait`.", headers=ACCEPTED_HEADERS | TIMING)
    | problems_json(*BODY_PROBLEMS, NotFound, Conflict, BudgetSpent, StorageFull, Unavailable),
    openapi_extra=body_json(TOUCHUP_REQUEST) | JOB_HEADERS,
    dependencies=[Depends(limited)],
)
async def touch_up_image(image_id: str, request: Request, services: Wired, tenant: Caller) -> Response:
    """The engine paints the region, and the margins of a larger canvas. All other pixels stay, the product's too.

    The result is the next version of the picture, in review. It runs, is watched and cancelled like a shot, with the
    kind touchup. 422 `region_empty` and `region_product` name a region that leaves nothing to paint, and
    `nothing_painted` a picture on a plain background. 409 `superseded` when the picture has a newer version.
    """
    key = idempotency_key(request)
    body = await json_body(request, TouchupRequest, max_bytes=MAX_TOUCHUP_BYTES)

    async def accept() -> ShotRecord:
        sent = {"image_id": image_id, **body.model_dump(mode="json", exclude_unset=True)}
        if earlier := await repeated(services, tenant, key, sent):
            return earlier
        image = await in_thread(services.store.images.get, tenant.id, image_id)
        shot = await in_thread(services.store.shots.get, tenant.id, image.shot_id)
        return await store_touchup(request, services, tenant, image, shot, body, key, sent, supersedes=image.id)

    return await answer_when_accepted(request, services, tenant, accept)


async def store_touchup(
    request: Request,
    services: Services,
    tenant: Tenant,
    image: ImageRecord,
    shot: ShotRecord,
    body: TouchupRequest,
    key: str | None,
    sent: Mapping[str, object],
    *,
    supersedes: str | None,
) -> ShotRecord:
    """Draw the region of a touch-up of `image`, which `shot` made, and store the work.

    `key` and `sent` are as in `Shots.add`. The result is the next version of the picture `supersedes`; None makes a
    picture of its own. Raises as the route says.
    """
    engine = _engine_of(services, image, shot.spec)
    margins = _margins(body, image)
    cut = any(one.check == "frame" and one.level != "ok" for one in image.verdict.findings)
    if margins.any and image.gain_key is not None and cut:
        rule = "a picture cannot grow when its product was relit and the frame cuts it: the gain ends at the frame"
        raise BadInput("not_served", f"{rule}; make a shot on the larger canvas, or one without relight")
    spec = moved(replace(shot.spec, images=1, seed=image.seed, priority="interactive"), margins)
    before = not image.recipe.locked
    layout = None if body.product else await in_thread(find_layout, services.store, tenant.id, spec)
    order = RegionOrder(
        size=(image.width, image.height),
        margins=margins,
        native=engine.native_px,
        layout=layout,
        mask_png=await _mask_png(request, services, tenant, body, image),
        strokes=await _strokes(body, image),
        marks=tuple((mark.kind, tuple(mark.points)) for mark in body.marks),
        around=before,
    )
    region = await cancel_on_disconnect(request, services.graph.region(order))
    limit = services.settings.max_prompt_chars
    touchup = TouchupSpec(
        parent_id=image.id,
        prompt=_given(body.prompt, spec.prompt, "prompt", limit),
        negative_prompt=_given(body.negative_prompt, spec.negative_prompt, "negative_prompt", limit),
        seed=(image.seed + NEXT_SEED * image.version) % (MAX_SEED + 1) if body.seed is None else body.seed,
        strength=body.strength,
        product=body.product,
        box=region.box_xyxy,
        margins=margins,
        product_before=before,
    )
    add = partial(
        services.store.shots.add,
        tenant.id,
        spec,
        idempotency_key=key,
        project_id=shot.project_id,
        key_id=tenant.key_id,
        sku=shot.sku,
        meta=shot.meta,
        row_steps=crop_row_steps(touchup.box, touchup.strength, spec, engine),
        origin=carrier(),
        sent=sent,
        category=shot.category if touchup.locked else shot.category or RETOUCHED,
        supersedes=supersedes,
        job=NewJob("touchup", touchup.to_json(), region.png, steps=repaint_steps(spec, touchup.strength)),
        price_device_s=engine.price_of(spec),
    )
    return await stored_by(services, add)


@router.get(
    "/versions",
    operation_id="list_versions",
    summary="List the versions of a picture",
    responses=answer_json(VERSIONS, "The versions, oldest first.") | problems_json(NotFound),
)
async def list_versions(image_id: str, services: Wired, tenant: Caller) -> VersionsAnswer:
    """Redos and touch-ups make versions. Each is a picture of its own, with its review and its recipe."""
    versions = await in_thread(services.store.images.versions, tenant.id, image_id)
    newest = await in_thread(services.store.images.newest, tenant.id, image_id)
    return VersionsAnswer(newest=newest.id, versions=tuple(image_answer(one) for one in versions))


@router.post(
    "/restore",
    operation_id="restore_image",
    summary="Make an earlier version of a picture count again",
    responses=answer_json(examples.WHOLE_IMAGE, "The picture, which is the newest version again.")
    | problems_json(NotFound),
)
async def restore_image(image_id: str, services: Wired, tenant: Caller) -> WholeImageAnswer:
    """Undo, and redo: the version that counted is superseded by this one, and can be restored in the same way.

    The picture keeps the review that it had. A catalogue makes its files of it anew. A repeat changes nothing.
    """
    restore = partial(services.store.images.restore, tenant.id, image_id, by=tenant.author)
    return whole_image_answer(await shield_to_completion(in_thread(restore)))


def _engine_of(services: Services, image: ImageRecord, spec: ShotSpec) -> EngineInfo:
    """The engine that paints the touch-up. Raises BadInput `nothing_painted` for a picture that no engine painted."""
    if not spec.background.generated or image.recipe.engine is None:
        got = spec.background.name if not spec.background.generated else "one that its product covers"
        raise BadInput(
            "nothing_painted",
            f"a touch-up needs a picture with a painted scene, got {got}; change the mask or the layers and make "
            "another shot, or paint a scene with background generate",
        )
    return pick_engine(spec.engine, services.graph.engines())


def _margins(body: TouchupRequest, image: ImageRecord) -> Margins:
    margins = Margins() if body.canvas is None else Margins(**body.canvas.model_dump())
    width, height = image.width + margins.left + margins.right, image.height + margins.top + margins.bottom
    if max(width, height) > LONGEST_PX:
        rule = f"must leave the picture at most {LONGEST_PX} px a side, got {width} x {height}; use smaller margins"
        raise BadInput("canvas_too_large", f"canvas {rule}.", errors=[{"loc": ["canvas"], "msg": rule}])
    if margins.any and body.strength < 1:
        rule = f"must be 1 with a larger canvas, whose margins have no pixels to start from, got {body.strength:g}"
        found: list[FieldError] = [{"loc": ["strength"], "msg": rule}]
        raise BadInput("invalid_request", f"strength {rule}; grow the picture first, then touch it up.", errors=found)
    return margins


async def _mask_png(
    request: Request, services: Services, tenant: Tenant, body: TouchupRequest, image: ImageRecord
) -> bytes | None:
    """The mask as a PNG that Packshot wrote, decoded where uploads are."""
    if body.mask is None:
        return None
    try:
        data = base64.b64decode(body.mask, validate=True)
    except (binascii.Error, ValueError):
        rule = "must be a PNG in base64"
        found: list[FieldError] = [{"loc": ["mask"], "msg": rule}]
        raise BadInput("mask_unreadable", f"mask {rule}, got other text; encode the file.", errors=found) from None
    async with decode_slot(services, tenant.id, len(data)):
        reading = services.decoder.read_mask(data, image.width, image.height)
        try:
            return (await cancel_on_disconnect(request, reading)).png
        except BadInput as error:
            rules = {
                "mask_empty": (
                    "region_empty",
                    "a mask must be 255 where the picture is painted anew, got no such pixel",
                ),
                "mask_inverted": (
                    "mask_inverted",
                    "a mask must be 0 where the picture stays, got nearly its whole border as 255; invert it, or make "
                    "the whole scene anew with POST /v1/images/{id}/redo",
                ),
                "mask_size": ("mask_size", error.detail.replace("photo's", "picture's")),
            }
            if error.code not in rules:
                raise
            code, detail = rules[error.code]
            raise BadInput(code, detail, errors=[{"loc": ["mask"], "msg": detail}]) from None


async def _strokes(body: TouchupRequest, image: ImageRecord) -> tuple[Stroke, ...]:
    strokes = tuple(Stroke(tuple(one.points), one.radius_px, one.mode == "erase") for one in body.strokes)
    if strokes:
        await in_thread(check_strokes, strokes, image.width, image.height)
    return strokes


def _given(text: str | None, default: str, field: str, max_chars: int) -> str:
    return default if text is None else checked_prompt(text, field, max_chars)


def repaint_steps(spec: ShotSpec, strength: float) -> int:
    """The denoising steps of a picture that is painted from its own pixels: the last part of the schedule."""
    return max(1, round(spec.steps * strength))


def crop_row_steps(box: BoxXYXY, strength: float, spec: ShotSpec, engine: EngineInfo) -> int:
    """The batch rows of all steps, as the queue counts the work at a crop of a picture."""
    x0, y0, x1, y1 = box
    canvas = Canvas(x1 - x0, y1 - y0)
    steps = window_steps((canvas.width, canvas.height), spec.steps, engine)
    return max(1, round(steps * strength)) * rows_per_step(spec.guidance_scale)
