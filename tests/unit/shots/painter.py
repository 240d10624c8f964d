"""Stages that paint grey, and the store's rows as a test of a director sees and changes them."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace

import numpy as np
from sqlalchemy import update

from packshot.contract.shot_spec import Canvas, ShotSpec
from packshot.contract.verdict import Finding
from packshot.imaging.edges import canny
from packshot.references import ReferencePicture, References
from packshot.shots import Finished, Finisher, Fitted, LayoutFiles, Painted, Placed, Prepared, Step, Understood
from packshot.shots.control_maps import control_maps
from packshot.shots.filming import filmed_by
from packshot.shots.finish import finish, finish_repaint
from packshot.shots.pictures import PictureFile
from packshot.shots.stages import ClipOrder, Filmed, PreparedRepaint, Proofread, RepaintOrder, TextOrder
from packshot.store.records import ShotRecord
from packshot.store.schema import shot
from packshot.store.store import Store
from packshot.types import F32, Brief, ConditionMaps, EdgeMap, Framing, Render, Understanding
from tests.quick_stages import UNKNOWN
from tests.specs import STAMP


class Painter:
    """Stages that paint grey at a quarter of the canvas, after raising each of `faults` once."""

    def __init__(self, store: Store, faults: Iterable[Exception] = (), held: bool = False) -> None:
        self.finisher = Finisher(store.assets)
        self.faults = list(faults)
        self.let_go = asyncio.Event()
        self.started = asyncio.Event()
        self.alone: list[bool] = []
        self.briefs: list[tuple[Brief, ConditionMaps | None]] = []
        self.material = UNKNOWN.material
        self.understood: list[LayoutFiles] = []
        self.shown: list[tuple[tuple[PictureFile, ...], float, str]] = []
        self.followed: list[References | None] = []
        self.depth: F32 | None = None
        self.seen: list[str] = []
        self.closed = 0
        if not held:
            self.let_go.set()

    def framing_of(self, canvas: Canvas, engine: str = "") -> Framing:
        return Framing.of_whole(canvas.width // 4, canvas.height // 4)

    async def prepare(self, files: LayoutFiles, framing: Framing) -> Placed:
        return await asyncio.to_thread(self.finisher.prepare, files, framing)

    async def understand(self, files: LayoutFiles) -> Understood:
        self.understood.append(files)
        products = tuple(replace(UNKNOWN, material=self.material) for _ in files.layers)
        return Understood(tuple(one.material for one in products), products)

    def edges(self, fitted: Fitted) -> EdgeMap:
        return canny(fitted.flat)

    async def control_maps(
        self, fitted: Fitted, products: Sequence[Understanding] | None, spec: ShotSpec
    ) -> ConditionMaps:
        return control_maps(fitted, products, spec, self.framing_of(spec.canvas, spec.engine))

    async def references(self, files: tuple[PictureFile, ...], strength: float, engine: str) -> References:
        self.shown.append((files, strength, engine))
        pixels = np.zeros((2, 2, 3), np.uint8)
        return References(tuple(ReferencePicture(file.weight, pixels=pixels) for file in files), strength)

    async def paint(
        self,
        fitted: Fitted,
        edges: EdgeMap,
        brief: Brief,
        *,
        interactive: bool,
        alone: bool,
        maps: ConditionMaps | None = None,
        references: References | None = None,
    ) -> AsyncIterator[Step | Painted]:
        self.followed.append(references)
        self.alone.append(alone)
        self.briefs.append((brief, maps))
        self.started.set()
        try:
            yield Step(1, brief.steps)
            await self.let_go.wait()
            if self.faults:
                raise self.faults.pop(0)
            yield Step(brief.steps, brief.steps, np.zeros((8, 8, 3), np.uint8))
            findings = (Finding("prompt", "ok", "read"),)
            yield Painted(Render(np.full_like(fitted.product, 90), brief.seed, findings), STAMP, {"steps": 12.34})
        finally:
            self.closed += 1

    async def finish(
        self, prepared: Prepared, painted: Painted, spec: ShotSpec, products: Sequence[Understanding] | None = None
    ) -> Finished:
        return await asyncio.to_thread(finish, prepared, painted, spec, products)

    async def prepare_repaint(self, order: RepaintOrder, framing: Framing) -> Placed:
        return await asyncio.to_thread(self.finisher.prepare_repaint, order, framing)

    async def finish_repaint(self, prepared: PreparedRepaint, painted: Painted, order: RepaintOrder) -> Finished:
        return await asyncio.to_thread(finish_repaint, prepared, painted, order)

    async def finish_plain(self, files: LayoutFiles, spec: ShotSpec) -> Finished:
        return await asyncio.to_thread(self.finisher.finish_plain, files, spec)

    async def proofread(self, png: bytes, order: TextOrder) -> Proofread:
        return await asyncio.to_thread(self.finisher.proofread, png, order)

    async def scene_depth(self, image_key: str) -> F32 | None:
        self.seen.append(image_key)
        return self.depth

    async def film(self, order: ClipOrder) -> AsyncIterator[Step | Filmed]:
        self.started.set()
        try:
            async for update in filmed_by(self.finisher.film(order), asyncio.to_thread):
                yield update
                await self.let_go.wait()
                if self.faults:
                    raise self.faults.pop(0)
        finally:
            self.closed += 1


def accepted(store: Store, request: ShotSpec) -> str:
    return store.shots.add(store.tenants.local().id, request, idempotency_key=None)[0].id


def now(store: Store, shot_id: str) -> ShotRecord:
    return store.shots.get(store.tenants.local().id, shot_id)


def expire_leases(store: Store) -> None:
    with store.database.write() as connection:
        connection.execute(update(shot).values(lease_until=0.0))


def make_due(store: Store) -> None:
    with store.database.write() as connection:
        connection.execute(update(shot).values(due_at=0.0))
