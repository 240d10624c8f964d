"""Calibration: compares throughput and p95 of real runs on this machine with simulations of the same runs.

The stage times are fitted to two small runs: shots one by one, and shots at once, which shows the cost of the work that
shares the generator's cores. The fitted times are those with which the simulation takes as long as the runs did. Two
held-out runs, with other step counts and several pictures per shot, are then compared: shots at once, for throughput
(with random arrivals, throughput equals the rate of arrivals, whatever the model), and random interactive shots beside
a small catalogue, for latency.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from cluster.local import serving
from cluster.profiles import load_profile
from cluster.simulate.pipeline import STAGES, Pipeline
from cluster.simulate.policies import Fixed
from cluster.simulate.queue import Shot
from cluster.simulate.stages import Machine
from cluster.simulate.traces import Arrival, Trace
from packshot.client import CanvasIn, Client, LayerIn, ShotRequest
from packshot.errors import Unavailable
from packshot.imaging.codec import encode_png
from packshot.settings import Settings
from packshot.store.records import ShotRecord
from packshot.store.store import Store
from packshot.types import U8

GUIDED_ROWS = 2
DIRECTOR_HOLDS, GENERATOR_HOLDS = 6, 32
"""Calls that a director and a generator hold in the laptop profile (deployments/director.py, generator.py)."""
STEPS = 6
LONE, AT_ONCE, COMPARED_AT_ONCE = 5, 30, 14
"""Shots one by one and shots at once to which the times are fitted, and shots at once that are compared."""
METRICS_S = 30.0
"""Longest wait for the generator's measurement in /metrics, seconds."""
HALVINGS = 20
"""Bisection steps of the search for the seconds of a full step."""
PEOPLE, CATALOGUE = 32, 8
"""Interactive and catalogue shots of the run with random arrivals."""
LOAD = 0.7
"""Load of that run, as a share of the machine's capacity."""


@dataclass(frozen=True)
class Compared:
    """Measured and predicted figures.

    The rates are pictures per second of the shots at once, from the first shot to the last picture. The percentiles are
    latencies of interactive shots. `shots` is the number of shots in both runs.
    """

    measured_rate: float
    predicted_rate: float
    measured_p50_s: float
    predicted_p50_s: float
    measured_p95_s: float
    predicted_p95_s: float
    shots: int

    @property
    def errors(self) -> dict[str, float]:
        """The relative errors of the predictions."""
        return {
            "throughput": self.predicted_rate / self.measured_rate - 1,
            "p50": self.predicted_p50_s / self.measured_p50_s - 1,
            "p95": self.predicted_p95_s / self.measured_p95_s - 1,
        }


class CalibrationTarget:
    """A running laptop cluster with one photo and one mask.

    `url` is its base URL and `settings` are its settings. `key` is the key of `tenant`, or None under open access.
    """

    def __init__(self, url: str, settings: Settings, *, key: str | None = None, tenant: str = "local") -> None:
        self._url, self._key = url, key
        self._client = Client(url, key)
        self._store = Store.from_settings(settings)
        self._tenant = self._store.tenants.get_or_create(tenant).id
        photo = self._client.upload(encode_png(product()), "image/png")
        self._mask = self._client.masks(photo.id, boxes=[(200.0, 75.0, 440.0, 405.0)])[0].id

    def run(self, arrivals: Sequence[Arrival]) -> list[ShotRecord]:
        """Send each shot at its time, in a thread of its own, and return all shots when they have ended."""
        ids: list[str] = [""] * len(arrivals)
        started_at = time.monotonic()

        def send(index: int, arrival: Arrival) -> None:
            time.sleep(max(0.0, started_at + arrival.at_s - time.monotonic()))
            ids[index] = self._client.shoot(self._request(arrival)).id

        threads = [threading.Thread(target=send, args=pair) for pair in enumerate(arrivals)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        while self._busy():  # one query; a request per shot would load the cores that are measured
            time.sleep(0.5)
        return [self._store.shots.get(self._tenant, one) for one in ids]

    def max_rows(self) -> int:
        """The most rows per step, as the generator measured at its start. Raises Unavailable without a measurement."""
        headers = {"authorization": f"Bearer {self._key}"} if self._key else {}
        give_up_at = time.monotonic() + METRICS_S
        while time.monotonic() < give_up_at:  # Ray exports every few seconds
            text = httpx.get(f"{self._url}/metrics", headers=headers, trust_env=False).raise_for_status().text
            for family in text_string_to_metric_families(text):
                if family.name == "packshot_denoise_max_rows" and family.samples[0].value:
                    return int(family.samples[0].value)
            time.sleep(0.5)
        raise Unavailable(
            "not_ready",
            f"/metrics must export packshot_denoise_max_rows within {METRICS_S:g} s; is a generator running?",
        )

    def _busy(self) -> bool:
        load = self._store.queue.load()
        return any(flow.waiting.shots or flow.running.shots for flow in (load.interactive, load.catalogue))

    def close(self) -> None:
        """Close the client and the store."""
        self._client.close()
        self._store.close()

    def _request(self, arrival: Arrival) -> ShotRequest:
        return ShotRequest(
            layers=[LayerIn(mask_id=self._mask)],
            canvas=CanvasIn(width=512, height=512),
            prompt="on a marble table",
            images=arrival.pictures,
            steps=arrival.steps,
            priority="interactive" if arrival.interactive else "catalogue",
        )


def product() -> U8:
    """A photo of a red can on grey, uint8 480x640x3 RGB."""
    y, x = np.mgrid[:480, :640]
    photo = np.full((480, 640, 3), 200, np.uint8)
    photo[(abs(x - 320) < 100) & (abs(y - 240) < 150)] = (180, 40, 30)
    return photo


@contextmanager
def calibration_target() -> Iterator[CalibrationTarget]:
    """Serve the laptop profile on loopback with open access and a temporary home folder."""
    with tempfile.TemporaryDirectory() as home:
        overrides = {"PACKSHOT_HOME": home, "PACKSHOT_OPEN_ACCESS": "true"}
        with serving(load_profile("laptop"), port=0, settings=overrides) as url:
            running = CalibrationTarget(url, Settings(home=Path(home), open_access=True))
            try:
                yield running
            finally:
                running.close()


@dataclass
class Runs:
    """The small runs to which stage times are fitted. Repeating them averages out the variation of a shared host."""

    lone: list[ShotRecord] = field(default_factory=list)
    at_once_s: list[float] = field(default_factory=list)
    """Seconds of the shots at once, from the first acceptance to the last end, for each repeat."""

    def take(self, real: CalibrationTarget) -> None:
        """Run both once more."""
        shot = Arrival(0.0, pictures=1, steps=STEPS)
        real.run([shot])  # warm-up
        self.lone += [real.run([shot])[0] for _ in range(LONE)]
        self.at_once_s.append(_span_s(real.run([shot] * AT_ONCE)))


def fit(runs: Runs, max_rows: int) -> Machine:
    """The stage times with which a simulation takes as long as the runs took (medians). `max_rows` is per step."""

    def spent_s(stage: str) -> float:
        return statistics.median(shot.images[0].recipe.timing_ms[stage] for shot in runs.lone) / 1000

    begin_s, decode_s, alone_s = spent_s("begin"), spent_s("decode"), spent_s("steps") / STEPS
    took_s = statistics.median(_latency_s(shot) for shot in runs.lone)
    beside_s = max(0.0, took_s - begin_s - decode_s - alone_s * STEPS)

    def with_full_steps_of(full_s: float) -> Machine:
        if max_rows > GUIDED_ROWS:
            each_s = (full_s - alone_s) / (max_rows - GUIDED_ROWS)
            # Negative when another scene costs more than its rows, because the finisher uses the same cores.
            fixed_s = alone_s - each_s * GUIDED_ROWS
        else:
            fixed_s, each_s = 0.0, full_s / GUIDED_ROWS
        return Machine(
            "this machine",
            fixed_s,
            each_s,
            max_rows,
            begin_s=begin_s,
            decode_s=decode_s,
            edges_s=0.0,
            layout_s=0.5 * beside_s,
            finish_s=0.5 * beside_s,
            director_holds=DIRECTOR_HOLDS,
            generator_holds=GENERATOR_HOLDS,
        )

    at_once_s = statistics.median(runs.at_once_s)
    low_s, high_s = alone_s, alone_s * max_rows
    for _ in range(HALVINGS):
        middle_s = 0.5 * (low_s + high_s)
        takes_longer = _simulated_s(with_full_steps_of(middle_s)) > at_once_s
        low_s, high_s = (low_s, middle_s) if takes_longer else (middle_s, high_s)
    return with_full_steps_of(low_s)


def _simulated_s(machine: Machine) -> float:
    """The simulated seconds of AT_ONCE shots at once."""
    arrivals = [Arrival(0.0, pictures=1, steps=STEPS)] * AT_ONCE
    trace = Trace("at-once", "shots at once", 1.0, arrivals)
    run = Pipeline(trace, machine, Fixed(dict.fromkeys(STAGES, 1))).simulate()
    return max(shot.done_s for shot in run.shots)


def at_once(seed: int = 5) -> Trace:
    """A catalogue that is submitted at once."""
    rng = random.Random(seed)
    arrivals = [_shot(0.0, rng, interactive=False) for _ in range(COMPARED_AT_ONCE)]
    return Trace("at-once", "shots at once", 1.0, arrivals)


def unseen(machine: Machine, seed: int = 3) -> Trace:
    """Random interactive shots beside a small catalogue."""
    rng = random.Random(seed)
    # A shot has 1.5 pictures of 6 steps on average. The catalogue is part of the load.
    shot_s = 1.5 * machine.picture_s(steps=6)
    rate = LOAD / shot_s * PEOPLE / (PEOPLE + CATALOGUE)
    arrivals, now = [], 0.0
    for _ in range(PEOPLE):
        now += rng.expovariate(rate)
        arrivals.append(_shot(now, rng))
    for index in range(CATALOGUE):
        arrivals.append(_shot(now / 4 + index * 0.1, rng, interactive=False))
    arrivals.sort(key=lambda arrival: arrival.at_s)
    return Trace("unseen", "random interactive shots beside a small catalogue", now + 1.0, arrivals)


def _shot(at_s: float, rng: random.Random, *, interactive: bool = True) -> Arrival:
    return Arrival(at_s, interactive, pictures=rng.choice((1, 2)), steps=rng.choice((4, 6, 8)))


def compare(
    machine: Machine, together: tuple[Trace, Sequence[ShotRecord]], random: tuple[Trace, Sequence[ShotRecord]]
) -> Compared:
    """Simulate both runs and compare them with the measured shots."""

    def simulated(trace: Trace) -> list[Shot]:
        return Pipeline(trace, machine, Fixed(dict.fromkeys(STAGES, 1))).simulate().shots

    pictures = sum(arrival.pictures for arrival in together[0].arrivals)
    ended_s = max(shot.done_s for shot in simulated(together[0]))
    predicted = [shot.latency_s for shot in simulated(random[0]) if shot.arrival.interactive]
    real = [_latency_s(s) for s, arrival in zip(random[1], random[0].arrivals, strict=True) if arrival.interactive]
    return Compared(
        pictures / _span_s(together[1]),
        pictures / ended_s,
        statistics.median(real),
        statistics.median(predicted),
        float(np.percentile(real, 95)),
        float(np.percentile(predicted, 95)),
        len(together[1]) + len(random[1]),
    )


def main() -> int:
    """Fit, run and compare; print one JSON line. Returns 0 when throughput and p95 are within 15 %."""
    with calibration_target() as real:
        max_rows, runs = real.max_rows(), Runs()
        runs.take(real)
        together, apart = at_once(), unseen(fit(runs, max_rows))
        print(f"next: {len(apart.arrivals)} shots in {apart.end_s:.0f} s", file=sys.stderr)
        shots_together, shots_apart = real.run(together.arrivals), real.run(apart.arrivals)
        runs.take(real)  # once more, because the machine's speed may have changed
    machine = fit(runs, max_rows)
    compared = compare(machine, (together, shots_together), (apart, shots_apart))
    holds = all(abs(compared.errors[name]) <= 0.15 for name in ("throughput", "p95"))
    stages = {name: round(value, 4) for name, value in vars(machine).items() if isinstance(value, float)}
    figures = {name: round(value, 3) for name, value in vars(compared).items()}
    errors = {name: round(value, 3) for name, value in compared.errors.items()}
    print(
        json.dumps(
            {"row": "calibration", "holds": holds, "errors": errors, **figures, "rows": max_rows, "fitted": stages}
        )
    )
    return 0 if holds else 1


def _latency_s(shot: ShotRecord) -> float:
    assert shot.finished_at is not None
    return (shot.finished_at - shot.created_at).total_seconds()


def _span_s(shots: Sequence[ShotRecord]) -> float:
    """Seconds from the first acceptance to the last end."""
    return max(s.created_at.timestamp() + _latency_s(s) for s in shots) - min(s.created_at.timestamp() for s in shots)
