"""The knee of the laptop profile under orders: found under load,
and by the simulator with stage times fitted on the same cluster.

`python -m bench.knee`: a cluster of its own, on it `packshot loadtest orders --find-capacity`'s search. Before it and
after each trial the small runs are taken that stage times are fitted on: a shared host is not as fast at the end as it
was at the start, and both knees must be of the same minutes. On paper the trials are drawn many times over and judged
by the same bounds.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from bench.harness import Row, tell
from cluster.simulate.calibrate import AT_ONCE, CalibrationTarget, Runs, fit
from cluster.simulate.pipeline import STAGES, Pipeline
from cluster.simulate.policies import Fixed
from cluster.simulate.stages import Machine
from cluster.simulate.traces import Arrival, Trace
from loadtest.capacity.knee import Knee, Trial, knee
from loadtest.capacity.trial import flat, rest, search, trial_words
from loadtest.run.own_cluster import local_cluster
from loadtest.run.runner import Target, make
from loadtest.scenarios.scenario import Scenario, load_scenario
from packshot.settings import Settings
from packshot.store.store import Store

ROW = Row("knee", "the knee under load and the simulator's, the larger ÷ the smaller", 1.15)
OUT = Path("out/bench/knee")
PROFILE, TENANT, TRIAL_S, SEEDS = "laptop", "tenant-1", 60.0, 6
LOADS = np.geomspace(0.4, 2.5, 24)
"""Of what the generator alone would do."""


def predicted(machine: Machine, shape: Scenario) -> Knee:
    """The knee on paper: every load, with every seed."""
    integrators, steps = shape.traffic[0], shape.personas.integrator.steps
    assert integrators.rate_per_s is not None
    assert steps is not None
    full = 1 / (machine.picture_s(steps) * integrators.rate_per_s)
    return knee(
        [
            Trial(float(load), _holds(machine, shape, float(load) * integrators.rate_per_s, steps, seed))
            for load in full * LOADS
            for seed in range(SEEDS)
        ]
    )


def _holds(machine: Machine, shape: Scenario, rate: float, steps: int, seed: int) -> bool:
    """One trial on paper."""
    warm_s, judged_s = (stretch.seconds for stretch in shape.timeline)
    dice, now, arrivals = random.Random(seed), 0.0, list[Arrival]()
    while (now := now + dice.expovariate(rate)) < warm_s + judged_s:
        arrivals.append(Arrival(now, pictures=1, steps=steps))
    trace = Trace(shape.name, shape.sentence, warm_s + judged_s, arrivals)
    run = Pipeline(trace, machine, Fixed(dict.fromkeys(STAGES, 1))).simulate()
    took_ms = [1000 * shot.latency_s for shot in run.shots if shot.arrival.at_s >= warm_s]
    return not took_ms or within(took_ms, shape)


def within(took_ms: Sequence[float], shape: Scenario) -> bool:
    """Whether pictures that took so long meet the scenario's bounds."""
    bounds = shape.slo.classes["api_shot"]
    good = sum(one <= bounds.p99_ms for one in took_ms) / len(took_ms)
    p50, p95, p99 = np.percentile(took_ms, (50, 95, 99))
    return bool(good >= shape.slo.goodput and p50 <= bounds.p50_ms and p95 <= bounds.p95_ms and p99 <= bounds.p99_ms)


def _tell(row: dict[str, Any], believed: Knee) -> None:
    print(
        f"×{row['load']:.3g}: {trial_words(row)}; knee ×{believed.load:.3g} "
        f"({believed.low:.3g} to {believed.high:.3g})",
        file=sys.stderr,
    )


def main() -> int:
    """Fit, search, fit again between trials; predict from all fits; compare."""
    if OUT.exists():
        raise SystemExit(f"{OUT} holds an earlier search, of other hours than a fit made now: remove it first")
    make(OUT)
    scenario, runs = load_scenario("orders"), Runs()
    with tempfile.TemporaryDirectory(prefix="packshot-knee-") as home:
        settings = Settings(home=Path(home))
        store = Store.from_settings(settings)
        key = store.keys.create(TENANT).secret
        store.close()
        with local_cluster(PROFILE, Path(home), OUT / "cluster.log") as cluster:
            target = Target(cluster.url, [key], cluster, PROFILE)
            calibration = CalibrationTarget(cluster.url, settings, key=key, tenant=TENANT)
            max_rows = calibration.max_rows()

            def take_runs() -> None:
                rest(target)
                runs.take(calibration)
                print(f"line of {AT_ONCE} in {runs.line_s[-1]:.1f} s", file=sys.stderr)

            def report(row: dict[str, Any], believed: Knee) -> None:
                _tell(row, believed)
                take_runs()

            take_runs()
            trials = search(
                scenario,
                target,
                OUT,
                trial_s=TRIAL_S,
                watched=lambda _: nullcontext(lambda recorder, at_s: None),
                report=report,
            )
            calibration.close()
    machine, found = fit(runs, max_rows), knee(trials)
    paper = predicted(machine, flat(scenario, TRIAL_S))
    per_s = scenario.traffic[0].rate_per_s or 0.0
    holds = tell(
        ROW,
        [max(found.load / paper.load, paper.load / found.load)],
        profile=PROFILE,
        shots_per_s={name: round(per_s * value, 3) for name, value in vars(found).items()},
        predicted_shots_per_s={name: round(per_s * value, 3) for name, value in vars(paper).items()},
        trials=json.loads((OUT / "capacity.json").read_text("utf-8"))["trials"],
        lines_s=[round(line_s, 1) for line_s in runs.line_s],
        fitted={name: round(value, 4) for name, value in vars(machine).items() if isinstance(value, float)},
        rows=max_rows,
    )
    return 0 if holds else 1


if __name__ == "__main__":
    raise SystemExit(main())
