"""A replica leaves evidence of a fault on its node, and none when it is stopped."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from deployments.ray_support import deaths
from packshot.models.device import model_thread

REPLICA = """
import os, signal, sys
from types import SimpleNamespace
import ray
ray.get_runtime_context = lambda: SimpleNamespace(get_actor_id=lambda: "ab12")
from deployments.ray_support import deaths
from pathlib import Path
deaths.MEMORY_EVENTS = Path(sys.argv[1])
deaths.leave_evidence()
if sys.argv[2] == "device":
    deaths.end_on_device_fault(RuntimeError("CUDA error: an illegal memory access was encountered"))
os.kill(os.getpid(), int(sys.argv[2]))
"""


@pytest.fixture
def replica_that_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], int]:
    """Run a replica that ends in the given way, and return its exit status."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    events = tmp_path / "memory.events"
    events.write_text("low 0\noom 3\noom_kill 2\n")
    monkeypatch.setattr(deaths, "MEMORY_EVENTS", events)

    def run(end: str) -> int:
        command = [sys.executable, "-c", REPLICA, str(events), end]
        environment = {"TMPDIR": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
        return subprocess.run(command, env=environment, check=False, stderr=subprocess.DEVNULL).returncode

    return run


@pytest.mark.parametrize(
    ("end", "status", "fault"),
    [
        (str(int(signal.SIGSEGV)), -signal.SIGSEGV, "Fatal Python error: Segmentation fault"),
        (str(int(signal.SIGABRT)), -signal.SIGABRT, "Fatal Python error: Aborted"),
        ("device", -signal.SIGABRT, "Fatal Python error: Aborted"),
        (str(int(signal.SIGKILL)), -signal.SIGKILL, ""),
        (str(int(signal.SIGTERM)), -signal.SIGTERM, ""),
    ],
)
def test_only_a_fault_leaves_a_note(replica_that_dies: Callable[[str], int], end: str, status: int, fault: str) -> None:
    assert replica_that_dies(end) == status
    assert deaths._read_fault("ab12") == fault
    assert deaths._read_fault("cd34") == ""


def test_a_kill_for_memory_since_the_replica_started_is_a_fault(
    replica_that_dies: Callable[[str], int], tmp_path: Path
) -> None:
    replica_that_dies(str(int(signal.SIGKILL)))
    (tmp_path / "memory.events").write_text("low 0\noom 4\noom_kill 3\n")
    assert "for memory" in deaths._read_fault("ab12")


async def test_an_error_of_the_device_is_reported_and_one_of_memory_is_not() -> None:
    def fail(error: Exception) -> None:
        raise error

    faults: list[Exception] = []
    thread: ThreadPoolExecutor = model_thread(1, faults.append)
    loop = asyncio.get_running_loop()
    for error in (torch.AcceleratorError("an illegal memory access"), torch.OutOfMemoryError("2 GiB")):
        with pytest.raises(type(error)):
            await loop.run_in_executor(thread, fail, error)
    assert [type(fault) for fault in faults] == [torch.AcceleratorError]
    assert await loop.run_in_executor(thread, lambda: 7) == 7
