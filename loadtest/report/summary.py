"""A run as one JSON object: the content of report.json, from which the report and `loadtest compare` work."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from loadtest.checks.pictures import Compared
from loadtest.checks.verdict import Verdict
from loadtest.run.faults import InjectedFault
from loadtest.run.metrics import Scraper
from loadtest.run.recorder import WINDOWS, ClassRecord, Recorder, Window, histogram_json
from loadtest.scenarios.scenario import SHOT_CLASSES, Scenario

VERSION = 1


@dataclass(frozen=True)
class Facts:
    """What a summary needs besides the records.

    `profile` is None when the run did not start the cluster. `factor` is the load factor, and `planned` the number of
    arrivals in the schedule. `replicas` maps a stage to [second, replicas] pairs. `injected` are the faults, and
    `recovered_s` holds the recovery time of each in seconds.
    """

    host: str
    profile: str | None
    workers: int
    factor: float
    planned: int
    scraper: Scraper
    replicas: dict[str, list[list[float]]]
    injected: Sequence[InjectedFault]
    recovered_s: Sequence[float]
    compared: Compared


def summary(scenario: Scenario, recorder: Recorder, verdict: Verdict, facts: Facts) -> dict[str, Any]:
    """The summary of a run, ready for JSON."""
    judged_s = scenario.seconds - scenario.warm_up_s
    shots = [recorder.classes[name] for name in SHOT_CLASSES if name in recorder.classes]
    errors = recorder.place_errors()
    return {
        "version": VERSION,
        "name": scenario.name,
        "sentence": scenario.sentence,
        "digest": scenario.digest(),
        "scenario": scenario.model_dump(mode="json"),
        "scenario_seconds": scenario.seconds,
        "started_at": datetime.fromtimestamp(recorder.epoch, UTC).isoformat(timespec="seconds"),
        "host": facts.host,
        "profile": facts.profile,
        "machine": machine(),
        "workers": facts.workers,
        "factor": facts.factor,
        "outcome": verdict.outcome,
        "checks": [check.to_json() for check in verdict.checks],
        "validity": [check.to_json() for check in verdict.validity],
        "planned": facts.planned,
        "sent": recorder.sent,
        "shots_per_s": {
            "offered": sum(row.offered for row in shots) / judged_s,
            "good": sum(row.good for row in shots) / judged_s,
        },
        "classes": {name: _class(row) for name, row in recorder.classes.items()},
        "windows": {
            "seconds": scenario.seconds / WINDOWS,
            "classes": {name: [_window(window) for window in row.windows] for name, row in recorder.classes.items()},
        },
        "generator": _generator(recorder),
        "server": {
            "counted": facts.scraper.counted(),
            "queued": _since(facts.scraper, "packshot_shots_queued", recorder.epoch),
            "metrics_missed": facts.scraper.missed,
            "replicas": facts.replicas,
        },
        "faults": [
            {
                "words": one.fault.words,
                "at_s": round(one.at_s, 2),
                "back_s": one.back_s,
                "recovered_s": taken,
                "error": one.error,
            }
            for one, taken in zip(facts.injected, facts.recovered_s, strict=False)
        ],
        "pictures": asdict(facts.compared),
        "queue_places": {
            "told": len(errors),
            "errors": {str(error): errors.count(error) for error in sorted(set(errors))},
        },
        "strangers": {"asked": recorder.strangers, "let_in": recorder.strangers_let_in},
        "attacks": dict(recorder.attacks),
        "failures": recorder.failures,
    }


def machine() -> dict[str, Any]:
    """The machine of the generator, without its host name."""
    return {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def _class(row: ClassRecord) -> dict[str, Any]:
    return {
        "offered": row.offered,
        "right": row.right,
        "good": row.good,
        "retries": row.retries,
        "why": dict(row.why),
        **{
            f"p{str(percent).replace('.', '')}_ms": round(row.percentile_ms(percent), 3)
            for percent in (50, 95, 99, 99.9)
        },
        "mean_ms": round(row.histogram.get_mean_value() / 1000, 3) if row.histogram.get_total_count() else 0.0,
        "max_ms": row.histogram.get_max_value() / 1000,
        "stages_ms": {name: round(spent / row.staged, 2) for name, spent in row.stages_ms.items()}
        if row.staged
        else {},
        "histogram": histogram_json(row.histogram),
    }


def _window(window: Window) -> dict[str, Any]:
    percentiles = {f"p{percent}_ms": window.percentile(percent / 100) for percent in (50, 95, 99)}
    return {
        "offered": window.offered,
        "right": window.right,
        "good": window.good,
        **{name: None if value is None else round(value, 2) for name, value in percentiles.items()},
        "stages_ms": {name: round(spent / window.right, 2) for name, spent in window.stages.items()}
        if window.right
        else {},
    }


def _generator(recorder: Recorder) -> dict[str, Any]:
    rows = recorder.generator
    sent_for_s = recorder.last_sent - recorder.first_sent
    return {
        "lag_p50_ms": recorder.lag_percentile_ms(0.5),
        "lag_p99_ms": recorder.lag_percentile_ms(0.99),
        "cpu_mean": round(sum(row["cpu"] for row in rows) / len(rows), 3) if rows else 0.0,
        "cpu_max": max((row["cpu"] for row in rows), default=0.0),
        "host_took": round(sum(row.get("taken", 0.0) for row in rows) / len(rows), 4) if rows else 0.0,
        "rss_mib": [rows[0]["rss_mib"], rows[-1]["rss_mib"]] if rows else [],
        "first_to_last_sent_s": round(sent_for_s, 4) if sent_for_s > 0 else 0.0,
        "rows": [[round(row["at"], 1), row["w"], row["cpu"], row["open"], row["rss_mib"]] for row in rows],
    }


def _since(scraper: Scraper, name: str, epoch: float) -> list[list[float]]:
    shift = scraper.started_at - epoch
    return [[round(at_s + shift, 1), value] for at_s, value in scraper.over_time(name)]
