"""`/v1/catalogues`: make a catalogue from a manifest, watch it, and start, pause, resume, cancel and retry it.

catalogue_plans.py reads and plans the manifest. catalogue_files.py takes the photos and gives the files.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from packshot.api.answers import json_answer
from packshot.api.auth import Caller
from packshot.api.catalogue_answers import catalogue_answer, missing_of_rows, row_answer
from packshot.api.catalogue_plans import MAX_PROBLEMS, Planned, dry_run_answer, planned
from packshot.api.catalogue_sent import AskedLook, sent_manifest
from packshot.api.etags import IF_MATCH, if_match
from packshot.api.limits import shield_to_completion
from packshot.api.openapi import (
    BODY_PROBLEMS,
    LOCATION,
    answer_json,
    keyed_problems_json,
    manifest_body_json,
    problems_json,
)
from packshot.api.problems import problem_of, request_id_of
from packshot.api.queries import PAGE, Cursor, Limit
from packshot.api.services import Services, Wired, in_thread
from packshot.catalogue.looks import pictures_of
from packshot.catalogue.rows import manifest_of, new_rows
from packshot.catalogue.tables import chunks_of, problems_csv
from packshot.contract import catalogue_examples as examples
from packshot.contract.catalogue_answers import CatalogueAnswer, CataloguePage, RowsPage
from packshot.contract.problem import MEDIA_TYPE
from packshot.contract.status import RowState
from packshot.errors import BadInput, Conflict, FieldError, NotFound, PreconditionFailed
from packshot.store.catalogue_records import CatalogueRecord
from packshot.store.catalogues import Catalogues

router = APIRouter(prefix="/v1/catalogues", tags=["catalogues"], responses=keyed_problems_json())

Route = TypeVar("Route", bound=Callable[..., Any])

MAX_ROWS_OF_PAGE = 1_000
ETAG = {"etag": "The catalogue's version, for If-Match."}
_ETAG = re.compile(r'"\d{1,9}"')


@router.post(
    "",
    status_code=201,
    operation_id="create_catalogue",
    summary="Make a catalogue, or only plan it",
    response_model=CatalogueAnswer,
    responses=answer_json(examples.DRAFT, "The catalogue, a draft.", status=201, headers=LOCATION | ETAG)
    | answer_json(examples.DRY_RUN, "What it would make and cost, with `dry_run`.")
    | problems_json(*BODY_PROBLEMS),
    openapi_extra=manifest_body_json(),
)
async def create_catalogue(
    request: Request,
    services: Wired,
    tenant: Caller,
    dry_run: Annotated[bool, Query(description="Plan it and store nothing.")] = False,
    problems: Annotated[
        Literal["json", "csv"], Query(description="csv: with `dry_run`, answer with all problems as a CSV table.")
    ] = "json",
    on_problem: Annotated[
        Literal["refuse", "skip"], Query(description="skip: leave rows with problems out, and tell them as skipped.")
    ] = "refuse",
    name: Annotated[str, Query(max_length=120, description="For a CSV sheet: the catalogue's name.")] = "",
    scene: Annotated[
        list[str], Query(max_length=200, description="For a CSV sheet: a scene, NAME=TEXT; may be sent several times.")
    ] = [],  # noqa: B006 - FastAPI reads it as the default and does not share it
    preset: Annotated[
        list[str],
        Query(max_length=40, description="For a CSV sheet: a preset, or NAME=white for one plain picture a SKU."),
    ] = [],  # noqa: B006
    style: Annotated[
        str, Query(max_length=64, description="For a CSV sheet: the id of a style for all painted scenes, st_….")
    ] = "",
    adapter: Annotated[
        list[str],
        Query(max_length=4, description="For a CSV sheet: an adapter for all painted scenes, ad_… or ad_…:SCALE."),
    ] = [],  # noqa: B006
) -> Response:
    """Takes YAML, JSON, a CSV sheet, or a form with the parts `sheet` (CSV) and `look` (a manifest without items).

    A form may also have the part `photos`, with a `sheet` or a `manifest`: the files that you have, as a JSON object of
    their paths with `[width, height]` in pixels, or null where you do not know it. Rows that name another path then
    have the problem `photo_missing`, and photos that are too small for a channel are warned of before they are sent.
    Any problem refuses the whole with 422 `manifest_refused` and the same list, unless `on_problem` is `skip`.
    """
    made = await planned(services, tenant, await sent_manifest(request, AskedLook(name, scene, preset, style, adapter)))
    if dry_run and problems == "csv":
        return StreamingResponse(chunks_of(problems_csv(made.plan.problems)), media_type="text/csv; charset=utf-8")
    if dry_run:
        return json_answer(dry_run_answer(made), headers={"cache-control": "no-store"})
    skips = on_problem == "skip" and all(one.row is not None for one in made.plan.problems)
    if made.read.manifest is None or (made.plan.problems and not skips):
        return _refused(services, request, made)
    rows = await in_thread(new_rows, made.read, made.costs, made.plan.problems)
    create = partial(services.store.catalogues.create, tenant.id, made.read.manifest, rows, key_id=tenant.key_id)
    used = await in_thread(lambda: sorted(set(pictures_of(made.read.manifest))) if made.read.manifest else [])
    record = await shield_to_completion(in_thread(partial(create, used=used)))
    answer = catalogue_answer(record, missing_of_rows(rows))
    return json_answer(answer, status=201, headers={"location": answer.url, "etag": etag_of(record)})


def _refused(services: Services, request: Request, made: Planned) -> Response:
    """422 with the list of problems."""
    found = made.plan.problems
    errors: list[FieldError] = [
        {"loc": [*([one.row] if one.row is not None else []), one.column], "msg": f"{one.rule}, got {one.value!r}"}
        for one in found[:20]
    ]
    first = f"{errors[0]['loc']}: {errors[0]['msg']}" if errors else "it has no items"
    detail = f"A manifest must have no problem, got {len(found)}, such as {first}; correct them, or skip their rows."
    error = BadInput("manifest_refused", detail, errors=errors)
    services.meter.count("packshot_errors_total", code=error.code)
    known = {"problems": found[:MAX_PROBLEMS], "problems_total": len(found)}
    body = problem_of(error, request_id_of(request)).model_copy(update=known)
    return JSONResponse(body.model_dump(mode="json"), status_code=body.status, media_type=MEDIA_TYPE)


@router.get(
    "",
    operation_id="list_catalogues",
    summary="List the catalogues, newest first",
    responses=answer_json(examples.CATALOGUES, "A page of catalogues.") | problems_json(BadInput),
)
async def list_catalogues(services: Wired, tenant: Caller, limit: Limit = PAGE, cursor: Cursor = "") -> CataloguePage:
    """`next_cursor` is null on the last page."""
    page = in_thread(services.store.catalogues.page, tenant.id, cursor=cursor or None, limit=limit)
    records, next_cursor = await page
    return CataloguePage(catalogues=tuple(catalogue_answer(one) for one in records), next_cursor=next_cursor)


@router.get(
    "/{catalogue_id}",
    operation_id="get_catalogue",
    summary="Get a catalogue with its counts",
    responses=answer_json(examples.CATALOGUE, "The catalogue.", headers=ETAG) | problems_json(NotFound),
)
async def get_catalogue(catalogue_id: str, response: Response, services: Wired, tenant: Caller) -> CatalogueAnswer:
    """While it is a draft, `missing_photos` lists what must be uploaded before the start."""
    record = await in_thread(services.store.catalogues.get, tenant.id, catalogue_id)
    response.headers["etag"] = etag_of(record)
    missing = None
    if record.state == "draft":
        missing = await in_thread(services.store.catalogue_photos.missing, tenant.id, catalogue_id)
    return catalogue_answer(record, missing)


@router.get(
    "/{catalogue_id}/rows",
    operation_id="list_rows",
    summary="List a catalogue's rows",
    responses=answer_json(examples.ROWS, "A page of rows.") | problems_json(BadInput, NotFound),
)
async def list_rows(
    catalogue_id: str,
    services: Wired,
    tenant: Caller,
    state: Annotated[
        RowState | None, Query(description="Only rows of this state: waiting, running, done, failed or skipped.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_ROWS_OF_PAGE, description="Most rows of the page, 1 to 1000.")] = 200,
    cursor: Cursor = "",
) -> RowsPage:
    """In the manifest's order, with their shots and files. `next_cursor` is null on the last page."""
    store = services.store.catalogues
    record = await in_thread(store.get, tenant.id, catalogue_id)
    page = in_thread(store.rows, tenant.id, catalogue_id, state=state, cursor=cursor or None, limit=limit)
    rows, next_cursor = await page
    deliver = manifest_of(record.frame, ()).deliver
    return RowsPage(rows=tuple(row_answer(row, deliver) for row in rows), next_cursor=next_cursor)


def etag_of(record: CatalogueRecord) -> str:
    """The entity tag of a catalogue's state."""
    return f'"{record.version}"'


def version_of(request: Request) -> int | None:
    """The version that If-Match names; None without one. 0, which no catalogue has, when none of its tags is one."""
    tags = if_match(request)
    return None if tags is None else max((int(tag[1:-1]) for tag in tags if _ETAG.fullmatch(tag)), default=0)


CHANGED = answer_json(examples.CATALOGUE, "The catalogue.", status=202, headers=ETAG) | problems_json(
    BadInput, NotFound, Conflict, PreconditionFailed
)


class Changing(NamedTuple):
    """A change of a catalogue's state that a client asks for."""

    catalogue_id: str
    tenant_id: str
    version: int | None
    catalogues: Catalogues
    response: Response

    async def by(self, change: Callable[..., CatalogueRecord], **options: str) -> CatalogueAnswer:
        """Make the change by a method of `Catalogues`. The store wakes the producer."""
        make = partial(change, self.catalogues, self.tenant_id, self.catalogue_id, version=self.version, **options)
        record = await shield_to_completion(in_thread(make))
        self.response.headers["etag"] = etag_of(record)
        return catalogue_answer(record)


async def _changing(
    catalogue_id: str, request: Request, response: Response, services: Wired, tenant: Caller
) -> Changing:
    return Changing(catalogue_id, tenant.id, version_of(request), services.store.catalogues, response)


Asked = Annotated[Changing, Depends(_changing)]


def _change(name: str, summary: str) -> Callable[[Route], Route]:
    """The route `/{catalogue_id}/NAME` of a change of the state."""
    return router.post(
        f"/{{catalogue_id}}/{name}",
        status_code=202,
        operation_id=f"{name}_catalogue",
        summary=summary,
        responses=CHANGED,
        openapi_extra=IF_MATCH,
    )


@_change("start", "Start a catalogue")
async def start_catalogue(asked: Asked) -> CatalogueAnswer:
    """409 `photos_missing` while a path has no photo. A repeat changes nothing and has the same answer."""
    return await asked.by(Catalogues.start)


@_change("pause", "Pause a catalogue")
async def pause_catalogue(asked: Asked) -> CatalogueAnswer:
    """No further shot is made. Those that were made end, and their files are delivered."""
    return await asked.by(Catalogues.pause)


@_change("resume", "Resume a catalogue")
async def resume_catalogue(asked: Asked) -> CatalogueAnswer:
    """A catalogue that its budget paused may then spend the budget once more."""
    return await asked.by(Catalogues.resume)


@_change("cancel", "Cancel a catalogue")
async def cancel_catalogue(asked: Asked) -> CatalogueAnswer:
    """Its shots are cancelled, and rows that have not ended are skipped. What was delivered stays."""
    return await asked.by(Catalogues.cancel)


@_change("retry", "Open a catalogue's failed rows again")
async def retry_catalogue(
    asked: Asked,
    only: Annotated[Literal["failed", "skipped"], Query(description="Which rows: failed, or skipped ones.")] = "failed",
) -> CatalogueAnswer:
    """What was made of them stays and is not made again. A catalogue that was done runs again."""
    return await asked.by(Catalogues.retry, only=only)
