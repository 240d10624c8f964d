"""`/v1/images/{id}/clips` and `/v1/clips`: short films of finished pictures, made as shots are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from fastapi import APIRouter, Depends, Request, Response

from packshot.api.accept import json_body
from packshot.api.answers import disposition, file_answer
from packshot.api.auth import Caller
from packshot.api.budgets import limited
from packshot.api.conversions import clip_answer
from packshot.api.downloads import REDIRECT, Redirect, redirected
from packshot.api.openapi import BODY_PROBLEMS, answer_json, body_json, file_json, keyed_problems_json, problems_json
from packshot.api.services import Services, Wired, in_thread
from packshot.api.shots import ACCEPTED_HEADERS, JOB_HEADERS, accepted_job, answer_when_accepted, idempotency_key
from packshot.contract import clip_examples
from packshot.contract.answers import AcceptedAnswer
from packshot.contract.clips import USUAL_CLIP_PX, ClipAnswer, ClipJob, ClipRequest
from packshot.errors import BadInput, BudgetSpent, Conflict, NotFound
from packshot.imaging.motion.encode import require_format
from packshot.shots.clip_flow import filmable
from packshot.store.records import NewJob, ShotRecord, Tenant
from packshot.telemetry.context import carrier

router = APIRouter(prefix="/v1", tags=["clips"], responses=keyed_problems_json())


@router.post(
    "/images/{image_id}/clips",
    status_code=202,
    operation_id="create_clip",
    summary="Make a clip of a picture",
    response_model=AcceptedAnswer,
    dependencies=[Depends(limited)],
    responses=answer_json(clip_examples.ACCEPTED_CLIP, "The clip will be made.", status=202, headers=ACCEPTED_HEADERS)
    | answer_json(clip_examples.CLIP_SHOT, "The clip has ended, under `Prefer: wait`.", headers=ACCEPTED_HEADERS)
    | problems_json(*BODY_PROBLEMS, NotFound, Conflict, BudgetSpent),
    openapi_extra=body_json(clip_examples.CLIP_REQUEST) | JOB_HEADERS,
)
async def create_clip(image_id: str, request: Request, services: Wired, tenant: Caller) -> Response:
    """A camera moves before the picture: the product is one rigid layer, and the scene moves behind it.

    Nothing is painted anew. It is work of kind `clip` with the states, events and cancellation of a shot, behind the
    pictures of people; `clip` of `GET /v1/shots/{id}` is the result. 422 `not_filmable` for a picture that is
    transparent or whose masks or photos were deleted, and `video_not_installed` for an mp4 on a server without ffmpeg.
    409 `not_approved` when a person must approve the picture first, and `superseded` when it has a newer version.
    """
    key = idempotency_key(request)
    body = await json_body(request, ClipRequest)
    sent = {"kind": "clip", "image_id": image_id, **body.model_dump(mode="json", exclude_unset=True)}
    add = partial(_add, services, tenant, image_id, body, key, sent)
    accept = partial(accepted_job, services, tenant, key, sent, add)
    return await answer_when_accepted(request, services, tenant, accept)


def _add(
    services: Services,
    tenant: Tenant,
    image_id: str,
    body: ClipRequest,
    key: str | None,
    sent: Mapping[str, object],
) -> tuple[ShotRecord, bool]:
    store = services.store
    image = store.images.get(tenant.id, image_id)
    if image.superseded_by is not None:
        rule = f"a clip is made of the newest version of a picture, and {image.superseded_by} has replaced {image.id}"
        raise Conflict("superseded", f"{rule}; make it of that one")
    store.reviews.require_approved(tenant.id, [image.id])
    require_format(body.format)
    shot = store.shots.get(tenant.id, image.shot_id)
    filmable(store, image, shot)
    size_px = body.size or min(USUAL_CLIP_PX, max(image.width, image.height))
    job = ClipJob(image.id, body.move, body.seconds, size_px, body.format, body.fps)
    return store.shots.add(
        tenant.id,
        replace(shot.spec, images=1, priority="catalogue"),  # behind people's pictures
        idempotency_key=key,
        project_id=shot.project_id,
        key_id=tenant.key_id,
        sku=shot.sku,
        meta=shot.meta,
        row_steps=0,
        origin=carrier(),
        sent=sent,
        job=NewJob("clip", job.to_json(), images=0, steps=job.frames),
    )


@router.get(
    "/clips/{clip_id}.json",
    operation_id="describe_clip",
    summary="Get what is known about a clip",
    responses=answer_json(clip_examples.CLIP, "The clip.") | problems_json(NotFound),
)
async def describe_clip(clip_id: str, services: Wired, tenant: Caller) -> ClipAnswer:
    """Its move, length, size and file."""
    return clip_answer(await in_thread(services.store.clips.get, tenant.id, clip_id))


@router.get(
    "/clips/{clip_id}",
    operation_id="get_clip",
    summary="Get a clip",
    response_class=Response,
    responses=file_json(
        "The clip.", *("image/webp", "video/mp4"), content_disposition="The name under which to save the file."
    )
    | REDIRECT
    | problems_json(BadInput, NotFound, Conflict),
)
async def get_clip(
    clip_id: str, request: Request, services: Wired, tenant: Caller, redirect: Redirect = None
) -> Response:
    """The file. Its bytes never change. 409 `not_approved` when the approval that its picture needs was withdrawn."""
    clip = await in_thread(services.store.clips.get, tenant.id, clip_id)
    await in_thread(services.store.reviews.require_approved, tenant.id, [clip.image_id])
    name = f"{clip.id}.{clip.format}"
    elsewhere = await redirected(services, redirect, clip.asset_key, clip.media_type, disposition(name, inline=True))
    if elsewhere is not None:
        return elsewhere
    data = await in_thread(services.store.assets.get, clip.asset_key)
    return file_answer(request, data, clip.media_type, filename=name, inline=True, kept=False)
