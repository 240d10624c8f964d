"""`/v1/images`: finished pictures, their deliveries and their reviews. `/v1/presets`: the delivery presets."""

from __future__ import annotations

from datetime import date
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from packshot.api.accept import json_body
from packshot.api.answers import disposition, file_answer
from packshot.api.auth import Caller
from packshot.api.conversions import whole_image_answer
from packshot.api.deliveries import made_once
from packshot.api.downloads import REDIRECT, Redirect, noted_read, redirected
from packshot.api.etags import IF_MATCH, if_match
from packshot.api.limits import cancel_on_disconnect, shield_to_completion
from packshot.api.openapi import BODY_PROBLEMS, answer_json, body_json, file_json, keyed_problems_json, problems_json
from packshot.api.services import Wired, in_thread
from packshot.contract import delivery_examples, examples
from packshot.contract.answers import WholeImageAnswer
from packshot.contract.presets import PresetsAnswer
from packshot.contract.requests import ReviewRequest
from packshot.contract.status import Decision, Review, ReviewReason
from packshot.delivery.presets import preset_named, presets
from packshot.errors import BadInput, Conflict, NotFound, PreconditionFailed, StorageFull
from packshot.shots.relighting import load_gain

router = APIRouter(prefix="/v1", tags=["images"], responses=keyed_problems_json())

DECISIONS: dict[Review | None, Decision] = {
    "approved": "approved",
    "rejected": "changes_requested",
    None: "in_review",
}

NOTES = "x-packshot-notes"
"""Response header of a delivered file: changes made for the channel, and advice that the picture does not follow."""


@router.get(
    "/presets",
    operation_id="list_presets",
    summary="List the delivery presets",
    responses=answer_json(delivery_examples.PRESETS, "The presets."),
)
async def list_presets(tenant: Caller) -> PresetsAnswer:
    """Each preset has a channel's rules with their source, date and expiry. `warning` is set after the expiry."""
    today = date.today()
    return PresetsAnswer(presets=tuple(preset.on(today) for preset in presets()))


@router.get(
    "/images/{image_id}.json",
    operation_id="describe_image",
    summary="Get what is known about a picture",
    responses=answer_json(examples.WHOLE_IMAGE, "The picture, with its review and its recipe.")
    | problems_json(NotFound),
)
async def describe_image(image_id: str, response: Response, services: Wired, tenant: Caller) -> WholeImageAnswer:
    """The review, the version and the recipe. A redo makes the next version, which supersedes the one before."""
    image = await in_thread(services.store.images.get, tenant.id, image_id)
    response.headers.update({"cache-control": "private, no-cache", "etag": image.etag})
    return whole_image_answer(image)


@router.get(
    "/images/{image_id}",
    operation_id="get_image",
    summary="Get a finished picture",
    response_class=Response,
    responses=file_json(
        "The picture.",
        *("image/png", "image/jpeg", "image/webp"),
        content_disposition="The name under which to save the file.",
        x_packshot_notes="Changes made for the channel, and advice that the picture does not follow.",
    )
    | REDIRECT
    | problems_json(BadInput, NotFound, Conflict, StorageFull),
)
async def get_image(
    image_id: str,
    request: Request,
    services: Wired,
    tenant: Caller,
    preset: Annotated[str | None, Query(description="Deliver to this preset's rules.")] = None,
    redirect: Redirect = None,
) -> Response:
    """Returns the PNG. With `preset`, returns a file that meets the preset's rules. It is made once and stored.

    422 `preset_unmet` names the rule that the picture cannot meet. 409 `not_approved` when a person must approve the
    picture before it leaves, with a preset or by a signed URL; the PNG from this server is the working copy.
    """
    image = await in_thread(services.store.images.get, tenant.id, image_id)
    if preset is None:
        shown = disposition(f"{image.id}.png", inline=True)
        if redirect or (redirect is None and services.settings.redirect_downloads):
            try:
                await in_thread(services.store.reviews.require_approved, tenant.id, [image.id])
            except Conflict:
                if redirect:
                    raise
                redirect = False
        elsewhere = await redirected(services, redirect, image.asset_key, "image/png", shown)
        if elsewhere is not None:
            return elsewhere
        data = await in_thread(services.store.assets.get, image.asset_key)
        return file_answer(request, data, "image/png", filename=f"{image.id}.png", inline=True)
    rules = preset_named(preset)
    await in_thread(services.store.reviews.require_approved, tenant.id, [image.id])
    shot = await in_thread(services.store.shots.get, tenant.id, image.shot_id)
    file = await cancel_on_disconnect(request, made_once(services.store, services.graph, image, shot, rules))
    data = await in_thread(services.store.assets.get, file.asset_key)
    name = f"{image.id}-{rules.name}.{file.extension}"
    answer = noted_read(services, file, file_answer(request, data, file.media_type, filename=name, kept=False))
    expired = rules.expiry_note(date.today())
    if notes := (*file.notes, *((expired,) if expired else ())):
        answer.headers[NOTES] = "; ".join(notes).encode("ascii", "replace").decode()
    return answer


@router.get(
    "/images/{image_id}/gain",
    operation_id="get_image_gain",
    summary="Get the gain over a relit product",
    response_class=Response,
    responses=file_json("The gain.", "image/png") | problems_json(NotFound, Conflict),
)
async def get_image_gain(image_id: str, request: Request, services: Wired, tenant: Caller) -> Response:
    """Returns a 16-bit RGB PNG of at most 128 px: factors times 32768 over the box of the product's alpha.

    With it anyone can check the finding `relit_lock`: enlarged linearly to that box and multiplied with the photo, it
    gives the picture's product. 404 for a picture that is not relit. 409 `gain_altered` when the stored file was
    changed.
    """
    image = await in_thread(services.store.images.get, tenant.id, image_id)
    if image.gain_key is None:
        rule = f"only a relit picture has a gain, and {image.id} is not relit"
        raise NotFound("not_found", f"{rule}; ask for `relight` in its shot")
    data = await in_thread(load_gain, services.store.assets, image.gain_key)
    return file_answer(request, data, "image/png")


@router.get(
    "/images/{image_id}/thumbnail",
    operation_id="get_image_thumbnail",
    summary="Get a small copy of a picture",
    response_class=Response,
    responses=file_json("The small copy.", "image/png") | problems_json(NotFound),
)
async def get_image_thumbnail(image_id: str, request: Request, services: Wired, tenant: Caller) -> Response:
    """Returns a PNG of at most 384 px, for lists of pictures."""
    image = await in_thread(services.store.images.get, tenant.id, image_id)
    data = await cancel_on_disconnect(request, services.graph.thumbnail(image.asset_key))
    return file_answer(request, data, "image/png")


@router.patch(
    "/images/{image_id}",
    operation_id="review_image",
    summary="Approve or reject a picture",
    responses=answer_json(examples.WHOLE_IMAGE, "The picture, with its review.")
    | problems_json(*BODY_PROBLEMS, NotFound, PreconditionFailed),
    openapi_extra=body_json(examples.REVIEW_REQUEST) | IF_MATCH,
)
async def review_image(image_id: str, request: Request, services: Wired, tenant: Caller) -> WholeImageAnswer:
    """A null `review` withdraws the decision. A missing `note` keeps the stored note; an empty one deletes it.

    It is the short form of `POST /v1/images/{image_id}/reviews`: rejected is changes_requested with the reason other,
    and null is in_review.
    """
    body = await json_body(request, ReviewRequest)
    decide = partial(services.store.reviews.decide, tenant.id, image_id, DECISIONS[body.review], by=tenant.author)
    reason: ReviewReason | None = "other" if body.review == "rejected" else None
    call = in_thread(decide, reason=reason, note=body.note, keep_note=body.note is None, expected=if_match(request))
    return whole_image_answer(await shield_to_completion(call))
