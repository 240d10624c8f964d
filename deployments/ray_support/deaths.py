"""Why a replica died: of a fault of its own, or because it was stopped.

Ray reports the same system error for a segmentation fault and for a kill. So each replica that works on shots leaves
evidence on its node: Python's fault handler writes a note on SIGSEGV, SIGABRT, SIGBUS, SIGFPE and SIGILL, and a file
holds how often the kernel had killed a process of this cgroup for memory. When a call of the replica fails, a task on
that node reads both. Without evidence, or without the node, the replica was stopped.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import ray
from ray.exceptions import OutOfMemoryError, RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from packshot.errors import EngineCrashed, Interrupted

log = logging.getLogger("ray.serve")

READ_TIMEOUT_S = 60.0
"""Longest wait for a node's answer, in seconds. A node that does not answer is taken for a lost one."""

MEMORY_EVENTS = Path("/sys/fs/cgroup/memory.events")
"""The counters of version 2 of the kernel's cgroups; the cgroup of a container is its root."""


def leave_evidence() -> None:
    """Prepare this replica, so that `why` can tell a fault from a kill. Call it once, when the replica starts."""
    note = _note(ray.get_runtime_context().get_actor_id() or "")
    note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    note.with_suffix(".oom").write_text(str(oom_kills()))
    faulthandler.enable(note.open("w"), all_threads=False)  # the handler keeps the file open


def note_fault(reason: str) -> None:
    """Leave the note that this replica is at fault, for example because its model call has hung."""
    if ray.is_initialized():
        with suppress(OSError):
            _note(ray.get_runtime_context().get_actor_id() or "").write_text(reason)


def end_on_device_fault(error: Exception) -> None:
    """End this replica by SIGABRT after an error of its GPU: every later call of a CUDA context that failed fails, too.

    The shots that it ran are then retried, each unbatched, on another replica.
    """
    log.critical("the device failed, so this replica ends: %s", error)
    os.abort()


async def why(error: BaseException) -> EngineCrashed | Interrupted:
    """Return EngineCrashed when the replica whose call raised `error` died of a fault, else Interrupted.

    `error` is Ray's error of the call, or one that has it as its cause.
    """
    gone = error if isinstance(error, RayError) else error.__cause__
    if isinstance(gone, OutOfMemoryError):
        return EngineCrashed("a replica died while it ran this call: the node's memory was exhausted")
    name = type(gone).__name__
    if isinstance(gone, RayActorError) and gone.actor_id:
        fault = await asyncio.to_thread(_fault_of, gone.actor_id)
        if fault:
            return EngineCrashed(f"a replica died while it ran this call: {fault}")
    return Interrupted(f"a replica or its node was stopped while it ran this call: {name}")


def _fault_of(actor_id: str) -> str:
    """What a dead actor's node knows of its fault; "" when it knows of none, or the node is gone."""
    from ray._private.state import actors

    try:
        node_id = actors(actor_id)["Address"]["NodeID"]
        there = NodeAffinitySchedulingStrategy(node_id, soft=False)
        read = ray.remote(_read_fault).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
        return str(ray.get(read.remote(actor_id), timeout=READ_TIMEOUT_S))
    except (RayError, KeyError, OSError, RuntimeError, ValueError) as error:
        log.info("nothing is known of the death of actor %s: %r", actor_id, error)
        return ""


def _read_fault(actor_id: str) -> str:
    note = _note(actor_id)
    with suppress(OSError):
        if text := note.read_text().strip():
            return text.splitlines()[0][:200]
    with suppress(OSError, ValueError):
        if oom_kills() > int(note.with_suffix(".oom").read_text()):
            return "the kernel killed a process of its node for memory"
    return ""


def _note(actor_id: str) -> Path:
    return Path(tempfile.gettempdir()) / f"packshot-{os.getuid()}" / "replicas" / f"{actor_id}.fault"


def oom_kills() -> int:
    """How many processes of this cgroup the kernel has killed for memory; 0 where it does not say."""
    with suppress(OSError, ValueError):
        for line in MEMORY_EVENTS.read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0
