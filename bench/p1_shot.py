"""P1: one shot through the graph over HTTP, against the same model calls in one process (idle machine, one image).

Both sides read the photo and the mask, cut, lay out, paint, composite, inspect and encode the PNG.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import numpy as np

from bench.harness import Row, interleave, report
from bench.session import Session, post, session
from packshot.contract.recipe import EngineStamp
from packshot.contract.shot_spec import Canvas, ShotSpec
from packshot.imaging.codec import read_png
from packshot.imaging.edges import canny
from packshot.models.device import pick_device, pick_dtype, use_threads
from packshot.models.engines.unet_controlnet import DiffusionEngine
from packshot.models.matting import load_matting
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings
from packshot.shots import Finished, Finisher, Fitted, LayoutFiles, Painted, Placed, Prepared, Stages, Step
from packshot.shots.finish import finish
from packshot.shots.flow import shoot
from packshot.store.assets import Assets
from packshot.store.store import Store
from packshot.types import Brief, EdgeMap, Framing, Scene, Understanding

ROW = Row("P1", "one shot over HTTP ÷ the same model calls in one process, p50, idle", 1.05)
STEPS = 60
THREADS = 2


class OneProcess:
    """The stages that the measured shot needs, as plain calls of one engine, without batcher, handles or copies."""

    def __init__(self, settings: Settings) -> None:
        pack = find_pack(settings.pack, settings)
        device = pick_device(settings.device)
        use_threads(THREADS)
        self._engine = DiffusionEngine(pack, device, pick_dtype(device, settings.dtype), freeze=True)
        self._manifest = pack.manifest
        self._finisher = Finisher(Assets(settings.asset_root), load_matting(pack))

    def framing_of(self, canvas: Canvas, engine: str = "") -> Framing:
        return self._manifest.framing(canvas)

    async def prepare(self, files: LayoutFiles, framing: Framing) -> Placed:
        return await asyncio.to_thread(self._finisher.prepare, files, framing)

    def edges(self, fitted: Fitted) -> EdgeMap:
        return canny(fitted.flat)

    async def finish(
        self, prepared: Prepared, painted: Painted, spec: ShotSpec, products: Sequence[Understanding] | None = None
    ) -> Finished:
        return await asyncio.to_thread(finish, prepared, painted, spec, products)

    async def finish_plain(self, files: LayoutFiles, spec: ShotSpec) -> Finished:
        return await asyncio.to_thread(self._finisher.finish_plain, files, spec)

    async def paint(
        self, fitted: Fitted, edges: EdgeMap, brief: Brief, *, interactive: bool, alone: bool, maps: None = None
    ) -> AsyncIterator[Step | Painted]:
        row = self._engine.begin(Scene(fitted.product, fitted.repaint, edges, brief))
        while not row.done:
            self._engine.step([row])
        yield Painted(self._engine.decode([row])[0], EngineStamp(pack={}, dtype="", device=""), {})


def main() -> int:
    """Measure and report."""
    with session() as served:
        body = {"layers": [{"mask_id": served.mask_id}], "prompt": "on a marble table", "seed": 7, "images": 1}
        body |= {"steps": STEPS, "canvas": {"width": 512, "height": 512}}
        shot = over_http(served, body)
        store = Store.from_settings(served.settings)
        stages = cast(Stages, OneProcess(served.settings))
        tenant = store.tenants.local().id
        spec = store.shots.get(tenant, shot["id"]).spec

        def in_process() -> bytes:
            return asyncio.run(shoot(store, tenant, spec, stages, lambda step: None))[0].png

        theirs = read_png(in_process())
        ours = read_png(served.http.get(shot["images"][0]["url"]).content)
        difference = int(np.abs(ours.astype(int) - theirs.astype(int)).max())
        if difference > 1:
            raise SystemExit(f"parity: pictures must agree within 1/255, got {difference}")
        sides = interleave(lambda: fetched(served, body), in_process)
    return 0 if report(ROW, sides, f"max difference {difference}/255") else 1


def over_http(served: Session, body: dict[str, Any]) -> dict[str, Any]:
    """Request a shot and wait for it. Exits when it fails."""
    shot = post(served.http, "/v1/shots", json=body, headers={"Prefer": "wait=100"})
    if shot["status"] != "done":
        raise SystemExit(f"the shot must end with status done, got {shot}")
    return shot


def fetched(served: Session, body: dict[str, Any]) -> bytes:
    """Request a shot and download its picture."""
    return served.http.get(over_http(served, body)["images"][0]["url"]).content


if __name__ == "__main__":
    raise SystemExit(main())
