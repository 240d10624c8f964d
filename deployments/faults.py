"""What Ray raises, told in our own errors; one retry for pure stages; health that includes last progress."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeVar

from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from packshot.errors import EngineCrashed, Overloaded, PackshotError, Unavailable

Result = TypeVar("Result")

REPLICA_GONE = (ActorDiedError, ActorUnavailableError)
STUCK_AFTER_S = 120.0
"""A model call that runs longer than this has hung: the replica is replaced."""


def told(error: Exception) -> Exception:
    """The error that a caller should see for what a handle call raised."""
    if isinstance(error, RayTaskError):
        cause = error.cause
        return cause if isinstance(cause, Exception) else error
    if isinstance(error, REPLICA_GONE):
        return EngineCrashed(f"a replica died while it ran this: {type(error).__name__}")
    if isinstance(error, BackPressureError):
        return Overloaded("busy", "every worker of this stage is taken; try again in a second", retry_after_s=1.0)
    if isinstance(error, DeploymentUnavailableError):
        return Unavailable("not_ready", "a stage failed to start; see /readyz and the cluster's log")
    return error


async def once_more(call: Callable[[], Awaitable[Result]]) -> Result:
    """The result of a pure stage: asked again, once, when its replica died (Serve does not retry accepted calls)."""
    try:
        return await call()
    except REPLICA_GONE:
        pass
    except Exception as error:  # noqa: BLE001 - raised again, as ours
        _raise(error)
    try:
        return await call()
    except Exception as error:  # noqa: BLE001 - raised again, as ours
        _raise(error)


def _raise(error: Exception) -> NoReturn:
    ours = told(error)
    if ours is error:
        raise error
    raise ours from (None if isinstance(ours, PackshotError) else error)


def require_progress(stage: str, busy_s: float) -> None:
    """Raise when the stage's model call has hung; for `check_health`."""
    if busy_s > STUCK_AFTER_S:
        raise RuntimeError(f"{stage}: one model call has run {busy_s:.0f} s, more than {STUCK_AFTER_S:.0f} s")
