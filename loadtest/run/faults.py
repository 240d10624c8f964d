"""Fault injection under load: kills a stage's replicas, the controller or the node, or stops a stage for a while.

Faults are injected by signals, only on a cluster that this run started. Two times are measured for each fault: until
the part is back (a new process runs and the graph is ready), and until the last bad answer was due (the recovery time,
which the scenario bounds).
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
"""Longest wait for a part to come back, seconds."""
LOOK_S = 0.25


@dataclass
class InjectedFault:
    """A fault that was injected at second `at_s` of the schedule.

    `back_s` is the time in seconds until the part was back, or None when it did not come back within BACK_S. `error`
    says why the injection failed; it is empty when it succeeded.
    """

    fault: Fault
    at_s: float
    back_s: float | None = None
    error: str = ""


@dataclass
class Chaos:
    """Injects the scenario's faults into a cluster, in a thread. `injected` holds those that were injected so far."""

    faults: Sequence[Fault]
    cluster: LocalCluster
    injected: list[InjectedFault] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, epoch: float) -> None:
        """Start the thread. `epoch` is the Unix time of second 0 of the schedule."""
        self._thread = threading.Thread(target=self._run, args=(epoch,), daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Return when the last fault is over and its part is back."""
        if self._thread is not None:
            self._thread.join()

    def abort(self) -> None:
        """Inject no further fault."""
        self._stop.set()

    def _run(self, epoch: float) -> None:
        for fault in sorted(self.faults, key=lambda fault: fault.at_s):
            if self._stop.wait(max(0.0, epoch + fault.at_s - time.time())):
                return
            injected = InjectedFault(fault, time.time() - epoch)
            self.injected.append(injected)
            try:
                signalled = self._inject(fault)
                injected.back_s = self._wait_until_back(fault, signalled, epoch + injected.at_s)
            except Broken as error:
                injected.error = str(error)

    def _inject(self, fault: Fault) -> set[int]:
        """Inject a fault. Returns the pids that were signalled."""
        if fault.stop is not None:
            signalled = set(self.cluster.signal(fault.stop, signal.SIGSTOP))
            self._stop.wait(fault.for_s)
            self.cluster.signal(fault.stop, signal.SIGCONT)
            return signalled
        assert fault.kill is not None, "a fault kills or stops"
        signalled = set(self.cluster.signal(fault.kill, signal.SIGKILL))
        if fault.kill == "node":
            self.cluster.restart()
        return signalled

    def _wait_until_back(self, fault: Fault, signalled: set[int], injected_at: float) -> float | None:
        """Seconds from `injected_at` until the graph is ready and the part runs (after a kill, as a new process)."""
        part = fault.kill or fault.stop
        assert part is not None, "a fault kills or stops"
        while time.time() - injected_at < BACK_S and not self._stop.is_set():
            pids = set(self.cluster.pids(part))
            if (pids - signalled if fault.kill else pids) and self.cluster.ready():
                return time.time() - injected_at
            time.sleep(LOOK_S)
        return None


def recoveries_s(injected: Sequence[InjectedFault], bad_at: Sequence[float], end_s: float) -> list[float]:
    """The recovery time of each fault: seconds until the last bad answer was due, before the next fault or `end_s`.

    `bad_at` holds when each bad answer was due, in seconds of the schedule. A fault without bad answers gives 0.
    """
    found = []
    for index, fault in enumerate(injected):
        until = injected[index + 1].at_s if index + 1 < len(injected) else end_s
        found.append(max((at - fault.at_s for at in bad_at if fault.at_s <= at < until), default=0.0))
    return found
