"""The directors' report to the autoscaler: the load of the store's queue and the rate of arrivals.

One director counts for all of them, whatever their number.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, astuple
from typing import Any, Protocol

from packshot.contract.status import PRIORITIES
from packshot.store.census import SNAPSHOT as CENSUS
from packshot.store.load_records import Flow, Load, QueueLoad
from packshot.store.positions import EXACT
from packshot.store.snapshots import LOAD, Snapshot
from packshot.store.store import Store

FAST_S, SLOW_S = 15.0, 120.0
"""Windows of the arrival rates, in seconds: a short one that shows bursts, and a long one that evens out chance."""

QUERY_SHARE = 0.05
"""Largest share of time for which the report's queries may occupy the store. Counting 50,000 shots is slow."""

REPORT_EVERY_S = 2.0
"""Seconds between two reports of the whole cluster, when counting is fast."""

REPORT_FRESH_S = 30.0
"""Age in seconds up to which a report is used. With an older one, the autoscaler hears of no report."""


class HasLoad(Protocol):
    """The store's queue, or its stand-in in a simulation."""

    def load(self, since_seq: int | None = None) -> QueueLoad: ...


class LoadReport:
    """Queries the store at each call, within `QUERY_SHARE`, and reports the whole store.

    `queue` is queried. `clock` gives monotonic seconds.

    Keys of the report: `{interactive,catalogue}_{waiting,running}_{shots,pictures,row_steps}` are sums;
    `{interactive,catalogue}_{fast,slow}_{shots,pictures,row_steps}` are arrivals per second in the window `FAST_S` or
    `SLOW_S`; with `@ENGINE` at their end, they are the part of one engine; `seen_s` is for how many seconds arrivals
    were counted, at most `SLOW_S`; `age_s` is how many seconds ago the store was read.
    """

    def __init__(self, queue: HasLoad, clock: Callable[[], float] = time.monotonic) -> None:
        self._queue = queue
        self._clock = clock
        self._seq: int | None = None
        self._began_s = clock()
        self._arrivals: deque[tuple[float, dict[str, Load]]] = deque()
        self._report: dict[str, float] = {}
        self._read_at_s = self._fresh_until_s = -math.inf

    def __call__(self) -> dict[str, float]:
        asked_at_s = self._clock()
        if asked_at_s >= self._fresh_until_s:
            self._report = self._query()
            self._read_at_s = self._clock()
            self._fresh_until_s = self._read_at_s + (self._read_at_s - asked_at_s) / QUERY_SHARE
        return {**self._report, "age_s": self._clock() - self._read_at_s}

    def state_json(self) -> dict[str, Any]:
        """What another process needs to continue with the same arrivals, as JSON values. Times are ages in seconds."""
        now = self._clock()
        arrivals = [
            [now - at_s, {kind: astuple(load) for kind, load in loads.items()}] for at_s, loads in self._arrivals
        ]
        return {"seq": self._seq, "watched_s": now - self._began_s, "arrivals": arrivals}

    def resume_json(self, state: dict[str, Any], age_s: float) -> None:
        """Continue where the process that gave `state` stopped, `age_s` seconds ago."""
        now = self._clock() - age_s
        self._seq = state["seq"]
        self._began_s = now - state["watched_s"]
        self._arrivals = deque(
            (now - ago_s, {kind: Load(*load) for kind, load in loads.items()}) for ago_s, loads in state["arrivals"]
        )

    def _query(self) -> dict[str, float]:
        queue_load = self._queue.load(self._seq)
        self._seq = queue_load.last_seq
        now = self._clock()
        flows: dict[str, Flow] = {"interactive": queue_load.interactive, "catalogue": queue_load.catalogue}
        for engine, own in queue_load.engines.items():
            flows |= {f"{priority}@{engine}": flow for priority, flow in own.items()}
        known = flows.keys() | {name for _, loads in self._arrivals for name in loads}
        self._arrivals.append((now, {priority: flow.arrived for priority, flow in flows.items()}))
        while self._arrivals[0][0] < now - SLOW_S:
            self._arrivals.popleft()
        watched_s = now - self._began_s
        report = {"seen_s": min(SLOW_S, watched_s)}
        for line in sorted(known):
            flow = flows.get(line, Flow())
            report |= _named(line, "waiting", flow.waiting)
            report |= _named(line, "running", flow.running)
            for name, window_s in (("fast", FAST_S), ("slow", SLOW_S)):
                arrived = _sum(load[line] for at_s, load in self._arrivals if at_s > now - window_s and line in load)
                seen_s = max(min(window_s, watched_s), FAST_S)
                report |= {key: value / seen_s for key, value in _named(line, name, arrived).items()}
        return report


class SharedLoadReport:
    """The report of all directors of `store`: one of them counts at a time, and each returns the same report.

    It is empty until there is a first one, and when the last one is older than `REPORT_FRESH_S`. Beside the report, the
    director that counts takes the census of a long queue, from which gateways estimate positions.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._report = LoadReport(store.queue)
        self._known: dict[str, float] = {}
        self._known_at_s = -math.inf
        self._every_s = REPORT_EVERY_S

    def __call__(self) -> dict[str, float]:
        if time.monotonic() - self._known_at_s >= REPORT_EVERY_S / 2:  # Serve may ask more often
            shared = self._store.snapshots.shared(LOAD, self._every_s, self._counted_json)
            fresh = shared is not None and shared.age_s < REPORT_FRESH_S
            self._known = {**shared.value["report"], "age_s": shared.age_s} if shared is not None and fresh else {}
            self._every_s = max(REPORT_EVERY_S, shared.value["next_in_s"]) if shared is not None else REPORT_EVERY_S
            self._known_at_s = time.monotonic()
        return self._known

    def _counted_json(self, before: Snapshot | None) -> dict[str, Any]:
        if before is not None and before.age_s < SLOW_S:
            self._report.resume_json(before.value["state"], before.age_s)
        began_s = time.monotonic()
        report = self._report()
        if sum(report[f"{priority}_waiting_shots"] for priority in PRIORITIES) > EXACT:
            self._store.snapshots.put(CENSUS, self._store.queue.census().to_json())
        next_in_s = (time.monotonic() - began_s) / QUERY_SHARE
        return {"report": report, "state": self._report.state_json(), "next_in_s": next_in_s}


def by_generator(report: Mapping[str, float], generators: Mapping[str, str]) -> dict[str, float]:
    """The report with the parts of engines under the names of their deployments, for the autoscaler.

    `generators` maps each engine to the deployment that paints with it, the default engine first. That one also gets
    the work that does not name its engine. Work of engines that are not served is in the whole only.
    """
    whole = {key: value for key, value in report.items() if "@" not in key}
    if not whole:
        return {}
    default, *others = generators
    found = dict(whole)
    for key, value in whole.items():
        if key.partition("_")[0] not in PRIORITIES:
            continue
        named = {engine: of for of_key, of in report.items() if (engine := of_key.removeprefix(f"{key}@")) != of_key}
        rest = value - sum(of for engine, of in named.items() if engine != default)
        found[f"{key}@{generators[default]}"] = max(0.0, rest)
        found |= {f"{key}@{generators[engine]}": named.get(engine, 0.0) for engine in others}
    return found


def _named(line: str, kind: str, load: Load) -> dict[str, float]:
    """The values of one kind of work of a line: a priority, or `priority@engine`."""
    priority, at, engine = line.partition("@")
    return {f"{priority}_{kind}_{unit}{at}{engine}": float(value) for unit, value in asdict(load).items()}


def _sum(loads: Iterable[Load]) -> Load:
    shots = pictures = row_steps = 0
    for load in loads:
        shots, pictures, row_steps = shots + load.shots, pictures + load.pictures, row_steps + load.row_steps
    return Load(shots, pictures, row_steps)
