"""Calls between deployments: conversion of Ray's errors, one retry for pure stages, and a health check of progress."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NoReturn, TypeVar

import ray
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    GetTimeoutError,
    ObjectLostError,
    OutOfMemoryError,
    RayTaskError,
)
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentResponse

from deployments.ray_support.deaths import note_fault, why
from packshot.batching.clock import CallClock
from packshot.errors import Interrupted, Overloaded, PackshotError, Unavailable
from packshot.settings import Settings

Result = TypeVar("Result")

REPLICA_GONE = (ActorDiedError, ActorUnavailableError, ObjectLostError, OutOfMemoryError)
CHECK_EVERY_S = 1.0
"""Seconds between two checks of a waiting call's arguments."""


def to_packshot_error(error: Exception) -> Exception:
    """Convert an exception of a handle call to the error for the caller. Other exceptions are returned unchanged.

    The death of a replica becomes Interrupted. `to_blaming_error` also finds out whether the replica was at fault.
    """
    if isinstance(error, RayTaskError):
        cause = error.cause
        return to_packshot_error(cause) if isinstance(cause, Exception) else error
    if _replica_died(error):
        return Interrupted(f"a replica or its node was stopped while it ran this call: {type(error).__name__}")
    if isinstance(error, BackPressureError):
        return Overloaded("busy", "every worker of this stage is busy; try again in a second", retry_after_s=1.0)
    if isinstance(error, DeploymentUnavailableError):
        return Unavailable("not_ready", "a stage failed to start; see /readyz and the cluster's log")
    return error


async def to_blaming_error(error: Exception) -> Exception:
    """Convert as `to_packshot_error` does, but the death of a replica by a fault of its own becomes EngineCrashed."""
    if isinstance(error, RayTaskError) and isinstance(error.cause, Exception):
        return await to_blaming_error(error.cause)
    return await why(error) if _replica_died(error) else to_packshot_error(error)


async def retry_once(call: Callable[[], Awaitable[Result]]) -> Result:
    """Call a pure stage and repeat the call once when its replica died. Serve does not retry calls that it accepted."""
    try:
        return await call()
    except Exception as error:  # noqa: BLE001 - raised again as a PackshotError
        if not _replica_died(error):
            await _raise_converted(error)
    try:
        return await call()
    except Exception as error:  # noqa: BLE001 - raised again as a PackshotError
        await _raise_converted(error)


Argument = DeploymentResponse[Any] | ray.ObjectRef[Any]


async def await_with_arguments(call: Awaitable[Result], *arguments: Argument) -> Result:
    """Await a call that was given `arguments` by reference. Raises the error of an argument that failed.

    No argument is fetched. When a node dies, its objects are unavailable for some time before Ray reports the death.
    Serve's router mistakes an unavailable argument for an unavailable callee and resends the call for ever. So a call
    that takes long checks its arguments here.
    """
    running = asyncio.ensure_future(call)
    references = [asyncio.ensure_future(_reference(argument)) for argument in arguments]
    for reference in references:
        reference.add_done_callback(lambda done: done.cancelled() or done.exception())  # the call raises it, too
    try:
        unresolved = references
        while not (await asyncio.wait({running}, timeout=CHECK_EVERY_S))[0]:
            created = [reference for reference in unresolved if reference.done() and not reference.exception()]
            ready = [reference for reference in created if await asyncio.to_thread(_is_ready, reference.result())]
            unresolved = [reference for reference in unresolved if reference not in ready]
            if not unresolved:
                break
        return await running
    finally:
        running.cancel()


async def _reference(argument: Argument) -> ray.ObjectRef[Any]:
    return argument if isinstance(argument, ray.ObjectRef) else await argument._to_object_ref()


def _is_ready(reference: ray.ObjectRef[Any]) -> bool:
    """Whether the object exists on any node. Raises the object's error when it is one."""
    ready, _ = ray.wait([reference], timeout=0, fetch_local=False)
    if ready:
        with suppress(GetTimeoutError):  # the object is on another node and is not fetched
            ray.get(reference, timeout=0)
    return bool(ready)


def _replica_died(error: BaseException) -> bool:
    """Whether a replica died: the called one, or one that computed an argument."""
    return isinstance(error, REPLICA_GONE) or isinstance(error.__cause__, REPLICA_GONE)


async def _raise_converted(error: Exception) -> NoReturn:
    converted = await to_blaming_error(error)
    if converted is error:
        raise error
    raise converted from (None if isinstance(converted, PackshotError) else error)


def require_progress(stage: str, clock: CallClock) -> None:
    """Raise RuntimeError in `check_health` when a model call has hung, so that Serve replaces the replica.

    `stage` is the deployment's name, and `clock` has timed its calls. A slow device gets more than the setting
    `call_timeout_s` (`CallClock.allowed_s`).
    """
    busy_s, allowed_s = clock.busy_s, clock.allowed_s(Settings().call_timeout_s)
    if busy_s > allowed_s:
        hung = f"{stage}: a model call may run {allowed_s:.0f} s here, one has run {busy_s:.0f} s"
        note_fault(hung)
        raise RuntimeError(hung)
