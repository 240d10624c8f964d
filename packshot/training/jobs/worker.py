"""Claims trainings, runs each in a process of its own, reports its progress, and keeps what it made."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import packshot
from packshot.contract.status import Status
from packshot.errors import BadInput, LeaseLost, NotFound, Overloaded, PackshotError, StorageFull, Unavailable
from packshot.meter import Meter, NoMeter
from packshot.models.adapters.base import check_base
from packshot.models.adapters.file import read_adapter
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings
from packshot.store.adapters import NewAdapter
from packshot.store.store import Store
from packshot.store.training_records import EndedTraining, Progress, TrainingClaim
from packshot.store.training_work import Beat
from packshot.telemetry.context import bound
from packshot.training.jobs.folder import LOG, Folder, Trouble

__all__ = ["TrainingWorker"]

OUTAGES = (Unavailable, StorageFull, Overloaded)
RETRY_CODES = ("storage_full", "not_ready")
WATCH_S = 1.0
"""Seconds between two looks at the folder."""
STATE_EVERY_S = 20.0
"""Shortest time between two states that are kept for a resume. The child writes one each epoch and two minutes."""
STOP_S = 90.0
"""Time that a cancelled training has to end its step and to save; then its process is killed."""
RETRY_S = 30.0
"""Back-off after a crash or an outage, times the attempt."""
ROOT = Path(packshot.__file__).resolve().parent.parent

log = logging.getLogger(__name__)


class TrainingWorker:
    """Runs trainings of `engines`, one after the other. `worker` is its name in the leases.

    `device` is that of its processes: auto, cpu or cuda. `threads` is their number of torch threads; 0 = torch's
    choice. Call `close` when it stops: a running process is killed, and its training is given back.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        *,
        worker: str,
        engines: Sequence[str],
        device: str = "auto",
        threads: int = 0,
        watch_s: float = WATCH_S,
        meter: Meter | None = None,
    ) -> None:
        self._store, self._settings, self._worker = store, settings, worker
        self._engines = tuple(engines)
        self._device, self._threads, self._watch_s = device, threads, watch_s
        self._meter = meter or NoMeter()
        self._running: _Run | None = None

    async def run_next(self) -> str | None:
        """Claim the first training that is due, run it and keep its result. Returns its id; None = none was due."""
        work = self._store.training_work
        claim = await asyncio.to_thread(work.claim, self._worker, self._engines)
        if claim is None:
            return None
        with bound(training=claim.id, tenant=claim.tenant):
            log.info(
                "claimed training %s, attempt %d, at step %d of %d", claim.id, claim.attempt, claim.step, claim.steps
            )
            try:
                await self._run(claim)
            except LeaseLost:
                log.warning("lost the lease of %s: another worker claimed it, or it was deleted", claim.id)
        return claim.id

    def close(self) -> None:
        """Kill the running process, and give its training back. It blocks."""
        run = self._running
        if run is not None:
            run.kill()
            with suppress(PackshotError):
                self._store.training_work.release(run.claim)

    async def _run(self, claim: TrainingClaim) -> None:
        root = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="packshot-training-"))
        run = self._running = _Run(claim, Folder(root, claim))
        try:
            await self._train(run)
        except asyncio.CancelledError:
            run.kill()
            await asyncio.shield(asyncio.to_thread(self._release, claim))
            raise
        finally:
            run.kill()
            self._running = None
            await asyncio.to_thread(run.folder.remove)

    def _release(self, claim: TrainingClaim) -> None:
        with suppress(PackshotError):
            self._store.training_work.release(claim)

    async def _train(self, run: _Run) -> None:
        _claim, folder = run.claim, run.folder
        try:
            await asyncio.to_thread(folder.prepare, self._store, device=self._device, threads=self._threads)
        except NotFound as error:  # the dataset was deleted meanwhile
            await self._end(run, Trouble("dataset_refused", error.detail))
            return
        except BadInput as error:
            await self._end(run, Trouble(error.code, error.detail))
            return
        except OUTAGES as error:
            await self._postpone(run, error.code, error.detail)
            return
        run.start()
        beat_at, state_at, stopped_at = 0.0, time.monotonic(), None
        while True:
            over = run.over()
            now = time.monotonic()
            if over or now - beat_at >= min(self._settings.heartbeat_s, self._settings.lease_s / 3):
                beat = await self._beat(run, with_state=now - state_at >= STATE_EVERY_S or (over and run.status != 0))
                beat_at = now
                if beat is not None:
                    state_at = now if run.packed else state_at
                    run.hear(beat)
            if over:
                break
            if run.why is not None:
                stopped_at = now if stopped_at is None else stopped_at
                step, _ = await asyncio.to_thread(folder.latest)
                if step == 0 or now - stopped_at > STOP_S:  # nothing was learned yet, or it hangs
                    run.kill()
                else:
                    await asyncio.to_thread(folder.stop)  # again and again: a child that just starts removes it
            await asyncio.sleep(self._watch_s)
        await self._finish(run)

    async def _beat(self, run: _Run, *, with_state: bool) -> Beat | None:
        """Report the progress. None when the store does not answer: the next heartbeat reports these seconds too."""
        spent_s = run.unpaid_s()
        try:
            progress: Progress = await asyncio.to_thread(run.folder.progress, spent_s, with_state=with_state)
            beat = await asyncio.to_thread(self._store.training_work.heartbeat, run.claim, progress)
        except OUTAGES as error:
            log.warning("the progress of %s was not kept, which will be tried again: %s", run.claim.id, error)
            return None
        run.paid(spent_s)
        run.packed = progress.state is not None
        run.attempt = 1 if run.packed else run.attempt
        self._meter.count("packshot_training_seconds_total", spent_s)
        return beat

    async def _finish(self, run: _Run) -> None:
        """End the training as its process ended."""
        folder, claim = run.folder, run.claim
        trouble = await asyncio.to_thread(folder.trouble)
        result = await asyncio.to_thread(folder.result)
        if result is not None and trouble is None:
            await self._end(run, None, result)
        elif run.why is not None:
            await self._end(run, None)
        elif trouble is not None and trouble.code in RETRY_CODES:
            await self._postpone(run, trouble.code, trouble.detail)
        elif trouble is not None:
            await self._end(run, trouble)
        else:
            log.error(
                "the process of %s ended with %s: %s", claim.id, run.status, await asyncio.to_thread(folder.log_tail)
            )
            rule = f"the training's process ended with status {run.status}; the log of its worker has the cause"
            await self._postpone(run, "engine_crash", rule)

    async def _postpone(self, run: _Run, code: str, detail: str) -> None:
        """Let it be tried again; after the last attempt it fails, and keeps what it has learned."""
        if run.attempt >= self._settings.max_attempts:
            await self._end(run, Trouble(code, detail))
            return
        wait_s = RETRY_S * run.attempt
        await self._keep(partial(self._store.training_work.postpone, run.claim, code, detail, wait_s))

    async def _end(self, run: _Run, trouble: Trouble | None, result: bytes | None = None) -> None:
        """End the training with its adapter: the whole one, or that of the step or epoch at which it ended."""
        folder = run.folder
        data = result or await asyncio.to_thread(folder.last_epoch)
        ended = None if result is None else await asyncio.to_thread(folder.ended)
        whole = ended == "whole"
        status: Status = "failed" if trouble else "cancelled" if run.why == CANCELLED and not whole else "done"
        why = None if whole or trouble else run.why or ended
        adapter, code, detail = None, trouble.code if trouble else None, trouble.detail if trouble else None
        step, _ = await asyncio.to_thread(folder.latest)
        if data is not None:
            try:
                adapter, step = await asyncio.to_thread(self._adapter, run.claim, data, whole=whole)
            except PackshotError as error:  # weights that are not finite
                status, code, detail, adapter = "failed", error.code, error.detail, None
        if status == "done" and adapter is None:
            status, code, detail, why = "failed", "budget_spent", f"{SPENT} before its first epoch was over", None
        how = EndedTraining(
            status=status,
            ended=why,
            code=code,
            detail=detail,
            adapter=adapter,
            data=data or b"",
            partial=adapter is not None and not whole,
        )
        await self._keep(partial(self._store.training_work.end, run.claim, how, step=step))
        self._meter.count("packshot_trainings_total", status=status)

    def _adapter(self, claim: TrainingClaim, data: bytes, *, whole: bool) -> tuple[NewAdapter, int]:
        """The adapter of a file, and its number of steps. Raises BadInput as an upload of the file would."""
        read = read_adapter(data)
        fit = check_base(read, find_pack(claim.engine, self._settings))
        lineage: Mapping[str, object] = json.loads(read.metadata.get("packshot.lineage", "{}"))
        steps = int(str(lineage.get("steps", claim.step)))
        lineage_json = json.dumps({"training": claim.id, "source": claim.order.source, **lineage})
        new = NewAdapter(
            name=claim.name if whole else f"{claim.name[:100]} (step {steps})",
            kind=read.kind,
            engine=claim.engine,
            family=fit.family,
            rank=read.rank,
            trigger=claim.order.tag,
            licence=claim.order.licence,
            trained_from=lineage_json[:2_000],
            notes=fit.notes,
        )
        return new, steps

    async def _keep(self, write: Callable[[], object]) -> None:
        """Call `write` until it succeeds. Raises an outage's error when it lasts longer than `max_outage_s`."""
        give_up_at = time.monotonic() + self._settings.max_outage_s
        while True:
            try:
                await asyncio.to_thread(write)
                return
            except OUTAGES as error:
                if time.monotonic() > give_up_at:
                    raise
                log.warning("the end of a training waits for the end of an outage: %s", error)
            await asyncio.sleep(self._watch_s)


CANCELLED = "it was cancelled"
SPENT = "the seconds of its device that it or its tenant may take were used up"


class _Run:
    """A training that runs here, and its process."""

    def __init__(self, claim: TrainingClaim, folder: Folder) -> None:
        self.claim, self.folder = claim, folder
        self.why: str | None = None
        """Why it is stopped; None = it is not."""
        self.packed = False
        self.attempt = claim.attempt
        """Attempts since it last made progress, this one included."""
        self.status: int | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._since = time.monotonic()

    def start(self) -> None:
        """Start the process. Its standard input stays open until this process ends."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        with (self.folder.root / LOG).open("wb") as errors:
            self._child = subprocess.Popen(  # noqa: S603 - this interpreter, and a folder that we made
                [sys.executable, "-m", "packshot.training.jobs.child", str(self.folder.root)],
                stdin=subprocess.PIPE,
                stdout=errors,
                stderr=errors,
                env=environment,
            )
        self._since = time.monotonic()

    def over(self) -> bool:
        """Whether the process has ended."""
        assert self._child is not None, "start() comes first"
        self.status = self._child.poll()
        return self.status is not None

    def kill(self) -> None:
        """Kill the process, and wait for its end."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            if self._child.stdin is not None:
                self._child.stdin.close()

    def hear(self, beat: Beat) -> None:
        """Keep why the training must stop."""
        if self.why is None and beat.cancelled:
            self.why = CANCELLED
        elif self.why is None and beat.left_s is not None and beat.left_s <= 0:
            self.why = SPENT

    def unpaid_s(self) -> float:
        """The seconds of the process that were not reported yet."""
        return time.monotonic() - self._since

    def paid(self, seconds: float) -> None:
        """Count these seconds as reported."""
        self._since += seconds
