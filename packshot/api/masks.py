"""`/v1/masks`: masks, and the cutouts made from them. Both are encoded when they are first asked for."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from packshot.api.answers import file_answer
from packshot.api.auth import Caller
from packshot.api.limits import shield_to_completion
from packshot.api.openapi import empty_json, file_json, keyed_problems_json, problems_json
from packshot.api.services import Services, Wired, in_thread
from packshot.errors import Conflict, NotFound
from packshot.imaging.canvas import cut
from packshot.imaging.codec import encode_png, read_mask, read_photo

router = APIRouter(prefix="/v1/masks", tags=["masks"], responses=keyed_problems_json())


@router.get(
    "/{mask_id}",
    operation_id="get_mask",
    summary="The mask",
    response_class=Response,
    responses=file_json("The mask.", "image/png") | problems_json(NotFound),
)
async def get_mask(mask_id: str, request: Request, services: Wired, tenant: Caller) -> Response:
    """8-bit single-channel PNG, photo-sized, 255 = product."""
    data = await in_thread(_mask_png, services, tenant.id, mask_id)
    return file_answer(request, data, "image/png")


def _mask_png(services: Services, tenant_id: str, mask_id: str) -> bytes:
    mask = services.store.masks.get(tenant_id, mask_id)
    return encode_png(read_mask(services.store.assets.get(mask.asset_key)).pixels)


@router.get(
    "/{mask_id}/cutout",
    operation_id="get_cutout",
    summary="The product, cut out",
    response_class=Response,
    responses=file_json("The cutout.", "image/png") | problems_json(NotFound),
)
async def get_cutout(mask_id: str, request: Request, services: Wired, tenant: Caller) -> Response:
    """RGBA PNG, cropped to the product."""
    data = await in_thread(_cutout_png, services, tenant.id, mask_id)
    return file_answer(request, data, "image/png")


def _cutout_png(services: Services, tenant_id: str, mask_id: str) -> bytes:
    store = services.store
    mask = store.masks.get(tenant_id, mask_id)
    photo = store.photos.get(tenant_id, mask.photo_id)
    return encode_png(
        cut(read_photo(store.assets.get(photo.asset_key)), read_mask(store.assets.get(mask.asset_key))).pixels
    )


@router.delete(
    "/{mask_id}",
    status_code=204,
    operation_id="delete_mask",
    summary="Delete a mask",
    responses=empty_json("The mask is gone.") | problems_json(NotFound, Conflict),
)
async def delete_mask(mask_id: str, services: Wired, tenant: Caller) -> None:
    """409 `in_use` while a live shot needs it."""
    await shield_to_completion(in_thread(services.store.masks.delete, tenant.id, mask_id))
