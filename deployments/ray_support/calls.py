"""What Ray raises, told in our own errors; one retry for pure stages; health that includes last progress."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NoReturn, TypeVar

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, GetTimeoutError, ObjectLostError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentResponse

from packshot.errors import EngineCrashed, Overloaded, PackshotError, Unavailable

Result = TypeVar("Result")

REPLICA_GONE = (ActorDiedError, ActorUnavailableError, ObjectLostError)
STUCK_AFTER_S = 120.0
"""A model call that runs longer than this has hung: the replica is replaced."""
LOOK_EVERY_S = 1.0


def to_packshot_error(error: Exception) -> Exception:
    """The error that a caller should see for what a handle call raised."""
    if isinstance(error, RayTaskError):
        cause = error.cause
        return to_packshot_error(cause) if isinstance(cause, Exception) else error
    if _gone(error):
        return EngineCrashed(f"a replica died while it ran this: {type(error).__name__}")
    if isinstance(error, BackPressureError):
        return Overloaded("busy", "every worker of this stage is taken; try again in a second", retry_after_s=1.0)
    if isinstance(error, DeploymentUnavailableError):
        return Unavailable("not_ready", "a stage failed to start; see /readyz and the cluster's log")
    return error


async def retry_once(call: Callable[[], Awaitable[Result]]) -> Result:
    """The result of a pure stage: asked again, once, when its replica died (Serve does not retry accepted calls)."""
    try:
        return await call()
    except Exception as error:  # noqa: BLE001 - raised again, as ours
        if not _gone(error):
            _raise(error)
    try:
        return await call()
    except Exception as error:  # noqa: BLE001 - raised again, as ours
        _raise(error)


Argument = DeploymentResponse[Any] | ray.ObjectRef[Any]


async def await_with_arguments(call: Awaitable[Result], *arguments: Argument) -> Result:
    """The result of a call that was given `arguments` by reference. Raises an argument's error if it has one.

    It fetches no argument. A node that dies is unavailable before it is known to be dead, and Serve's router takes an
    argument that is unavailable for a callee that is: it would send the call again for ever. So whoever waits long
    looks at the arguments.
    """
    running = asyncio.ensure_future(call)
    references = [asyncio.ensure_future(_reference(argument)) for argument in arguments]
    for reference in references:
        reference.add_done_callback(lambda one: one.cancelled() or one.exception())  # the call raises it, too
    try:
        waiting = references
        while not (await asyncio.wait({running}, timeout=LOOK_EVERY_S))[0]:
            given = [reference for reference in waiting if reference.done() and not reference.exception()]
            there = [one for one in given if await asyncio.to_thread(_arrived, one.result())]
            waiting = [reference for reference in waiting if reference not in there]
            if not waiting:
                break
        return await running
    finally:
        running.cancel()


async def _reference(argument: Argument) -> ray.ObjectRef[Any]:
    return argument if isinstance(argument, ray.ObjectRef) else await argument._to_object_ref()


def _arrived(reference: ray.ObjectRef[Any]) -> bool:
    """Whether the object is there, on whatever node. Raises its error."""
    ready, _ = ray.wait([reference], timeout=0, fetch_local=False)
    if ready:
        with suppress(GetTimeoutError):  # it is elsewhere, and stays there
            ray.get(reference, timeout=0)
    return bool(ready)


def _gone(error: BaseException) -> bool:
    """Whether a replica died: the one that was called, or one whose result it was to be given."""
    return isinstance(error, REPLICA_GONE) or isinstance(error.__cause__, REPLICA_GONE)


def _raise(error: Exception) -> NoReturn:
    ours = to_packshot_error(error)
    if ours is error:
        raise error
    raise ours from (None if isinstance(ours, PackshotError) else error)


def require_progress(stage: str, busy_s: float) -> None:
    """Raise when the stage's model call has hung; for `check_health`."""
    if busy_s > STUCK_AFTER_S:
        raise RuntimeError(f"{stage}: one model call has run {busy_s:.0f} s, more than {STUCK_AFTER_S:.0f} s")
