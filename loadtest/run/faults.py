"""Faults while loaded: a replica, the controller or the node is killed, a stage's process stopped and continued.

By signals, on a cluster that this run started. Two times are measured for each: until the part is back (a new process,
and the graph ready), and until the last bad answer after it was due (recovery, which the scenario bounds).
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from loadtest.errors import Broken
from loadtest.run.own_cluster import LocalCluster
from loadtest.scenarios.scenario import Fault

BACK_S = 180.0
LOOK_S = 0.25


@dataclass
class Struck:
    """A fault that happened. `back_s`: until the part was there again; None when it was not within BACK_S."""

    fault: Fault
    at_s: float
    back_s: float | None = None
    error: str = ""


@dataclass
class Chaos:
    """Strikes when the schedule says; `epoch`: second 0 of the schedule, by the wall's clock."""

    faults: Sequence[Fault]
    cluster: LocalCluster
    struck: list[Struck] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, epoch: float) -> None:
        self._thread = threading.Thread(target=self._run, args=(epoch,), daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Return when the last fault is over."""
        if self._thread is not None:
            self._thread.join()

    def abort(self) -> None:
        self._stop.set()

    def _run(self, epoch: float) -> None:
        for fault in sorted(self.faults, key=lambda fault: fault.at_s):
            if self._stop.wait(max(0.0, epoch + fault.at_s - time.time())):
                return
            struck = Struck(fault, time.time() - epoch)
            self.struck.append(struck)
            try:
                hit = self._strike(fault)
                struck.back_s = self._back(fault, hit, epoch + struck.at_s)
            except Broken as error:
                struck.error = str(error)

    def _strike(self, fault: Fault) -> set[int]:
        """Do it; the pids that were hit."""
        if fault.stop is not None:
            hit = set(self.cluster.signal(fault.stop, signal.SIGSTOP))
            self._stop.wait(fault.for_s)
            self.cluster.signal(fault.stop, signal.SIGCONT)
            return hit
        assert fault.kill is not None, "a fault kills or stops"
        hit = set(self.cluster.signal(fault.kill, signal.SIGKILL))
        if fault.kill == "node":
            self.cluster.restart()
        return hit

    def _back(self, fault: Fault, hit: set[int], struck_at: float) -> float | None:
        """Seconds until the part runs again (killed: as another process) and the graph is ready."""
        part = fault.kill or fault.stop
        assert part is not None, "a fault kills or stops"
        while time.time() - struck_at < BACK_S and not self._stop.is_set():
            pids = set(self.cluster.pids(part))
            if (pids - hit if fault.kill else pids) and self.cluster.ready():
                return time.time() - struck_at
            time.sleep(LOOK_S)
        return None


def recoveries_s(struck: Sequence[Struck], bad_at: Sequence[float], end_s: float) -> list[float]:
    """For each fault: seconds from it to when the last bad answer was due, up to the next fault; 0 without any."""
    found = []
    for index, one in enumerate(struck):
        until = struck[index + 1].at_s if index + 1 < len(struck) else end_s
        found.append(max((at - one.at_s for at in bad_at if one.at_s <= at < until), default=0.0))
    return found
