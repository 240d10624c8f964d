"""Photo or embedding + words -> boxes of what the words name. Requests for different photos share one call.

Only requests with words call it, so a profile may let its replicas sleep. A detector that is a head on the segmenter's
features reads the embedding, which the encoder has in its cache; another one reads the photo.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ray import serve

from deployments.ray_support.calls import require_progress
from deployments.ray_support.context import stage
from deployments.ray_support.deaths import leave_evidence
from deployments.ray_support.metrics import RayMeter
from deployments.ray_support.model_place import model_place
from deployments.ray_support.scale_to_zero import scale_to_zero
from deployments.sam_encoder import Encoded
from packshot.batching import MicroBatcher
from packshot.errors import BadInput
from packshot.imaging.codec import read_photo
from packshot.models.detect import NOT_HERE
from packshot.settings import Settings
from packshot.store.assets import Assets
from packshot.types import Embedding, Found, Photo, Words


@serve.deployment(**scale_to_zero("detector", max_batch_size=4))
@stage("detector")
class DetectorDeployment:
    """Finds what words name. A replica without a GPU share runs on the CPU.

    `pack` names the pack. `threads` is the number of torch threads; 0 = torch's choice.
    `user_config`: `max_batch_size` is the largest number of photos in one call.
    """

    def __init__(self, pack: str, threads: int) -> None:
        from packshot.models.detect.detector import find_named, load_detector
        from packshot.models.packs.pack import find_pack

        leave_evidence()
        settings = Settings()
        place = model_place(threads, settings, needs_share=False)
        self._find_named = find_named
        self._detector = load_detector(find_pack(pack, settings), place.device, place.dtype)
        self._assets = Assets(settings.asset_root)
        self._meter = RayMeter()
        self._batcher: MicroBatcher[tuple[Photo | Embedding, Words], Found] = MicroBatcher(
            self._find_batch, max_batch_size=1, thread=place.thread
        )

    def reconfigure(self, user_config: dict[str, int]) -> None:
        self._batcher.max_batch_size = user_config["max_batch_size"]

    async def find(self, seen: Encoded | str, words: Words) -> Found:
        """Return what the words name in a photo.

        `seen` is the encoder's answer, or the key of the photo's normalised PNG: what `PackManifest.detector_reads`
        names. Raises BadInput `not_served` when the pack has no detector.
        """
        photo = seen.embedding if isinstance(seen, Encoded) else await asyncio.to_thread(self._read, seen)
        return await self._batcher.submit((photo, words))

    def check_health(self) -> None:
        require_progress("detector", self._batcher.clock)

    def _read(self, asset_key: str) -> Photo:
        return read_photo(self._assets.get(asset_key))

    def _find_batch(self, asked: Sequence[tuple[Photo | Embedding, Words]]) -> list[Found]:
        if self._detector is None:
            raise BadInput("not_served", NOT_HERE)
        self._meter.count("packshot_word_searches_total", len(asked))
        return self._find_named(self._detector, asked)
