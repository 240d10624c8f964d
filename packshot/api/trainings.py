"""`/v1/trainings`: adapters that are learned from a tenant's own pictures, by a trainer of the cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from packshot.api.accept import checked_label, checked_name, checked_prompt, json_body
from packshot.api.adapters import engine_for
from packshot.api.answers import file_answer
from packshot.api.auth import Caller
from packshot.api.limits import shield_to_completion
from packshot.api.openapi import (
    BODY_PROBLEMS,
    LOCATION,
    answer_json,
    body_json,
    empty_json,
    file_json,
    headers_json,
    keyed_problems_json,
    problems_json,
)
from packshot.api.queries import PAGE, Cursor, Limit
from packshot.api.services import Services, Wired, in_thread
from packshot.api.shots import idempotency_key
from packshot.contract import training_examples as examples
from packshot.contract.answers import ErrorAnswer
from packshot.contract.trainings import (
    LEAST_PICTURES,
    MAX_CAPTION_CHARS,
    MAX_PICTURES,
    MAX_STEPS,
    TrainingAnswer,
    TrainingPage,
    TrainingPlan,
    TrainingRequest,
)
from packshot.errors import BadInput, BudgetSpent, Conflict, FieldError, NotFound
from packshot.store.records import Tenant
from packshot.store.training_records import NewTraining, TrainingOrder, TrainingPicture, TrainingRecord
from packshot.training.spec import TAG

router = APIRouter(prefix="/v1/trainings", tags=["trainings"], responses=keyed_problems_json())

At = Annotated[str, Query(description="Any text, to read past a browser's own copies; it selects nothing.")]

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Limit of a request's body: its captions may be long."""


def training_answer(record: TrainingRecord) -> TrainingAnswer:
    """A training. The keys of its files stay internal."""
    order, url = record.order, f"/v1/trainings/{record.id}"
    return TrainingAnswer(
        id=record.id,
        name=record.name,
        kind=order.kind,
        engine=record.engine,
        tag=order.tag,
        status=record.status,
        cancelling=record.cancel_requested and record.status in ("queued", "running"),
        step=record.step,
        steps=record.steps,
        loss=record.loss,
        device_s=round(record.device_s, 1),
        plan=TrainingPlan(
            pictures=len(order.pictures),
            repeats=order.repeats,
            epochs=order.epochs,
            batch=order.batch,
            rank=order.vectors if order.kind == "inversion" else order.rank,
            seed=order.seed,
            samples=order.samples,
            max_seconds=record.max_s,
        ),
        ended=record.ended,
        adapter_id=record.adapter_id,
        partial=record.partial,
        sheet_url=f"{url}/sheet" if record.sheet_key else None,
        loss_url=f"{url}/loss" if record.loss_key else None,
        error=None
        if record.error_code is None
        else ErrorAnswer(code=record.error_code, detail=record.error_detail or ""),
        url=url,
        created_at=record.created_at,
        started_at=record.started_at,
        finished_at=record.finished_at,
    )


@router.post(
    "",
    status_code=202,
    operation_id="create_training",
    summary="Train an adapter on your pictures",
    responses=answer_json(examples.QUEUED, "The training is stored.", status=202, headers=LOCATION)
    | problems_json(*BODY_PROBLEMS, NotFound, Conflict, BudgetSpent),
    openapi_extra=body_json(examples.TRAINING_REQUEST)
    | headers_json(
        Idempotency_Key="1 to 255 printable ASCII characters. A repeat with the key returns the same training."
    ),
)
async def create_training(request: Request, response: Response, services: Wired, tenant: Caller) -> TrainingAnswer:
    """202 when the training is stored. One of a tenant's trainings runs at a time, and up to eight wait or run.

    Its steps are counted as the published recipe counts: 65 pictures x 6 repeats / batch 2 = 195 an epoch, x 10 epochs
    = 1,950. 422 `dataset_refused` for too few or too many pictures, `tag_refused` for a tag that the engine knows, and
    `not_served` where no trainer is served. 409 `not_approved` and `name_taken`. 402 `budget_spent`.
    """
    key = idempotency_key(request)
    body = await json_body(request, TrainingRequest, MAX_BODY_BYTES)
    if not services.graph.trains:
        rule = "trainings need the stage trainer, which this server does not have"
        raise BadInput(
            "not_served", f"{rule}; train with `packshot train` and upload the adapter, or ask the operator."
        )
    sent = body.model_dump(mode="json", exclude_unset=True)
    trainings = services.store.trainings
    if key is not None and (earlier := await in_thread(trainings.repeated, tenant.id, key, sent)) is not None:
        return _accepted(earlier, response)
    name = checked_name(body.name)
    _check_fields(body)
    engine = engine_for(services, body.engine)
    await services.graph.check_training(engine.name, body.tag)
    order = await _order(services, tenant, body)
    steps = body.counts.steps_per_epoch(len(order.pictures)) * order.epochs
    if steps > MAX_STEPS:
        rule = f"pictures x repeats / batch x epochs may be at most {MAX_STEPS:,} steps, got {steps:,}"
        raise _refused("epochs", f"{rule}; use fewer epochs or repeats")
    new = NewTraining(name=name, engine=engine.name, order=order, steps=steps, max_s=body.max_seconds)
    add = partial(
        trainings.add,
        tenant.id,
        new,
        key_id=tenant.key_id,
        idempotency_key=key,
        sent=sent,
    )
    record, _ = await shield_to_completion(in_thread(add))
    return _accepted(record, response)


def _accepted(record: TrainingRecord, response: Response) -> TrainingAnswer:
    answer = training_answer(record)
    response.headers["location"] = answer.url
    return answer


def _check_fields(body: TrainingRequest) -> None:
    """Raise BadInput for fields that are out of their rules, or do not go together."""
    if body.tag and not TAG.fullmatch(body.tag):
        rule = f"must be one word of 2 to 32 of a-z and 0-9 that begins with a letter, got {body.tag!r}"
        raise _refused("tag", f"{rule}; use for example acmelook7")
    if body.kind != "lora" and not body.tag:
        raise _refused("tag", f"is the word that will mean the product, and {body.kind} needs one; make one up")
    if body.kind == "dreambooth" and not body.class_words.strip():
        raise _refused(
            "class_words", "say what kind of thing a dreambooth's product is, got none; send for example mug"
        )
    for field in ("class_words", "init_words", "licence"):
        checked_label(getattr(body, field), field)
    given = [field for field in ("catalogue_id", "project_id") if getattr(body, field)]
    if body.image_ids or body.photo_ids:
        given.append("image_ids and photo_ids")
    if len(given) != 1:
        named = ", ".join(given) or "none"
        rule = f"the pictures come from catalogue_id, project_id, or image_ids and photo_ids, got {named}"
        raise BadInput("invalid_request", f"{rule}; name one.", errors=[{"loc": ["catalogue_id"], "msg": rule}])


async def _order(services: Services, tenant: Tenant, body: TrainingRequest) -> TrainingOrder:
    """What the training learns, with its pictures and their captions.

    Raises NotFound, Conflict `not_approved`, and BadInput `dataset_refused` and `prompt_invalid`.
    """
    found, source = await _pictures(services, tenant.id, body)
    _check_number(body, len(found))
    known = {picture_id for picture_id, _ in found}
    strange = sorted(body.captions.keys() - known)
    if strange:
        raise _refused("captions", f"must be of the training's pictures, got {strange[0][:64]!r}; remove it")
    captions = {
        one: " ".join(checked_prompt(text, f"captions.{one}", MAX_CAPTION_CHARS).split())
        for one, text in body.captions.items()
    }
    most = services.settings.max_prompt_chars
    counts = body.counts
    return TrainingOrder(
        kind=body.kind,
        tag=body.tag,
        class_words=body.class_words.strip(),
        init_words=body.init_words.strip(),
        vectors=body.vectors,
        prior=body.prior if body.kind == "dreambooth" else 0,
        rank=body.rank,
        text_encoder=body.text_encoder and body.kind != "inversion",
        repeats=counts.repeats,
        epochs=counts.epochs,
        batch=counts.batch,
        learning_rate=body.learning_rate,
        samples=tuple(checked_prompt(text, "samples", most) for text in body.samples),
        seed=body.seed,
        licence=body.licence.strip(),
        source=source,
        pictures=tuple(_captioned(body, found, captions)),
    )


async def _pictures(services: Services, tenant_id: str, body: TrainingRequest) -> tuple[Sequence[tuple[str, str]], str]:
    """The (id, prompt) of each picture, and where they come from."""
    trainings = services.store.trainings
    if body.catalogue_id or body.project_id:
        of = {"catalogue_id": body.catalogue_id, "project_id": body.project_id}
        found = await in_thread(trainings.approved, tenant_id, **of, most=MAX_PICTURES + 1)
        place = f"catalogue {body.catalogue_id}" if body.catalogue_id else f"project {body.project_id}"
        return found, f"the approved pictures of {place}"
    twice = len(body.image_ids) - len(set(body.image_ids)) + len(body.photo_ids) - len(set(body.photo_ids))
    if twice:
        raise _refused("image_ids", f"and photo_ids may name a picture once, got {twice} again; use repeats instead")
    found = await in_thread(trainings.prompts, tenant_id, body.image_ids)
    await in_thread(trainings.require_photos, tenant_id, body.photo_ids)
    source = f"{len(body.image_ids)} approved pictures and {len(body.photo_ids)} photos"
    return [*found, *((photo_id, "") for photo_id in body.photo_ids)], source


def _check_number(body: TrainingRequest, count: int) -> None:
    least = LEAST_PICTURES[body.kind]
    if count < least:
        what = "approved pictures" if body.catalogue_id or body.project_id else "pictures"
        remedy = "approve or add some" if body.kind != "lora" else "add some; dreambooth learns one product of 3"
        raise _refused_dataset(f"{body.kind} needs at least {least} {what}, got {count}; {remedy}")
    if count > MAX_PICTURES:
        rule = f"a training over the API takes at most {MAX_PICTURES:,} pictures, got more"
        raise _refused_dataset(f"{rule}; choose the best ones, or use `packshot train` with a folder")


def _captioned(
    body: TrainingRequest, found: Sequence[tuple[str, str]], captions: Mapping[str, str]
) -> list[TrainingPicture]:
    """The pictures with the captions that were sent, or else their prompts.

    A product's pictures have its name as their caption, which the training writes itself.
    """
    if body.kind != "lora":
        return [TrainingPicture(one, captions.get(one, "")) for one, _ in found]
    return [TrainingPicture(one, captions.get(one, "") or " ".join(prompt.split())) for one, prompt in found]


def _refused(field: str, rule: str) -> BadInput:
    errors: list[FieldError] = [{"loc": [field], "msg": rule}]
    return BadInput("invalid_request", f"{field} {rule}.", errors=errors)


def _refused_dataset(rule: str) -> BadInput:
    return BadInput("dataset_refused", f"{rule}.")


@router.get(
    "",
    operation_id="list_trainings",
    summary="List the trainings, newest first",
    responses=answer_json(examples.TRAININGS, "A page of trainings.") | problems_json(BadInput),
)
async def list_trainings(services: Wired, tenant: Caller, limit: Limit = PAGE, cursor: Cursor = "") -> TrainingPage:
    """`next_cursor` is null on the last page."""
    records, following = await in_thread(services.store.trainings.page, tenant.id, cursor=cursor or None, limit=limit)
    return TrainingPage(trainings=tuple(training_answer(one) for one in records), next_cursor=following)


@router.get(
    "/{training_id}",
    operation_id="get_training",
    summary="Get a training",
    responses=answer_json(examples.TRAINING, "The training.") | problems_json(NotFound),
)
async def get_training(training_id: str, response: Response, services: Wired, tenant: Caller) -> TrainingAnswer:
    """Its status, progress, and what it has made. Ask again every few seconds while it runs."""
    response.headers["cache-control"] = "private, no-cache"
    return training_answer(await in_thread(services.store.trainings.get, tenant.id, training_id))


@router.post(
    "/{training_id}/cancel",
    status_code=202,
    operation_id="cancel_training",
    summary="Cancel a training",
    responses=answer_json(examples.QUEUED, "The training will end.", status=202) | problems_json(NotFound, Conflict),
)
async def cancel_training(training_id: str, services: Wired, tenant: Caller) -> TrainingAnswer:
    """It ends as `cancelled` after the step that runs, and what it has learned by then becomes a partial adapter.

    A repeat changes nothing. 409 `already_finished` when it has ended otherwise.
    """
    call = in_thread(services.store.trainings.cancel, tenant.id, training_id)
    return training_answer(await shield_to_completion(call))


@router.delete(
    "/{training_id}",
    status_code=204,
    operation_id="delete_training",
    summary="Delete a training",
    responses=empty_json("The training was deleted.") | problems_json(NotFound, Conflict),
)
async def delete_training(training_id: str, services: Wired, tenant: Caller) -> None:
    """409 `in_use` while it waits or runs: cancel it first. Its adapter stays."""
    await shield_to_completion(in_thread(services.store.trainings.delete, tenant.id, training_id))


@router.get(
    "/{training_id}/sheet",
    operation_id="get_training_sheet",
    summary="Get a training's painted samples",
    response_class=Response,
    responses=file_json("The samples before the training and after its epochs.", "image/png") | problems_json(NotFound),
)
async def get_training_sheet(
    training_id: str, request: Request, services: Wired, tenant: Caller, at: At = ""
) -> Response:
    """404 without `samples`, and before the first ones are painted. It changes while the training runs."""
    record = await in_thread(services.store.trainings.get, tenant.id, training_id)
    return await _file(request, services, record, record.sheet_key, "samples")


@router.get(
    "/{training_id}/loss",
    operation_id="get_training_loss",
    summary="Get a training's curves",
    response_class=Response,
    responses=file_json("The loss, and the errors as multiples of the untrained engine's.", "image/png")
    | problems_json(NotFound),
)
async def get_training_loss(
    training_id: str, request: Request, services: Wired, tenant: Caller, at: At = ""
) -> Response:
    """404 before the first epoch. It changes while the training runs."""
    record = await in_thread(services.store.trainings.get, tenant.id, training_id)
    return await _file(request, services, record, record.loss_key, "curves")


async def _file(request: Request, services: Services, record: TrainingRecord, key: str | None, what: str) -> Response:
    if key is None:
        raise NotFound("not_found", f"training {record.id} has no {what} yet; ask again after an epoch")
    data = await in_thread(services.store.assets.get, key)
    return file_answer(request, data, "image/png", kept=False)
