"""`/v1/tenants` and `/v1/deletions`: shares, legal holds and deletions, for the operator's admin keys."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from packshot.api.accept import checked_label, json_body
from packshot.api.auth import Caller, bearer_of
from packshot.api.limits import shield_to_completion
from packshot.api.openapi import BODY_PROBLEMS, answer_json, body_json, empty_json, keyed_problems_json, problems_json
from packshot.api.queries import PAGE, Cursor, Limit
from packshot.api.services import Wired, in_thread
from packshot.contract import examples
from packshot.contract.answers import DeletionAnswer, DeletionPage, HoldAnswer, TenantAnswer
from packshot.contract.requests import HoldRequest, TenantChange
from packshot.errors import BadInput, Conflict, Forbidden, NotFound, Unavailable
from packshot.store.records import DeletionRecord

router = APIRouter(prefix="/v1", tags=["operations"], responses=keyed_problems_json())


async def admin(request: Request, services: Wired, tenant: Caller) -> str:
    """The id of the admin key with which the request came. Raises Forbidden `admin_only` for any other caller."""
    secret = bearer_of(request)
    key_id = None if secret is None else await in_thread(services.store.keys.admin_id_of, secret)
    if key_id is None:
        raise Forbidden(
            "admin_only",
            "This route needs an admin key in `Authorization: Bearer`, got another key or a session; make one with "
            "packshot keys create TENANT --admin.",
        )
    return key_id


@router.patch(
    "/tenants/{tenant_id}",
    operation_id="change_tenant",
    summary="Change a tenant's share of the workers",
    responses=answer_json(examples.TENANT, "The tenant.") | problems_json(*BODY_PROBLEMS, NotFound),
    openapi_extra=body_json(examples.TENANT_CHANGE),
    dependencies=[Depends(admin)],
)
async def change_tenant(tenant_id: str, request: Request, services: Wired) -> TenantAnswer:
    """The weight holds from the next claim on."""
    weight = (await json_body(request, TenantChange)).weight
    done = await shield_to_completion(in_thread(services.store.tenants.set_weight, tenant_id, weight))
    return TenantAnswer(id=done.id, name=done.name, weight=done.weight)


@router.put(
    "/tenants/{tenant_id}/hold",
    operation_id="hold_tenant",
    summary="Put a tenant under a legal hold",
    responses=answer_json(examples.HOLD, "The hold.") | problems_json(*BODY_PROBLEMS, NotFound),
    openapi_extra=body_json(examples.HOLD_REQUEST),
    dependencies=[Depends(admin)],
)
async def hold_tenant(tenant_id: str, request: Request, services: Wired) -> HoldAnswer:
    """Its deletion answers 409 and retention deletes nothing of it, until the hold is lifted. A repeat replaces the
    reason."""
    reason = checked_label((await json_body(request, HoldRequest)).reason, "reason").strip()
    if not reason:
        rule = "reason must have a character besides spaces, got none"
        raise BadInput("invalid_request", f"{rule}; name the case.", errors=[{"loc": ["reason"], "msg": rule}])
    await shield_to_completion(in_thread(services.store.deletions.hold, tenant_id, reason))
    return HoldAnswer(id=tenant_id, legal_hold=reason)


@router.delete(
    "/tenants/{tenant_id}/hold",
    status_code=204,
    operation_id="release_tenant",
    summary="Lift a tenant's legal hold",
    responses=empty_json("The tenant is under no legal hold.") | problems_json(NotFound),
    dependencies=[Depends(admin)],
)
async def release_tenant(tenant_id: str, services: Wired) -> None:
    """Lifting it again changes nothing."""
    await shield_to_completion(in_thread(services.store.deletions.hold, tenant_id, None))


@router.get(
    "/deletions",
    operation_id="list_deletions",
    summary="List the receipts of deletions, newest first",
    responses=answer_json(examples.DELETIONS, "A page of receipts.") | problems_json(BadInput),
    dependencies=[Depends(admin)],
)
async def list_deletions(services: Wired, limit: Limit = PAGE, cursor: Cursor = "") -> DeletionPage:
    """`next_cursor` is null on the last page."""
    found, next_cursor = await in_thread(services.store.deletions.receipts, cursor=cursor or None, limit=limit)
    return DeletionPage(deletions=tuple(_receipt(one) for one in found), next_cursor=next_cursor)


@router.delete(
    "/tenants/{tenant_id}",
    operation_id="delete_tenant",
    summary="Delete a tenant and everything that it owns",
    responses=answer_json(examples.DELETION, "The receipt.") | problems_json(NotFound, Conflict, Unavailable),
)
async def delete_tenant(tenant_id: str, services: Wired, key_id: Annotated[str, Depends(admin)]) -> DeletionAnswer:
    """Files that another tenant shares stay. A repeat answers with the same receipt. 409 under a legal hold.

    The deletion goes on when the client disconnects.
    """
    done = await shield_to_completion(in_thread(services.store.deletions.delete, tenant_id, by=f"key {key_id}"))
    return _receipt(done)


def _receipt(done: DeletionRecord) -> DeletionAnswer:
    return DeletionAnswer(
        tenant_sha256=done.tenant_sha256,
        counts=dict(done.counts),
        by=done.by,
        started_at=done.started_at,
        finished_at=done.finished_at,
    )
