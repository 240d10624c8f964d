"""What the model predicts against what this machine does: throughput and p95 of real runs, and of the same runs on paper.

Stage times are fitted on two small runs (shots one by one; six full batches at once, so that what shares the generator's cores tells). Two others, which the fit never saw, are compared,
both with other step counts and several pictures a shot: a line of shots handed in at once, for throughput (with people at random the rate is
that at which they come, whatever the model says), and people at random beside a small catalogue, for what they wait.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cluster.local import serving
from cluster.profiles import load_profile
from cluster.simulate.line import Shot
from cluster.simulate.pipeline import STAGES, Pipeline
from cluster.simulate.policies import Fixed
from cluster.simulate.stages import Machine
from cluster.simulate.traces import Arrival, Trace
from packshot.batching.policy import knee
from packshot.client import Client
from packshot.imaging.codec import encode_png
from packshot.settings import Settings
from packshot.store.records import ShotRecord
from packshot.store.store import Store
from packshot.types import U8

GUIDED_ROWS = 2
DIRECTOR_HOLDS, GENERATOR_HOLDS = 6, 32
"""The laptop profile's: deployments/director.py, deployments/generator.py."""
STEPS = 6
LONE, SATURATED, LINE = 5, 3, 14
"""Shots one by one, shots at once for each row of a full batch, shots of the line."""
PEOPLE, CATALOGUE = 32, 8
LOAD = 0.7
"""Of what the machine can do: people and catalogue together, while people come."""


@dataclass(frozen=True)
class Compared:
    """Measured and predicted: pictures a second of the line, from its first shot to its last picture, and people's waits."""

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


class Studio:
    """A running laptop cluster with one photo and mask. `key`: the tenant's; None under open access."""

    def __init__(self, url: str, settings: Settings, *, key: str | None = None, tenant: str = "local") -> None:
        self._client = Client(url, key)
        self._store = Store.from_settings(settings)
        self._tenant = self._store.tenant(tenant).id
        photo = self._client.upload(encode_png(product()), "image/png")
        self._mask = self._client.masks(photo["id"], boxes=[(200.0, 75.0, 440.0, 405.0)])[0]["id"]

    def run(self, arrivals: Sequence[Arrival]) -> list[ShotRecord]:
        """Send each shot at its time, on a thread of its own; the shots when all have ended."""
        ids: list[str] = [""] * len(arrivals)
        started_at = time.monotonic()

        def send(index: int, arrival: Arrival) -> None:
            time.sleep(max(0.0, started_at + arrival.at_s - time.monotonic()))
            ids[index] = self._client.shoot(self._request(arrival))["id"]

        threads = [threading.Thread(target=send, args=pair) for pair in enumerate(arrivals)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        while self._busy():  # one query: asking for each shot would take the cores that are measured
            time.sleep(0.5)
        return [self._store.shot(self._tenant, one) for one in ids]

    def _busy(self) -> bool:
        backlog = self._store.backlog()
        return any(flow.waiting.shots or flow.running.shots for flow in (backlog.interactive, backlog.catalogue))

    def close(self) -> None:
        self._client.close()
        self._store.close()

    def _request(self, arrival: Arrival) -> dict[str, Any]:
        return {
            "layers": [{"mask_id": self._mask}],
            "canvas": {"width": 512, "height": 512},
            "prompt": "on a marble table",
            "images": arrival.pictures,
            "steps": arrival.steps,
            "priority": "interactive" if arrival.interactive else "catalogue",
        }


def product() -> U8:
    """A photo to work on, uint8 480x640x3: a red can on grey."""
    y, x = np.mgrid[:480, :640]
    photo = np.full((480, 640, 3), 200, np.uint8)
    photo[(abs(x - 320) < 100) & (abs(y - 240) < 150)] = (180, 40, 30)
    return photo


@contextmanager
def studio() -> Iterator[Studio]:
    """Serve the laptop profile from a home of its own, on loopback, with open access."""
    with tempfile.TemporaryDirectory() as home:
        overrides = {"PACKSHOT_HOME": home, "PACKSHOT_OPEN_ACCESS": "true"}
        with serving(load_profile("laptop"), port=0, settings=overrides) as url:
            running = Studio(url, Settings(home=Path(home), open_access=True))
            try:
                yield running
            finally:
                running.close()


def rows_of_a_step() -> int:
    """Rows that a generator of this machine lets share a step; it measures the same at its start."""
    from packshot.models.denoise import DiffusionEngine
    from packshot.models.device import model_thread
    from packshot.models.packs import find_pack

    def curve() -> dict[int, float]:
        return DiffusionEngine(find_pack("mini", Settings()), freeze=True).step_seconds()

    return max(GUIDED_ROWS, knee(model_thread(2).submit(curve).result()))


def fitted(real: Studio, max_rows: int) -> Machine:
    """This machine's stage times, from two small runs."""
    real.run([Arrival(0.0, pictures=1, steps=STEPS)])  # warms up
    lone = [real.run([Arrival(0.0, pictures=1, steps=STEPS)])[0] for _ in range(LONE)]
    at_once = real.run([Arrival(0.0, pictures=1, steps=STEPS)] * (SATURATED * max_rows))
    return fit(lone, at_once, max_rows)


def fit(lone: Sequence[ShotRecord], at_once: Sequence[ShotRecord], max_rows: int) -> Machine:
    """Stage times from shots one by one, and from shots enough at once that every step is full."""

    def spent_s(stage: str) -> float:
        return float(statistics.median(shot.images[0].recipe["timing_ms"][stage] for shot in lone)) / 1000

    begin_s, decode_s, alone_s = spent_s("begin"), spent_s("decode"), spent_s("steps") / STEPS
    took_s = statistics.median(_latency_s(shot) for shot in lone)
    beside_s = max(0.0, took_s - begin_s - decode_s - alone_s * STEPS)
    pictures = sum(len(shot.images) for shot in at_once)
    picture_s = (_span_s(at_once) - beside_s) / pictures
    full_s = max(alone_s, (picture_s - begin_s - decode_s) / STEPS * max_rows / GUIDED_ROWS)
    if max_rows > GUIDED_ROWS:
        each_s = (full_s - alone_s) / (max_rows - GUIDED_ROWS)
        fixed_s = alone_s - each_s * GUIDED_ROWS
    else:
        fixed_s, each_s = 0.0, full_s / GUIDED_ROWS
    return Machine(
        "this machine", fixed_s, each_s, max_rows, begin_s=begin_s, decode_s=decode_s, edges_s=0.0,
        layout_s=0.5 * beside_s, finish_s=0.5 * beside_s,
        director_holds=DIRECTOR_HOLDS, generator_holds=GENERATOR_HOLDS,
    )  # fmt: skip


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
        pictures / _span_s(together[1]), pictures / ended_s,
        statistics.median(real), statistics.median(predicted),
        float(np.percentile(real, 95)), float(np.percentile(predicted, 95)),
        len(together[1]) + len(random[1]),
    )  # fmt: skip


def main() -> int:
    """Fit, run, compare; prints one JSON line. 0 when throughput and p95 are within 15 %."""
    max_rows = rows_of_a_step()
    print(f"{max_rows} rows share a step; starting the laptop profile", file=sys.stderr)
    with studio() as real:
        machine = fitted(real, max_rows)
        together, apart = line(), unseen(machine)
        print(f"fitted {machine}; {len(apart.arrivals)} shots in {apart.end_s:.0f} s to come", file=sys.stderr)
        compared = compare(machine, (together, real.run(together.arrivals)), (apart, real.run(apart.arrivals)))
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
