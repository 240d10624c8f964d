"""`/v1/palettes`: the colours and the light of reference pictures, before a shot or a style takes them."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request

from packshot.api.accept import json_body
from packshot.api.auth import Caller
from packshot.api.budgets import limited
from packshot.api.limits import cancel_on_disconnect
from packshot.api.openapi import BODY_PROBLEMS, answer_json, body_json, keyed_problems_json, problems_json
from packshot.api.services import Wired
from packshot.api.styling import require_pictures
from packshot.contract import style_examples as examples
from packshot.contract.shot_style import ColourAnswer, LightAnswer, PaletteAnswer, PaletteRequest
from packshot.errors import NotFound

router = APIRouter(
    prefix="/v1/palettes", tags=["styles"], responses=keyed_problems_json(), dependencies=[Depends(limited)]
)


@router.post(
    "",
    operation_id="find_palette",
    summary="Find the palette and the light of pictures",
    responses=answer_json(examples.PALETTE, "What the pictures show.") | problems_json(*BODY_PROBLEMS, NotFound),
    openapi_extra=body_json(examples.PALETTE_REQUEST),
)
async def find_palette(request: Request, services: Wired, tenant: Caller) -> PaletteAnswer:
    """A shot's `style` finds the same by itself. Nothing is stored."""
    body = await json_body(request, PaletteRequest)
    files = await require_pictures(services, tenant.id, body.references)
    found = await cancel_on_disconnect(request, services.graph.read_style(files))
    return PaletteAnswer(
        palette=tuple(ColourAnswer(colour=one.name, share=round(one.share, 3)) for one in found.palette),
        light=None if found.light_deg is None else LightAnswer(direction_deg=found.light_deg),
    )
