"""`/v1/images/{id}/reviews` and `…/redo`: what people decide about a picture, and its next version."""

from __future__ import annotations

import hashlib
from functools import partial

from fastapi import APIRouter, Request, Response

from packshot.api.accept import json_body, pick_engine
from packshot.api.auth import Caller
from packshot.api.conversions import accepted_answer, review_entry, whole_image_answer
from packshot.api.etags import IF_MATCH, if_match
from packshot.api.limits import shield_to_completion
from packshot.api.openapi import (
    BODY_PROBLEMS,
    LOCATION,
    answer_json,
    body_json,
    headers_json,
    keyed_problems_json,
    problems_json,
)
from packshot.api.services import Services, Wired, in_thread
from packshot.api.shots import accepted, idempotency_key
from packshot.contract import examples
from packshot.contract.answers import AcceptedAnswer, WholeImageAnswer
from packshot.contract.requests import ShotRequest
from packshot.contract.reviews import MarkAnswer, RedoRequest, ReviewIn, ReviewsAnswer
from packshot.errors import BadInput, Conflict, NotFound, PreconditionFailed
from packshot.review.redo import mended
from packshot.store.records import ImageRecord, ShotRecord

router = APIRouter(prefix="/v1/images/{image_id}", tags=["reviews"], responses=keyed_problems_json())

STATE_TAG = {"etag": "The state's tag, for `If-Match`."}


@router.get(
    "/reviews",
    operation_id="list_reviews",
    summary="Get a picture's log of reviews",
    responses=answer_json(examples.REVIEWS, "The state and the log.", headers=STATE_TAG) | problems_json(NotFound),
)
async def list_reviews(image_id: str, response: Response, services: Wired, tenant: Caller) -> ReviewsAnswer:
    """Decisions and comments, oldest first. The tag changes with every decision, and not with comments."""
    image, log = await in_thread(services.store.reviews.log, tenant.id, image_id)
    response.headers.update({"cache-control": "private, no-cache", "etag": image.etag})
    return ReviewsAnswer(
        image_id=image.id,
        etag=image.etag,
        version=image.version,
        state=image.state,
        superseded_by=image.superseded_by,
        reviews=tuple(review_entry(line) for line in log),
    )


@router.post(
    "/reviews",
    status_code=201,
    operation_id="decide_image",
    summary="Approve a picture, or request changes",
    responses=answer_json(examples.WHOLE_IMAGE, "The picture, with its new state.", status=201, headers=STATE_TAG)
    | problems_json(*BODY_PROBLEMS, NotFound, PreconditionFailed),
    openapi_extra=body_json(examples.REVIEW_IN) | IF_MATCH,
)
async def decide_image(
    image_id: str, request: Request, response: Response, services: Wired, tenant: Caller
) -> WholeImageAnswer:
    """With `If-Match`, the decision counts only for the state that was seen: of two reviewers, the second gets 412.

    The 412 carries the present state and its tag. An approval belongs to this version of the picture alone.
    """
    body = await json_body(request, ReviewIn)
    decide = partial(services.store.reviews.decide, tenant.id, image_id, body.state, by=tenant.author)
    call = in_thread(
        decide,
        reason=body.reason,
        note=body.note,
        marks=[MarkAnswer.model_validate(mark.model_dump()) for mark in body.marks],
        reviewer=body.reviewer,
        expected=if_match(request),
    )
    image = await shield_to_completion(call)
    response.headers["etag"] = image.etag
    return whole_image_answer(image)


@router.post(
    "/redo",
    status_code=202,
    operation_id="redo_image",
    summary="Make the next version of a picture",
    responses=answer_json(examples.ACCEPTED, "The shot is stored.", status=202, headers=LOCATION)
    | problems_json(*BODY_PROBLEMS, NotFound, Conflict),
    openapi_extra=body_json(examples.REDO_REQUEST)
    | headers_json(Idempotency_Key="As for a shot. Left out, the same redo after the same decision is one shot."),
)
async def redo_image(
    image_id: str, request: Request, response: Response, services: Wired, tenant: Caller
) -> AcceptedAnswer:
    """A shot of one picture, changed by what the reason asks for. Its picture supersedes this one when it is done.

    422 `redo_needs_change` when the reason cannot be mended without other masks, places or words; 409 `superseded` when
    the picture has a newer version. 404 also when a mask, a reference or an adapter of its shot was deleted.
    """
    body = await json_body(request, RedoRequest)
    image = await in_thread(services.store.images.get, tenant.id, image_id)
    if image.recipe.enhancement is not None:
        rule = "a redo makes a shot again, and this picture is a repainted photo"
        remedy = f"send another POST /v1/photos/{image.recipe.enhancement.photo_id}/enhancements"
        raise BadInput("redo_needs_change", f"{rule}; {remedy}")
    shot = await in_thread(services.store.shots.get, tenant.id, image.shot_id)
    wanted = await in_thread(_wanted, services, image, shot, body)
    sent = hashlib.sha256(body.model_dump_json().encode()).hexdigest()[:16]
    key = idempotency_key(request) or f"redo {image.id} {image.review_number} {sent}"
    try:
        new = await accepted(services, tenant, wanted, key, category=shot.category, supersedes=image.id)
    except NotFound as gone:
        raise _lost(gone) from gone
    answer = accepted_answer(new)
    response.headers["location"] = answer.url
    return answer


def _lost(gone: NotFound) -> NotFound:
    """The refusal of a redo whose shot was made of something that was deleted since."""
    rule = f"a redo needs all that its shot was made of, got {gone.detail.partition(';')[0]}"
    of_layers = any(error["loc"][:1] == ["layers"] for error in gone.errors or ())
    remedy = "cut the photo again and send layers" if of_layers else "make a new shot without it (POST /v1/shots)"
    return NotFound("not_found", f"{rule}; {remedy}.", errors=gone.errors)


def _wanted(services: Services, image: ImageRecord, shot: ShotRecord, body: RedoRequest) -> ShotRequest:
    sizes: dict[str, tuple[int, int]] = {}
    for mask_id in dict.fromkeys(shot.spec.mask_ids):
        try:
            mask = services.store.masks.get(image.tenant, mask_id)
        except NotFound:
            continue  # the new shot is refused for it, unless other layers were sent
        x0, y0, x1, y1 = mask.cutout_bbox_xyxy or mask.bbox_xyxy
        sizes[mask_id] = (x1 - x0, y1 - y0)
    limits = pick_engine(shot.spec.engine, services.graph.engines()).limits
    wanted = mended(
        shot.spec,
        body,
        reason=body.reason or image.reason or "other",
        seed=image.seed,
        limits=limits,
        cutouts=sizes,
        version=image.version,
    )
    return wanted.model_copy(update={"project_id": shot.project_id, "sku": shot.sku, "meta": dict(shot.meta)})
