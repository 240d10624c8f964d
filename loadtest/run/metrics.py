"""The server's `/metrics`, read before, during and after the run, outside the generator's processes."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from itertools import pairwise

import httpx
from prometheus_client.parser import text_string_to_metric_families

from loadtest.run.target import client

EVERY_S = 2.0
_COUNTERS = (
    "packshot_photo_encodes_total",
    "packshot_embedding_cache_hits_total",
    "packshot_mask_decodes_total",
    "packshot_denoise_steps_total",
    "packshot_denoise_batch_rows_sum",
    "packshot_denoise_batch_rows_count",
    "packshot_shot_seconds_sum",
    "packshot_shot_seconds_count",
)

_LABELLED = ("packshot_shots_total", "packshot_errors_total")


def parsed(text: str) -> dict[str, float]:
    """Prometheus text as a mapping of `name` or `name{label value}` to the value.

    Histograms are reduced to their sums and counts.
    """
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.endswith(("_bucket", "_created")):
                continue
            label = ",".join(sample.labels.values())
            found[f"{sample.name}{{{label}}}" if label else sample.name] = sample.value
    return found


def queued(host: str, key: str | None) -> float:
    """The number of shots that wait on the server; 0 when its metrics cannot be read."""
    try:
        with client(host, key) as http:
            answer = http.get("/metrics", timeout=5)
        values = parsed(answer.text) if answer.status_code == 200 else {}
    except (httpx.HTTPError, ValueError):
        return 0.0
    return sum(value for name, value in values.items() if name.startswith("packshot_shots_queued"))


@dataclass
class Scraper:
    """Reads `/metrics` every EVERY_S seconds in a thread.

    `rows` holds the readings as (seconds since `started_at`, values), and `missed` counts the readings that failed.
    """

    host: str
    key: str | None
    rows: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    missed: int = 0

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.started_at = time.time()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and read once more, after a pause: the counters lag by the server's report interval."""
        self._stop.set()
        self._thread.join()
        time.sleep(EVERY_S)
        self._read()

    def _run(self) -> None:
        while True:
            self._read()
            if self._stop.wait(EVERY_S):
                return

    def _read(self) -> None:
        try:
            with client(self.host, self.key) as http:
                answer = http.get("/metrics", timeout=5)
            if answer.status_code == 200:
                self.rows.append((time.time() - self.started_at, parsed(answer.text)))
                return
        except (httpx.HTTPError, ValueError):
            pass  # a server under load may not answer; `missed` counts it
        self.missed += 1

    def over_time(self, name: str) -> list[tuple[float, float]]:
        """The readings of one metric, as (seconds since `started_at`, value)."""
        return [(at_s, values[name]) for at_s, values in self.rows if name in values]

    def counted(self) -> dict[str, float]:
        """The increase of each counter during the run. A counter that falls was reset to 0 when its process died."""
        labelled = {name for _, row in self.rows for name in row if name.startswith(_LABELLED)}
        names = [*_COUNTERS, *sorted(labelled)]
        found = {}
        for name in names:
            values = [values.get(name, 0.0) for _, values in self.rows]
            found[name] = sum(after - before if after >= before else after for before, after in pairwise(values))
        return found
