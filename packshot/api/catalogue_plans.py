"""Read a manifest from a request, check it against this server, and plan it. Nothing is stored here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Literal

from fastapi import Request
from starlette.datastructures import UploadFile

from packshot.api.accept import checked_prompt, pick_engine
from packshot.api.capabilities import check_guidance, check_negative_prompt, check_sampler
from packshot.api.catalogue_looks import written_looks
from packshot.api.conditions import broken_conditions, named_conditions
from packshot.api.limits import json_bytes
from packshot.api.services import Services, in_thread
from packshot.api.word_warnings import ignored_words
from packshot.catalogue.costs import costs_of
from packshot.catalogue.manifest import Frame, MediaType, Read, frame_of, not_served, read_frame_bytes, read_manifest
from packshot.catalogue.places import Allowed
from packshot.catalogue.plan import Costs, Plan, Scene, combinations, plan
from packshot.catalogue.sheet import problem, refused
from packshot.catalogue.small_photos import Size, small_photos
from packshot.contract.catalogue import Budget, BudgetCheck, DryRunAnswer, Look, Manifest, RowProblem
from packshot.contract.engines import EngineInfo
from packshot.errors import BadInput, UnsupportedMedia
from packshot.store.budgets import NEEDS_BUDGET
from packshot.store.records import Tenant
from packshot.store.shot_filter import ShotFilter

__all__ = ["MAX_MANIFEST_BYTES", "MAX_PROBLEMS", "AskedLook", "Planned", "dry_run_answer", "planned", "sent_manifest"]

MAX_MANIFEST_BYTES = 32 * 1024 * 1024
MAX_PROBLEMS = 1_000
"""Most problems of one JSON answer."""

_TYPES: dict[str, MediaType] = {
    "application/json": "application/json",
    "application/yaml": "application/yaml",
    "application/x-yaml": "application/yaml",
    "text/yaml": "application/yaml",
    "text/csv": "text/csv",
}


@dataclass(frozen=True)
class SentManifest:
    """A manifest as it was sent. `frame` is everything but the rows, for a sheet."""

    data: bytes
    media_type: MediaType
    frame: Frame


@dataclass(frozen=True)
class Planned:
    """A manifest that was read and planned, its costs, and where they come from."""

    read: Read
    plan: Plan
    costs: Costs
    basis: Literal["measured", "assumed"]


@dataclass(frozen=True)
class AskedLook:
    """What the query of a request says of a sheet's look: a name, scenes, presets, a style's id and adapters."""

    name: str = ""
    scenes: Sequence[str] = ()
    presets: Sequence[str] = ()
    style: str = ""
    adapters: Sequence[str] = ()

    @property
    def any(self) -> bool:
        return bool(self.name or self.scenes or self.presets or self.style or self.adapters)

    def added_to(self, frame: Frame) -> Frame:
        """The frame with what the query says. Raises BadInput as `frame_of`."""
        named = frame | ({"name": self.name} if self.name else {})
        return frame_of(self.scenes, self.presets, self.style, self.adapters, named)


async def sent_manifest(request: Request, asked: AskedLook) -> SentManifest:
    """The manifest in the request's body: JSON, YAML, a CSV sheet, or a form with the parts `sheet` and `look`.

    `asked` is the query's, which a sheet without a look needs. Raises UnsupportedMedia for another type, BadInput for
    parts or parameters that do not fit, and TooLarge above MAX_MANIFEST_BYTES.
    """
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent == "multipart/form-data":
        sheet, look = await _parts(request)
        return SentManifest(sheet, "text/csv", asked.added_to(_look(look)))
    media_type = _TYPES.get(sent)
    if media_type is None:
        rule = f"a manifest must be one of {', '.join(_TYPES)}, or a form with the parts sheet and look"
        raise UnsupportedMedia("body_type", f"{rule}, got {sent[:60] or 'no type'!r}; send its content-type")
    if media_type != "text/csv" and asked.any:
        rule = "name, scene, preset, style and adapter are for a CSV sheet, because a manifest has its own"
        raise BadInput("invalid_request", f"{rule}; set them in the manifest")
    return SentManifest(await json_bytes(request, MAX_MANIFEST_BYTES), media_type, asked.added_to({}))


async def _parts(request: Request) -> tuple[bytes, bytes]:
    async with request.form(max_files=2, max_fields=2, max_part_size=MAX_MANIFEST_BYTES) as form:
        if set(form.keys()) != {"sheet", "look"}:
            rule = "a form must have the parts `sheet` (CSV) and `look` (a manifest without items)"
            raise BadInput("invalid_request", f"{rule}, got {sorted(form.keys())}; send both")
        parts = [form["sheet"], form["look"]]
        sheet, look = [await one.read() if isinstance(one, UploadFile) else one.encode() for one in parts]
    return sheet, look


def _look(data: bytes) -> Frame:
    """The frame in YAML, of which JSON is a part."""
    return read_frame_bytes(data, "application/json" if data.lstrip()[:1] == b"{" else "application/yaml")


async def planned(services: Services, tenant: Tenant, sent: SentManifest) -> Planned:
    """Read and plan a manifest. One waits for its turn, because a large one takes seconds of a processor.

    Raises BadInput `manifest_unreadable` when the bytes have another form, and Overloaded.
    """
    async with services.large_turns.one(tenant.id):
        read, engine = await in_thread(_read, services, tenant.id, sent)
        prompts = [text for _, text in _prompts(read.manifest)] if read.manifest is not None else []
        read = await written_looks(services, tenant.id, read, engine, prompts)
        return await in_thread(_planned, services, tenant, read, engine)


def _read(services: Services, tenant_id: str, sent: SentManifest) -> tuple[Read, EngineInfo]:
    """The manifest with its problems on this server, and the engine that paints it."""
    read = read_manifest(sent.data, sent.media_type, frame=sent.frame, allowed=Allowed.by(services.settings))
    engines = services.graph.engines()
    engine = engines[0]
    found = list(_missing_ids(services, tenant_id, read))
    if read.manifest is not None:
        try:
            engine = pick_engine(read.manifest.defaults.engine, engines)
        except BadInput as error:
            found.append(refused(error, None, None, "defaults.engine", read.manifest.defaults.engine))
        found += _limits(read.manifest, engine, services)
        if not services.graph.finds_words:
            found += _unserved_words(read.manifest, read.rows)
    return replace(read, problems=sorted([*read.problems, *found], key=lambda one: one.row or 0)), engine


def _planned(services: Services, tenant: Tenant, read: Read, engine: EngineInfo) -> Planned:
    ended, _ = services.store.shots.page(tenant.id, ShotFilter(status="done", kind="shot"), limit=20)
    costs, basis = costs_of(engine, ended)
    made = plan(read, costs)
    if read.manifest is not None:
        ignored = ignored_words(services, tenant.id, read.manifest, read.rows, engine.name, _prompts(read.manifest))
        small = small_photos(read.manifest, read.rows, _sizes(services, tenant.id, read.manifest).get)
        warned = (*made.warnings, *islice(small, MAX_PROBLEMS), *islice(ignored, MAX_PROBLEMS))
        made = replace(made, warnings=warned)
    if made.painted and engine.price_device_s and not services.store.budgets.bounds_costs(tenant.id, tenant.key_id):
        remedy = "Ask the operator for a budget, or name another engine."
        needed = problem(None, None, "defaults.engine", engine.name, NEEDS_BUDGET, remedy, "budget_needed")
        made = replace(made, problems=(needed, *made.problems))
    return Planned(read, made, costs, basis)


def _unserved_words(manifest: Manifest, rows: Sequence[int]) -> Iterator[RowProblem]:
    """Words, where no detector is served."""
    if manifest.defaults.find is not None:
        yield not_served("defaults.find", manifest.defaults.find, "detector")
    for item, row in zip(manifest.items, rows, strict=True):
        if item.find is not None:
            yield not_served("find", item.find, "detector", row, item.sku)


def _missing_ids(services: Services, tenant_id: str, read: Read) -> Iterator[RowProblem]:
    """Rows that name a photo or a mask by an id which the tenant does not have."""
    places = [
        (row, item.sku, "photo" if item.photo else f"photos.{view}", photo)
        for item, row in zip(read.manifest.items if read.manifest else (), read.rows, strict=True)
        for view, photo in item.views()
    ]
    masks = [
        (row, item.sku, "mask", item.mask)
        for item, row in zip(read.manifest.items if read.manifest else (), read.rows, strict=True)
        if item.mask
    ]
    store = services.store
    for prefix, named, known in (("ph_", places, store.photos.known), ("mk_", masks, store.masks.known)):
        wanted = {one[3] for one in named if _is_id(one[3], prefix)}
        lost = wanted - known(tenant_id, wanted) if wanted else set()
        for row, sku, column, value in named:
            if value in lost:
                rule = "an id must be one of yours"
                yield problem(row, sku, column, value, rule, "Upload it again.", "photo_missing")


def _sizes(services: Services, tenant_id: str, manifest: Manifest) -> dict[str, Size]:
    """The sizes of the photos that the manifest names by their ids."""
    places = {place for item in manifest.items for _, place in item.views()}
    return services.store.photos.sizes(tenant_id, {place for place in places if _is_id(place, "ph_")})


def _is_id(place: str, prefix: str) -> bool:
    return place.startswith(prefix) and "/" not in place and "." not in place


def _limits(manifest: Manifest, engine: EngineInfo, services: Services) -> Iterator[RowProblem]:
    """What this server's engine and settings refuse."""
    look = manifest.defaults
    for column, value, most in (
        ("defaults.steps", look.steps, engine.limits.max_steps),
        ("defaults.guidance_scale", look.guidance_scale, engine.limits.max_guidance_scale),
        ("choose.best_of", manifest.choose.best_of, services.settings.max_images),
    ):
        if value is not None and value > most:
            yield problem(None, None, column, value, f"it may be at most {most:g} here", "Lower it.")
    for column, asked, check in (
        ("defaults.negative_prompt", look.negative_prompt, partial(check_negative_prompt, text=look.negative_prompt)),
        ("defaults.guidance_scale", look.guidance_scale, partial(check_guidance, scale=look.guidance_scale)),
        ("defaults.sampler", look.sampler, partial(check_sampler, sampler=look.sampler)),
    ):
        try:
            check(column, engine=engine)
        except BadInput as error:
            yield refused(error, None, None, column, str(asked))
    yield from _condition_limits(look, engine)
    longest = services.settings.max_prompt_chars
    for column, text in [("defaults.negative_prompt", look.negative_prompt), *_prompts(manifest)]:
        try:
            checked_prompt(text, column, longest)
        except BadInput as error:
            yield refused(error, None, None, column, text)


def _prompts(manifest: Manifest) -> list[tuple[str, str]]:
    """(column, text) of the prompt of each scene."""
    look = manifest.defaults
    try:
        scenes = combinations(manifest.axes) or [Scene((), "")]
    except BadInput:  # the plan has it as a problem
        return []
    return [
        (f"axes.{scene.name}" if scene.name else "defaults.prompt", ", ".join(filter(None, (look.prompt, scene.words))))
        for scene in scenes
    ]


def _condition_limits(look: Look, engine: EngineInfo) -> Iterator[RowProblem]:
    """The conditions that this server's engine refuses."""
    try:
        conditions = named_conditions(look.conditions, engine).values()
    except BadInput as error:
        yield refused(error, None, None, "defaults.conditions", ", ".join(one.kind for one in look.conditions))
        return
    for broken in broken_conditions(look.conditions, conditions, engine.limits.max_control_scale):
        column, rule = ".".join(map(str, ["defaults", *broken["loc"]])), broken["msg"]
        yield problem(None, None, column, rule.partition("got ")[2], rule, "Correct the number.")


def dry_run_answer(made: Planned) -> DryRunAnswer:
    """The plan as an answer."""
    manifest, problems = made.read.manifest, made.plan.problems
    budget = manifest.budget if manifest else Budget()
    return DryRunAnswer(
        ok=not problems,
        rows=made.read.items_total,
        shots=made.plan.shots,
        pictures=made.plan.pictures,
        deliveries=made.plan.deliveries,
        device_s=round(made.plan.device_s, 1),
        ends_at=datetime.now(UTC) + timedelta(seconds=made.plan.device_s),
        basis=made.basis,
        budget=BudgetCheck(
            images=budget.images,
            device_s=budget.device_s,
            exceeded=manifest is not None and made.plan.exceeds(manifest),
        ),
        problems=problems[:MAX_PROBLEMS],
        problems_total=len(problems),
        warnings=made.plan.warnings,
    )
