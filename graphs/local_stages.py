"""The flow's stages in one process: calls in threads, where a cluster has a deployment for each."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import cached_property, partial
from typing import Any, TypeVar

from graphs.local_models import Models
from packshot.batching import Painter, RenderBatcher, Rendered
from packshot.contract.shot_spec import Canvas, ShotSpec
from packshot.imaging.edges import canny
from packshot.models.packs.pack import Pack
from packshot.models.packs.served import not_served
from packshot.references import References
from packshot.shots import Finished, Finisher, Fitted, LayoutFiles, Painted, Placed, Step, Understood
from packshot.shots.adapters import AdapterShelf
from packshot.shots.control_maps import control_maps
from packshot.shots.filming import filmed_by
from packshot.shots.finish import finish, finish_repaint
from packshot.shots.painting import paint_scene, scene_of
from packshot.shots.pictures import PictureFile
from packshot.shots.references import ReferenceReader
from packshot.shots.stages import ClipOrder, Filmed, Prepared, PreparedRepaint, Proofread, RepaintOrder, TextOrder
from packshot.shots.understand import Understandings
from packshot.store.assets import Assets
from packshot.telemetry.traces import span
from packshot.types import F32, Brief, ConditionMaps, EdgeMap, Framing, Understanding

__all__ = ["LocalStages", "PixelWork"]

Result = TypeVar("Result")

MAX_ROWS = 16
"""Most batch rows of a step, as in a replica of the generator."""


class PixelWork:
    """Runs the finisher's calls in threads, one at a time for each processor: each may hold a photo and its layers."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(os.cpu_count() or 1)

    async def run(self, call: Callable[..., Result], *args: Any, **options: Any) -> Result:
        """Run a call when there is a place."""
        async with self._places:
            return await asyncio.to_thread(call, *args, **options)


class LocalStages:
    """The flow's `Stages` as calls in threads of this process. `engines` are the packs that paint, by name."""

    def __init__(
        self, engines: Mapping[str, Pack], models: Models, assets: Assets, finisher: Finisher, pixels: PixelWork
    ) -> None:
        self._manifests = {name: pack.manifest for name, pack in engines.items()}
        self._pixels = pixels
        self._models = models
        self._finisher = finisher
        self._packs = dict(engines)
        self._readers: dict[str, ReferenceReader] = {}
        self._shelves: dict[str, AdapterShelf] = {}
        self._painters: dict[str, Painter] = {}
        self._loading = asyncio.Lock()
        self._assets = assets

    @cached_property
    def _products(self) -> Understandings:
        return Understandings(self._assets, self._models.understand, max_batch_size=1, thread=self._models.thread)

    def _references(self, engine: str) -> ReferenceReader:
        if engine not in self._readers:
            embeds = self._packs[engine].references == "embedding"
            encode = partial(self._models.encode_pictures, engine) if embeds else None
            self._readers[engine] = ReferenceReader(self._assets, encode, max_batch_size=8, thread=self._models.thread)
        return self._readers[engine]

    def _shelf(self, engine: str) -> AdapterShelf:
        if engine not in self._shelves:
            most = self._packs[engine].settings.adapter_cache_bytes
            load = partial(self._models.load_adapter, engine)
            self._shelves[engine] = AdapterShelf(self._assets, load, self._models.thread, max_bytes=most)
        return self._shelves[engine]

    def framing_of(self, canvas: Canvas, engine: str) -> Framing:
        if engine not in self._manifests:
            raise not_served(engine, self._manifests)
        return self._manifests[engine].framing(canvas)

    async def prepare(self, files: LayoutFiles, framing: Framing) -> Placed:
        return await self._pixels.run(self._finisher.prepare, files, framing)

    async def understand(self, files: LayoutFiles) -> Understood:
        products = await self._products.of([layer.cutout for layer in files.layers])
        return Understood(tuple(one.material for one in products), products)

    def edges(self, fitted: Fitted) -> EdgeMap:
        with span("edges"):
            return canny(fitted.flat)

    async def control_maps(
        self, fitted: Fitted, products: Sequence[Understanding] | None, spec: ShotSpec
    ) -> ConditionMaps:
        return await self._pixels.run(control_maps, fitted, products, spec, self.framing_of(spec.canvas, spec.engine))

    async def references(self, files: tuple[PictureFile, ...], strength: float, engine: str) -> References:
        return await self._references(engine).of(files, strength)

    async def paint(
        self,
        fitted: Fitted,
        edges: EdgeMap | None,
        brief: Brief,
        *,
        interactive: bool,
        alone: bool,
        maps: ConditionMaps | None = None,
        references: References | None = None,
    ) -> AsyncIterator[Step | Painted]:
        if brief.engine not in self._manifests:
            raise not_served(brief.engine, self._manifests)
        painter = await self._painter_of(brief.engine)
        adapters = await self._shelf(brief.engine).of(brief.adapters) if brief.adapters else ()
        scene = scene_of(fitted, edges, brief, maps, references, adapters)
        async with aclosing(paint_scene(painter, scene, interactive=interactive, alone=alone)) as painting:
            async for update in painting:
                if isinstance(update, Rendered):
                    stamp = await asyncio.to_thread(self._models.stamp, brief.engine)
                    yield Painted(update.render, stamp, update.milliseconds)
                else:
                    yield update

    async def _painter_of(self, name: str) -> Painter:
        """The painter of an engine, made at its first scene. An engine that paints nothing may be dropped for it."""
        if name in self._painters:
            return self._painters[name]
        async with self._loading:
            if name not in self._painters and self._models.remote(name):
                self._painters[name] = await asyncio.to_thread(self._models.remote_painter, name)
            elif name not in self._painters:
                local = {other: one for other, one in self._painters.items() if isinstance(one, RenderBatcher)}
                busy = {other for other, batcher in local.items() if batcher.waiting + batcher.begun}
                engine = await self._models.run(self._models.engine, name, busy)
                for other in local.keys() - set(self._models.loaded):
                    del self._painters[other]
                self._painters[name] = RenderBatcher(engine, max_rows=MAX_ROWS, thread=self._models.thread)
            return self._painters[name]

    async def finish(
        self, prepared: Prepared, painted: Painted, spec: ShotSpec, products: Sequence[Understanding] | None = None
    ) -> Finished:
        return await asyncio.to_thread(finish, prepared, painted, spec, products)

    async def prepare_repaint(self, order: RepaintOrder, framing: Framing) -> Placed:
        return await self._pixels.run(self._finisher.prepare_repaint, order, framing)

    async def finish_repaint(self, prepared: PreparedRepaint, painted: Painted, order: RepaintOrder) -> Finished:
        return await self._pixels.run(finish_repaint, prepared, painted, order)

    async def finish_plain(self, files: LayoutFiles, spec: ShotSpec) -> Finished:
        return await self._pixels.run(self._finisher.finish_plain, files, spec)

    async def proofread(self, png: bytes, order: TextOrder) -> Proofread:
        return await self._pixels.run(self._finisher.proofread, png, order)

    async def scene_depth(self, image_key: str) -> F32 | None:
        if not self._models.sees_scenes:
            return None
        return await self._products.scene_depth(image_key, self._models.scene_depth)

    async def film(self, order: ClipOrder) -> AsyncIterator[Step | Filmed]:
        async for update in filmed_by(self._finisher.film(order), self._pixels.run):
            yield update
