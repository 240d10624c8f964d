"""The product shot in one process, without Ray: for one command on a laptop.

    HTTP (loopback) ──> API ──> LocalGraph ──clicks──> segmenter
                         │          └────shots──> director ──> LocalStages: finisher, canny, engine (shared steps)
                      [ store ]

It serves the same API from the same store, and it runs the same flow. The stages are calls instead of deployments. A
cluster starts a process for each stage, and each of them loads its libraries; this starts the photo decoder's only. One
thread owns the models, and each model is loaded when it is first needed.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, TypeVar

import uvicorn

from graphs.local_models import Models
from packshot.api.app import create_app
from packshot.api.decoding import LocalDecoder
from packshot.api.graph import Segmented
from packshot.batching import Painter, RenderBatcher, Rendered, SingleFlight
from packshot.catalogue.producer import Producer
from packshot.contract.engines import EngineInfo
from packshot.contract.set_report import SetReport
from packshot.contract.shot_spec import Canvas, ShotSpec
from packshot.delivery.deliver import Delivered
from packshot.delivery.signing import load_signer
from packshot.errors import Unavailable
from packshot.imaging.codec import read_mask, read_photo
from packshot.imaging.edges import canny
from packshot.models.adapters.base import AdapterFit, check_base
from packshot.models.adapters.file import AdapterFile
from packshot.models.detect.phrases import Phrases, find_phrases
from packshot.models.engines.prompt_words import PromptReading, PromptWords
from packshot.models.matting import load_matting
from packshot.models.packs.pack import Pack, find_pack
from packshot.models.packs.served import detector_pack, find_engines, not_served, pack_with, served_packs
from packshot.references import References
from packshot.settings import Settings
from packshot.shots import (
    CutoutFiles,
    DeliveryOrder,
    Director,
    DuePoll,
    Finished,
    Finisher,
    Fitted,
    LayoutFiles,
    Painted,
    Placed,
    RunsEnded,
    Step,
    Understood,
)
from packshot.shots.adapters import AdapterShelf
from packshot.shots.control_maps import control_maps
from packshot.shots.filming import filmed_by
from packshot.shots.finish import THUMBNAIL_PX, finish, finish_repaint
from packshot.shots.pictures import FoundStyle, PictureFile
from packshot.shots.references import ReferenceReader
from packshot.shots.stages import (
    ClipOrder,
    Examined,
    Filmed,
    Prepared,
    PreparedRepaint,
    Proofread,
    Region,
    RegionOrder,
    RepaintOrder,
    TextOrder,
)
from packshot.shots.understand import Understandings
from packshot.store.assets import Assets
from packshot.store.records import NewMask, PhotoRecord
from packshot.store.store import Store
from packshot.telemetry.logs import configure_logs
from packshot.telemetry.traces import configure_traces, span
from packshot.training.jobs.check import check_training
from packshot.types import (
    F32,
    Brief,
    ConditionMaps,
    EdgeMap,
    Embedding,
    Found,
    Framing,
    Photo,
    Prompts,
    Scene,
    Stroke,
    Understanding,
    Words,
)

__all__ = ["serving_in_process"]

log = logging.getLogger(__name__)

Result = TypeVar("Result")

SHOTS_AT_ONCE = 6
"""Shots that run at once, as in a replica of the director."""

MAX_ROWS = 16
"""Most batch rows of a step, as in a replica of the generator."""

POLL_S = 1.0
"""Seconds between polls for shots that are due without a caller, such as a shot that is tried again."""

PREVIEW_EVERY_S = 2.0
START_TIMEOUT_S = 30.0


FREEZE_FROM = 4
"""Pictures from which tracing the networks pays: it takes 3 s of a core and then saves half of each step."""


@contextmanager
def serving_in_process(settings: Settings, *, pictures: int = 1) -> Iterator[str]:
    """Serve the API on a free loopback port from a thread of this process, and give the base URL.

    `settings` names the store and the packs, and must grant open access. `pictures` is how many pictures are expected.
    Raises PackRefused when the pack cannot render, and Unavailable when the server does not start.
    """
    if settings.log_format == "json":
        configure_logs("json", "one-process", sys.stderr)  # the standard output is the command's answer
    configure_traces(settings.traces, "one-process")
    with closing(Store.from_settings(settings)) as store, closing(LocalDecoder(settings)) as decoder:
        graph = LocalGraph(store, settings, freeze=pictures >= FREEZE_FROM)
        app = create_app(store=store, graph=graph, decoder=decoder, settings=settings)
        listener = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error").bind_socket()
        # Longer than clients keep a connection: one that closes here in that moment would lose their next request.
        config = uvicorn.Config(
            app, log_level="error", timeout_graceful_shutdown=1, timeout_keep_alive=75, ws="none", lifespan="off"
        )
        server = uvicorn.Server(config)
        producer = Producer(store, graph, decoder, settings, worker=f"one-process-{os.getpid()}")

        async def serve() -> None:
            producing = asyncio.create_task(producer.forever())
            try:
                await server.serve(sockets=[listener])
            finally:
                producing.cancel()

        thread = threading.Thread(target=lambda: asyncio.run(serve()), name="api")
        thread.start()
        try:
            give_up_at = time.monotonic() + START_TIMEOUT_S
            while not server.started:
                if not thread.is_alive() or time.monotonic() > give_up_at:
                    raise Unavailable("not_ready", f"the API must start within {START_TIMEOUT_S:g} s, it did not")
                time.sleep(0.01)
            graph.load_early()
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            graph.close()
            server.should_exit = True
            thread.join()
            producer.release()
            listener.close()


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
        reported: asyncio.Queue[Step | None] = asyncio.Queue()
        edges = edges or EdgeMap.none(fitted.repaint)
        adapters = await self._shelf(brief.engine).of(brief.adapters) if brief.adapters else ()
        scene = Scene(
            fitted.product, fitted.repaint, edges, brief, maps or ConditionMaps(), fitted.kept, references, adapters
        )
        rendering: asyncio.Task[Rendered] = asyncio.create_task(
            painter.render(
                scene,
                lambda index, steps, preview: reported.put_nowait(Step(index, steps, preview)),
                preview_every_s=PREVIEW_EVERY_S,
                interactive=interactive,
                alone=alone,
            )
        )
        rendering.add_done_callback(lambda _: reported.put_nowait(None))
        try:
            while (step := await reported.get()) is not None:
                yield step
            render, timing_ms = await rendering
            yield Painted(render, await asyncio.to_thread(self._models.stamp, brief.engine), timing_ms)
        finally:
            rendering.cancel()

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


class LocalGraph:
    """The API's `Graph` as calls in threads of this process. Use it from one event loop."""

    def __init__(self, store: Store, settings: Settings, *, freeze: bool = False) -> None:
        served = served_packs(settings)
        packs = find_engines(served, settings)
        for pack in packs.values():
            pack.check()
        segmenter, detector = find_pack(served.segmenter, settings), detector_pack(served, settings)
        self._detector_pack = detector
        self._packs = packs
        self._engines = tuple(pack.summary() for pack in packs.values())
        self._detector_reads = detector.manifest.detector_reads
        self._store = store
        geometry, matting = (pack_with(role, served, settings) for role in ("geometry", "matting"))
        self._models = Models(segmenter, packs, settings, geometry=geometry, detector=detector, freeze=freeze)
        signer = load_signer(settings)
        self.signing_key_id = signer.key_id
        self._finisher = Finisher(store.assets, load_matting(matting), signer)
        self._embeddings: SingleFlight[Embedding] = SingleFlight(
            settings.embedding_cache_bytes, lambda embedding: embedding.nbytes
        )
        self._pixels = PixelWork()
        stages = LocalStages(packs, self._models, store.assets, self._finisher, self._pixels)
        worker = f"one-process-{os.getpid()}"
        self._director = Director(
            store,
            stages,
            settings,
            worker=worker,
            places=SHOTS_AT_ONCE,
            engines=tuple(packs),
            freed=lambda: self._due.wake(),
        )
        self._due = DuePoll(
            lambda most: store.queue.due_count(self._director.worth_trying(most)),
            self._run_next,
            places=SHOTS_AT_ONCE,
            running=lambda: self._director.running,
            every_s=POLL_S,
        )
        self._poller: asyncio.Task[None] | None = None
        self._ended = RunsEnded()

    def load_early(self) -> None:
        """Begin to load the models and the default engine, so that they are there when the photo is."""
        name = self._engines[0].name
        self._models.thread.submit(
            lambda: (self._models.segmenter, self._models.remote(name) or self._models.engine(name))
        )

    def close(self) -> None:
        """Give running shots back to the store, and stop the models' thread after its present call."""
        self._director.release_all()
        self._models.thread.shutdown(wait=False, cancel_futures=True)

    async def ready(self) -> bool:
        return True

    async def segment(self, photo: PhotoRecord, prompts: Prompts, base_key: str | None) -> Segmented:
        started_at = time.perf_counter()
        embedding = await self._embeddings.get(photo.id, lambda: self._encode(photo.asset_key))
        encoded_at = time.perf_counter()
        if base_key is not None:
            base = await asyncio.to_thread(lambda: read_mask(self._store.assets.get(base_key)))
            prompts = replace(prompts, mask=base)
        masks = await self._models.run(self._models.segment, embedding, prompts)
        encode_ms, decode_ms = (encoded_at - started_at) * 1000, (time.perf_counter() - encoded_at) * 1000
        return Segmented(masks, {"queue": 0.0, "encode": encode_ms, "decode": decode_ms})

    trains = False
    """One process runs one command; `packshot train` trains without a server."""

    @property
    def finds_words(self) -> bool:
        return self._detector_reads is not None

    @cached_property
    def _phrases(self) -> Phrases | None:
        return find_phrases(self._detector_pack)

    def read_words(self, text: str) -> tuple[list[str], list[str]]:
        return (text.split(), []) if self._phrases is None else self._phrases.read(text)

    @cached_property
    def _prompt_words(self) -> PromptWords:
        return PromptWords(self._packs)

    def read_prompt(
        self, engine: str, prompt: str, triggers: Collection[str] = (), learned: Collection[str] = ()
    ) -> PromptReading:
        return self._prompt_words.read(engine, prompt, triggers, learned)

    async def find(self, photo: PhotoRecord, words: Words) -> Found:
        seen: Photo | Embedding
        if self._detector_reads == "photo":
            seen = await self._read(photo.asset_key)
        else:
            seen = await self._embeddings.get(photo.id, lambda: self._encode(photo.asset_key))
        return await self._models.run(self._models.find, seen, words)

    async def _encode(self, asset_key: str) -> Embedding:
        return await self._models.run(self._models.encode, await self._read(asset_key))

    async def _read(self, asset_key: str) -> Photo:
        return await asyncio.to_thread(lambda: read_photo(self._store.assets.get(asset_key)))

    async def paint(self, photo: PhotoRecord, base_key: str | None, strokes: tuple[Stroke, ...]) -> NewMask:
        return await self._pixels.run(self._finisher.paint, base_key, (photo.width, photo.height), strokes)

    async def mask_agrees(self, mask_key: str, points: tuple[tuple[float, float, int], ...]) -> bool:
        return await self._pixels.run(self._finisher.mask_agrees, mask_key, points)

    async def mask_png(self, mask_key: str, longest_px: int | None = None) -> bytes:
        return await self._pixels.run(self._finisher.mask_png, mask_key, longest_px)

    async def cutout(self, files: CutoutFiles) -> bytes:
        return await self._pixels.run(self._finisher.cutout_png, files)

    async def thumbnail(self, image_key: str, longest_px: int = THUMBNAIL_PX) -> bytes:
        return await self._pixels.run(self._finisher.thumbnail, image_key, longest_px)

    async def examine(self, png: bytes) -> Examined:
        return await self._pixels.run(self._finisher.examine, png)

    async def read_style(self, files: tuple[PictureFile, ...]) -> FoundStyle:
        return await self._pixels.run(self._finisher.read_style, files)

    async def report_png(self, report: SetReport, image_keys: Mapping[str, str]) -> bytes:
        return await self._pixels.run(self._finisher.report_png, report, image_keys)

    async def region(self, order: RegionOrder) -> Region:
        return await self._pixels.run(self._finisher.region, order)

    async def deliver(self, order: DeliveryOrder) -> Delivered:
        return await self._pixels.run(self._finisher.deliver, order)

    def submitted(self) -> None:
        self._due.wake()
        if self._poller is None or self._poller.done():
            # An empty context: a run takes the first shot of the queue, which another request may have brought.
            self._poller = asyncio.create_task(self._due.forever(), context=contextvars.Context())

    async def _run_next(self) -> str | None:
        try:
            return await self._director.run_next()
        finally:
            self._ended.tell()

    async def wait_for_any_completion(self, timeout_s: float) -> None:
        await self._ended.wait(timeout_s)

    async def check_adapter(self, engine: str, file: AdapterFile) -> AdapterFit:
        return await asyncio.to_thread(check_base, file, self._packs[engine])

    async def check_training(self, engine: str, tag: str) -> None:
        await asyncio.to_thread(check_training, self._packs[engine], tag)

    def engines(self) -> tuple[EngineInfo, ...]:
        return self._engines

    async def metrics(self) -> str:
        return ""
