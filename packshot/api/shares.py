"""`/v1/shares`: links to pictures for people without a key. `/v1/share`: what their visitors may do, and nothing else.

A link is a page and a token: `/share#sl_…`. Browsers send nothing after `#`, so the token stands in no log and no
Referer. The page sends it as `Authorization: Bearer`, to the routes of `/v1/share` only; every other route refuses it.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response, Security
from fastapi.security import HTTPBearer

from packshot.api.accept import json_body
from packshot.api.answers import file_answer
from packshot.api.auth import Caller, bearer_of, require_loopback
from packshot.api.bodies import TENANT
from packshot.api.conversions import comment_answer, share_answer, shared_image
from packshot.api.limits import cancel_on_disconnect, shield_to_completion
from packshot.api.openapi import (
    BODY_PROBLEMS,
    answer_json,
    body_json,
    empty_json,
    file_json,
    keyed_problems_json,
    problems_json,
)
from packshot.api.queries import PAGE, Cursor, Limit
from packshot.api.services import Wired, in_thread
from packshot.contract import examples
from packshot.contract.reviews import (
    SHARED_PX,
    CommentAnswer,
    CommentIn,
    MarkAnswer,
    ShareAnswer,
    SharedAnswer,
    SharePage,
    ShareRequest,
)
from packshot.errors import BadInput, Conflict, NotFound, Unauthorized
from packshot.store.database import absent
from packshot.store.shares import ShareRecord
from packshot.telemetry.context import annotate

router = APIRouter(prefix="/v1", tags=["reviews"])

MAX_COMMENTS = 200
"""Comments of one link's visitors on one picture."""

MAX_BODY_BYTES = 128 * 1024
"""Limit of a comment's body, which is read for people without a key."""

DAY_S = 24 * 3600.0

_LINK = HTTPBearer(scheme_name="share", description="The token of a share link.", auto_error=False)


async def visited(
    request: Request,
    services: Wired,
    _bearer: Annotated[object, Security(_LINK)],  # documents the scheme
) -> ShareRecord:
    """The link with which the request came. Raises Unauthorized when it has ended, was revoked or never existed."""
    if services.settings.open_access:
        require_loopback(request)
    token = bearer_of(request)
    share = None if token is None else await in_thread(services.store.shares.opened, token)
    if share is None:
        raise Unauthorized("unauthorized", "This link has ended or was revoked; ask its sender for a new one.")
    request.scope[TENANT] = share.id
    annotate(actor=share.author)
    return share


Visit = Annotated[ShareRecord, Depends(visited)]


@router.post(
    "/shares",
    status_code=201,
    operation_id="create_share",
    summary="Make a share link",
    responses=answer_json(examples.SHARE, "The link. Its `url` is shown here only.", status=201)
    | problems_json(*BODY_PROBLEMS, NotFound, Conflict)
    | keyed_problems_json(),
    openapi_extra=body_json(examples.SHARE_REQUEST),
)
async def create_share(request: Request, services: Wired, tenant: Caller) -> ShareAnswer:
    """Visitors see copies of at most 1,024 px and leave comments, until the link ends or is revoked."""
    body = await json_body(request, ShareRequest)
    call = in_thread(
        services.store.shares.add,
        tenant.id,
        body.image_ids,
        name=body.name,
        life_s=body.days * DAY_S,
        by=tenant.author,
    )
    new = await shield_to_completion(call)
    return share_answer(new.record, f"/share#{new.token}")


@router.get(
    "/shares",
    operation_id="list_shares",
    summary="List the share links, newest first",
    responses=answer_json(examples.SHARES, "A page of links.") | problems_json(BadInput) | keyed_problems_json(),
)
async def list_shares(services: Wired, tenant: Caller, limit: Limit = PAGE, cursor: Cursor = "") -> SharePage:
    """Links that have ended are listed for 30 more days. `next_cursor` is null on the last page."""
    shares, next_cursor = await in_thread(services.store.shares.page, tenant.id, cursor=cursor or None, limit=limit)
    return SharePage(shares=tuple(share_answer(share) for share in shares), next_cursor=next_cursor)


@router.delete(
    "/shares/{share_id}",
    status_code=204,
    operation_id="revoke_share",
    summary="Revoke a share link",
    responses=empty_json("The link shows nothing any more.") | problems_json(NotFound) | keyed_problems_json(),
)
async def revoke_share(share_id: str, services: Wired, tenant: Caller) -> None:
    """It stops at once. Comments that were made through it stay in the pictures' logs."""
    await shield_to_completion(in_thread(services.store.shares.revoke, tenant.id, share_id))


@router.get(
    "/share",
    operation_id="visit_share",
    summary="Get what a share link shows",
    responses=answer_json(examples.SHARED, "The pictures.") | keyed_problems_json(),
)
async def visit_share(response: Response, services: Wired, share: Visit) -> SharedAnswer:
    """The pictures in the link's order, with the comments that came through it. Deleted pictures are left out."""
    response.headers["cache-control"] = "private, no-store"
    shown = await in_thread(services.store.shares.images, share)
    return SharedAnswer(
        name=share.name, expires_at=share.expires_at, images=tuple(shared_image(picture) for picture in shown)
    )


@router.get(
    "/share/images/{image_id}",
    operation_id="get_shared_image",
    summary="Get a small copy of a shared picture",
    response_class=Response,
    responses=file_json("The small copy.", "image/png") | problems_json(NotFound) | keyed_problems_json(),
)
async def get_shared_image(image_id: str, request: Request, services: Wired, share: Visit) -> Response:
    """Returns a PNG of at most 1,024 px. 404 for every picture that the link does not name."""
    _require_shared(share, image_id)
    image = await in_thread(services.store.images.get, share.tenant, image_id)
    data = await cancel_on_disconnect(request, services.graph.thumbnail(image.asset_key, SHARED_PX))
    return file_answer(request, data, "image/png", kept=False)  # a revoked link shows nothing, from caches neither


@router.post(
    "/share/images/{image_id}/comments",
    status_code=201,
    operation_id="comment_shared_image",
    summary="Comment on a shared picture",
    responses=answer_json(examples.COMMENT, "The comment.", status=201)
    | problems_json(*BODY_PROBLEMS, NotFound, Conflict)
    | keyed_problems_json(),
    openapi_extra=body_json(examples.COMMENT_IN),
)
async def comment_shared_image(image_id: str, request: Request, services: Wired, share: Visit) -> CommentAnswer:
    """Comments decide nothing. They stand in the picture's log under the link's id and the visitor's own name."""
    _require_shared(share, image_id)
    body = await json_body(request, CommentIn, MAX_BODY_BYTES)
    call = in_thread(
        services.store.reviews.comment,
        share.tenant,
        image_id,
        body.note,
        by=share.author,
        marks=[MarkAnswer.model_validate(mark.model_dump()) for mark in body.marks],
        reviewer=body.reviewer,
        at_most=MAX_COMMENTS,
    )
    return comment_answer(await shield_to_completion(call))


def _require_shared(share: ShareRecord, image_id: str) -> None:
    if image_id not in share.image_ids:
        raise absent("image", image_id)
