"""Two hundred shots in sequence: no process of the cluster grows (make soak)."""

from collections.abc import Callable
from typing import Any

import httpx
import psutil
import pytest


def resident_mib() -> dict[tuple[int, str], float]:
    found: dict[tuple[int, str], float] = {}
    for process in psutil.Process().children(recursive=True):
        try:
            found[process.pid, process.name()] = process.memory_info().rss / 2**20
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_memory_is_flat_over_two_hundred_shots(
    http: httpx.Client, shot_of: Callable[..., dict[str, Any]], finished: Callable[..., list[dict[str, Any]]]
) -> None:
    for number in range(200):
        (shot,) = finished([http.post("/v1/shots", json=shot_of(seed=number, steps=2)).json()["id"]])
        assert shot["status"] == "done"
        if number == 49:
            before = resident_mib()
    growth = {key: now - before[key] for key, now in resident_mib().items() if key in before}
    assert max(growth.values()) <= 50, sorted(growth.items(), key=lambda row: -row[1])[:5]
