"""Photos, masks and renders -> finished pictures, cutouts and deliveries: the pixel work outside the models. CPU only.

It reads assets and writes only the cutouts that it keeps, so a call that failed because its replica died can be
repeated. The matting network of a pack that has one runs here too, because a cutout is made once and then kept. A
layout is returned as two objects in Ray's store; the stages that need one get its reference.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

import cv2
import ray
from ray import serve

from deployments.ray_support.calls import require_progress
from deployments.ray_support.context import stage
from deployments.ray_support.deaths import leave_evidence
from deployments.ray_support.worker_threads import WorkerThreads
from packshot.contract.set_report import SetReport
from packshot.contract.shot_spec import ShotSpec
from packshot.delivery.deliver import Delivered
from packshot.imaging.fingerprint import Fingerprint
from packshot.settings import Settings
from packshot.shots import CutoutFiles, DeliveryOrder, Finished, Finisher, Fitted, LayoutFiles, Painted, Prepared
from packshot.shots.control_maps import control_maps
from packshot.shots.filming import filmed_by
from packshot.shots.finish import THUMBNAIL_PX, finish, finish_repaint
from packshot.shots.pictures import FoundStyle, PictureFile
from packshot.shots.stages import (
    ClipOrder,
    Examined,
    Filmed,
    PreparedRepaint,
    Proofread,
    Region,
    RegionOrder,
    RepaintOrder,
    Step,
    TextOrder,
)
from packshot.store.assets import Assets
from packshot.store.records import NewMask
from packshot.types import ConditionMaps, Framing, Stroke, Understanding


@serve.deployment(
    name="finisher",
    max_ongoing_requests=4,
    autoscaling_config={"min_replicas": 1, "max_replicas": 1, "target_ongoing_requests": 2},
    ray_actor_options={"num_cpus": 0.2},
    health_check_period_s=5,
    graceful_shutdown_timeout_s=60,
    max_surge_percent=100,
)
@stage("finisher")
class FinisherDeployment:
    """Runs one call at a time for each whole CPU it has. A call may hold a photo of 50 megapixels and its layers.

    `pack` names the pack whose matting network finds the edges of cutouts.
    """

    def __init__(self, pack: str) -> None:
        from packshot.delivery.signing import load_signer
        from packshot.models.matting import load_matting
        from packshot.models.packs.pack import find_pack

        leave_evidence()
        cv2.setNumThreads(1)  # a call keeps one CPU busy
        cpus = ray.get_runtime_context().get_assigned_resources().get("CPU", 1.0)
        settings = Settings()
        matting = load_matting(find_pack(pack, settings))
        assets = Assets(settings.asset_root, settings.max_asset_bytes)
        self._finisher = Finisher(assets, matting, load_signer(settings))
        self._threads = WorkerThreads("finisher", max(1, int(cpus)))

    async def prepare(self, files: LayoutFiles, framing: Framing) -> AsyncIterator[bool | Fitted | Prepared]:
        """Yield whether the product covers the canvas, the layout in the scene of `framing`, and at the canvas's size.

        These are three responses of one call, so that the caller fetches the first and passes the others by reference.
        """
        placed = await self._threads.run(self._finisher.prepare, files, framing)
        yield placed.covered
        yield placed.fitted
        yield placed.prepared

    async def prepare_repaint(
        self, order: RepaintOrder, framing: Framing
    ) -> AsyncIterator[bool | Fitted | PreparedRepaint]:
        """Prepare a picture or photo to repaint, in the three responses of `prepare`."""
        placed = await self._threads.run(self._finisher.prepare_repaint, order, framing)
        yield placed.covered
        yield placed.fitted
        yield placed.prepared

    async def finish_repaint(self, prepared: PreparedRepaint, painted: Painted, order: RepaintOrder) -> Finished:
        """Paste a painted scene into the picture or photo that it repaints."""
        return await self._threads.run(finish_repaint, prepared, painted, order)

    async def region(self, order: RegionOrder) -> Region:
        """Draw the region of a touch-up."""
        return await self._threads.run(self._finisher.region, order)

    async def finish(
        self, prepared: Prepared, painted: Painted, spec: ShotSpec, products: Sequence[Understanding] | None = None
    ) -> Finished:
        """Finish a picture from a prepared layout and its painted scene. `products` is for a shot with `relight`."""
        return await self._threads.run(finish, prepared, painted, spec, products)

    async def control_maps(
        self, fitted: Fitted, products: tuple[Understanding, ...] | None, spec: ShotSpec, framing: Framing
    ) -> ConditionMaps:
        """Make the maps of the shot's conditions besides the edges, in the scene of `framing`."""
        return await self._threads.run(control_maps, fitted, products, spec, framing)

    async def finish_plain(self, files: LayoutFiles, spec: ShotSpec) -> Finished:
        """Finish a picture that needs no engine."""
        return await self._threads.run(self._finisher.finish_plain, files, spec)

    async def proofread(self, png: bytes, order: TextOrder) -> Proofread:
        """Compare the text of a finished picture with its products'. The first call of a replica loads the reader."""
        return await self._threads.run(self._finisher.proofread, png, order)

    async def mask_png(self, mask_key: str, longest_px: int | None) -> bytes:
        """Encode a stored mask as an 8-bit PNG, reduced to `longest_px` if given."""
        return await self._threads.run(self._finisher.mask_png, mask_key, longest_px)

    async def cutout_png(self, files: CutoutFiles) -> bytes:
        """Return the cutout as an RGBA PNG. The first call for a mask makes it."""
        return await self._threads.run(self._finisher.cutout_png, files)

    async def paint(self, mask_key: str | None, size: tuple[int, int], strokes: tuple[Stroke, ...]) -> NewMask:
        """Paint brush strokes on a stored mask, or on an empty one."""
        return await self._threads.run(self._finisher.paint, mask_key, size, strokes)

    async def mask_agrees(self, mask_key: str, points: tuple[tuple[float, float, int], ...]) -> bool:
        """Whether points lie on the right side of a stored mask's border."""
        return await self._threads.run(self._finisher.mask_agrees, mask_key, points)

    async def thumbnail(self, image_key: str, longest_px: int = THUMBNAIL_PX) -> bytes:
        """Encode a small copy of a picture as a PNG."""
        return await self._threads.run(self._finisher.thumbnail, image_key, longest_px)

    async def examine(self, png: bytes) -> Examined:
        """Find the fingerprint and the watermark of a decoded file."""
        return await self._threads.run(self._finisher.examine, png)

    async def fingerprint(self, asset_key: str) -> Fingerprint | None:
        """Find the fingerprint of a stored picture or delivered file."""
        return await self._threads.run(self._finisher.fingerprint, asset_key)

    async def read_style(self, files: tuple[PictureFile, ...]) -> FoundStyle:
        """Read the palette and the light of reference pictures."""
        return await self._threads.run(self._finisher.read_style, files)

    async def report_png(self, report: SetReport, image_keys: Mapping[str, str]) -> bytes:
        """Draw a catalogue's set report as a PNG."""
        return await self._threads.run(self._finisher.report_png, report, image_keys)

    async def deliver(self, order: DeliveryOrder) -> Delivered:
        """Convert an image to a channel's file."""
        return await self._threads.run(self._finisher.deliver, order)

    async def film(self, order: ClipOrder) -> AsyncIterator[Step | Filmed]:
        """Make a clip. Each frame is a call of its own, so that pictures are finished between two frames."""
        async for update in filmed_by(self._finisher.film(order), self._threads.run):
            yield update

    def check_health(self) -> None:
        require_progress("finisher", self._threads.clock)
