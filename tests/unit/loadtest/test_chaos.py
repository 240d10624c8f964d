"""Faults are injected into real processes, by signals, on schedule; here `sleep` processes stand in for replicas."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import psutil
import pytest

from loadtest.errors import Broken
from loadtest.run.faults import Chaos
from loadtest.run.own_cluster import LocalCluster
from loadtest.scenarios.scenario import Fault
from tests.receiver import wait_until


class Puppets(LocalCluster):
    """A cluster whose one generator is a `sleep`, started again by whoever looks for it, as Serve does."""

    def __init__(self, *, comes_back: bool = True) -> None:
        self.comes_back = comes_back
        self.children: list[subprocess.Popen[bytes]] = []
        self.start()

    def start(self) -> None:
        self.children.append(subprocess.Popen(["sleep", "60"]))

    restart = start

    def ready(self) -> bool:
        return True

    def pids(self, part: str) -> list[int]:
        if part not in ("generator", "node"):
            return []
        if self.children[-1].poll() is not None and self.comes_back:
            self.start()
        return [child.pid for child in self.children if child.poll() is None]

    def stop(self) -> None:
        for child in self.children:
            child.kill()
            child.wait()


@pytest.fixture
def puppets() -> Iterator[Puppets]:
    made = Puppets()
    yield made
    made.stop()


def inject(faults: list[Fault], cluster: Puppets, in_s: float = 0.0) -> Chaos:
    chaos = Chaos(faults, cluster)
    chaos.start(time.time() + in_s)
    return chaos


def test_a_killed_part_is_back_when_another_process_runs(puppets: Puppets) -> None:
    first = puppets.children[0]
    chaos = inject([Fault(at_s=0, kill="generator")], puppets)
    chaos.join()
    (injected,) = chaos.injected
    assert first.wait() == -signal.SIGKILL
    assert injected.back_s is not None
    assert injected.error == ""
    assert len(puppets.children) == 2


def test_a_stopped_part_stands_still_and_goes_on(puppets: Puppets, monkeypatch: pytest.MonkeyPatch) -> None:
    process = psutil.Process(puppets.children[0].pid)
    signal_now, sent = puppets.signal, []

    def watched(part: str, number: signal.Signals) -> list[int]:
        """Send it. Before the process may go on, it must stand still: who looks from outside may look too late."""
        if number == signal.SIGCONT:
            wait_until(lambda: process.status() == psutil.STATUS_STOPPED)
        sent.append(number)
        return signal_now(part, number)

    monkeypatch.setattr(puppets, "signal", watched)
    chaos = inject([Fault(at_s=0, stop="generator", for_s=0.5)], puppets)
    chaos.join()
    assert sent == [signal.SIGSTOP, signal.SIGCONT]
    assert process.status() != psutil.STATUS_STOPPED
    assert chaos.injected[0].back_s is not None
    assert chaos.injected[0].back_s >= 0.5
    assert len(puppets.children) == 1


def test_a_killed_node_is_started_again(puppets: Puppets) -> None:
    chaos = inject([Fault(at_s=0, kill="node")], puppets)
    chaos.join()
    assert puppets.children[0].wait() == -signal.SIGKILL
    assert chaos.injected[0].back_s is not None


def test_a_fault_waits_for_its_time_and_can_be_called_off(puppets: Puppets) -> None:
    chaos = inject([Fault(at_s=3600, kill="generator")], puppets)
    chaos.abort()
    chaos.join()
    assert chaos.injected == []
    assert puppets.children[0].poll() is None


def test_a_fault_without_a_process_to_signal_records_an_error(puppets: Puppets) -> None:
    chaos = inject([Fault(at_s=0, kill="controller")], puppets)
    chaos.join()
    assert chaos.injected[0].back_s is None
    assert "no process of controller runs" in chaos.injected[0].error
    with pytest.raises(Broken):
        puppets.signal("gateway", signal.SIGTERM)


def test_only_processes_of_the_cluster_are_ever_signalled(puppets: Puppets) -> None:
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        chaos = inject([Fault(at_s=0, kill="node")], puppets)
        chaos.join()
        assert bystander.poll() is None
        os.kill(bystander.pid, 0)
    finally:
        bystander.kill()
        bystander.wait()
