"""`/v1/masks`: masks and the cutouts made from them. Their PNGs are encoded on request."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from packshot.api.answers import file_answer
from packshot.api.auth import Caller
from packshot.api.conversions import mask_answer
from packshot.api.limits import cancel_on_disconnect, shield_to_completion
from packshot.api.openapi import answer_json, empty_json, file_json, keyed_problems_json, problems_json
from packshot.api.services import Wired, in_thread
from packshot.contract import examples
from packshot.contract.answers import MaskAnswer
from packshot.errors import Conflict, NotFound
from packshot.shots.cutouts import cutout_files

router = APIRouter(prefix="/v1/masks", tags=["masks"], responses=keyed_problems_json())


@router.get(
    "/{mask_id}.json",
    operation_id="describe_mask",
    summary="Get what is known about a mask",
    responses=answer_json(examples.MASK, "The mask.") | problems_json(NotFound),
)
async def describe_mask(mask_id: str, services: Wired, tenant: Caller) -> MaskAnswer:
    """The photo that it belongs to, and the places of product and cutout in it."""
    return mask_answer(await in_thread(services.store.masks.get, tenant.id, mask_id))


@router.get(
    "/{mask_id}",
    operation_id="get_mask",
    summary="Get a mask",
    response_class=Response,
    responses=file_json("The mask.", "image/png") | problems_json(NotFound),
)
async def get_mask(
    mask_id: str,
    request: Request,
    services: Wired,
    tenant: Caller,
    longest_px: Annotated[
        int | None, Query(ge=16, le=10_000, description="Reduce it until its longer side has at most so many pixels.")
    ] = None,
) -> Response:
    """Returns an 8-bit single-channel PNG of the photo's size, 255 = product. `longest_px` suits a screen."""
    mask = await in_thread(services.store.masks.get, tenant.id, mask_id)
    data = await cancel_on_disconnect(request, services.graph.mask_png(mask.asset_key, longest_px))
    return file_answer(request, data, "image/png")


@router.get(
    "/{mask_id}/cutout",
    operation_id="get_cutout",
    summary="Get the cutout of a mask",
    response_class=Response,
    responses=file_json("The cutout.", "image/png") | problems_json(NotFound),
)
async def get_cutout(mask_id: str, request: Request, services: Wired, tenant: Caller) -> Response:
    """Returns an RGBA PNG: the part `cutout_bbox` of the photo. The first request makes it."""
    mask = await in_thread(services.store.masks.get, tenant.id, mask_id)
    photo = await in_thread(services.store.photos.get, tenant.id, mask.photo_id)
    data = await cancel_on_disconnect(request, services.graph.cutout(cutout_files(photo, mask)))
    return file_answer(request, data, "image/png")


@router.delete(
    "/{mask_id}",
    status_code=204,
    operation_id="delete_mask",
    summary="Delete a mask",
    responses=empty_json("The mask was deleted.") | problems_json(NotFound, Conflict),
)
async def delete_mask(mask_id: str, services: Wired, tenant: Caller) -> None:
    """409 `in_use` while a live shot uses the mask."""
    await shield_to_completion(in_thread(services.store.masks.delete, tenant.id, mask_id))
