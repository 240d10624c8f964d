"""Query parameters: what all lists take, and the refusal of parameters that a route does not have."""

from __future__ import annotations

import re
from collections import Counter
from typing import Annotated, TypeVar, get_args, get_origin

from fastapi import Depends, Query, Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query as QueryField
from fastapi.routing import APIRoute
from pydantic import AwareDatetime

from packshot.api.accept import checked_label, checked_prompt
from packshot.contract.requests import MAX_META, MAX_SKU_CHARS, META_NAME
from packshot.contract.status import SHOT_KINDS, STATUSES, Review
from packshot.errors import BadInput
from packshot.store.shot_filter import ShotFilter

MAX_PAGE = 100
"""Most items that one page of a list may hold."""

PAGE = 50
MAX_SEARCH_CHARS = 200

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


def shot_filter(
    status: Annotated[str, Query(description=f"Only shots of this status: {', '.join(STATUSES)}.")] = "",
    kind: Annotated[
        str, Query(description="Only work of this kind: shot, touchup or clip. Left out, all work that makes pictures.")
    ] = "",
    project_id: Annotated[str, Query(description="Only shots of this project.")] = "",
    catalogue_id: Annotated[str, Query(description="Only shots with a picture that this catalogue has chosen.")] = "",
    q: Annotated[str, Query(description="Only shots whose prompt has each of these words as a part.")] = "",
    sku: Annotated[str, Query(max_length=MAX_SKU_CHARS, description="Only shots of this SKU.")] = "",
    meta: Annotated[
        list[str],
        Query(
            max_length=MAX_META,
            description="NAME:VALUE. Only shots whose `meta` has this value; may be sent several times.",
        ),
    ] = [],  # noqa: B006 - FastAPI reads it as the default and does not share it
    review: Annotated[
        str, Query(description="Only shots with a picture that is approved, rejected, or not reviewed: none.")
    ] = "",
    created_after: Annotated[
        AwareDatetime | None, Query(description="Only shots accepted at or after this time, ISO 8601 with a time zone.")
    ] = None,
    created_before: Annotated[AwareDatetime | None, Query(description="Only shots accepted before this time.")] = None,
) -> ShotFilter:
    """The shots that a list's query parameters select. Raises BadInput when one of them cannot be meant."""
    pairs = []
    for pair in meta:
        name, separator, value = pair.partition(":")
        if not separator or not re.fullmatch(META_NAME, name):
            raise _refused("meta", f"must be NAME:VALUE with a name of a `meta`, got {pair[:60]!r}")
        pairs.append((name, checked_label(value, "meta")))
    return ShotFilter(
        status=_one_of("status", status, STATUSES),
        kind=_one_of("kind", kind, SHOT_KINDS),
        project_id=project_id or None,
        catalogue_id=checked_label(catalogue_id, "catalogue_id") or None,
        words=checked_prompt(q, "q", MAX_SEARCH_CHARS),
        sku=checked_label(sku, "sku") or None,
        meta=tuple(pairs),
        review=_one_of("review", review, (*get_args(Review), "none")),
        created_after=created_after,
        created_before=created_before,
    )


SelectedShots = Annotated[ShotFilter, Depends(shot_filter)]
Choice = TypeVar("Choice", bound=str)


def _one_of(name: str, value: str, choices: tuple[Choice, ...]) -> Choice | None:
    if not value:
        return None
    for choice in choices:
        if value == choice:
            return choice
    raise _refused(name, f"must be one of {', '.join(choices)}, got {value[:40]!r}")


def _refused(name: str, rule: str) -> BadInput:
    shown = name[:60]
    return BadInput("invalid_request", f"{shown!r} {rule}.", errors=[{"loc": ["query", shown], "msg": rule}])
