"""A call whose argument was on a dead node ends and is retried; Ray's errors are converted to PackshotErrors."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError, GetTimeoutError, ObjectLostError, OutOfMemoryError
from ray.serve.exceptions import RayServeException

from deployments.ray_support import calls
from deployments.ray_support.calls import await_with_arguments, retry_once, to_blaming_error, to_packshot_error
from packshot.errors import BadInput, EngineCrashed, Interrupted
from tests.waiting import WAIT_S

UNAVAILABLE = ActorUnavailableError("socket closed", None)


class Response:
    """A Serve response that has been sent to a replica."""

    async def _to_object_ref(self) -> str:
        return "reference"


RESPONSE: Any = Response()


@pytest.fixture
def object_is(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set the state of the response's object: an error, a value elsewhere (GetTimeoutError), or none yet (None)."""
    monkeypatch.setattr(calls, "CHECK_EVERY_S", 0.01)

    def of(*states: Exception | None) -> None:
        left = list(states)

        def wait(references: list[str], timeout: int, fetch_local: bool) -> tuple[list[str], list[str]]:
            assert not fetch_local
            if left[0] is None:
                left.pop(0)
                return [], references
            return references, []

        def get(reference: str, timeout: int) -> None:
            assert left[0] is not None
            raise left[0]

        monkeypatch.setattr("ray.wait", wait)
        monkeypatch.setattr("ray.get", get)

    return of


async def for_ever() -> None:
    await asyncio.Event().wait()


async def test_a_call_ends_when_the_result_that_it_was_given_is_lost(object_is: Callable[..., None]) -> None:
    object_is(None, None, UNAVAILABLE)
    running = asyncio.ensure_future(for_ever())
    with pytest.raises(ActorUnavailableError):
        await asyncio.wait_for(await_with_arguments(running, RESPONSE), WAIT_S)
    await asyncio.wait({running})
    assert running.cancelled()


async def test_a_long_call_is_waited_for_when_its_argument_has_arrived(object_is: Callable[..., None]) -> None:
    object_is(None, GetTimeoutError("elsewhere"))

    async def long() -> str:
        await asyncio.sleep(0.2)
        return "masks"

    assert await await_with_arguments(long(), RESPONSE) == "masks"


async def test_a_quick_call_looks_at_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.wait", None)

    async def quick() -> str:
        return "masks"

    assert await await_with_arguments(quick(), RESPONSE) == "masks"


def upstream_died() -> RayServeException:
    error = RayServeException("an upstream actor died before finishing a dependent task")
    error.__cause__ = ActorDiedError()
    return error


@pytest.mark.parametrize(
    "lost",
    [ActorDiedError(), UNAVAILABLE, ObjectLostError("ab", None, ""), upstream_died()],
    ids=lambda e: type(e).__name__,
)
async def test_a_pure_stage_is_asked_once_more_after_a_death(lost: Exception) -> None:
    answers = iter([lost])

    async def click() -> str:
        if (error := next(answers, None)) is not None:
            raise error
        return "masks"

    assert await retry_once(click) == "masks"
    assert isinstance(to_packshot_error(lost), Interrupted)
    assert isinstance(await to_blaming_error(lost), Interrupted)


async def test_a_node_without_memory_is_a_fault() -> None:
    killed = OutOfMemoryError("the node was low on memory")
    assert isinstance(await to_blaming_error(killed), EngineCrashed)


async def test_a_refusal_is_not_asked_again() -> None:
    calls = []

    async def click() -> None:
        calls.append(1)
        raise BadInput("bad_usage", "no")

    with pytest.raises(BadInput):
        await retry_once(click)
    assert calls == [1]
