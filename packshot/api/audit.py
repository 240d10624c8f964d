"""`/v1/audit`: a tenant's audit trail as JSON lines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime
from starlette.types import Receive, Scope, Send

from packshot.api.auth import Caller
from packshot.api.concurrency_limit import ConcurrencyLimit
from packshot.api.openapi import keyed_problems_json, lines_json, problems_json
from packshot.api.services import Services, Wired, in_thread
from packshot.api.tenants import admin
from packshot.contract.audit import AuditLine
from packshot.contract.audit_examples import AUDIT_LINE
from packshot.errors import BadInput, NotFound, Overloaded
from packshot.store.audit import PAGE, AuditFilter

router = APIRouter(prefix="/v1", tags=["audit"], responses=keyed_problems_json())

MEDIA_TYPE = "application/jsonl"


@router.get(
    "/audit",
    operation_id="export_audit",
    summary="Get the audit trail as JSON lines",
    response_class=Response,
    responses=lines_json("The lines, oldest first.", MEDIA_TYPE, AuditLine, AUDIT_LINE)
    | problems_json(BadInput, NotFound, Overloaded),
)
async def export_audit(
    request: Request,
    services: Wired,
    caller: Caller,
    after: Annotated[AwareDatetime | None, Query(description="Only lines of this time or later, ISO 8601.")] = None,
    before: Annotated[AwareDatetime | None, Query(description="Only lines of before this time.")] = None,
    about: Annotated[
        str, Query(alias="object", max_length=80, description="Only lines about the object with this id.")
    ] = "",
    tenant: Annotated[
        str, Query(max_length=80, description="The tenant's id; another one than one's own needs an admin key.")
    ] = "",
    cursor: Annotated[int, Query(ge=0, lt=2**63, description="Only lines with a higher `number`: go on there.")] = 0,
    limit: Annotated[int | None, Query(ge=1, le=100_000, description="Most lines; left out, all of them.")] = None,
) -> Response:
    """Each line is one event, and holds the sha256 of the line before.

    It holds what was recorded before the request. An export that breaks off goes on with `cursor`, the `number` of the
    last line that arrived.
    """
    owner = tenant or caller.id
    if owner != caller.id:
        await admin(request, services, caller)
    await in_thread(services.store.audit.require_tenant, owner)
    await in_thread(services.store.audit.chain, owner)
    lines = _lines(services, owner, AuditFilter(after, before, about or None), cursor, limit)
    return _Lines(services.streams, caller.id, lines)


async def _lines(
    services: Services, owner: str, wanted: AuditFilter, cursor: int, left: int | None
) -> AsyncIterator[bytes]:
    while left is None or left > 0:
        most = PAGE if left is None else min(PAGE, left)
        page = await in_thread(services.store.audit.page, owner, wanted, after_number=cursor, limit=most)
        yield b"".join(line for _, line in page)
        if len(page) < most:
            return
        cursor, left = page[-1][0], None if left is None else left - len(page)


class _Lines(StreamingResponse):
    """An export that holds one of its tenant's places for answers that last. Without one it is refused."""

    def __init__(self, slots: ConcurrencyLimit, tenant_id: str, content: AsyncIterator[bytes]) -> None:
        super().__init__(content, media_type=MEDIA_TYPE, headers={"cache-control": "private, no-store"})
        self._slots = slots
        self._tenant_id = tenant_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._slots.slot(self._tenant_id):
            await super().__call__(scope, receive, send)
