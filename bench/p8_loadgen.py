"""P8: the load generator against a server with known stalls, and a closed loop against the same server.

The server answers nothing for 0.2 s in every 2 s. Computed for an open loop, the p99 is 180 ms plus the time to serve
the queue that a stall leaves (less than a millisecond), and the p95 is 100 ms. A closed loop sends almost nothing while
the server stalls: ten users get ten slow answers per stall, where the open loop gets a hundred, so their p95 does not
show the stalls.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.harness import Row, print_row
from loadtest.run.runner import Target, run
from loadtest.scenarios.scenario import Scenario
from loadtest.stall import analytic_ms

LATENCY = Row("P8-p99", "p99 of an open loop against a stalling server: relative error to the analytic value", 0.05)
RATE = Row("P8-rate", "arrivals a second that were sent, of 500 asked, from one core: relative error", 0.005)
REPEATS, SECONDS, RATE_PER_S, USERS = 5, 20, 500, 10
STALL_S, EVERY_S = 0.2, 2.0

_CLOSED = f"""
from locust import FastHttpUser, constant_throughput, task

class Closed(FastHttpUser):
    wait_time = constant_throughput({RATE_PER_S / USERS})

    @task
    def ask(self):
        self.client.get("/healthz")
"""


@contextmanager
def stalling() -> Iterator[str]:
    """Start a server with the known stalls in a process of its own, and give its base URL."""
    command = [sys.executable, "-m", "loadtest.stall", "--stall", str(STALL_S), "--every", str(EVERY_S)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            yield child.stdout.readline().strip()
        finally:
            child.kill()


def service_s(url: str) -> float:
    """Mean seconds in which the server has served a request of the queues that its stalls left."""
    with urllib.request.urlopen(f"{url}/service") as answer:
        return float(json.load(answer)["service_s"])


def scenario(seed: int) -> Scenario:
    """Probes at a constant rate with constant gaps, so that every period of the server gets the same number of them."""
    bounds = {"p50_ms": 1_000, "p95_ms": 1_000, "p99_ms": 1_000}
    return Scenario.model_validate(
        {
            "name": "p8",
            "sentence": "Probes at a constant rate.",
            "seed": seed,
            "timeline": [
                {"name": "warm-up", "seconds": EVERY_S, "load": 1, "warm_up": True},
                {"name": "steady", "seconds": SECONDS, "load": 1},
            ],
            "traffic": [{"persona": "probe", "rate_per_s": RATE_PER_S, "gaps": "constant"}],
            "slo": {"goodput": 0, "errors": 0, "classes": {"probe": bounds}},
        }
    )


@dataclass(frozen=True)
class Run:
    """The result of one run of the generator. `core` is its processor time as a share of a core."""

    p95_ms: float
    p99_ms: float
    rate_error: float
    core: float


def open_loop(url: str, seed: int, folder: Path) -> Run:
    """Run the load generator for SECONDS."""
    found = run(scenario(seed), Target(url), folder)
    assert found["classes"]["probe"]["right"] == found["classes"]["probe"]["offered"], "every answer is right"
    planned = [arrival.at_s for arrival in scenario(seed).arrivals()]
    achieved_s, planned_s = found["generator"]["first_to_last_sent_s"], planned[-1] - planned[0]
    return Run(
        found["classes"]["probe"]["p95_ms"],
        found["classes"]["probe"]["p99_ms"],
        abs(planned_s / achieved_s * found["sent"] / len(planned) - 1),
        found["generator"]["cpu_mean"],
    )


def closed_loop(url: str, folder: Path) -> tuple[float, float]:
    """The (p95, p99) in ms that Locust's own users measure at the same target rate. Each waits for its answer."""
    file = folder / "closed.py"
    file.write_text(_CLOSED, "utf-8")
    command = [sys.executable, "-m", "locust", "-f", str(file), "--headless", "--json", "--skip-log", "--host", url]
    command += ["-u", str(USERS), "-r", str(USERS), "-t", f"{SECONDS}s"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    counts = {float(ms): count for ms, count in json.loads(done.stdout)[0]["response_times"].items()}
    answers = [ms for ms in sorted(counts) for _ in range(counts[ms])]
    return answers[int(0.95 * len(answers))], answers[int(0.99 * len(answers))]


def main() -> int:
    """Measure and report."""
    with tempfile.TemporaryDirectory() as home, stalling() as url:
        runs = [open_loop(url, seed, Path(home) / str(seed)) for seed in range(REPEATS)]
        service = service_s(url)
        closed_p95_ms, closed_p99_ms = closed_loop(url, Path(home))
    p95_ms, p99_ms = (
        analytic_ms(share, stall_s=STALL_S, every_s=EVERY_S, rate_per_s=RATE_PER_S, service_s=service)
        for share in (0.95, 0.99)
    )
    parity = f"{(SECONDS + EVERY_S) * RATE_PER_S:g} right answers each"
    holds = [
        print_row(
            LATENCY,
            [abs(one.p99_ms / p99_ms - 1) for one in runs],
            parity=parity,
            service_us=round(service * 1e6),
            analytic_ms={"p95": round(p95_ms, 1), "p99": round(p99_ms, 1)},
            open_loop_ms={"p95": [round(one.p95_ms, 1) for one in runs], "p99": [round(one.p99_ms, 1) for one in runs]},
            closed_loop_ms={"p95": closed_p95_ms, "p99": closed_p99_ms},
            closed_loop_error={
                "p95": round(closed_p95_ms / p95_ms - 1, 3),
                "p99": round(closed_p99_ms / p99_ms - 1, 3),
            },
        ),
        print_row(RATE, [one.rate_error for one in runs], parity=parity, core=round(max(one.core for one in runs), 2)),
    ]
    return 0 if all(holds) else 1


if __name__ == "__main__":
    raise SystemExit(main())
