"""A hundred thousand requests: neither the generator nor the process that keeps the records grows (make soak)."""

import os
from pathlib import Path

import psutil
import pytest

from loadtest.run.recorder import Recorder
from loadtest.run.runner import Target, run
from loadtest.scenarios.scenario import Scenario
from tests.unit.loadtest.test_harness import probes, server

MAX_GROWTH_MIB = 8


@pytest.mark.soak
@pytest.mark.timeout(400)
def test_memory_is_flat_over_a_hundred_thousand_requests(tmp_path: Path) -> None:
    own = psutil.Process(os.getpid())
    seen: list[tuple[int, float]] = []

    def progress(recorder: Recorder, at_s: float) -> None:
        seen.append((sum(row.offered for row in recorder.classes.values()), own.memory_info().rss / 2**20))

    with server("--stall", 0) as url:
        told = run(Scenario.model_validate(probes(1_000, 100)), Target(url), tmp_path, progress=progress)
    assert (told["sent"], told["classes"]["probe"]["right"]) == (100_000, 100_000)
    rows = told["generator"]["rows"]
    generator = [rss_mib for at_s, _, _, _, rss_mib in rows if at_s > 20]
    records = [rss_mib for count, rss_mib in seen if count > 20_000]
    growth = {"generator": generator[-1] - generator[0], "records": records[-1] - records[0]}
    print(growth)
    assert max(growth.values()) <= MAX_GROWTH_MIB, growth
