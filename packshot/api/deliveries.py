"""`/v1/images/{id}/deliveries` and `/v1/deliveries`: channels' files of a picture, made once and stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from packshot.api.accept import json_body
from packshot.api.answers import disposition, file_answer
from packshot.api.auth import Caller
from packshot.api.downloads import REDIRECT, Redirect, noted_read, redirected
from packshot.api.graph import UNSIGNED, Graph
from packshot.api.limits import cancel_on_disconnect, shield_to_completion
from packshot.api.openapi import BODY_PROBLEMS, answer_json, body_json, file_json, keyed_problems_json, problems_json
from packshot.api.reframing import reframed
from packshot.api.services import Wired, in_thread
from packshot.contract import delivery_examples
from packshot.contract.answers import FindingAnswer
from packshot.contract.deliveries import DeliveriesAnswer, DeliveriesRequest, DeliveryAnswer, PaintingAnswer
from packshot.contract.light import ShadowKind
from packshot.contract.shot_spec import ShotSpec
from packshot.delivery.check import require_locked
from packshot.delivery.deliver import Delivered
from packshot.delivery.marks import instance_of, mark_of
from packshot.delivery.naming import FIELDS, NameTemplate, check_name, collision_key, parse_template
from packshot.delivery.presets import Preset, preset_named
from packshot.errors import BadInput, BudgetSpent, Conflict, FieldError, NotFound, StorageFull, Unavailable
from packshot.shots.layout import LayoutFiles, find_layout
from packshot.shots.stages import DeliveryOrder
from packshot.store.delivered_records import DeliveredRecord, NewDelivered
from packshot.store.records import ImageRecord, ShotRecord
from packshot.store.store import Store

router = APIRouter(prefix="/v1", tags=["deliveries"], responses=keyed_problems_json())

DEFAULT_NAME = parse_template("{image_id}-{preset}.{ext}")


@router.post(
    "/images/{image_id}/deliveries",
    operation_id="deliver_image",
    summary="Make channels' files of a picture",
    responses=answer_json(delivery_examples.DELIVERIES, "The files, in the order of the request.")
    | answer_json(
        delivery_examples.DELIVERIES_PAINTING, "Sides are being painted; repeat the request when they are.", status=202
    )
    | problems_json(*BODY_PROBLEMS, NotFound, Conflict, BudgetSpent, StorageFull, Unavailable),
    openapi_extra=body_json(delivery_examples.DELIVERIES_REQUEST),
)
async def deliver_image(
    image_id: str, request: Request, response: Response, services: Wired, tenant: Caller
) -> DeliveriesAnswer:
    """Several files of one picture in one call. A file that was made before is not made again.

    When some entries are refused, the answer is the first one's problem, and `errors` has an entry for each. The other
    files are stored all the same, so a call without the refused entries returns at once. 409 `not_approved` when a
    person must approve the picture first. 202 when the engine paints the missing sides of an entry with `reframe`: its
    `painting` names the work. The picture with painted sides is one of its own, and is approved on its own.
    """
    body = await json_body(request, DeliveriesRequest)
    image = await in_thread(services.store.images.get, tenant.id, image_id)
    await in_thread(services.store.reviews.require_approved, tenant.id, [image.id])
    shot = await in_thread(services.store.shots.get, tenant.id, image.shot_id)
    refusals = _Refusals()
    wanted: list[tuple[int, Preset, NameTemplate]] = []
    for at, entry in enumerate(body.deliver):
        with refusals.at(at):
            template = DEFAULT_NAME if entry.name is None else parse_template(entry.name)
            wanted.append((at, preset_named(entry.preset), template))
    refusals.raise_any()
    answers: dict[int, DeliveryAnswer] = {}
    names: dict[str, int] = {}
    painting: list[PaintingAnswer] = []
    for at, preset, template in wanted:
        with refusals.at(at):
            entry = body.deliver[at]
            of, by = image, shot
            changes: tuple[str, ...] = ()
            if entry.reframe is not None:
                found = await reframed(request, services, tenant, image, shot, preset)
                if isinstance(found, ShotRecord):
                    painting.append(_painting(at, preset, found))
                    continue
                if found is not None:
                    of, by, changes = found.image, found.shot, (found.change,)
                    await in_thread(services.store.reviews.require_approved, tenant.id, [of.id])
            file = await cancel_on_disconnect(
                request, made_once(services.store, services.graph, of, by, preset, entry.shadow, changes=changes)
            )
            name = template.render(_values(image, shot, file))
            other = names.setdefault(collision_key(name), at)
            if other != at:
                rule = f"the files of one call must have different names, got {name!r} for entries {other} and {at}"
                raise BadInput("filename_invalid", f"{rule}; add {{preset}} to the template")
            answers[at] = delivery_answer(file, name, preset, date.today())
    refusals.raise_any()
    if painting:
        response.status_code = 202
    return DeliveriesAnswer(deliveries=tuple(answers[at] for at in sorted(answers)), painting=tuple(painting))


def _painting(entry: int, preset: Preset, work: ShotRecord) -> PaintingAnswer:
    url = f"/v1/shots/{work.id}"
    return PaintingAnswer(
        entry=entry, preset=preset.name, shot_id=work.id, status=work.status, url=url, events_url=f"{url}/events"
    )


class _Refusals:
    """Collects what was refused, by entry of the request."""

    def __init__(self) -> None:
        self._found: list[tuple[int, BadInput]] = []
        self._entry = 0

    def at(self, entry: int) -> _Refusals:
        self._entry = entry
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, BadInput):
            return False
        self._found.append((self._entry, error))
        return True

    def raise_any(self) -> None:
        """Raise one BadInput with the first entry's code and every entry's rule, if something was refused."""
        if not self._found:
            return
        errors: list[FieldError] = [
            {"loc": ["deliver", entry, *found["loc"]], "msg": found["msg"]}
            for entry, error in self._found
            for found in (error.errors or [{"loc": [], "msg": error.detail}])
        ]
        detail = "; ".join(f"deliver[{entry}]: {error.detail}" for entry, error in self._found)
        raise BadInput(self._found[0][1].code, detail, errors=errors)


def _values(image: ImageRecord, shot: ShotRecord, file: DeliveredRecord) -> Mapping[str, str | int]:
    """The values of a file name's fields. `meta` of the shot gives fields such as gtin, asin, view and scene."""
    meta = {name: value for name, value in shot.meta.items() if name in FIELDS}
    if "gtin" not in meta and "gtin14" in shot.meta:
        meta["gtin"] = shot.meta["gtin14"]
    return meta | {
        "sku": shot.sku or "",
        "n": image.index + 1,
        "preset": file.preset,
        "seed": image.seed,
        "width": file.width,
        "height": file.height,
        "image_id": image.id,
        "ext": file.extension,
    }


async def made_once(
    store: Store,
    graph: Graph,
    image: ImageRecord,
    shot: ShotRecord,
    preset: Preset,
    shadow: ShadowKind | None = None,
    changes: tuple[str, ...] = (),
) -> DeliveredRecord:
    """The picture's file for a preset: the stored one, or a new one that is then stored.

    `changes` are what was done to the picture before. The recipe names the signing key. Raises BadInput
    `product_generated`, `preset_unmet` and `not_served` as `packshot.delivery.deliver` does, Conflict `gain_altered`,
    Unavailable `signing_unavailable` and StorageFull.
    """
    require_locked(preset, locked=image.verdict.product == "locked")  # also for a file that an older version stored
    spec = shot.spec
    drawn = shadow or spec.shadow.kind
    made_by = f"v{image.version} {preset.name} {preset.dated} shadow={drawn}"
    recipe = f"{made_by} {graph.signing_key_id}"
    stored = await in_thread(store.delivered.find, image.tenant, image.id, recipe)
    if stored is not None:
        return stored
    layout = await in_thread(_layout_or_none, store, image.tenant, spec)
    order = DeliveryOrder(
        image.asset_key,
        spec,
        layout,
        preset,
        image.verdict,
        shadow,
        image.gain_key,
        version=image.recipe.version,
        instance_id=instance_of(image.id, recipe),
        mark=mark_of(image.id, recipe) if spec.background.generated else None,
    )
    made = await graph.deliver(order)
    # while a new key is rolled out, the finisher may have another one than this process
    made = replace(made, changes=(*changes, *made.changes))
    new = _new(made, preset, f"{made_by} {made.signed_by or UNSIGNED}", order.instance_id)
    return await shield_to_completion(in_thread(store.delivered.add, image.tenant, image.id, new))


def _new(made: Delivered, preset: Preset, recipe: str, instance_id: str) -> NewDelivered:
    return NewDelivered(
        preset=preset.name,
        recipe=recipe,
        data=made.data,
        extension=made.extension,
        media_type=made.media_type,
        width=made.width,
        height=made.height,
        source_type=made.source_type,
        changes=made.changes,
        findings=made.findings,
        mark=made.mark,
        instance_id=instance_id if made.signed_by else None,
        signed_by=made.signed_by,
        fingerprint=made.fingerprint,
    )


def _layout_or_none(store: Store, tenant_id: str, spec: ShotSpec) -> LayoutFiles | None:
    """The shot's layout, or None when one of its masks or photos was deleted."""
    try:
        return find_layout(store, tenant_id, spec)
    except NotFound:
        return None


def delivery_answer(file: DeliveredRecord, name: str, preset: Preset, today: date) -> DeliveryAnswer:
    """A delivered file under a name. The key of its bytes stays internal."""
    findings = [FindingAnswer.model_validate(finding, from_attributes=True) for finding in file.findings]
    if note := preset.name_note(name):
        findings.append(FindingAnswer(check="name", level="warning", detail=note, value=None))
    return DeliveryAnswer(
        id=file.id,
        image_id=file.image_id,
        preset=file.preset,
        name=name,
        url=f"/v1/deliveries/{file.id}/{quote(name)}",
        media_type=file.media_type,
        width=file.width,
        height=file.height,
        bytes=file.bytes,
        sha256=file.sha256,
        digital_source_type=file.source_type,
        changes=file.changes,
        findings=tuple(findings),
        warning=preset.expiry_note(today),
        created_at=file.created_at,
    )


@router.get(
    "/deliveries/{delivery_id}/{name}",
    operation_id="get_delivery",
    summary="Get a channel's file",
    response_class=Response,
    responses=file_json(
        "The file.",
        *("image/png", "image/jpeg", "image/webp"),
        content_disposition="The name under which to save the file.",
    )
    | REDIRECT
    | problems_json(BadInput, NotFound, Conflict),
)
async def get_delivery(
    delivery_id: str, name: str, request: Request, services: Wired, tenant: Caller, redirect: Redirect = None
) -> Response:
    """The bytes are those of the first delivery. `name` is any file name; the file is saved under it.

    The audit trail gets a line of it.

    409 `not_approved` when the approval that the picture needs was withdrawn since.
    """
    file = await in_thread(services.store.delivered.get, tenant.id, delivery_id)
    await in_thread(services.store.reviews.require_approved, tenant.id, [file.image_id])
    shown = disposition(check_name(name))
    elsewhere = await redirected(services, redirect, file.asset_key, file.media_type, shown)
    if elsewhere is not None:
        return noted_read(services, file, elsewhere)
    data = await in_thread(services.store.assets.get, file.asset_key)
    return noted_read(services, file, file_answer(request, data, file.media_type, filename=check_name(name)))
