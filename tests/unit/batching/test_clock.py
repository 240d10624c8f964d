"""A call that hangs is told from a device that is slow."""

from __future__ import annotations

import pytest

from deployments.ray_support import calls
from deployments.ray_support.calls import require_progress
from packshot.batching.clock import CallClock


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that clocks see, seconds."""
    now = [0.0]
    monkeypatch.setattr("packshot.batching.clock.time.monotonic", lambda: now[0])
    monkeypatch.setattr(calls, "note_fault", lambda told: None)
    monkeypatch.setenv("PACKSHOT_CALL_TIMEOUT_S", "100")
    return now


def test_the_first_call_of_a_device_may_take_longer(at: list[float]) -> None:
    clock = CallClock()
    with clock.call():
        at[0] = 499.0
        require_progress("generator", clock)
        at[0] = 501.0
        with pytest.raises(RuntimeError, match="generator: a model call may run 500 s here, one has run 501 s"):
            require_progress("generator", clock)
    assert clock.busy_s == 0


def test_a_warm_model_gets_the_limit_and_a_slow_one_as_much_as_it_has_shown(at: list[float]) -> None:
    quick, slow = CallClock(), CallClock()
    with quick.call():
        at[0] = 1.0
    with slow.call():
        at[0] = 61.0
    for clock, allowed in ((quick, 100.0), (slow, 240.0)):
        assert clock.allowed_s(100) == allowed
        with clock.call():
            at[0] += allowed - 1
            require_progress("generator", clock)
            at[0] += 2
            with pytest.raises(RuntimeError, match="may run"):
                require_progress("generator", clock)


def test_several_calls_at_once_are_told_by_the_longest(at: list[float]) -> None:
    clock = CallClock()
    with clock.call():
        at[0] = 5.0
        with clock.call():
            at[0] = 7.0
            assert clock.busy_s == 7
    assert clock.longest_s == 7
