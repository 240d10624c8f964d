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
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace

import uvicorn

from graphs.local_models import Models
from graphs.local_stages import LocalStages, PixelWork
from packshot.api.app import create_app
from packshot.api.decoding import LocalDecoder
from packshot.api.graph import Segmented
from packshot.api.pack_answers import PackAnswers
from packshot.batching import SingleFlight
from packshot.catalogue.producer import Producer
from packshot.contract.set_report import SetReport
from packshot.delivery.deliver import Delivered
from packshot.delivery.signing import load_signer
from packshot.errors import Unavailable
from packshot.imaging.codec import read_mask, read_photo
from packshot.models.matting import load_matting
from packshot.models.packs.pack import find_pack
from packshot.models.packs.served import pack_with, served_packs
from packshot.settings import Settings
from packshot.shots import CutoutFiles, DeliveryOrder, Director, DuePoll, Finisher, RunsEnded
from packshot.shots.finish import THUMBNAIL_PX
from packshot.shots.pictures import FoundStyle, PictureFile
from packshot.shots.stages import Examined, Region, RegionOrder
from packshot.store.records import NewMask, PhotoRecord
from packshot.store.store import Store
from packshot.telemetry.logs import configure_logs
from packshot.telemetry.traces import configure_traces
from packshot.types import Embedding, Found, Photo, Prompts, Stroke, Words

__all__ = ["serving_in_process"]

SHOTS_AT_ONCE = 6
"""Shots that run at once, as in a replica of the director."""

POLL_S = 1.0
"""Seconds between polls for shots that are due without a caller, such as a shot that is tried again."""

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


class LocalGraph(PackAnswers):
    """The API's `Graph` as calls in threads of this process. Use it from one event loop."""

    def __init__(self, store: Store, settings: Settings, *, freeze: bool = False) -> None:
        served = served_packs(settings)
        super().__init__(served, settings)
        for pack in self.packs.values():
            pack.check()
        self._store = store
        geometry, matting = (pack_with(role, served, settings) for role in ("geometry", "matting"))
        self._models = Models(
            find_pack(served.segmenter, settings),
            self.packs,
            settings,
            geometry=geometry,
            detector=self.detector_pack,
            freeze=freeze,
        )
        signer = load_signer(settings)
        self.signing_key_id = signer.key_id
        self._finisher = Finisher(store.assets, load_matting(matting), signer)
        self._embeddings: SingleFlight[Embedding] = SingleFlight(
            settings.embedding_cache_bytes, lambda embedding: embedding.nbytes
        )
        self._pixels = PixelWork()
        stages = LocalStages(self.packs, self._models, store.assets, self._finisher, self._pixels)
        worker = f"one-process-{os.getpid()}"
        self._director = Director(
            store,
            stages,
            settings,
            worker=worker,
            places=SHOTS_AT_ONCE,
            engines=tuple(self.packs),
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

    async def find(self, photo: PhotoRecord, words: Words) -> Found:
        seen: Photo | Embedding
        if self.detector_reads == "photo":
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
            self._ended.notify()

    async def wait_for_any_completion(self, timeout_s: float) -> None:
        await self._ended.wait(timeout_s)

    async def metrics(self) -> str:
        return ""
