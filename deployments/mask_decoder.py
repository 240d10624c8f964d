"""Embedding + prompts -> masks: clicks on different photos share one call of the mask decoder."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

from ray import serve

from deployments.ray_support.calls import require_progress
from deployments.ray_support.context import stage
from deployments.ray_support.deaths import leave_evidence
from deployments.ray_support.metrics import RayMeter
from deployments.ray_support.model_place import model_place
from deployments.sam_encoder import Encoded
from packshot.api.graph import Segmented
from packshot.batching import MicroBatcher
from packshot.imaging.codec import read_mask
from packshot.settings import Settings
from packshot.shots.segmented import new_mask
from packshot.store.assets import Assets
from packshot.types import Embedding, MaskCandidate, Prompts


@serve.deployment(
    name="mask_decoder",
    max_ongoing_requests=64,
    autoscaling_config={"min_replicas": 1, "max_replicas": 1, "target_ongoing_requests": 16},
    ray_actor_options={"num_cpus": 0.2},
    user_config={"max_batch_size": 16},
    health_check_period_s=5,
    graceful_shutdown_timeout_s=30,
    max_surge_percent=100,
)
@stage("mask_decoder")
class MaskDecoderDeployment:
    """Decodes masks.

    `pack` names the pack. `threads` is the number of torch threads; 0 = torch's choice.
    `user_config`: `max_batch_size` is the largest number of clicks in one call.
    """

    def __init__(self, pack: str, threads: int) -> None:
        from packshot.models.packs.pack import find_pack
        from packshot.models.segment.segmenter import load_segmenter

        leave_evidence()
        settings = Settings()
        place = model_place(threads, settings)
        _, self._decoder = load_segmenter(find_pack(pack, settings), place.device, place.dtype)
        self._assets = Assets(settings.asset_root)
        self._meter = RayMeter()
        self._batcher: MicroBatcher[tuple[Embedding, Prompts], list[MaskCandidate]] = MicroBatcher(
            self._decode_batch, max_batch_size=1, thread=place.thread
        )

    def reconfigure(self, user_config: dict[str, int]) -> None:
        self._batcher.max_batch_size = user_config["max_batch_size"]

    async def decode(self, encoded: Encoded, prompts: Prompts, base_key: str | None) -> Segmented:
        """Decode a click. Candidates are sorted best first and are PNGs, small enough to travel by value.

        `base_key` names the asset of an earlier mask that the prompts improve; None starts anew.
        """
        started_at = time.perf_counter()
        if base_key is not None:
            base = await asyncio.to_thread(lambda: read_mask(self._assets.get(base_key)))
            prompts = replace(prompts, mask=base)
        candidates = await self._batcher.submit((encoded.embedding, prompts))
        masks = await asyncio.to_thread(lambda: tuple(new_mask(candidate) for candidate in candidates))
        decode_ms = (time.perf_counter() - started_at) * 1000
        return Segmented(masks, {"encode": encoded.encode_ms, "decode": decode_ms})

    def check_health(self) -> None:
        require_progress("mask_decoder", self._batcher.clock)

    def _decode_batch(self, requests: Sequence[tuple[Embedding, Prompts]]) -> list[list[MaskCandidate]]:
        self._meter.count("packshot_mask_decodes_total", len(requests))
        return self._decoder.decode(requests)
