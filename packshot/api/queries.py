"""Query parameters: what all lists take, and the refusal of parameters that a route does not have."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, get_origin

from fastapi import Depends, Query, Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query as QueryField
from fastapi.routing import APIRoute

from packshot.errors import BadInput

MAX_PAGE = 100
"""Most items that one page of a list may hold."""

PAGE = 50

Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description=f"Most items of the page, 1 to {MAX_PAGE}.")]
Cursor = Annotated[str, Query(description="The `next_cursor` of the previous page.")]


def refuse_unknown_parameters(request: Request) -> None:
    """Raise BadInput `invalid_request` for a query parameter that the route does not have, or that is sent twice.

    Without it, a misspelt filter would select everything.
    """
    sent = request.query_params.multi_items()
    route = request.scope.get("route")
    if not sent or not isinstance(route, APIRoute):
        return
    fields = [field for field in get_flat_params(route.dependant) if isinstance(field.field_info, QueryField)]
    repeatable = {field.alias: get_origin(field.field_info.annotation) in (list, tuple) for field in fields}
    for name, times in Counter(name for name, _ in sent).items():
        if name not in repeatable:
            rule = f"is not a query parameter of this route, which takes {', '.join(repeatable) or 'none'}"
            raise _refused(name, f"{rule}; remove it or correct its name")
        if times > 1 and not repeatable[name]:
            raise _refused(name, f"may be sent once, got it {times} times; keep one")


StrictQuery = Depends(refuse_unknown_parameters)


def _refused(name: str, rule: str) -> BadInput:
    shown = name[:60]
    return BadInput("invalid_request", f"{shown!r} {rule}.", errors=[{"loc": ["query", shown], "msg": rule}])
