"""`/v1/images`: finished pictures, as they are or delivered to a channel's rules; and what people thought of them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from packshot.api.accept import json_body
from packshot.api.answers import file_answer, whole_image_json
from packshot.api.auth import Caller
from packshot.api.limits import to_the_end
from packshot.api.schemas import ReviewRequest
from packshot.api.services import Wired, in_thread

router = APIRouter(prefix="/v1", tags=["images"])


@router.get(
    "/images/{image_id}",
    summary="A finished picture",
    response_class=Response,
    responses={200: {"content": {"image/png": {}, "image/jpeg": {}, "image/webp": {}}}},
)
async def get_image(
    image_id: str, request: Request, services: Wired, tenant: Caller, preset: str | None = None
) -> Response:
    """The PNG; with `preset`, delivered to that spec as a download, or 422 `preset_unmet` with the failing rule."""
    image = await in_thread(services.store.image, tenant.id, image_id)
    data = await in_thread(services.store.assets.get, image.asset_key)
    return file_answer(request, data, "image/png")


@router.patch("/images/{image_id}", summary="Approve or reject a picture")
async def review_image(image_id: str, request: Request, services: Wired, tenant: Caller) -> dict[str, Any]:
    """`review` null takes the decision back; `note` stays when it is not given, and goes when it is empty."""
    body = await json_body(request, ReviewRequest)
    image = await to_the_end(in_thread(services.store.review_image, tenant.id, image_id, body.review, body.note))
    return whole_image_json(image)
