"""The knee of the laptop profile under the scenario `orders`: measured under load, and predicted by the simulator.

`python -m bench.knee` starts a cluster and runs the search of `packshot loadtest orders --find-capacity` on it. Before
the search and after each trial it takes the small runs to which the simulator's stage times are fitted, because the
speed of a shared host changes over the search, and both knees must belong to the same minutes. The simulated trials are
repeated with several seeds and judged by the same bounds.
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

from bench.harness import Row, print_row
from cluster.simulate.calibrate import AT_ONCE, CalibrationTarget, Runs, fit
from cluster.simulate.pipeline import STAGES, Pipeline
from cluster.simulate.policies import Fixed
from cluster.simulate.stages import Machine
from cluster.simulate.traces import Arrival, Trace
from loadtest.capacity.knee import Knee, Trial, knee
from loadtest.capacity.trial import flat, search, trial_words, wait_until_idle
from loadtest.run.own_cluster import local_cluster
from loadtest.run.runner import Target, make
from loadtest.scenarios.scenario import Scenario, load_scenario
from packshot.settings import Settings
from packshot.store.store import Store

ROW = Row("knee", "the knee under load and the simulator's, the larger ÷ the smaller", 1.15)
OUT = Path("out/bench/knee")
PROFILE, TENANT, TRIAL_S, SEEDS = "laptop", "tenant-1", 60.0, 6
LOADS = np.geomspace(0.4, 2.5, 24)
"""Simulated loads, as factors of the rate that the generator alone could sustain."""


def predicted(machine: Machine, shape: Scenario) -> Knee:
    """The knee of the simulated trials: every load with every seed."""
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
    """Simulate one trial at `rate` orders per second. Returns whether the bounds hold."""
    warm_s, judged_s = (phase.seconds for phase in shape.timeline)
    rng, now, arrivals = random.Random(seed), 0.0, list[Arrival]()
    while (now := now + rng.expovariate(rate)) < warm_s + judged_s:
        arrivals.append(Arrival(now, pictures=1, steps=steps))
    trace = Trace(shape.name, shape.sentence, warm_s + judged_s, arrivals)
    run = Pipeline(trace, machine, Fixed(dict.fromkeys(STAGES, 1))).simulate()
    took_ms = [1000 * shot.latency_s for shot in run.shots if shot.arrival.at_s >= warm_s]
    return not took_ms or within(took_ms, shape)


def within(took_ms: Sequence[float], shape: Scenario) -> bool:
    """Whether latencies in milliseconds meet the scenario's bounds."""
    bounds = shape.slo.classes["api_shot"]
    good = sum(one <= bounds.p99_ms for one in took_ms) / len(took_ms)
    p50, p95, p99 = np.percentile(took_ms, (50, 95, 99))
    return bool(good >= shape.slo.goodput and p50 <= bounds.p50_ms and p95 <= bounds.p95_ms and p99 <= bounds.p99_ms)


def _print_trial(row: dict[str, Any], estimate: Knee) -> None:
    print(
        f"×{row['load']:.3g}: {trial_words(row)}; knee ×{estimate.load:.3g} "
        f"({estimate.low:.3g} to {estimate.high:.3g})",
        file=sys.stderr,
    )


def main() -> int:
    """Search for the knee, with calibration runs between the trials; fit and simulate; compare both knees."""
    if OUT.exists():
        raise SystemExit(f"{OUT} holds an earlier search, which must not be mixed with a new fit; remove the folder")
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
                wait_until_idle(target)
                runs.take(calibration)
                print(f"{AT_ONCE} shots at once took {runs.at_once_s[-1]:.1f} s", file=sys.stderr)

            def report(row: dict[str, Any], estimate: Knee) -> None:
                _print_trial(row, estimate)
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
    simulated = predicted(machine, flat(scenario, TRIAL_S))
    per_s = scenario.traffic[0].rate_per_s or 0.0
    holds = print_row(
        ROW,
        [max(found.load / simulated.load, simulated.load / found.load)],
        profile=PROFILE,
        shots_per_s={name: round(per_s * value, 3) for name, value in vars(found).items()},
        predicted_shots_per_s={name: round(per_s * value, 3) for name, value in vars(simulated).items()},
        trials=json.loads((OUT / "capacity.json").read_text("utf-8"))["trials"],
        lines_s=[round(seconds, 1) for seconds in runs.at_once_s],
        fitted={name: round(value, 4) for name, value in vars(machine).items() if isinstance(value, float)},
        rows=max_rows,
    )
    return 0 if holds else 1


if __name__ == "__main__":
    raise SystemExit(main())
