"""Check a manifest that was sent against this server, and plan it. Nothing is stored here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Literal

from packshot.api.accept import checked_prompt, pick_engine
from packshot.api.capabilities import check_guidance, check_negative_prompt, check_sampler
from packshot.api.catalogue_looks import written_looks
from packshot.api.catalogue_sent import SentManifest
from packshot.api.conditions import broken_conditions, named_conditions
from packshot.api.services import Services, in_thread
from packshot.api.word_warnings import ignored_words
from packshot.catalogue.at_hand import missing_files
from packshot.catalogue.costs import costs_of
from packshot.catalogue.manifest import Read, not_served, read_manifest
from packshot.catalogue.places import Allowed
from packshot.catalogue.plan import Costs, Plan, Scene, combinations, plan
from packshot.catalogue.sheet import problem, refused
from packshot.catalogue.small_photos import Size, small_photos
from packshot.contract.catalogue import Budget, BudgetCheck, DryRunAnswer, Look, Manifest, RowProblem
from packshot.contract.engines import EngineInfo
from packshot.errors import BadInput
from packshot.store.budgets import NEEDS_BUDGET
from packshot.store.records import Tenant
from packshot.store.shot_filter import ShotFilter

__all__ = ["MAX_PROBLEMS", "Planned", "dry_run_answer", "planned"]

MAX_PROBLEMS = 1_000
"""Most problems of one JSON answer."""


@dataclass(frozen=True)
class Planned:
    """A manifest that was read and planned, its costs, and where they come from."""

    read: Read
    plan: Plan
    costs: Costs
    basis: Literal["measured", "assumed"]


async def planned(services: Services, tenant: Tenant, sent: SentManifest) -> Planned:
    """Read and plan a manifest. One waits for its turn, because a large one takes seconds of a processor.

    Raises BadInput `manifest_unreadable` when the bytes have another form, and Overloaded.
    """
    async with services.large_queue.slot(tenant.id):
        read, engine = await in_thread(_read, services, tenant.id, sent)
        prompts = [text for _, text in _prompts(read.manifest)] if read.manifest is not None else []
        read = await written_looks(services, tenant.id, read, engine, prompts)
        return await in_thread(_planned, services, tenant, read, engine, sent)


def _read(services: Services, tenant_id: str, sent: SentManifest) -> tuple[Read, EngineInfo]:
    """The manifest with its problems on this server, and the engine that paints it."""
    read = read_manifest(sent.data, sent.media_type, frame=sent.frame, allowed=Allowed.by(services.settings))
    engines = services.graph.engines()
    engine = engines[0]
    found = list(_missing_ids(services, tenant_id, read))
    if sent.photos is not None:
        found += missing_files(read, sent.has)
    if read.manifest is not None:
        try:
            engine = pick_engine(read.manifest.defaults.engine, engines)
        except BadInput as error:
            found.append(refused(error, None, None, "defaults.engine", read.manifest.defaults.engine))
        found += _limits(read.manifest, engine, services)
        if not services.graph.finds_words:
            found += _unserved_words(read.manifest, read.rows)
    return replace(read, problems=sorted([*read.problems, *found], key=lambda one: one.row or 0)), engine


def _planned(services: Services, tenant: Tenant, read: Read, engine: EngineInfo, sent: SentManifest) -> Planned:
    ended, _ = services.store.shots.page(tenant.id, ShotFilter(status="done", kind="shot"), limit=20)
    costs, basis = costs_of(engine, ended)
    made = plan(read, costs)
    if read.manifest is not None:
        ignored = ignored_words(services, tenant.id, read.manifest, read.rows, engine.name, _prompts(read.manifest))
        stored = _sizes(services, tenant.id, read.manifest)
        small = small_photos(read.manifest, read.rows, lambda place: stored.get(place) or sent.size_of(place))
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
        searched=made.plan.searched,
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
