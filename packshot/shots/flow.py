"""The flow of one shot, from its layers to finished pictures: which stages run, and in which order.

    layers -> files ─┬─> prepare ─┬─ Fitted ────┬─> edges, control maps ─> paint ─┐   once for each picture
                     │            └─ Prepared ──┼──────────────────────────────────┴─> finish -> PNG and verdict
                     └─> understand ─ products ─┴─ if the shot needs their geometry ─────^

A plain background, or a product that covers the canvas, needs no engine; such a picture is finished at once. The flow
holds references and finished files, never the pixels of a layout.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import packshot
from packshot.adapters import AdapterAsset
from packshot.contract.recipe import Recipe
from packshot.contract.requests import MAX_SEED
from packshot.contract.retry import Retry, Try
from packshot.contract.shot_spec import ShotSpec
from packshot.contract.verdict import Verdict
from packshot.errors import PackshotError
from packshot.shots.layout import LayoutFiles, find_layout
from packshot.shots.pictures import find_pictures
from packshot.shots.proofreading import find_text
from packshot.shots.stages import Finished, Painted, Placed, Stages, Step, TextOrder, Understood
from packshot.store.records import NewImage
from packshot.store.store import Store
from packshot.telemetry.traces import span
from packshot.types import Brief, Framing
from packshot.verdict.material import material_finding

OnStep = Callable[[Step], None]

LETS_OTHERS_END = ("remote_unavailable", "remote_answer")
"""Errors of one picture after which the shot runs again, while the calls of its other pictures are paid anyway."""


async def shoot(
    store: Store, tenant_id: str, spec: ShotSpec, stages: Stages, on_step: OnStep, *, alone: bool = False
) -> list[NewImage]:
    """Make all pictures of a shot.

    `on_step` is called with the progress of the whole shot. `alone` runs the shot unbatched, because it may have
    crashed a replica. Raises NotFound when a mask or photo was deleted, BadInput when the layout cannot be drawn, and
    EngineFailed when the engine cannot finish.
    """
    files = await asyncio.to_thread(find_layout, store, tenant_id, spec)
    text = await asyncio.to_thread(find_text, store, tenant_id, spec, files)
    if not spec.background.generated:
        return await _plain(files, spec, stages, text)
    framing = stages.framing_of(spec.canvas, spec.engine)
    with span("prepare"):
        placed = await stages.prepare(files, framing)
    if placed.covered:
        return await _plain(files, spec, stages, text)
    understood = None
    if spec.needs_geometry:
        with span("understand"):
            understood = await stages.understand(files)
    edges, maps = stages.edges(placed.fitted) if spec.canny.scale else None, None
    if spec.guiding_conditions:
        maps = await stages.control_maps(placed.fitted, understood.products if understood else None, spec)
    references = await references_of(store, tenant_id, spec, stages)
    adapters = await adapters_of(store, tenant_id, spec)

    def paint(seed: int) -> AsyncIterator[Step | Painted]:
        return stages.paint(
            placed.fitted,
            edges,
            brief_of(spec, seed, framing, adapters),
            interactive=spec.interactive,
            alone=alone,
            maps=maps,
            references=references,
        )

    pictures = _Pictures(spec, stages, placed, understood, text, paint, _Progress(spec, on_step))
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_settled(pictures.make(index))) for index in range(spec.images)]
    except ExceptionGroup as failures:  # the pictures of a shot fail together, with the first one's error
        raise failures.exceptions[0] from failures
    made = [task.result() for task in tasks]
    for one in made:
        if isinstance(one, PackshotError):
            raise one
    return [one for one in made if isinstance(one, NewImage)]


async def _settled(picture: Awaitable[NewImage]) -> NewImage | PackshotError:
    """The picture, or an error for which the others are not stopped: their vendor is paid, and keeps what came."""
    try:
        return await picture
    except PackshotError as error:
        if error.code not in LETS_OTHERS_END:
            raise
        return error


async def references_of(store: Store, tenant_id: str, spec: ShotSpec, stages: Stages) -> Any:
    """What the shot's engine follows of its style's pictures, or a reference to it; None when it shows it none."""
    shown = spec.style.scene_references if spec.style is not None else ()
    if spec.style is None or not shown:
        return None
    files = await asyncio.to_thread(find_pictures, store, tenant_id, shown)
    with span("references"):
        return await stages.references(files, spec.style.strength, spec.engine)


async def adapters_of(store: Store, tenant_id: str, spec: ShotSpec) -> tuple[AdapterAsset, ...]:
    """The files of a shot's adapters. Raises NotFound when one was deleted."""
    if not spec.adapters:
        return ()
    records = await asyncio.to_thread(store.adapters.of_shot, tenant_id, [one.id for one in spec.adapters])
    return tuple(
        AdapterAsset(record.asset_key, use.scale, record.kind, record.trigger)
        for record, use in zip(records, spec.adapters, strict=True)
    )


def brief_of(
    spec: ShotSpec, seed: int, framing: Framing | None = None, adapters: tuple[AdapterAsset, ...] = ()
) -> Brief:
    """What the engine paints for the picture of `seed`. Without its `framing`, no upscaler enlarges it."""
    canny = spec.canny
    light = spec.style.light_words if spec.style is not None else ""
    return Brief(
        prompt=", ".join(words for words in (spec.prompt, light) if words),
        negative_prompt=spec.negative_prompt,
        seed=seed,
        steps=spec.steps,
        guidance_scale=spec.guidance_scale,
        control_scale=canny.scale,
        control_start=canny.start,
        control_end=canny.end,
        conditions=spec.guiding_conditions,
        sampler=spec.sampler,
        engine=spec.engine,
        enlarged_by=1.0 if framing is None else framing.enlargement((spec.canvas.width, spec.canvas.height)),
        adapters=adapters,
    )


class _Progress:
    """Adds up the steps of a shot's pictures and forwards their previews."""

    def __init__(self, spec: ShotSpec, on_step: OnStep) -> None:
        self._done = [0] * spec.images
        self._before = [0] * spec.images
        self._steps = spec.steps
        self._total = spec.images * spec.steps
        self._on_step = on_step

    def again(self, image: int) -> None:
        """A picture is painted again: its steps come on top of those that were done."""
        self._before[image] += self._steps
        self._total += self._steps

    def report(self, image: int, step: Step) -> None:
        self._done[image] = self._before[image] + step.index
        self._on_step(Step(sum(self._done), self._total, step.preview, image))


@dataclass(frozen=True)
class _Pictures:
    """Makes the pictures of a shot. `paint` paints the one of a seed; the rest is what all of them share."""

    spec: ShotSpec
    stages: Stages
    placed: Placed
    understood: Understood | None
    text: TextOrder | None
    paint: Callable[[int], AsyncIterator[Step | Painted]]
    progress: _Progress

    async def make(self, index: int) -> NewImage:
        """Paint the shot's picture number `index`, again while a finding of its `retry` fails, and keep the best.

        An error ends the retries, because a picture is there already; without one it is raised.
        """
        best: NewImage | None = None
        best_worth: tuple[float, ...] = ()
        tries: list[Try] = []
        spent_ms: dict[str, float] = {}
        for seed in retry_seeds(self.spec, index):
            if tries:
                self.progress.again(index)
            try:
                made = await self._try(index, seed)
            except PackshotError as error:
                if best is None:
                    raise
                tries.append(Try(seed, error=error.code))
                break
            for name, ms in made.recipe.timing_ms.items():
                spent_ms[name] = round(spent_ms.get(name, 0.0) + ms, 1)
            failed = failed_checks(made.verdict, self.spec.retry)
            tries.append(Try(seed, failed))
            worth = (-len(failed), *made.verdict.worth)
            if best is None or worth > best_worth:
                best, best_worth = made, worth
            if not failed:
                break
        if best is None:
            raise RuntimeError("a picture must be painted at least once, but its shot names no seed")
        if self.spec.retry is None:
            return best
        return replace(best, recipe=replace(best.recipe, tries=tuple(tries), timing_ms=spent_ms))

    async def _try(self, index: int, seed: int) -> NewImage:
        """Paint the picture number `index` once, finish it and have its text read."""
        async for update in self.paint(seed):
            if isinstance(update, Step):
                self.progress.report(index, update)
            else:
                with span("finish", image=index):
                    products = self.understood.products if self.understood and self.spec.relight else None
                    finished = await self.stages.finish(self.placed.prepared, update, self.spec, products)
                if self.understood is not None:
                    finding = material_finding(self.understood.materials)
                    finished = replace(finished, verdict=finished.verdict.with_findings(finding))
                finished, text_ms = await proofread(finished, self.text, self.stages)
                return image_of(index, finished, recipe_of(update, finished, self.spec, **text_ms))
        raise RuntimeError("paint() must yield a Painted last, but it ended without one")


def retry_seeds(spec: ShotSpec, index: int) -> Iterator[int]:
    """The seeds by which the picture number `index` is painted: its own, then those of its retries.

    No two paintings of a shot have one seed.
    """
    for at in range(1 + (spec.retry.max if spec.retry else 0)):
        seed = spec.seed + index + at * spec.images
        yield seed if at == 0 else seed % (MAX_SEED + 1)


def failed_checks(verdict: Verdict, retry: Retry | None) -> tuple[str, ...]:
    """The names of the failed findings for which a picture is painted again, each once."""
    named = retry.on if retry else ()
    return tuple(dict.fromkeys(one.check for one in verdict.findings if one.level == "failed" and one.check in named))


async def proofread(finished: Finished, text: TextOrder | None, stages: Stages) -> tuple[Finished, dict[str, float]]:
    """The picture with the findings about its text, and the time of reading it, if the shot asks for the proof."""
    if text is None:
        return finished, {}
    with span("text"):
        read = await stages.proofread(finished.png, text)
    return replace(finished, verdict=finished.verdict.with_findings(*read.findings)), {"text": read.text_ms}


def recipe_of(painted: Painted, finished: Finished, spec: ShotSpec, **more_ms: float) -> Recipe:
    """How a painted picture was made. `more_ms` are the times of stages after finishing."""
    timing_ms = {**painted.timing_ms, "finish": finished.finish_ms, **more_ms}
    return Recipe(
        version=packshot.__version__,
        seed=painted.render.seed,
        spec=spec,
        engine=painted.engine,
        timing_ms={name: round(spent, 1) for name, spent in timing_ms.items()},
    )


async def _plain(files: LayoutFiles, spec: ShotSpec, stages: Stages, text: TextOrder | None) -> list[NewImage]:
    """The images of a shot without a painted scene. All of them share one picture."""
    with span("finish"):
        finished = await stages.finish_plain(files, spec)
    finished, _ = await proofread(finished, text, stages)
    recipe = Recipe(version=packshot.__version__, seed=spec.seed, spec=spec)
    return [image_of(index, finished, recipe) for index in range(spec.images)]


def image_of(index: int, finished: Finished, recipe: Recipe) -> NewImage:
    """A finished picture to store, the shot's number `index`."""
    width, height = finished.width, finished.height
    png, gain_png = finished.png, finished.gain_png
    return NewImage(index, recipe.seed, width, height, png, finished.verdict, recipe, gain_png, finished.fingerprint)
