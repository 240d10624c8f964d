"""One run from beginning to end: prepare, generate load, inject faults, compare pictures, judge.

check host ─> prepare tenants ─> generator ──records──> recorder ─┐
                                 scraper, replicas, chaos ────────┼─> verdict ─> summary ─> report
                                 sample rendered again, unbatched ┘
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadtest.checks.pictures import Compared, compare_sample
from loadtest.checks.verdict import judge
from loadtest.errors import Refused
from loadtest.report.summary import Facts, summary
from loadtest.run.faults import Chaos, recoveries_s
from loadtest.run.generator_process import Means, generating
from loadtest.run.metrics import Scraper
from loadtest.run.own_cluster import LocalCluster
from loadtest.run.recorder import Recorder
from loadtest.run.target import check_reachable, prepare
from loadtest.scenarios.scenario import Scenario

REPLICAS_EVERY_S = 2.0

Progress = Callable[[Recorder, float], None]
"""Called about once a second with the recorder and the present second of the schedule."""


@dataclass(frozen=True)
class Target:
    """The server under test.

    `host` is its base URL, and `keys` holds one API key per tenant. `cluster` is given only when this command started
    the cluster; without it no faults can be injected. `profile` is the profile of that cluster.
    """

    host: str
    keys: Sequence[str | None] = (None,)
    cluster: LocalCluster | None = None
    profile: str | None = None


def run(
    scenario: Scenario,
    target: Target,
    folder: Path,
    *,
    means: Means | None = None,
    factor: float = 1.0,
    progress: Progress = lambda recorder, at_s: None,
) -> dict[str, Any]:
    """Run a scenario and return its summary, the content of report.json.

    `folder` receives the generator's files. `factor` scales every rate. `progress` is called about once a second.
    Raises Refused before any load when the run cannot begin, and Broken when the generator or the cluster ends during
    the run.
    """
    means = means or Means()
    probes_only = all(row.persona == "probe" for row in scenario.traffic)
    if scenario.chaos and target.cluster is None:
        raise Refused(
            f"{scenario.name} has a chaos section: faults are injected only into a cluster that this command starts; "
            "leave out --host"
        )
    check_reachable(target.host, scenario.personas.probe.path if probes_only else "/readyz")
    plan = prepare(target.host, scenario, target.keys, workers=means.workers, factor=factor)
    make(folder)

    recorder = Recorder(scenario)
    scraper = Scraper(target.host, plan.tenants[0].key)
    replicas = _Replicas(target.cluster)
    chaos = Chaos(scenario.chaos, target.cluster) if target.cluster and scenario.chaos else None
    with ExitStack() as stack:
        records = stack.enter_context(generating(plan, folder, means))
        stack.callback(replicas.stop)
        replicas.start()
        if not probes_only:
            scraper.start()
        if chaos is not None:
            stack.callback(chaos.abort)
        for record in records:
            if not recorder.feed(record):
                break
            if record["k"] == "start" and chaos is not None:
                chaos.start(record["epoch"])
            if record["k"] == "gen" and record["w"] == 0:
                progress(recorder, record["at"])
        if chaos is not None:
            chaos.join()
    if not probes_only:
        scraper.stop()
    compared = compare_sample(plan, recorder.sample) if recorder.sample else Compared()

    planned = sum(1 for _ in scenario.arrivals(factor))
    injected = chaos.injected if chaos else []
    recovered = recoveries_s(injected, recorder.bad_at, scenario.seconds)
    # A fault whose part never came back, or that was not injected, counts as not recovered by the end of the run.
    recovered = [
        scenario.seconds - fault.at_s if fault.back_s is None else taken
        for fault, taken in zip(injected, recovered, strict=True)
    ]
    recovered += [scenario.seconds] * (len(scenario.chaos) - len(injected))
    verdict = judge(
        scenario,
        recorder,
        planned=planned,
        wrong_pictures=len(compared.wrong),
        recoveries_s=recovered,
        parked_rows=[rows for _, rows in scraper.over_time("packshot_denoise_parked_rows")],
    )
    facts = Facts(
        host=target.host,
        profile=target.profile,
        workers=means.workers,
        factor=factor,
        planned=planned,
        scraper=scraper,
        replicas=replicas.since(recorder.epoch),
        injected=injected,
        recovered_s=recovered,
        compared=compared,
    )
    return summary(scenario, recorder, verdict, facts)


def make(folder: Path) -> None:
    """Make the folder of a report. Raises Refused when it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"--out must be a writable folder, got {folder} ({error.strerror})") from None


@dataclass
class _Replicas:
    """Counts the replicas of a local cluster by their processes' titles, every REPLICAS_EVERY_S seconds."""

    cluster: LocalCluster | None
    rows: list[tuple[float, Counter[str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        if self.cluster is not None:
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def since(self, epoch: float) -> dict[str, list[list[float]]]:
        """[second, replicas] pairs by stage, from `epoch` (Unix time of second 0) on."""
        stages = sorted({stage for _, row in self.rows for stage in row})
        kept = [(at - epoch, row) for at, row in self.rows if at >= epoch - REPLICAS_EVERY_S]
        return {stage: [[round(at, 1), row[stage]] for at, row in kept] for stage in stages}

    def _run(self) -> None:
        assert self.cluster is not None, "start() requires a cluster"
        while True:
            self.rows.append((time.time(), self.cluster.replicas()))
            if self._stop.wait(REPLICAS_EVERY_S):
                return
