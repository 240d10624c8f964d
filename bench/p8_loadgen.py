"""P8: the load generator against a server whose stalls are known, and what a closed loop would have said of the same server.

The server answers nothing for 0.2 s in every 2 s. Whoever sends on schedule sees a p99 of 180 ms and, for the line that a
stall leaves, as long as the server says that it takes (a millisecond or two), by arithmetic; a tool whose users wait for an
answer before they send again sends nothing while the server stalls, and sees next to none of it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.harness import Row, tell
from loadtest.runner import Target, run
from loadtest.scenario import Scenario
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
    """The base URL of a server with the known stalls, in a process of its own."""
    command = [sys.executable, "-m", "loadtest.stall", "--stall", str(STALL_S), "--every", str(EVERY_S)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            yield child.stdout.readline().strip()
        finally:
            child.kill()


def service_s(url: str) -> float:
    """Seconds that the server has taken so far for each answer of the lines that its stalls left."""
    with urllib.request.urlopen(f"{url}/service") as answer:
        return float(json.load(answer)["service_s"])


def scenario(seed: int) -> Scenario:
    """Probes at an even rate. Constant gaps: whole periods of the server get equal numbers, so that no luck is left."""
    bounds = {"p50_ms": 1_000, "p95_ms": 1_000, "p99_ms": 1_000}
    return Scenario.model_validate(
        {
            "name": "p8",
            "sentence": "Probes at an even rate.",
            "seed": seed,
            "timeline": [
                {"name": "warm-up", "seconds": EVERY_S, "load": 1, "warm_up": True},
                {"name": "steady", "seconds": SECONDS, "load": 1},
            ],
            "traffic": [{"persona": "probe", "rate_per_s": RATE_PER_S, "gaps": "constant"}],
            "slo": {"goodput": 0, "errors": 0, "classes": {"probe": bounds}},
        }
    )


def open_loop(url: str, seed: int, folder: Path) -> tuple[float, float, float]:
    """(p99 in ms, relative error of the rate, processor time as a share of a core) of one run."""
    told = run(scenario(seed), Target(url), folder)
    assert told["classes"]["probe"]["right"] == told["classes"]["probe"]["offered"], "every answer is right"
    asked = [arrival.at_s for arrival in scenario(seed).arrivals()]
    achieved_s, asked_s = told["generator"]["first_to_last_sent_s"], asked[-1] - asked[0]
    return (
        told["classes"]["probe"]["p99_ms"],
        abs(asked_s / achieved_s * told["sent"] / len(asked) - 1),
        told["generator"]["cpu_mean"],
    )


def closed_loop_p99_ms(url: str, folder: Path) -> float:
    """What Locust's own users measure: asked for the same rate, each sends when it has its answer."""
    file = folder / "closed.py"
    file.write_text(_CLOSED, "utf-8")
    command = [sys.executable, "-m", "locust", "-f", str(file), "--headless", "--json", "--skip-log", "--host", url]
    command += ["-u", str(USERS), "-r", str(USERS), "-t", f"{SECONDS}s"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    counts = {float(ms): count for ms, count in json.loads(done.stdout)[0]["response_times"].items()}
    passed, wanted = 0, 0.99 * sum(counts.values())
    for ms in sorted(counts):
        passed += counts[ms]
        if passed >= wanted:
            return ms
    raise AssertionError("a run has answers")


def main() -> int:
    """Measure and report."""
    with tempfile.TemporaryDirectory() as home, stalling() as url:
        runs = [open_loop(url, seed, Path(home) / str(seed)) for seed in range(REPEATS)]
        service = service_s(url)
        closed_ms = closed_loop_p99_ms(url, Path(home))
    truth_ms = analytic_ms(0.99, stall_s=STALL_S, every_s=EVERY_S, rate_per_s=RATE_PER_S, service_s=service)
    parity = f"{(SECONDS + EVERY_S) * RATE_PER_S:g} right answers each"
    holds = [
        tell(
            LATENCY,
            [abs(p99_ms / truth_ms - 1) for p99_ms, _, _ in runs],
            parity=parity,
            analytic_ms=round(truth_ms, 1),
            service_us=round(service * 1e6),
            p99_ms=[round(p99_ms, 1) for p99_ms, _, _ in runs],
            closed_loop_p99_ms=closed_ms,
            closed_loop_error=round(closed_ms / truth_ms - 1, 3),
        ),
        tell(RATE, [error for _, error, _ in runs], parity=parity, core=round(max(cpu for _, _, cpu in runs), 2)),
    ]
    return 0 if all(holds) else 1


if __name__ == "__main__":
    raise SystemExit(main())
