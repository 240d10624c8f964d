"""`/v1/tenants/{id}/budget` and `/v1/keys/{id}/budget`: for the operator's admin keys. `/v1/usage`: for everyone.

The `RateLimit` headers follow draft-ietf-httpapi-ratelimit-headers: one item for each budget of the request's key and
tenant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from packshot.api.accept import json_body
from packshot.api.auth import Caller
from packshot.api.limits import ANSWER_HEADERS, shield_to_completion
from packshot.api.openapi import BODY_PROBLEMS, answer_json, body_json, keyed_problems_json, problems_json
from packshot.api.queries import PAGE, Cursor, Limit
from packshot.api.services import Services, Wired, in_thread
from packshot.api.tenants import admin
from packshot.contract import usage_examples as examples
from packshot.contract.usage import (
    BudgetAnswer,
    BudgetRequest,
    SpendingAnswer,
    TotalAnswer,
    UsageAnswer,
    UsedAnswer,
)
from packshot.errors import BadInput, NotFound
from packshot.store.budgets import BUDGET_NAMES, Spending
from packshot.store.records import Tenant
from packshot.store.usage import UsageGroup

router = APIRouter(prefix="/v1", tags=["budgets"], responses=keyed_problems_json())

Admin = Annotated[str, Depends(admin)]

RATE_LIMIT = {
    "ratelimit": "What is left of each budget (`r`), and the seconds until it resets (`t`). Absent without budgets.",
    "ratelimit-policy": "Each budget (`q`), and its period in seconds (`w`). Absent without budgets.",
}
"""The descriptions of the headers, for the OpenAPI document."""


@router.get(
    "/usage",
    operation_id="get_usage",
    summary="Get what the shots made and cost, by SKU, key or day",
    responses=answer_json(examples.USAGE, "A page of usage.", headers=RATE_LIMIT) | problems_json(BadInput),
)
async def get_usage(
    request: Request,
    services: Wired,
    tenant: Caller,
    group: Annotated[UsageGroup, Query(description="What the sums are of: sku, key or day.")] = "day",
    since: Annotated[date | None, Query(alias="from", description="The first day (UTC); the month's first.")] = None,
    until: Annotated[date | None, Query(alias="to", description="The last day; today.")] = None,
    limit: Limit = PAGE,
    cursor: Cursor = "",
) -> UsageAnswer:
    """Shots that are done, on the day on which they ended. `next_cursor` is null on the last page."""
    await add_limit_headers(request, services, tenant)
    page = await in_thread(
        services.store.usage.page, tenant.id, group, since=since, until=until, cursor=cursor or None, limit=limit
    )
    return UsageAnswer(
        group=group,
        first_day=page.since,
        last_day=page.until,
        rows=tuple(
            UsedAnswer(name=row.name, shots=row.shots, pictures=row.pictures, device_s=round(row.device_s, 3))
            for row in page.rows
        ),
        total=TotalAnswer(shots=page.total.shots, pictures=page.total.pictures, device_s=round(page.total.device_s, 3)),
        next_cursor=page.next_cursor,
    )


async def _budget_of(services: Services, owner_id: str) -> BudgetAnswer:
    found = await in_thread(services.store.budgets.get, owner_id)
    return BudgetAnswer(
        owner_id=owner_id,
        budgets=tuple(
            SpendingAnswer(budget=one.name, limit=one.limit, spent=one.spent, resets_at=one.resets_at) for one in found
        ),
    )


async def _set_budget(request: Request, services: Services, owner_id: str) -> BudgetAnswer:
    body = await json_body(request, BudgetRequest)
    limits = {name: getattr(body, name) for name in BUDGET_NAMES}
    await shield_to_completion(in_thread(services.store.budgets.set, owner_id, limits))
    return await _budget_of(services, owner_id)


_GET = answer_json(examples.BUDGET, "The budgets.") | problems_json(NotFound)
_PUT = answer_json(examples.BUDGET, "The budgets.") | problems_json(*BODY_PROBLEMS, NotFound)


@router.get(
    "/tenants/{tenant_id}/budget",
    operation_id="get_tenant_budget",
    summary="Get a tenant's budgets",
    responses=_GET,
)
async def get_tenant_budget(tenant_id: str, services: Wired, by: Admin) -> BudgetAnswer:
    """With what is spent of them now."""
    return await _budget_of(services, _owner(tenant_id, "tn_", "tenant"))


@router.put(
    "/tenants/{tenant_id}/budget",
    operation_id="set_tenant_budget",
    summary="Set a tenant's budgets",
    responses=_PUT,
    openapi_extra=body_json(examples.BUDGET_REQUEST),
)
async def set_tenant_budget(tenant_id: str, request: Request, services: Wired, by: Admin) -> BudgetAnswer:
    """They count for all its keys together, from the next shot on. A limit of 0 is refused."""
    return await _set_budget(request, services, _owner(tenant_id, "tn_", "tenant"))


@router.get(
    "/keys/{key_id}/budget",
    operation_id="get_key_budget",
    summary="Get a key's budgets",
    responses=_GET,
)
async def get_key_budget(key_id: str, services: Wired, by: Admin) -> BudgetAnswer:
    """With what is spent of them now."""
    return await _budget_of(services, _owner(key_id, "ky_", "key"))


@router.put(
    "/keys/{key_id}/budget",
    operation_id="set_key_budget",
    summary="Set a key's budgets",
    responses=_PUT,
    openapi_extra=body_json(examples.BUDGET_REQUEST),
)
async def set_key_budget(key_id: str, request: Request, services: Wired, by: Admin) -> BudgetAnswer:
    """They count beside those of its tenant, from the next shot on. A limit of 0 is refused: revoke the key."""
    return await _set_budget(request, services, _owner(key_id, "ky_", "key"))


def _owner(owner_id: str, prefix: str, kind: str) -> str:
    if not owner_id.startswith(prefix):
        raise NotFound("not_found", f"no {kind} {owner_id[:80]!r} exists; its id begins with {prefix}")
    return owner_id


async def limited(request: Request, services: Wired, tenant: Caller) -> None:
    """Let the answer say what is left of the caller's budgets, also when the request is refused."""
    await add_limit_headers(request, services, tenant)


async def add_limit_headers(request: Request, services: Services, tenant: Tenant) -> None:
    """Put the present `RateLimit` headers on the answer. A caller without budgets costs nothing."""
    if tenant.has_budget:
        spendings = await in_thread(services.store.budgets.of, tenant.id, tenant.key_id)
        request.scope[ANSWER_HEADERS] = rate_limit_headers(spendings)


def rate_limit_headers(spendings: Sequence[Spending]) -> Mapping[str, str]:
    """The two headers: structured fields, each a list with one item for a budget."""
    policies, limits = [], []
    for one in spendings:
        name = f'"{one.owner}-{one.name.replace("_", "-")}"'
        policies.append(f"{name};q={int(one.limit)}" + (f";w={int(one.window_s)}" if one.window_s else ""))
        resets_in = "" if one.resets_in_s is None else f";t={max(0, math.ceil(one.resets_in_s))}"
        limits.append(f"{name};r={int(one.left)}{resets_in}")
    return {"ratelimit-policy": ", ".join(policies), "ratelimit": ", ".join(limits)}
