"""`/v1/shots`. A shot is stored before it is accepted; the graph is then notified that a shot waits."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from packshot.api.accept import check_layer, check_layers_together, checked_label, json_body, pick_engine, resolved
from packshot.api.adapting import adapted_request
from packshot.api.answers import file_answer, json_answer, server_timing, shot_timing
from packshot.api.auth import Caller
from packshot.api.budgets import RATE_LIMIT, add_limit_headers, limited
from packshot.api.conversions import accepted_answer, shot_answer
from packshot.api.limits import cancel_on_disconnect, shield_to_completion
from packshot.api.openapi import (
    BODY_PROBLEMS,
    LOCATION,
    TIMING,
    answer_json,
    body_json,
    file_json,
    headers_json,
    keyed_problems_json,
    problems_json,
)
from packshot.api.queries import PAGE, Cursor, Limit, SelectedShots
from packshot.api.services import Services, Wired, in_thread
from packshot.api.styling import styled_request
from packshot.contract import examples
from packshot.contract.answers import AcceptedAnswer, ShotAnswer, ShotPage
from packshot.contract.product import RETOUCHED
from packshot.contract.requests import ShotRequest
from packshot.contract.status import ENDED
from packshot.errors import BadInput, BudgetSpent, Conflict, NotFound
from packshot.models.packs.framing import row_steps
from packshot.shots.previews import preview_key
from packshot.store.records import ShotRecord, Tenant
from packshot.telemetry.context import carrier
from packshot.types import BoxXYXY

router = APIRouter(prefix="/v1/shots", tags=["shots"], responses=keyed_problems_json(), dependencies=[Depends(limited)])

MAX_WAIT_S = 120.0

ACCEPTED_HEADERS = LOCATION | RATE_LIMIT | {"preference-applied": "The wait in force, under `Prefer: wait`."}
JOB_HEADERS = headers_json(
    Idempotency_Key="1 to 255 printable ASCII characters. A repeated request with the key returns the same shot.",
    Prefer="`wait=SECONDS` delays the response until the shot has ended, for at most 120 s.",
)
"""The request headers of a shot, and of other work on a picture."""

_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,9})", re.IGNORECASE)
_IDEMPOTENCY_KEY = re.compile(r"[\x20-\x7e]{1,255}")


@router.post(
    "",
    status_code=202,
    operation_id="create_shot",
    summary="Create a shot",
    response_model=AcceptedAnswer,
    responses=answer_json(examples.ACCEPTED, "The shot is stored.", status=202, headers=ACCEPTED_HEADERS)
    | answer_json(examples.SHOT, "The shot has ended, under `Prefer: wait`.", headers=ACCEPTED_HEADERS | TIMING)
    | problems_json(*BODY_PROBLEMS, NotFound, BudgetSpent),
    openapi_extra=body_json(examples.SHOT_REQUEST) | JOB_HEADERS,
)
async def create_shot(request: Request, services: Wired, tenant: Caller) -> Response:
    """202 when the shot is stored. `Prefer: wait=60` delays the response until it has ended (200), for at most 120 s.

    A repeated request with the same `Idempotency-Key` returns the same shot in its present state.
    """
    key = idempotency_key(request)
    body = await json_body(request, ShotRequest)
    return await answer_when_accepted(request, services, tenant, lambda: accepted(services, tenant, body, key))


async def answer_when_accepted(
    request: Request, services: Services, tenant: Tenant, accept: Callable[[], Awaitable[ShotRecord]]
) -> Response:
    """Accept a shot, or other work on a picture, and answer: 202, or under `Prefer: wait` 200 with what has ended."""
    wait_s = wanted_wait_s(request)
    if wait_s is None:
        shot = await accept()
        await add_limit_headers(request, services, tenant)
        return json_answer(accepted_answer(shot), status=202, headers={"location": f"/v1/shots/{shot.id}"})
    with services.streams.slot(tenant.id):  # before the shot is stored: a refused request stores nothing
        shot = await accept()
        headers = {"location": f"/v1/shots/{shot.id}", "preference-applied": f"wait={wait_s:g}"}
        shot = await cancel_on_disconnect(request, _wait_until_ended(services, tenant.id, shot, wait_s))
        await add_limit_headers(request, services, tenant)
    if shot.status not in ENDED:
        return json_answer(accepted_answer(shot), status=202, headers=headers)
    return json_answer(shot_answer(shot), headers={**headers, **server_timing(shot_timing(shot))})


async def accepted(
    services: Services,
    tenant: Tenant,
    body: ShotRequest,
    key: str | None,
    *,
    category: str | None = None,
    supersedes: str | None = None,
) -> ShotRecord:
    """Store the shot. `Shots.add` describes `category` and `supersedes`; `accepted_job` the rest.

    Raises as `styled_request`, `adapted_request` and `Shots.add`.
    """
    sent = body.model_dump(mode="json", exclude_unset=True)
    if earlier := await repeated(services, tenant, key, sent):
        return earlier
    if body.style is not None:
        body = await styled_request(services, tenant.id, body, pick_engine(body.engine, services.graph.engines()))
    if body.adapters:
        body = await adapted_request(services, tenant.id, body, pick_engine(body.engine, services.graph.engines()))
    return await stored_by(services, partial(_add, services, tenant, body, key, sent, category, supersedes))


async def accepted_job(
    services: Services,
    tenant: Tenant,
    key: str | None,
    sent: Mapping[str, object],
    add: Callable[[], tuple[ShotRecord, bool]],
) -> ShotRecord:
    """Store a row of the queue by `add`, even when the client disconnects meanwhile, and notify the graph if it is new.

    A repeat, with the same `key` and the same request as `sent`, is recognised before `add` checks anything. `add` runs
    in a thread and returns what `Shots.add` does.
    """
    if earlier := await repeated(services, tenant, key, sent):
        return earlier
    return await stored_by(services, add)


async def repeated(
    services: Services, tenant: Tenant, key: str | None, sent: Mapping[str, object]
) -> ShotRecord | None:
    """The work that was accepted with this Idempotency-Key for the same body, or None."""
    return None if key is None else await in_thread(services.store.shots.repeated, tenant.id, key, sent)


async def stored_by(services: Services, add: Callable[[], tuple[ShotRecord, bool]]) -> ShotRecord:
    """Call `add` (`Shots.add`) in a thread, even when the client disconnects, and notify the graph of new work."""

    async def accept() -> ShotRecord:
        shot, created = await in_thread(add)
        if created:
            services.graph.submitted()
        return shot

    return await shield_to_completion(accept())


def _add(
    services: Services,
    tenant: Tenant,
    body: ShotRequest,
    key: str | None,
    sent: Mapping[str, object],
    category: str | None,
    supersedes: str | None,
) -> tuple[ShotRecord, bool]:
    stored = resolved(body, services.graph.engines(), services.settings)
    canvas, boxes = (body.canvas.width, body.canvas.height), dict[str, BoxXYXY]()
    for index, layer in enumerate(body.layers):
        try:
            mask = services.store.masks.get(tenant.id, layer.mask_id)
        except NotFound:
            continue  # shots.add refuses it, unless the request repeats a shot whose masks were deleted since
        check_layer(index, layer, mask.bbox_xyxy, canvas, mask.cutout_bbox_xyxy)
        boxes[layer.mask_id] = mask.cutout_bbox_xyxy or mask.bbox_xyxy
    check_layers_together(body.layers, boxes, canvas, services.settings.max_photo_px)
    if stored.proof is not None and stored.proof.master is not None:
        services.store.photos.get(tenant.id, stored.proof.master)
    sku = None if body.sku is None else checked_label(body.sku, "sku")
    meta = {name: checked_label(value, f"meta.{name}") for name, value in body.meta.items()}
    engine = pick_engine(stored.engine, services.graph.engines())
    return services.store.shots.add(
        tenant.id,
        stored,
        idempotency_key=key,
        project_id=body.project_id,
        key_id=tenant.key_id,
        sku=sku,
        meta=meta,
        row_steps=row_steps(stored, engine),
        origin=carrier(),
        sent=sent,
        category=category if stored.product is None else category or RETOUCHED,
        supersedes=supersedes,
        price_device_s=engine.price_of(stored),
    )


async def _wait_until_ended(services: Services, tenant_id: str, shot: ShotRecord, wait_s: float) -> ShotRecord:
    """Return the shot when it has ended, or its present state after `wait_s`. Cancelling the wait cancels no shot."""
    with suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            while shot.status not in ENDED and (seen := await services.watch.next(tenant_id, [shot.id])):
                shot = seen[0]
    return shot if shot.status in ENDED else await in_thread(services.store.shots.get, tenant_id, shot.id)


def wanted_wait_s(request: Request) -> float | None:
    """The seconds of `Prefer: wait=`, at most `MAX_WAIT_S`; None without one. Other values are ignored (RFC 7240)."""
    found = _WAIT.search(",".join(request.headers.getlist("prefer")))
    return min(float(found[1]), MAX_WAIT_S) if found else None


def idempotency_key(request: Request) -> str | None:
    """The request's Idempotency-Key, or None without one. Raises BadInput when it cannot be one."""
    key = request.headers.get("idempotency-key")
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        rule = f"Idempotency-Key must be 1 to 255 printable ASCII characters, got {len(key)}."
        raise BadInput("invalid_request", rule, errors=[{"loc": ["Idempotency-Key"], "msg": rule}])
    return key


@router.get(
    "",
    operation_id="list_shots",
    summary="List shots, newest first",
    responses=answer_json(examples.SHOTS, "A page of shots.") | problems_json(BadInput),
)
async def list_shots(
    services: Wired,
    tenant: Caller,
    wanted: SelectedShots,
    limit: Limit = PAGE,
    cursor: Cursor = "",
) -> ShotPage:
    """A shot must meet every filter that is sent. `next_cursor` is null on the last page."""
    shots, next_cursor = await in_thread(
        services.store.shots.page, tenant.id, wanted, cursor=cursor or None, limit=limit
    )
    return ShotPage(shots=tuple(shot_answer(shot) for shot in shots), next_cursor=next_cursor)


@router.get(
    "/{shot_id}",
    operation_id="get_shot",
    summary="Get a shot",
    responses=answer_json(examples.SHOT, "The shot.", headers=TIMING) | problems_json(NotFound),
)
async def get_shot(shot_id: str, response: Response, services: Wired, tenant: Caller) -> ShotAnswer:
    """Returns the shot's status, progress and images."""
    shot = await in_thread(services.store.shots.get, tenant.id, shot_id)
    response.headers.update({"cache-control": "private, no-cache", **server_timing(shot_timing(shot))})
    return shot_answer(shot)


@router.get(
    "/{shot_id}/preview",
    operation_id="get_preview",
    summary="Get the preview of an image",
    response_class=Response,
    responses=file_json("The preview.", "image/png") | problems_json(NotFound),
)
async def get_preview(
    shot_id: str,
    request: Request,
    services: Wired,
    tenant: Caller,
    image: Annotated[int, Query(ge=0, description="Which image of the shot, from 0.")] = 0,
    at: Annotated[str, Query(description="Any text, to read past a browser's own copies; it selects nothing.")] = "",
) -> Response:
    """Previews are temporary: 404 before an image's first one, and some time after the shot has ended."""
    shot = await in_thread(services.store.shots.get, tenant.id, shot_id)
    if shot.preview_version == 0 or image >= shot.spec.images:
        raise NotFound("not_found", f"Image {image} of {shot.id} has no preview yet; wait for a `preview` event.")
    data = await in_thread(services.store.assets.get, preview_key(shot.id, image))
    return file_answer(request, data, "image/png", kept=False)


@router.delete(
    "/{shot_id}",
    status_code=202,
    operation_id="cancel_shot",
    summary="Cancel a shot",
    responses=answer_json(examples.ACCEPTED, "The shot will end.", status=202) | problems_json(NotFound, Conflict),
)
async def cancel_shot(shot_id: str, services: Wired, tenant: Caller) -> AcceptedAnswer:
    """The shot ends as `cancelled` at its next step. 409 `already_finished` when it has ended."""
    return accepted_answer(await shield_to_completion(in_thread(services.store.shots.cancel, tenant.id, shot_id)))
