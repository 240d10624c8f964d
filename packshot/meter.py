"""The metrics of Packshot, independent of the library that exports them.

The library records metrics through the protocol `Meter`. Tests and tools use `PrometheusMeter`. Deployments use an
implementation over `ray.serve.metrics` (deployments/ray_support/metrics.py). `METRICS` is the only list of the names,
labels and histogram buckets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


@dataclass(frozen=True)
class Metric:
    """One metric's description. `buckets` are a histogram's upper bounds in the metric's unit, else empty."""

    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


METRICS: dict[str, Metric] = {
    "packshot_photo_encodes_total": Metric("counter", "Photos encoded by the segmenter."),
    "packshot_embedding_cache_hits_total": Metric("counter", "Embeddings answered from the cache."),
    "packshot_mask_decodes_total": Metric("counter", "Requests for masks that the mask decoder computed."),
    "packshot_word_searches_total": Metric("counter", "Photos in which the detector looked for words."),
    "packshot_products_understood_total": Metric("counter", "Cutouts whose geometry and material were found."),
    "packshot_references_encoded_total": Metric("counter", "Reference pictures that the image encoder embedded."),
    "packshot_shots_total": Metric("counter", "Ended shots, by status.", ("status",)),
    "packshot_shot_seconds": Metric(
        "histogram",
        "Time from a shot's acceptance to its end, seconds.",
        buckets=(0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600),
    ),
    "packshot_shots_queued": Metric("gauge", "Shots waiting in the store."),
    "packshot_queue_shots": Metric(
        "gauge", "Shots waiting in the store, by priority and tenant.", ("priority", "tenant")
    ),
    "packshot_queue_oldest_seconds": Metric(
        "gauge", "Time for which the oldest shot has waited, by priority and tenant, seconds.", ("priority", "tenant")
    ),
    "packshot_engine_shots": Metric(
        "gauge",
        "Shots waiting in the store, by engine and the deployment that paints with it; empty = not served.",
        ("engine", "generator"),
    ),
    "packshot_database_connections": Metric(
        "gauge", "Connections of a process to the database, by state (used, idle).", ("state",)
    ),
    "packshot_denoise_steps_total": Metric("counter", "Denoising steps, counted once for each scene of a step."),
    "packshot_denoise_batch_rows": Metric(
        "histogram", "Scenes that shared one denoising step.", buckets=(1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
    ),
    "packshot_denoise_max_rows": Metric(
        "gauge",
        "Largest number of batch rows of a denoising step, as measured at start; summed over generators.",
    ),
    "packshot_denoise_parked_rows": Metric(
        "gauge", "Batch rows of catalogue scenes that are parked while people's scenes step; summed over generators."
    ),
    "packshot_remote_calls_total": Metric(
        "counter",
        "Calls of remote engines' vendors, by outcome (painted, refused, wrong, unanswered).",
        ("outcome",),
    ),
    "packshot_claim_seconds": Metric(
        "histogram",
        "Time of a director's claim in the store, seconds; also of one that finds no shot.",
        buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
    ),
    "packshot_http_bytes_total": Metric(
        "counter", "Bytes of request and response bodies at the gateway, by direction (in, out).", ("direction",)
    ),
    "packshot_webhook_attempts_total": Metric(
        "counter", "Attempts to send events to webhooks, by outcome (received, refused, unanswered).", ("outcome",)
    ),
    "packshot_trainings_total": Metric("counter", "Ended trainings, by status.", ("status",)),
    "packshot_training_seconds_total": Metric("counter", "Seconds of trainings' processes."),
    "packshot_errors_total": Metric("counter", "Errors returned or recorded, by code.", ("code",)),
}
"""Every metric by its name."""


class Sample(NamedTuple):
    """The value of one series. `name` is a key of METRICS, and `labels` are exactly that metric's labels."""

    name: str
    labels: Mapping[str, str]
    value: float


class Meter(Protocol):
    """Records metrics. `name` is a key of METRICS, and `labels` are exactly that metric's labels."""

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Add `amount` to a counter."""

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add one observation to a histogram."""

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""


class NoMeter:
    """A `Meter` that discards everything. It is the default of classes that take a meter."""

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Do nothing."""

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Do nothing."""

    def set(self, name: str, value: float, **labels: str) -> None:
        """Do nothing."""


class PrometheusMeter:
    """A `Meter` that registers all `METRICS` with prometheus-client in `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        from prometheus_client import Counter, Gauge, Histogram

        self._counters = {
            name: Counter(name, row.help, row.labels, registry=registry)
            for name, row in METRICS.items()
            if row.kind == "counter"
        }
        self._gauges = {
            name: Gauge(name, row.help, row.labels, registry=registry)
            for name, row in METRICS.items()
            if row.kind == "gauge"
        }
        self._histograms = {
            name: Histogram(name, row.help, row.labels, registry=registry, buckets=row.buckets)
            for name, row in METRICS.items()
            if row.kind == "histogram"
        }

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        counter = self._counters[name]
        (counter.labels(**labels) if labels else counter).inc(amount)

    def observe(self, name: str, value: float, **labels: str) -> None:
        histogram = self._histograms[name]
        (histogram.labels(**labels) if labels else histogram).observe(value)

    def set(self, name: str, value: float, **labels: str) -> None:
        gauge = self._gauges[name]
        (gauge.labels(**labels) if labels else gauge).set(value)
