"""The trials of a capacity search: a scenario's traffic at one even load, and what was tried so far, on disk."""

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
"""Of the judged time: until the line that a load makes has formed."""

HOST_MAY_TAKE = 0.05
"""Of the processor time: a trial in which a shared machine's host took more says little of the deployment,
and is made again."""
MAX_DISTURBED = 8
"""Trials made again; from then on all count."""

REST_S = 180.0
"""Until the line of the trial before is worked off, at most."""

Told = Callable[[dict[str, Any], Knee], None]
"""Told of each trial: its row (load, holds, shots_per_s, misses, host_took, counts) and what is believed since."""


class Bottleneck(Broken):
    """The generator did not keep its schedule in a trial, which therefore says nothing."""


def search(
    scenario: Scenario,
    target: Target,
    folder: Path,
    *,
    trial_s: float,
    watched: Callable[[Scenario], AbstractContextManager[Progress]],
    report: Told,
    means: Means | None = None,
    most: int = MAX_TRIALS,
) -> Sequence[Trial]:
    """Trial after trial until the knee is known, `most` at most; kept in `folder`,
    so that a search can be taken up again.

    `watched`: what shows a trial's progress. Raises Bottleneck.
    """
    shape, file = flat(scenario, trial_s), folder / "capacity.json"
    seen, rows = kept_trials(file, shape)
    while len(seen) < most and not (len(seen) >= 4 and knee(seen).known):
        load = next_load(seen)
        rest(target)
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
        counts = host_took <= HOST_MAY_TAKE or sum(not row.get("counts", True) for row in rows) >= MAX_DISTURBED
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


def rest(target: Target) -> None:
    """Return when no shot waits any more: what an overload left behind would be the next trial's load."""
    give_up_at = time.monotonic() + REST_S
    while queued(target.host, target.keys[0]) > 0 and time.monotonic() < give_up_at:
        time.sleep(1.0)


def flat(scenario: Scenario, judged_s: float) -> Scenario:
    """The scenario's traffic and bounds under an even load, without faults or comparisons.
    Raises Refused for a trace."""
    if any(row.trace for row in scenario.traffic):
        raise Refused(f"a trace has one rate: the capacity of {scenario.name} cannot be searched; use rate_per_s")
    if scenario.chaos:
        raise Refused(f"a capacity under faults is none: {scenario.name} has a chaos section")
    warm_up = PhaseRow(name="warm-up", seconds=WARM_UP_SHARE * judged_s, load=1, warm_up=True)
    timeline = (warm_up, PhaseRow(name="trial", seconds=judged_s, load=1))
    return scenario.model_copy(update={"timeline": timeline, "sample": 0})


def kept_trials(file: Path, shape: Scenario) -> tuple[list[Trial], list[dict[str, Any]]]:
    """The trials of an earlier search with the same shape. Raises Refused when the file is of another one."""
    if not file.is_file():
        return [], []
    kept = json.loads(file.read_text("utf-8"))
    if kept["digest"] != shape.digest():
        raise Refused(f"{file} holds trials of another scenario or length; remove it, or pass another --out")
    rows: list[dict[str, Any]] = kept["trials"]
    return [Trial(row["load"], row["holds"]) for row in rows if row.get("counts", True)], rows


def misses(run: dict[str, Any]) -> list[str]:
    """The bounds that a trial missed. A class of which a short trial's draw had no arrival says nothing,
    for or against."""
    unasked = {f"{name} answers" for name, row in run["classes"].items() if not row["offered"]}
    return [check["name"] for check in run["checks"] if not check["holds"] and check["name"] not in unasked]


def trial_words(row: dict[str, Any]) -> str:
    """What a trial's row says, in words: "fails (api_shot p99)"."""
    words = "holds" if row["holds"] else f"fails ({', '.join(row['misses'])})"
    return words if row["counts"] else f"{words}, does not count: the host took {row['host_took']:.0%}"


def keep(file: Path, shape: Scenario, rows: list[dict[str, Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"digest": shape.digest(), "trials": rows}, indent=1) + "\n", "utf-8")
