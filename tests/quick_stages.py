"""Stages that make a picture of one pixel, for tests of the director and the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np

from packshot.contract.shot_spec import Canvas, ShotSpec
from packshot.contract.status import LIVE
from packshot.contract.verdict import Verdict
from packshot.imaging.codec import encode_png
from packshot.shots import Director, Finished, LayoutFiles, Painted, Placed, Step, Understood
from packshot.shots.pictures import PictureFile
from packshot.shots.stages import ClipOrder, Filmed, Proofread, RepaintOrder, TextOrder
from packshot.store.store import Store
from packshot.types import Brief, Framing, Geometry, Material, Render, Understanding
from tests.specs import STAMP

UNKNOWN = Understanding(
    Geometry(np.zeros((1, 1, 3), np.int8), np.zeros((1, 1), np.float32), np.zeros((1, 1), np.uint8)),
    np.zeros((1, 1), np.float32),
    np.zeros(1, np.float32),
    "upright",
    0.0,
    Material("opaque", 0.9),
)
"""A product of one pixel, of which nothing is known."""


class QuickStages:
    """Paints the seed. `step_s` is the time of a step in seconds. `held` keeps every shot at its last step."""

    def __init__(self, step_s: float = 0.0, *, held: bool = False) -> None:
        self.waiting = 0
        self.understood = 0
        self.let_go = asyncio.Event()
        self._step_s = step_s
        if not held:
            self.let_go.set()

    def framing_of(self, canvas: Canvas, engine: str = "") -> Framing:
        return Framing.of_whole(canvas.width, canvas.height)

    async def prepare(self, files: LayoutFiles, framing: Framing) -> Placed:
        return Placed(False, None, None)

    async def understand(self, files: LayoutFiles) -> Understood:
        self.understood += 1
        return Understood(tuple(UNKNOWN.material for _ in files.layers), tuple(UNKNOWN for _ in files.layers))

    def edges(self, fitted: Any) -> Any:
        return None

    async def control_maps(self, fitted: Any, products: Any, spec: ShotSpec) -> Any:
        return None

    async def references(self, files: tuple[PictureFile, ...], strength: float, engine: str) -> Any:
        return None

    async def paint(
        self,
        fitted: Any,
        edges: Any,
        brief: Brief,
        *,
        interactive: bool,
        alone: bool,
        maps: Any = None,
        references: Any = None,
    ) -> AsyncIterator[Step | Painted]:
        for index in range(1, brief.steps + 1):
            await asyncio.sleep(self._step_s)
            yield Step(index, brief.steps)
        self.waiting += 1
        await self.let_go.wait()
        pixel = np.full((1, 1, 3), brief.seed % 256, np.uint8)
        yield Painted(Render(pixel, brief.seed, ()), STAMP, {})

    async def finish(self, prepared: Any, painted: Painted, spec: ShotSpec, products: Any = None) -> Finished:
        return Finished(encode_png(painted.render.pixels), 1, 1, Verdict(), 0.0)

    async def prepare_repaint(self, order: RepaintOrder, framing: Framing) -> Placed:
        return Placed(False, None, None)

    async def finish_repaint(self, prepared: Any, painted: Painted, order: RepaintOrder) -> Finished:
        return Finished(encode_png(painted.render.pixels), 1, 1, Verdict(), 0.0)

    async def finish_plain(self, files: LayoutFiles, spec: ShotSpec) -> Finished:
        raise AssertionError("every shot of these tests has a painted background")

    async def proofread(self, png: bytes, order: TextOrder) -> Proofread:
        raise AssertionError("no shot of these tests asks for the proof of its text")

    async def scene_depth(self, image_key: str) -> None:
        return None

    async def film(self, order: ClipOrder) -> AsyncIterator[Step | Filmed]:
        for index in range(1, order.job.frames + 1):
            await asyncio.sleep(self._step_s)
            yield Step(index, order.job.frames)
        self.waiting += 1
        await self.let_go.wait()
        yield Filmed(b"clip", 2, 2)


async def direct_the_rest(directors: Sequence[Director], store: Store, shots: Sequence[str]) -> None:
    """Let each director run one shot, again and again until all `shots` of the local tenant have ended.

    A director that got too little of the processor may have lost its lease to another one, which then left its own.
    """
    tenant = store.tenants.local().id
    while any(store.shots.get(tenant, shot).status in LIVE for shot in shots):
        await asyncio.gather(*(one.run_next() for one in directors))
        await asyncio.sleep(0.05)  # while none is due
