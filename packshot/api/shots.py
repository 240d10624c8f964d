"""`/v1/shots`: accepted means stored; the graph is only told that there is work."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from typing import Any, get_args

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from packshot.api.accept import check_layer, json_body, resolved
from packshot.api.answers import accepted_json, file_answer, server_timing, shot_json, shot_timing
from packshot.api.auth import Caller
from packshot.api.limits import cancel_on_disconnect, shield_to_completion
from packshot.api.schemas import ShotRequest
from packshot.api.services import Services, Wired, in_thread
from packshot.contract.shot_spec import ShotSpec
from packshot.contract.status import ENDED, Status
from packshot.errors import BadInput, NotFound
from packshot.store.records import ShotRecord

router = APIRouter(prefix="/v1/shots", tags=["shots"])

PAGE = 50
MAX_WAIT_S = 120.0
STATUSES: tuple[Status, ...] = get_args(Status)

_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,9})", re.IGNORECASE)
_IDEMPOTENCY_KEY = re.compile(r"[\x20-\x7e]{1,255}")


@router.post("", status_code=202, summary="Ask for images", responses={200: {"description": "The finished shot."}})
async def post_shot(request: Request, services: Wired, tenant: Caller) -> JSONResponse:
    """202 once the shot is stored. `Prefer: wait=60` holds the answer until it has ended (200), 120 s at most.

    `Idempotency-Key`: a repeat answers with the same shot in its present state.
    """
    key = _idempotency_key(request)
    body = await json_body(request, ShotRequest)
    stored = resolved(body, services.graph.engines(), services.settings)

    async def accept() -> ShotRecord:
        shot, created = await in_thread(_add, services, tenant.id, body, stored, key)
        if created:
            services.graph.submitted()
        return shot

    shot = await shield_to_completion(accept())
    headers = {"location": f"/v1/shots/{shot.id}"}
    wait_s = wanted_wait_s(request)
    if wait_s is None:
        return JSONResponse(accepted_json(shot), status_code=202, headers=headers)
    headers["preference-applied"] = f"wait={wait_s:g}"
    shot = await cancel_on_disconnect(request, _ended(services, tenant.id, shot, wait_s))
    if shot.status not in ENDED:
        return JSONResponse(accepted_json(shot), status_code=202, headers=headers)
    return JSONResponse(shot_json(shot), status_code=200, headers={**headers, **server_timing(shot_timing(shot))})


def _add(
    services: Services, tenant_id: str, body: ShotRequest, stored: ShotSpec, key: str | None
) -> tuple[ShotRecord, bool]:
    canvas = (body.canvas.width, body.canvas.height)
    for index, layer in enumerate(body.layers):
        try:
            mask = services.store.masks.get(tenant_id, layer.mask_id)
        except NotFound:
            continue  # shots.add refuses it, unless this repeats a shot whose masks were deleted meanwhile
        check_layer(index, layer, mask.bbox_xyxy, canvas)
    return services.store.shots.add(tenant_id, stored, idempotency_key=key)


async def _ended(services: Services, tenant_id: str, shot: ShotRecord, wait_s: float) -> ShotRecord:
    """The shot once it has ended, or as it stands after `wait_s`. Whoever stops waiting stops nothing else."""
    with suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            while shot.status not in ENDED and (seen := await services.watch.next(tenant_id, [shot.id])):
                shot = seen[0]
    return shot if shot.status in ENDED else await in_thread(services.store.shots.get, tenant_id, shot.id)


def wanted_wait_s(request: Request) -> float | None:
    """The seconds of `Prefer: wait=`, bounded; None without one. What is not understood is ignored (RFC 7240)."""
    found = _WAIT.search(",".join(request.headers.getlist("prefer")))
    return min(float(found[1]), MAX_WAIT_S) if found else None


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        rule = f"Idempotency-Key must be 1 to 255 printable ASCII characters, got {len(key)}."
        raise BadInput("invalid_request", rule, errors=[{"loc": ["Idempotency-Key"], "msg": rule}])
    return key


@router.get("", summary="The shots, newest first")
async def list_shots(services: Wired, tenant: Caller, status: str = "", cursor: str = "") -> dict[str, Any]:
    """A page of 50; `next_cursor` is null on the last one."""
    if status and status not in STATUSES:
        rule = f"status must be one of {', '.join(STATUSES)}, got {status[:40]!r}"
        raise BadInput("invalid_request", f"{rule}.", errors=[{"loc": ["query", "status"], "msg": rule}])
    shots, next_cursor = await in_thread(
        services.store.shots.page, tenant.id, status=status or None, cursor=cursor or None, limit=PAGE
    )
    return {"shots": [shot_json(shot) for shot in shots], "next_cursor": next_cursor}


@router.get("/{shot_id}", summary="A shot as it stands")
async def get_shot(shot_id: str, services: Wired, tenant: Caller) -> JSONResponse:
    """Its status, progress and images."""
    shot = await in_thread(services.store.shots.get, tenant.id, shot_id)
    return JSONResponse(
        shot_json(shot), headers={"cache-control": "private, no-cache", **server_timing(shot_timing(shot))}
    )


@router.get(
    "/{shot_id}/preview",
    summary="How the first image looks so far",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}},
)
async def get_preview(shot_id: str, request: Request, services: Wired, tenant: Caller) -> Response:
    """Not durable: 404 before the first one and some time after the end."""
    shot = await in_thread(services.store.shots.get, tenant.id, shot_id)
    if shot.preview_version == 0:
        raise NotFound("not_found", f"Shot {shot.id} has no preview yet; wait for its `preview` event.")
    data = await in_thread(services.store.assets.get, f"previews/{shot.id}.png")
    return file_answer(request, data, "image/png", kept=False)


@router.delete("/{shot_id}", status_code=202, summary="Cancel a shot")
async def cancel_shot(shot_id: str, services: Wired, tenant: Caller) -> dict[str, Any]:
    """It ends `cancelled` at the next step. 409 `already_finished` once it has ended."""
    return accepted_json(await shield_to_completion(in_thread(services.store.shots.cancel, tenant.id, shot_id)))
