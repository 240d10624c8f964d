"""`/v1/adapters`: LoRAs and textual inversions that a tenant owns, and that its shots use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, Request, Response
from starlette.datastructures import UploadFile

from packshot.api.accept import checked_label, checked_name, json_body, pick_engine
from packshot.api.auth import Caller
from packshot.api.capabilities import cannot
from packshot.api.limits import shield_to_completion
from packshot.api.openapi import (
    BODY_PROBLEMS,
    LOCATION,
    answer_json,
    body_json,
    empty_json,
    form_json,
    keyed_problems_json,
    problems_json,
)
from packshot.api.queries import PAGE, Cursor, Limit
from packshot.api.services import Services, Wired, decode_slot, in_thread
from packshot.contract import adapter_examples as examples
from packshot.contract.adapters import (
    AdapterAnswer,
    AdapterChange,
    AdapterNote,
    AdapterPage,
    AdapterUpload,
)
from packshot.contract.engines import EngineInfo
from packshot.errors import BadInput, Conflict, NotFound, StorageFull
from packshot.models.adapters.file import AdapterFile, read_adapter
from packshot.store.adapters import AdapterChanges, AdapterRecord, NewAdapter

router = APIRouter(prefix="/v1/adapters", tags=["adapters"], responses=keyed_problems_json())

FIELDS = tuple(name for name in AdapterUpload.model_fields if name != "file")
LONGEST = {"trigger": 64, "licence": 200, "trained_from": 2_000}
"""The most characters of each text."""


def adapter_answer(record: AdapterRecord) -> AdapterAnswer:
    """An adapter. The key of its file stays internal."""
    return AdapterAnswer(
        id=record.id,
        name=record.name,
        kind=record.kind,
        engine=record.engine,
        family=record.family,
        rank=record.rank,
        trigger=record.trigger,
        licence=record.licence,
        trained_from=record.trained_from,
        sha256=record.sha256,
        bytes=record.bytes,
        url=f"/v1/adapters/{record.id}",
        notes=tuple(AdapterNote(code=code, detail=detail) for code, detail in record.notes),
        created_at=record.created_at,
    )


@router.post(
    "",
    status_code=201,
    operation_id="upload_adapter",
    summary="Upload an adapter",
    responses=answer_json(examples.ADAPTER, "The adapter.", status=201, headers=LOCATION)
    | problems_json(*BODY_PROBLEMS, Conflict, StorageFull),
    openapi_extra=form_json(AdapterUpload),
)
async def upload_adapter(request: Request, response: Response, services: Wired, tenant: Caller) -> AdapterAnswer:
    """The multipart part `file` holds a safetensors file; a pickle is refused, because it can run code.

    422 `adapter_invalid` for a file that is no plain LoRA or textual inversion, or has a rank beyond 1 to 128 or
    weights that are not finite; 422 `adapter_mismatch` for one of another family; 409 `name_taken`.
    """
    async with _form(request) as (file, texts):
        name = checked_name(texts["name"])
        asked = {field: _checked_text(field, texts[field]) for field in LONGEST}
        engine = engine_for(services, texts["engine"])
        async with decode_slot(services, tenant.id, file.size or 0):
            data = await file.read()
            read = await in_thread(read_adapter, data)
            fit = await services.graph.check_adapter(engine.name, read)
        new = NewAdapter(
            name=name,
            kind=read.kind,
            engine=engine.name,
            family=fit.family,
            rank=read.rank,
            trigger=_required_trigger(read, asked["trigger"] or _of_file(read, "tag", 64) or read.token),
            licence=asked["licence"] or _of_file(read, "licence", 200),
            trained_from=asked["trained_from"] or _of_file(read, "lineage", 2_000) or None,
            notes=fit.notes,
        )
    record = await shield_to_completion(in_thread(services.store.adapters.add, tenant.id, new, data))
    answer = adapter_answer(record)
    response.headers["location"] = answer.url
    return answer


@asynccontextmanager
async def _form(request: Request) -> AsyncIterator[tuple[UploadFile, dict[str, str]]]:
    """Parse the upload and yield its part `file`, which is on disk when it is large, and its texts; missing = empty.

    Raises BadInput when the body is not multipart, has no such part or has other ones, and TooLarge.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        got = request.headers.get("content-type", "none")
        raise BadInput("invalid_request", f"An adapter must be multipart/form-data with a part `file`, got {got}.")
    async with request.form(max_files=1, max_fields=len(FIELDS)) as form:
        file = form.get("file")
        unknown = sorted(form.keys() - {"file", *FIELDS})
        texts = {name: form.get(name, "") for name in FIELDS}
        written = {name: text for name, text in texts.items() if isinstance(text, str)}
        if not isinstance(file, UploadFile) or unknown or len(written) < len(texts):
            rule = f"must have a part `file`, and may have the texts {', '.join(FIELDS)}"
            raise BadInput(
                "invalid_request",
                f"The upload {rule}, got {sorted(form.keys())}.",
                errors=[{"loc": [name], "msg": "is unknown"} for name in unknown] or [{"loc": ["file"], "msg": rule}],
            )
        yield file, written


def _checked_text(field: str, text: str) -> str:
    """Return a text of the form. Raises BadInput when it is too long or has control characters."""
    if len(text) > LONGEST[field] or (field == "trigger" and len(text.split()) > 1):
        words = " without spaces" if field == "trigger" else ""
        rule = f"must have at most {LONGEST[field]} characters{words}, got {len(text)}"
        raise BadInput("invalid_request", f"{field} {rule}; shorten it.", errors=[{"loc": [field], "msg": rule}])
    return checked_label(text.strip(), field)


def _of_file(read: AdapterFile, name: str, longest: int) -> str:
    """What the file says of itself, as far as it can be kept."""
    text = read.metadata.get(f"packshot.{name}", "").strip()
    try:
        return checked_label(text[:longest], name)
    except BadInput:
        return ""


def _required_trigger(read: AdapterFile, trigger: str) -> str:
    if read.kind == "inversion" and not trigger:
        rule = "an inversion needs a trigger, the word of prompts that stands for it, and its file names none"
        raise BadInput("invalid_request", f"{rule}; send trigger.", errors=[{"loc": ["trigger"], "msg": rule}])
    return trigger


def engine_for(services: Services, name: str) -> EngineInfo:
    """The engine that an adapter is for, or is trained for.

    Raises BadInput `unknown_engine`, and `engine_cannot` for one without adapters.
    """
    engines = services.graph.engines()
    able = next((one for one in engines if one.capabilities.adapters), engines[0])
    engine = pick_engine(name or able.name, engines)
    if not engine.capabilities.adapters:
        raise cannot(engine, "engine", "needs the capability adapters", engine.name)
    return engine


@router.get(
    "",
    operation_id="list_adapters",
    summary="List the adapters, newest first",
    responses=answer_json(examples.ADAPTERS, "A page of adapters.") | problems_json(BadInput),
)
async def list_adapters(services: Wired, tenant: Caller, limit: Limit = PAGE, cursor: Cursor = "") -> AdapterPage:
    """`next_cursor` is null on the last page."""
    records, following = await in_thread(services.store.adapters.page, tenant.id, cursor=cursor or None, limit=limit)
    return AdapterPage(adapters=tuple(adapter_answer(one) for one in records), next_cursor=following)


@router.get(
    "/{adapter_id}",
    operation_id="get_adapter",
    summary="Get an adapter",
    responses=answer_json(examples.ADAPTER, "The adapter.") | problems_json(NotFound),
)
async def get_adapter(adapter_id: str, services: Wired, tenant: Caller) -> AdapterAnswer:
    """What is known of an adapter. Its file is not given out."""
    return adapter_answer(await in_thread(services.store.adapters.get, tenant.id, adapter_id))


@router.patch(
    "/{adapter_id}",
    operation_id="change_adapter",
    summary="Change an adapter",
    responses=answer_json(examples.ADAPTER, "The adapter.") | problems_json(*BODY_PROBLEMS, NotFound, Conflict),
    openapi_extra=body_json(examples.ADAPTER_CHANGE),
)
async def change_adapter(adapter_id: str, request: Request, services: Wired, tenant: Caller) -> AdapterAnswer:
    """A missing field keeps its value. The file cannot be changed: upload another adapter."""
    body = await json_body(request, AdapterChange)
    changes = AdapterChanges()
    if body.name is not None:
        changes["name"] = checked_name(body.name)
    if body.licence is not None:
        changes["licence"] = _checked_text("licence", body.licence)
    if body.trained_from is not None:
        changes["trained_from"] = _checked_text("trained_from", body.trained_from)
    if body.trigger is not None:
        changes["trigger"] = _checked_text("trigger", body.trigger)
        stored = await in_thread(services.store.adapters.get, tenant.id, adapter_id)
        _required_trigger(AdapterFile(stored.kind), changes["trigger"])
    call = in_thread(services.store.adapters.change, tenant.id, adapter_id, changes)
    return adapter_answer(await shield_to_completion(call))


@router.delete(
    "/{adapter_id}",
    status_code=204,
    operation_id="delete_adapter",
    summary="Delete an adapter",
    responses=empty_json("The adapter was deleted.") | problems_json(NotFound, Conflict),
)
async def delete_adapter(adapter_id: str, services: Wired, tenant: Caller) -> None:
    """409 `in_use` while a style, a live shot or an open catalogue uses it. Pictures that were made with it stay."""
    await shield_to_completion(in_thread(services.store.adapters.delete, tenant.id, adapter_id))
