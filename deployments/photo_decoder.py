"""Upload -> NormalisedPhoto, for profiles that move this work out of the gateway. CPU only.

The bytes are untrusted, so a worker process of this replica decodes them with limits on time and memory.
"""

from __future__ import annotations

from ray import serve

from deployments.ray_support.context import stage
from deployments.ray_support.worker_threads import WorkerThreads
from packshot.api.decoding import StoredPhoto, decode_upload, photo_decoder
from packshot.delivery.provenance import C2paFound
from packshot.imaging.decoding.results import NormalisedPhoto, UploadedMask
from packshot.settings import Settings
from packshot.store.assets import Assets
from packshot.store.records import UploadRecord


@serve.deployment(
    name="photo_decoder",
    max_ongoing_requests=2,
    autoscaling_config={"min_replicas": 1, "max_replicas": 1, "target_ongoing_requests": 1},
    ray_actor_options={"num_cpus": 0.5},
    health_check_period_s=5,
    graceful_shutdown_timeout_s=60,
    max_surge_percent=100,
)
@stage("photo_decoder")
class PhotoDecoderDeployment:
    """Decodes uploads. The settings give its limits and its number of worker processes."""

    def __init__(self) -> None:
        settings = Settings()
        self._decoder = photo_decoder(settings)
        self._assets = Assets(settings.asset_root, settings.max_asset_bytes)
        self._threads = WorkerThreads("photo_decoder", settings.decode_workers)

    async def normalise(self, data: bytes, claimed_type: str | None) -> NormalisedPhoto:
        """Rebuild an upload from its pixels. `claimed_type` is the media type that the client declared."""
        return await self._threads.run(self._decoder.normalise, data, claimed_type)

    async def normalise_upload(self, upload: UploadRecord) -> StoredPhoto:
        """Rebuild a photo from a file in the asset root, and write it there."""
        return await self._threads.run(decode_upload, self._decoder, self._assets, upload)

    async def read_mask(self, data: bytes, width: int, height: int) -> UploadedMask:
        """Read a mask that a person sends for a photo of `width` x `height` pixels."""
        return await self._threads.run(self._decoder.read_mask, data, width, height)

    async def read_manifest(self, data: bytes, anchors: str) -> C2paFound:
        """Read the C2PA manifest of a file. `anchors` are trusted certificates as PEM."""
        return await self._threads.run(self._decoder.read_manifest, data, anchors)

    def __del__(self) -> None:
        self._decoder.close()
