"""The trials of a capacity search: a scenario's traffic at one constant load. The results are kept on disk."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from loadtest.capacity import MAX_TRIALS
from loadtest.capacity.knee import Knee, Trial, knee, next_load
from loadtest.errors import Broken, Refused
from loadtest.run.generator_process import Means
from loadtest.run.metrics import queued
from loadtest.run.runner import Progress, Target, run
from loadtest.scenarios.scenario import PhaseRow, Scenario

WARM_UP_SHARE = 0.25
"""Length of the warm-up as a share of the judged time. The queue reaches its steady length during the warm-up."""

MAX_STEAL = 0.05
"""Largest share of CPU steal in a trial that counts. On a shared machine the host may give the cores to other guests;
a trial with more steal than this measures the host, not the deployment, and is repeated."""
MAX_DISTURBED = 8
"""Most trials that are repeated because of CPU steal. After that, every trial counts."""

DRAIN_S = 180.0
"""Longest wait for the queue of the previous trial to drain, seconds."""

Report = Callable[[dict[str, Any], Knee], None]
"""Called after each trial with its row (load, holds, shots_per_s, misses, host_took, counts) and the new estimate."""


class Bottleneck(Broken):
    """Raised when the generator did not keep its schedule in a trial, so the trial does not measure the server."""


def search(
    scenario: Scenario,
    target: Target,
    folder: Path,
    *,
    trial_s: float,
    watched: Callable[[Scenario], AbstractContextManager[Progress]],
    report: Report,
    means: Means | None = None,
    most: int = MAX_TRIALS,
) -> Sequence[Trial]:
    """Run trials until the knee is known. Their results are kept in `folder`, so a later call resumes the search.

    `folder` receives `capacity.json` and one folder per trial. `trial_s` is the judged length of each trial in seconds,
    and `most` limits the number of trials that count. `watched` gives a context manager that shows the progress of a
    trial. `report` is called after each trial.

    Raises Bottleneck when the generator did not keep its schedule. Raises Refused when the scenario cannot be searched,
    or when `folder` holds trials of another scenario.
    """
    shape, file = flat(scenario, trial_s), folder / "capacity.json"
    seen, rows = kept_trials(file, shape)
    while len(seen) < most and not (len(seen) >= 4 and knee(seen).known):
        load = next_load(seen)
        wait_until_idle(target)
        trial = shape.model_copy(update={"seed": scenario.seed + len(rows)})
        with watched(trial) as progress:
            summary = run(trial, target, folder / f"trial-{len(rows) + 1}", means=means, factor=load, progress=progress)
        if summary["outcome"] == "invalid":
            late = ", ".join(
                f"{check['name']} {check['value']:g} {check['unit']}".rstrip()
                for check in summary["validity"]
                if not check["holds"]
            )
            raise Bottleneck(
                f"×{load:.3g}: invalid, the generator did not keep its schedule ({late}); give it a core of its own, "
                "or more --workers"
            )
        missed, host_took = misses(summary), summary["generator"]["host_took"]
        counts = host_took <= MAX_STEAL or sum(not row.get("counts", True) for row in rows) >= MAX_DISTURBED
        if counts:
            seen.append(Trial(load, not missed))
        rows.append(
            {
                "load": load,
                "holds": not missed,
                "shots_per_s": summary["shots_per_s"],
                "misses": missed,
                "host_took": host_took,
                "counts": counts,
            }
        )
        keep(file, shape, rows)
        report(rows[-1], knee(seen))
    return seen


def wait_until_idle(target: Target) -> None:
    """Return when no shot waits, or after DRAIN_S. Shots that an overload left would add to the next trial's load."""
    give_up_at = time.monotonic() + DRAIN_S
    while queued(target.host, target.keys[0]) > 0 and time.monotonic() < give_up_at:
        time.sleep(1.0)


def flat(scenario: Scenario, judged_s: float) -> Scenario:
    """The scenario's traffic and absolute bounds at a constant load of 1, without picture comparisons.

    `judged_s`: length of the judged phase, seconds. Raises Refused when the scenario replays a trace or injects faults.
    """
    if any(row.trace for row in scenario.traffic):
        raise Refused(
            f"the capacity of {scenario.name} cannot be searched: the rate of a trace cannot be scaled; use rate_per_s"
        )
    if scenario.chaos:
        raise Refused(f"the capacity of {scenario.name} cannot be searched: it has a chaos section; remove it")
    warm_up = PhaseRow(name="warm-up", seconds=WARM_UP_SHARE * judged_s, load=1, warm_up=True)
    timeline = (warm_up, PhaseRow(name="trial", seconds=judged_s, load=1))
    slo = scenario.slo.model_copy(update={"beside": None, "shares": None, "parked": False})
    traffic = tuple(row.model_copy(update={"phases": None}) for row in scenario.traffic)
    return scenario.model_copy(update={"timeline": timeline, "traffic": traffic, "slo": slo, "sample": 0})


def kept_trials(file: Path, shape: Scenario) -> tuple[list[Trial], list[dict[str, Any]]]:
    """The trials of an earlier search, and their rows. Raises Refused when `file` belongs to another scenario."""
    if not file.is_file():
        return [], []
    kept = json.loads(file.read_text("utf-8"))
    if kept["digest"] != shape.digest():
        raise Refused(f"{file} holds trials of another scenario or length; remove it, or pass another --out")
    rows: list[dict[str, Any]] = kept["trials"]
    return [Trial(row["load"], row["holds"]) for row in rows if row.get("counts", True)], rows


def misses(run: dict[str, Any]) -> list[str]:
    """The names of the bounds that a trial missed. A class that had no arrival in a short trial is not judged."""
    unasked = {f"{name} answers" for name, row in run["classes"].items() if not row["offered"]}
    return [check["name"] for check in run["checks"] if not check["holds"] and check["name"] not in unasked]


def trial_words(row: dict[str, Any]) -> str:
    """A trial's row in words, such as "fails (api_shot p99)"."""
    words = "holds" if row["holds"] else f"fails ({', '.join(row['misses'])})"
    return words if row["counts"] else f"{words}, does not count: CPU steal was {row['host_took']:.0%}"


def keep(file: Path, shape: Scenario, rows: list[dict[str, Any]]) -> None:
    """Write the rows of a search to `file`, with the digest of its scenario."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"digest": shape.digest(), "trials": rows}, indent=1) + "\n", "utf-8")
