"""What the model predicts against what this machine does: throughput and p95 of real runs,
and of the same runs on paper.

Stage times are fitted on two small runs (shots one by one; a line handed in at once, so that what shares the
generator's cores tells): those with which the model takes as long as they did. Two others, which the fit never saw, are
compared, both with other step counts and several pictures a shot: a line of shots handed in at once, for throughput
(with people at random the rate is that at which they come, whatever the model says), and people at random beside a
small catalogue, for what they wait.
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
"""The laptop profile's: deployments/director.py, deployments/generator.py."""
STEPS = 6
LONE, AT_ONCE, LINE = 5, 30, 14
"""Shots one by one and shots at once that a fit looks at, shots of the line that is compared."""
METRICS_S = 30.0
"""Until /metrics must tell what a generator measured."""
HALVINGS = 20
"""Of the interval in which a full step's seconds are looked for."""
PEOPLE, CATALOGUE = 32, 8
LOAD = 0.7
"""Of what the machine can do: people and catalogue together, while people come."""


@dataclass(frozen=True)
class Compared:
    """Measured and predicted: pictures a second of the line, from its first shot to its last picture,
    and people's waits."""

    measured_rate: float
    predicted_rate: float
    measured_p50_s: float
    predicted_p50_s: float
    measured_p95_s: float
    predicted_p95_s: float
    shots: int

    @property
    def errors(self) -> dict[str, float]:
        """Predicted over measured, less one."""
        return {
            "throughput": self.predicted_rate / self.measured_rate - 1,
            "p50": self.predicted_p50_s / self.measured_p50_s - 1,
            "p95": self.predicted_p95_s / self.measured_p95_s - 1,
        }


class CalibrationTarget:
    """A running laptop cluster with one photo and mask. `key`: the tenant's; None under open access."""

    def __init__(self, url: str, settings: Settings, *, key: str | None = None, tenant: str = "local") -> None:
        self._url, self._key = url, key
        self._client = Client(url, key)
        self._store = Store.from_settings(settings)
        self._tenant = self._store.tenants.get_or_create(tenant).id
        photo = self._client.upload(encode_png(product()), "image/png")
        self._mask = self._client.masks(photo.id, boxes=[(200.0, 75.0, 440.0, 405.0)])[0].id

    def run(self, arrivals: Sequence[Arrival]) -> list[ShotRecord]:
        """Send each shot at its time, on a thread of its own; the shots when all have ended."""
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
        while self._busy():  # one query: asking for each shot would take the cores that are measured
            time.sleep(0.5)
        return [self._store.shots.get(self._tenant, one) for one in ids]

    def max_rows(self) -> int:
        """Rows that a step may have, as the generator measured at its start."""
        headers = {"authorization": f"Bearer {self._key}"} if self._key else {}
        give_up_at = time.monotonic() + METRICS_S
        while time.monotonic() < give_up_at:  # Ray exports every few seconds
            text = httpx.get(f"{self._url}/metrics", headers=headers, trust_env=False).raise_for_status().text
            for family in text_string_to_metric_families(text):
                if family.name == "packshot_denoise_max_rows" and family.samples[0].value:
                    return int(family.samples[0].value)
            time.sleep(0.5)
        raise Unavailable(
            "not_ready", f"/metrics must tell packshot_denoise_max_rows within {METRICS_S:g} s; is a generator running?"
        )

    def _busy(self) -> bool:
        load = self._store.queue.load()
        return any(flow.waiting.shots or flow.running.shots for flow in (load.interactive, load.catalogue))

    def close(self) -> None:
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
    """A photo to work on, uint8 480x640x3: a red can on grey."""
    y, x = np.mgrid[:480, :640]
    photo = np.full((480, 640, 3), 200, np.uint8)
    photo[(abs(x - 320) < 100) & (abs(y - 240) < 150)] = (180, 40, 30)
    return photo


@contextmanager
def calibration_target() -> Iterator[CalibrationTarget]:
    """Serve the laptop profile from a home of its own, on loopback, with open access."""
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
    """The small runs that stage times are fitted on; taken several times,
    what a shared host does meanwhile evens out."""

    lone: list[ShotRecord] = field(default_factory=list)
    line_s: list[float] = field(default_factory=list)
    """Seconds from a line's first accepted shot to its last finished one."""

    def take(self, real: CalibrationTarget) -> None:
        """Both runs, once more."""
        shot = Arrival(0.0, pictures=1, steps=STEPS)
        real.run([shot])  # warms up
        self.lone += [real.run([shot])[0] for _ in range(LONE)]
        self.line_s.append(_span_s(real.run([shot] * AT_ONCE)))


def fit(runs: Runs, max_rows: int) -> Machine:
    """The stage times of a laptop with which the model takes the medians of what the runs took."""

    def spent_s(stage: str) -> float:
        return statistics.median(shot.images[0].recipe.timing_ms[stage] for shot in runs.lone) / 1000

    begin_s, decode_s, alone_s = spent_s("begin"), spent_s("decode"), spent_s("steps") / STEPS
    took_s = statistics.median(_latency_s(shot) for shot in runs.lone)
    beside_s = max(0.0, took_s - begin_s - decode_s - alone_s * STEPS)

    def with_full_steps_of(full_s: float) -> Machine:
        if max_rows > GUIDED_ROWS:
            each_s = (full_s - alone_s) / (max_rows - GUIDED_ROWS)
            # Below 0 where a scene more costs more than its rows: the finisher takes the same cores.
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

    line_s = statistics.median(runs.line_s)
    low_s, high_s = alone_s, alone_s * max_rows
    for _ in range(HALVINGS):
        middle_s = 0.5 * (low_s + high_s)
        takes_longer = _on_paper_s(with_full_steps_of(middle_s)) > line_s
        low_s, high_s = (low_s, middle_s) if takes_longer else (middle_s, high_s)
    return with_full_steps_of(low_s)


def _on_paper_s(machine: Machine) -> float:
    """What the line at once takes on paper."""
    arrivals = [Arrival(0.0, pictures=1, steps=STEPS)] * AT_ONCE
    run = Pipeline(Trace("line", "a line of shots", 1.0, arrivals), machine, Fixed(dict.fromkeys(STAGES, 1))).simulate()
    return max(shot.done_s for shot in run.shots)


def line(seed: int = 5) -> Trace:
    """A catalogue handed in at once."""
    rng = random.Random(seed)
    arrivals = [_shot(0.0, rng, interactive=False) for _ in range(LINE)]
    return Trace("line", "a line of shots", 1.0, arrivals)


def unseen(machine: Machine, seed: int = 3) -> Trace:
    """People at random beside a small catalogue."""
    rng = random.Random(seed)
    # 1.5 pictures of 6 steps a shot on average; the catalogue is part of the load
    shot_s = 1.5 * machine.picture_s(steps=6)
    rate = LOAD / shot_s * PEOPLE / (PEOPLE + CATALOGUE)
    arrivals, now = [], 0.0
    for _ in range(PEOPLE):
        now += rng.expovariate(rate)
        arrivals.append(_shot(now, rng))
    for index in range(CATALOGUE):
        arrivals.append(_shot(now / 4 + index * 0.1, rng, interactive=False))
    arrivals.sort(key=lambda arrival: arrival.at_s)
    return Trace("unseen", "people at random beside a small catalogue", now + 1.0, arrivals)


def _shot(at_s: float, rng: random.Random, *, interactive: bool = True) -> Arrival:
    return Arrival(at_s, interactive, pictures=rng.choice((1, 2)), steps=rng.choice((4, 6, 8)))


def compare(
    machine: Machine, together: tuple[Trace, Sequence[ShotRecord]], random: tuple[Trace, Sequence[ShotRecord]]
) -> Compared:
    """Both runs on paper, beside what was measured."""

    def on_paper(trace: Trace) -> list[Shot]:
        return Pipeline(trace, machine, Fixed(dict.fromkeys(STAGES, 1))).simulate().shots

    pictures = sum(arrival.pictures for arrival in together[0].arrivals)
    ended_s = max(shot.done_s for shot in on_paper(together[0]))
    predicted = [shot.latency_s for shot in on_paper(random[0]) if shot.arrival.interactive]
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
    """Fit, run, compare; prints one JSON line. 0 when throughput and p95 are within 15 %."""
    with calibration_target() as real:
        max_rows, runs = real.max_rows(), Runs()
        runs.take(real)
        together, apart = line(), unseen(fit(runs, max_rows))
        print(f"{len(apart.arrivals)} shots in {apart.end_s:.0f} s to come", file=sys.stderr)
        at_once, at_random = real.run(together.arrivals), real.run(apart.arrivals)
        runs.take(real)  # the machine may have changed meanwhile
    machine = fit(runs, max_rows)
    compared = compare(machine, (together, at_once), (apart, at_random))
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
    """From the first accepted to the last finished."""
    return max(s.created_at.timestamp() + _latency_s(s) for s in shots) - min(s.created_at.timestamp() for s in shots)
