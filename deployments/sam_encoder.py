"""Photo id -> Embedding: each photo is encoded once, however many clicks follow.

Consistent hashing of the photo id sends all requests for a photo to one replica. There they share one computation and
then a cache, which is limited in bytes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from ray import serve

from deployments.ray_support.calls import require_progress
from deployments.ray_support.context import stage
from deployments.ray_support.deaths import leave_evidence
from deployments.ray_support.metrics import RayMeter
from deployments.ray_support.model_place import model_place
from deployments.ray_support.scale_to_zero import BY_SESSION
from packshot.batching import MicroBatcher, SingleFlight
from packshot.imaging.codec import read_photo
from packshot.settings import Settings
from packshot.store.assets import Assets
from packshot.types import Embedding, Photo


@dataclass(frozen=True)
class Encoded:
    """An embedding, and how long this caller waited for it in milliseconds."""

    embedding: Embedding
    encode_ms: float


@serve.deployment(
    name="sam_encoder",
    max_ongoing_requests=64,
    autoscaling_config={"min_replicas": 1, "max_replicas": 1, "target_ongoing_requests": 8},
    ray_actor_options={"num_cpus": 0.2},
    request_router_config=BY_SESSION,
    user_config={"max_batch_size": 4},
    health_check_period_s=5,
    graceful_shutdown_timeout_s=30,
    max_surge_percent=100,
)
@stage("sam_encoder")
class SamEncoderDeployment:
    """Encodes photos.

    `pack` names the pack. `threads` is the number of torch threads; 0 = torch's choice.
    `user_config`: `max_batch_size` is the largest number of photos in one call.
    """

    def __init__(self, pack: str, threads: int) -> None:
        from packshot.models.packs.pack import find_pack
        from packshot.models.segment.segmenter import load_segmenter

        leave_evidence()
        settings = Settings()
        place = model_place(threads, settings)
        self._encoder, _ = load_segmenter(find_pack(pack, settings), place.device, place.dtype)
        self._assets = Assets(settings.asset_root)
        self._meter = RayMeter()
        self._cache: SingleFlight[Embedding] = SingleFlight(
            settings.embedding_cache_bytes, lambda embedding: embedding.nbytes
        )
        self._batcher: MicroBatcher[Photo, Embedding] = MicroBatcher(
            self._encode_batch, max_batch_size=1, thread=place.thread
        )

    def reconfigure(self, user_config: dict[str, int]) -> None:
        self._batcher.max_batch_size = user_config["max_batch_size"]

    async def encode(self, photo_id: str, asset_key: str) -> Encoded:
        """Return the photo's embedding. `asset_key` names the photo's normalised PNG."""
        started_at, hits = time.perf_counter(), self._cache.hits
        embedding = await self._cache.get(photo_id, lambda: self._encode(asset_key))
        if self._cache.hits > hits:
            self._meter.count("packshot_embedding_cache_hits_total")
        return Encoded(embedding, (time.perf_counter() - started_at) * 1000)

    def check_health(self) -> None:
        require_progress("sam_encoder", self._batcher.clock)

    async def _encode(self, asset_key: str) -> Embedding:
        photo = await asyncio.to_thread(lambda: read_photo(self._assets.get(asset_key)))
        return await self._batcher.submit(photo)

    def _encode_batch(self, photos: Sequence[Photo]) -> list[Embedding]:
        self._meter.count("packshot_photo_encodes_total", len(photos))
        return self._encoder.encode(photos)
