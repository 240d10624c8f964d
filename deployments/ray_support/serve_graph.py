"""The API's `Graph` and `Decoder` over Serve handles, for the gateway and the producer.

Neither processes pixels. The encoder and the mask decoder answer clicks, and the detector words; embeddings pass
between them by reference. The finisher makes masks, cutouts and deliveries. An accepted shot is a row in the store,
followed by one call of the director.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import time
from collections.abc import Mapping
from typing import Any

from ray import serve
from ray.serve.handle import DeploymentHandle, DeploymentResponse
from ray.serve.schema import ApplicationStatus

from deployments.ray_support.calls import await_with_arguments, retry_once, to_packshot_error
from deployments.ray_support.context import with_context
from deployments.ray_support.metrics import node_metrics, report
from deployments.ray_support.status import application_overview
from packshot.api.decoding import StoredPhoto
from packshot.api.graph import Segmented
from packshot.api.pack_answers import PackAnswers
from packshot.contract.set_report import SetReport
from packshot.delivery.deliver import Delivered
from packshot.delivery.provenance import C2paFound
from packshot.delivery.signing import signing_key_id
from packshot.imaging.decoding.results import NormalisedPhoto, UploadedMask
from packshot.meter import Sample
from packshot.models.packs.served import Served
from packshot.settings import Settings
from packshot.shots import CutoutFiles, DeliveryOrder, RunsEnded
from packshot.shots.finish import THUMBNAIL_PX
from packshot.shots.pictures import FoundStyle, PictureFile
from packshot.shots.stages import Examined, Region, RegionOrder
from packshot.store.gauges import connection_gauges, queue_gauges
from packshot.store.records import NewMask, PhotoRecord, UploadRecord
from packshot.store.store import Store
from packshot.types import Found, Prompts, Stroke, Words

log = logging.getLogger("ray.serve")

CALLS_AT_ONCE = 256
"""Calls of the director that wait for one gateway's shots. The directors' own polls find the shots beyond these."""

READY_FOR_S = 2.0
"""Seconds for which a positive readiness answer of the controller is cached."""

GAUGES_FOR_S = 10.0
"""Seconds for which the queue's gauges are cached, because reading them counts the waiting shots."""


class ServeDecoder:
    """The API's `Decoder` over the handle of photo_decoder."""

    at_once = 8
    """Uploads that this gateway sends at a time: enough for the autoscaler to see that more replicas are needed."""

    def __init__(self, photo_decoder: DeploymentHandle[Any]) -> None:
        self._photo_decoder = with_context(photo_decoder)

    async def normalise(self, data: bytes, claimed_type: str | None) -> NormalisedPhoto:
        return await retry_once(lambda: self._photo_decoder.normalise.remote(data, claimed_type))

    async def normalise_upload(self, upload: UploadRecord) -> StoredPhoto:
        return await retry_once(lambda: self._photo_decoder.normalise_upload.remote(upload))

    async def read_mask(self, data: bytes, width: int, height: int) -> UploadedMask:
        return await retry_once(lambda: self._photo_decoder.read_mask.remote(data, width, height))

    async def read_manifest(self, data: bytes, anchors: str) -> C2paFound:
        return await retry_once(lambda: self._photo_decoder.read_manifest.remote(data, anchors))


class ServeGraph(PackAnswers):
    """The API's `Graph` over Serve handles."""

    def __init__(
        self,
        served: Served,
        settings: Settings,
        store: Store,
        encoder: DeploymentHandle[Any],
        mask_decoder: DeploymentHandle[Any],
        detector: DeploymentHandle[Any],
        finisher: DeploymentHandle[Any],
        director: DeploymentHandle[Any],
        *,
        trains: bool = False,
    ) -> None:
        super().__init__(served, settings)
        self.trains = trains
        self.signing_key_id = signing_key_id(settings)
        self._generators = served.generators
        self._store = store
        self._encoder = with_context(encoder)
        self._mask_decoder = with_context(mask_decoder)
        self._detector = with_context(detector)
        self._finisher = with_context(finisher)
        self._director = director
        self._app = serve.get_replica_context().app_name
        self._calls: set[asyncio.Task[None]] = set()
        self._ready_at = 0.0
        self._ended = RunsEnded()
        self._gauges: list[Sample] = []
        self._gauges_at = -math.inf

    async def ready(self) -> bool:
        if time.monotonic() - self._ready_at < READY_FOR_S:
            return True
        overview = await asyncio.to_thread(application_overview, self._app)
        if overview.app_status.status != ApplicationStatus.RUNNING:
            return False
        self._ready_at = time.monotonic()
        return True

    async def segment(self, photo: PhotoRecord, prompts: Prompts, base_key: str | None) -> Segmented:
        encoder = self._encoder.options(session_id=photo.id)

        async def click() -> Segmented:
            # The response is passed on unawaited, so the embedding does not travel through the gateway.
            encoded = encoder.encode.remote(photo.id, photo.asset_key)
            assert isinstance(encoded, DeploymentResponse)
            return await await_with_arguments(self._mask_decoder.decode.remote(encoded, prompts, base_key), encoded)

        started_at = time.perf_counter()
        answer = await retry_once(click)
        total_ms = (time.perf_counter() - started_at) * 1000
        queue_ms = max(0.0, total_ms - sum(answer.timing_ms.values()))
        return Segmented(answer.masks, {"queue": queue_ms, **answer.timing_ms})

    async def find(self, photo: PhotoRecord, words: Words) -> Found:
        encoder = self._encoder.options(session_id=photo.id)

        async def look() -> Found:
            if self.detector_reads == "photo":
                found: Found = await self._detector.find.remote(photo.asset_key, words)
                return found
            encoded = encoder.encode.remote(photo.id, photo.asset_key)
            assert isinstance(encoded, DeploymentResponse)
            return await await_with_arguments(self._detector.find.remote(encoded, words), encoded)

        return await retry_once(look)

    async def paint(self, photo: PhotoRecord, base_key: str | None, strokes: tuple[Stroke, ...]) -> NewMask:
        size = (photo.width, photo.height)
        return await retry_once(lambda: self._finisher.paint.remote(base_key, size, strokes))

    async def mask_agrees(self, mask_key: str, points: tuple[tuple[float, float, int], ...]) -> bool:
        return await retry_once(lambda: self._finisher.mask_agrees.remote(mask_key, points))

    async def mask_png(self, mask_key: str, longest_px: int | None = None) -> bytes:
        return await retry_once(lambda: self._finisher.mask_png.remote(mask_key, longest_px))

    async def cutout(self, files: CutoutFiles) -> bytes:
        return await retry_once(lambda: self._finisher.cutout_png.remote(files))

    async def thumbnail(self, image_key: str, longest_px: int = THUMBNAIL_PX) -> bytes:
        return await retry_once(lambda: self._finisher.thumbnail.remote(image_key, longest_px))

    async def examine(self, png: bytes) -> Examined:
        return await retry_once(lambda: self._finisher.examine.remote(png))

    async def read_style(self, files: tuple[PictureFile, ...]) -> FoundStyle:
        return await retry_once(lambda: self._finisher.read_style.remote(files))

    async def report_png(self, report: SetReport, image_keys: Mapping[str, str]) -> bytes:
        return await retry_once(lambda: self._finisher.report_png.remote(report, image_keys))

    async def region(self, order: RegionOrder) -> Region:
        return await retry_once(lambda: self._finisher.region.remote(order))

    async def deliver(self, order: DeliveryOrder) -> Delivered:
        return await retry_once(lambda: self._finisher.deliver.remote(order))

    def submitted(self) -> None:
        if len(self._calls) >= CALLS_AT_ONCE:
            return
        # An empty context, because Serve cancels the calls of a request's context together with the request.
        call = asyncio.get_running_loop().create_task(self._run_next(), context=contextvars.Context())
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _run_next(self) -> None:
        try:
            await self._director.run_next.remote()
        except Exception as error:  # noqa: BLE001 - the shot is in the store, and the director's poll finds it
            log.warning("a director call failed: %r; the shot's state is in the store", to_packshot_error(error))
        finally:
            self._ended.notify()

    async def wait_for_any_completion(self, timeout_s: float) -> None:
        await self._ended.wait(timeout_s)

    async def metrics(self) -> str:
        if time.monotonic() - self._gauges_at > GAUGES_FOR_S:
            self._gauges = await asyncio.to_thread(queue_gauges, self._store, self._generators)
            self._gauges_at = time.monotonic()
        report(connection_gauges(self._store))
        return await node_metrics(self._gauges)
