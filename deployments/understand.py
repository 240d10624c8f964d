"""Cutouts -> what is known of the products: geometry, how they lie, material. Each is understood once and then cached.

Only shots that need it call it, so a profile may let its replicas sleep. Consistent hashing of the first layer's mask
sends a product's shots to one replica, which has it in its cache.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from ray import serve

from deployments.ray_support.calls import require_progress
from deployments.ray_support.context import stage
from deployments.ray_support.deaths import leave_evidence
from deployments.ray_support.metrics import RayMeter
from deployments.ray_support.model_place import model_place
from deployments.ray_support.scale_to_zero import scale_to_zero
from packshot.settings import Settings
from packshot.shots import CutoutFiles
from packshot.shots.understand import Understandings
from packshot.store.assets import Assets
from packshot.types import F32, Cutout, Material, Understanding


@serve.deployment(**scale_to_zero("understand", max_batch_size=4, by_session=True))
@stage("understand")
class UnderstandDeployment:
    """Understands products. A replica without a GPU share runs on the CPU.

    `pack` names the pack. `threads` is the number of torch threads; 0 = torch's choice.
    `user_config`: `max_batch_size` is the largest number of cutouts in one call.
    """

    def __init__(self, pack: str, threads: int) -> None:
        from packshot.models.packs.pack import find_pack
        from packshot.models.understand.geometry import load_geometry
        from packshot.models.understand.understander import Understander

        leave_evidence()
        settings = Settings()
        place = model_place(threads, settings, needs_share=False)
        geometry = load_geometry(find_pack(pack, settings), place.device, place.dtype)
        self._understander = Understander(geometry)
        self._meter = RayMeter()
        self._products = Understandings(
            Assets(settings.asset_root), self._understand_batch, max_batch_size=1, thread=place.thread
        )

    def reconfigure(self, user_config: dict[str, int]) -> None:
        self._products.batcher.max_batch_size = user_config["max_batch_size"]

    async def understand(
        self, files: tuple[CutoutFiles, ...]
    ) -> AsyncIterator[tuple[Material, ...] | tuple[Understanding, ...]]:
        """Yield the materials of cutouts, then all that is known of them, in order.

        These are two responses of one call, so that the caller fetches the first and passes the other by reference.
        """
        found = await self._products.of(files)
        yield tuple(one.material for one in found)
        yield found

    async def scene_depth(self, image_key: str) -> F32 | None:
        """Find the depth of a stored picture; None when the pack's geometry knows products alone."""
        return await self._products.scene_depth(image_key, self._understander.scene_depth)

    def check_health(self) -> None:
        require_progress("understand", self._products.batcher.clock)

    def _understand_batch(self, cutouts: Sequence[Cutout]) -> list[Understanding]:
        self._meter.count("packshot_products_understood_total", len(cutouts))
        return self._understander.understand(cutouts)
