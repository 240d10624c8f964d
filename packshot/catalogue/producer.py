"""The producer: makes a catalogue's rows into shots and files, in windows, and ends it.

    waiting rows ──open──> cut (masks) ──accept──> shots in the queue ──end──> files ──made, written──> row ends
                    │                       │
                    └── only while the tenant has fewer live shots than the window

Every state is in the store, and every step may be repeated: a producer that dies is followed by another one, which goes
on where it was. A row that cannot be made fails or is skipped with its reason, and holds nothing else up.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial

from packshot.api.accept import pick_engine
from packshot.api.decoding import Decoder
from packshot.api.graph import Graph
from packshot.catalogue.choose import choose
from packshot.catalogue.costs import costs_of
from packshot.catalogue.cutting import Cutter, RowFailed
from packshot.catalogue.filing import Filer
from packshot.catalogue.plan import Costs
from packshot.catalogue.proving import proof_of_item
from packshot.catalogue.rows import item_of, manifest_of, shots_of
from packshot.catalogue.shooting import shots_to_accept, with_master
from packshot.contract.status import LIVE, RowState
from packshot.errors import EngineFailed, NotFound, Overloaded, PackshotError, StorageFull, Unavailable
from packshot.settings import Settings
from packshot.store.catalogue_records import CatalogueRecord, CatalogueRow, EndedShot, LiveShot, OpenFile
from packshot.store.records import MaskRecord
from packshot.store.shot_filter import ShotFilter
from packshot.store.store import Store

log = logging.getLogger(__name__)

CUTS_AT_ONCE = 8
"""Rows whose photos are cut at once."""
FILES_AT_ONCE = 8
"""Files that are made at once."""
BUSY_POLL_S = 0.5
"""Seconds between two looks at catalogues that run."""
RETRY_AFTER_S = 5.0
"""Seconds before a row or a file is tried again that met an outage."""

SKIPPED = frozenset({"no_product", "product_not_found", "mask_empty", "mask_too_small"})
"""Codes with which a row is skipped: its photo has no product to show. With any other code it fails."""

Key = tuple[object, ...]


class Producer:
    """Works on the catalogues that no other producer holds.

    `graph` segments and makes files, and `decoder` reads untrusted ones. `worker` names this process in the leases.
    `may_start` is asked before the first claim: False keeps the producer in standby. It may block.
    Call `forever` in an event loop, and `release` when it stops.
    """

    def __init__(
        self,
        store: Store,
        graph: Graph,
        decoder: Decoder,
        settings: Settings,
        *,
        worker: str,
        may_start: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._work = store.catalogue_work
        self._graph = graph
        self._settings = settings
        self._worker = worker
        self._may_start = may_start
        self._started = False
        self._cutter = Cutter(store, graph, decoder, settings)
        self._filer = Filer(store, graph, settings)
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._troubled: dict[Key, tuple[float, float]] = {}  # when the trouble began, and when it is tried again
        self._costs: dict[str, Costs] = {}
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look for work now. Call it in the event loop's thread."""
        self._woken.set()

    async def forever(self) -> None:
        """Work until the task is cancelled. An error of the store is logged, and the next look tries again."""
        try:
            while True:
                busy = True
                try:
                    busy = await self.look()
                except Exception:
                    log.exception("the store did not answer; the next look tries again")
                with suppress(TimeoutError):
                    async with asyncio.timeout(BUSY_POLL_S if busy else self._settings.poll_s):
                        await self._woken.wait()
                self._woken.clear()
        finally:
            for task in self._tasks.values():
                task.cancel()

    def release(self) -> None:
        """Give the catalogues back, so that another producer need not wait for the leases' end. It blocks."""
        with suppress(PackshotError):
            self._work.release(self._worker)

    async def look(self) -> bool:
        """Do what can be done now on every catalogue. Returns whether one has work."""
        self._started = self._started or await asyncio.to_thread(self._may_start)
        if not self._started:
            return False
        records = await asyncio.to_thread(self._work.claim, self._worker, self._settings.lease_s)
        for record in records:
            await self._advance(record)
        self._costs = {one.id: self._costs[one.id] for one in records if one.id in self._costs}
        return bool(records)

    async def _advance(self, record: CatalogueRecord) -> None:
        live = await asyncio.to_thread(self._work.live_shots, record.id)
        over = [one for one in live if one.status not in LIVE]
        if over:
            ended = [await asyncio.to_thread(self._ended, record, one) for one in over]
            await asyncio.to_thread(self._work.shots_ended, record.id, ended)
        if record.state == "running":
            await self._open(record)
        for file in await asyncio.to_thread(self._work.files_to_make, record.id, 4 * FILES_AT_ONCE):
            key = ("file", record.id, file.place, file.entry, file.n, file.image_id)
            self._start(key, FILES_AT_ONCE, partial(self._filer.make, record, file), self._lost(record, file))
        if await asyncio.to_thread(self._work.settle, record.id):
            await asyncio.to_thread(self._filer.write_archives, record)
            await asyncio.to_thread(self._work.end, record.id)

    async def _open(self, record: CatalogueRecord) -> None:
        window = self._settings.catalogue_window
        await asyncio.to_thread(self._work.open_rows, record.id, window)
        for row in await asyncio.to_thread(self._work.rows_to_cut, record.id):
            self._start(
                ("cut", record.id, row.place, row.attempt),
                CUTS_AT_ONCE,
                partial(self._cut, record, row),
                partial(self._end_row, record, row.place),
            )
        for row in await asyncio.to_thread(self._work.rows_to_shoot, record.id):
            try:
                accepted = await asyncio.to_thread(self._accept, record, row, window)
            except NotFound:  # a mask expired or was deleted since: cut the photo again
                await asyncio.to_thread(self._work.set_masks, record.id, row.place, None)
                continue
            except PackshotError as error:
                if _passes(error):
                    raise
                await self._end_row(record, row.place, error.code, error.detail)
                continue
            for _ in range(accepted):
                self._graph.submitted()
            if accepted == 0:
                break  # the window is full, or the catalogue was paused

    async def _cut(self, record: CatalogueRecord, row: CatalogueRow) -> None:
        item = item_of(row.item or "")
        made = await self._cutter.cut(record, item, manifest_of(record.frame, []).defaults.find)
        note = None if made.note is None else (made.note.code, made.note.detail)
        await asyncio.to_thread(self._work.set_masks, record.id, row.place, made.masks, note)

    def _accept(self, record: CatalogueRecord, row: CatalogueRow, window: int) -> int:
        masks: Mapping[str, MaskRecord] = {
            mask_id: self._store.masks.get(record.tenant, mask_id) for mask_id in row.masks or ()
        }
        engines = self._graph.engines()
        look = manifest_of(record.frame, []).defaults
        proof = with_master(self._store, record, proof_of_item(look, item_of(row.item or "")))
        shots = shots_to_accept(record, row, masks, engines, self._costs_of(record), self._settings, proof)
        accepted, paused = self._work.accept(record.id, row.place, row.attempt, shots, window)
        if paused:
            log.info("catalogue %s was paused: %s", record.id, paused)
        return accepted

    def _costs_of(self, record: CatalogueRecord) -> Costs:
        if record.id not in self._costs:
            engine = pick_engine(manifest_of(record.frame, []).defaults.engine, self._graph.engines())
            ended, _ = self._store.shots.page(record.tenant, ShotFilter(status="done", kind="shot"), limit=20)
            self._costs[record.id] = costs_of(engine, ended)[0]
        return self._costs[record.id]

    def _ended(self, record: CatalogueRecord, one: LiveShot) -> EndedShot:
        """How a shot ended: the picture that is chosen of it, and the files to make of that. It blocks."""
        if one.status == "done":
            with suppress(NotFound):
                images = self._store.shots.get(record.tenant, one.shot_id).images
                item = item_of(one.item or "")
                planned = next((shot for shot in shots_of(record.frame, item) if shot.key == one.key), None)
                deliver = manifest_of(record.frame, [item]).deliver
                files = tuple((entry, n, deliver[entry].to) for entry, n in (planned.files if planned else ()))
                return EndedShot(one.place, one.key, choose(images).id, files)
        if one.status == "failed":
            return EndedShot(one.place, one.key, code=one.code, detail=one.detail)
        what = "was cancelled" if one.status == "cancelled" else "was deleted"
        return EndedShot(one.place, one.key, code="cancelled", detail=f"the row's shot {one.shot_id} {what}")

    def _start(
        self, key: Key, most: int, work: Callable[[], Awaitable[None]], lost: Callable[[str, str], Awaitable[None]]
    ) -> None:
        """Start a piece of work unless it runs, `most` of its kind run, or it waits for the end of an outage."""
        if key in self._tasks or sum(other[0] == key[0] for other in self._tasks) >= most:
            return
        if key in self._troubled and time.monotonic() < self._troubled[key][1]:
            return
        task: asyncio.Task[None] = asyncio.create_task(self._once(key, work, lost))
        self._tasks[key] = task
        task.add_done_callback(partial(self._over, key))

    def _over(self, key: Key, _: asyncio.Task[None]) -> None:
        self._tasks.pop(key, None)
        self.wake()

    async def _once(
        self, key: Key, work: Callable[[], Awaitable[None]], lost: Callable[[str, str], Awaitable[None]]
    ) -> None:
        """Do a piece of work. An outage postpones it; any other error ends it as `lost` says."""
        try:
            try:
                await work()
            except RowFailed as error:
                await lost(error.code, error.detail)
            except PackshotError as error:
                began, _ = self._troubled.get(key, (time.monotonic(), 0.0))
                if _passes(error) and time.monotonic() - began < self._settings.max_outage_s:
                    self._troubled[key] = (began, time.monotonic() + RETRY_AFTER_S)
                    log.warning("a row of a catalogue waits: %s", error)
                    return
                await lost(error.code, error.detail)
            except Exception:
                log.exception("a row of a catalogue met an internal error")
                await lost("internal", "An internal error. The log of the producer has its cause.")
            self._troubled.pop(key, None)
        except PackshotError as error:  # the store does not answer; the next look finds the same work
            self._troubled[key] = (time.monotonic(), time.monotonic() + RETRY_AFTER_S)
            log.warning("the end of a row's work could not be kept: %s", error)

    async def _end_row(self, record: CatalogueRecord, place: int, code: str, detail: str) -> None:
        state: RowState = "skipped" if code in SKIPPED else "failed"
        await asyncio.to_thread(self._work.end_row, record.id, place, state, code, detail)

    def _lost(self, record: CatalogueRecord, file: OpenFile) -> Callable[[str, str], Awaitable[None]]:
        async def keep(code: str, detail: str) -> None:
            await asyncio.to_thread(self._work.file_failed, record.id, file, code, detail)

        return keep


def _passes(error: PackshotError) -> bool:
    """Whether the same work may succeed later: something is out of service, full or busy."""
    retryable = isinstance(error, EngineFailed) and error.retryable
    return isinstance(error, (Unavailable, StorageFull, Overloaded)) or retryable
