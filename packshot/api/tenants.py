"""`/v1/tenants`: a tenant's share of the workers, and its deletion, for the operator's admin keys."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from packshot.api.accept import json_body
from packshot.api.auth import Caller, bearer_of
from packshot.api.limits import shield_to_completion
from packshot.api.openapi import BODY_PROBLEMS, answer_json, body_json, keyed_problems_json, problems_json
from packshot.api.services import Wired, in_thread
from packshot.contract import examples
from packshot.contract.answers import DeletionAnswer, TenantAnswer
from packshot.contract.requests import TenantChange
from packshot.errors import Conflict, Forbidden, NotFound, Unavailable

router = APIRouter(prefix="/v1/tenants", tags=["operations"], responses=keyed_problems_json())


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
    "/{tenant_id}",
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


@router.delete(
    "/{tenant_id}",
    operation_id="delete_tenant",
    summary="Delete a tenant and everything that it owns",
    responses=answer_json(examples.DELETION, "The receipt.") | problems_json(NotFound, Conflict, Unavailable),
)
async def delete_tenant(tenant_id: str, services: Wired, key_id: Annotated[str, Depends(admin)]) -> DeletionAnswer:
    """Files that another tenant shares stay. A repeat answers with the same receipt. 409 under a legal hold.

    The deletion goes on when the client disconnects.
    """
    done = await shield_to_completion(in_thread(services.store.deletions.delete, tenant_id, by=f"key {key_id}"))
    return DeletionAnswer(
        tenant_sha256=done.tenant_sha256,
        counts=dict(done.counts),
        by=done.by,
        started_at=done.started_at,
        finished_at=done.finished_at,
    )
