"""Counting, without saying where the counts go.

The library counts through `Meter`; tests and tools use the prometheus-client one below, deployments one over
`ray.serve.metrics` (deployments/ray_support/metrics.py). `METRICS` is the one list of names, labels and bounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


@dataclass(frozen=True)
class Metric:
    """One row of the contract. `buckets` only for histograms, upper bounds in the metric's unit."""

    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


METRICS: dict[str, Metric] = {
    "packshot_photo_encodes_total": Metric("counter", "Photos run through the segmenter's encoder."),
    "packshot_embedding_cache_hits_total": Metric("counter", "Encodes answered from the embedding cache."),
    "packshot_mask_decodes_total": Metric("counter", "Prompts decoded into masks."),
    "packshot_shots_total": Metric("counter", "Shots ended, by status.", ("status",)),
    "packshot_shot_seconds": Metric(
        "histogram",
        "From accepted to ended, in seconds.",
        buckets=(0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600),
    ),
    "packshot_shots_queued": Metric("gauge", "Shots waiting in the store."),
    "packshot_denoise_steps_total": Metric("counter", "Denoising steps taken, rows of a batch counted one by one."),
    "packshot_denoise_batch_rows": Metric(
        "histogram", "Rows that shared one denoising step.", buckets=(1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
    ),
    "packshot_denoise_max_rows": Metric(
        "gauge",
        "Rows of the networks' batch that a denoising step may have, as measured at start; summed over generators.",
    ),
    "packshot_errors_total": Metric("counter", "Errors answered or recorded, by code.", ("code",)),
}


class Meter(Protocol):
    """Where counts go. `name` is a key of METRICS; `labels` are exactly that metric's labels."""

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None: ...

    def observe(self, name: str, value: float, **labels: str) -> None: ...

    def set(self, name: str, value: float, **labels: str) -> None: ...


class NoMeter:
    """Counts nothing: the default where nobody reads."""

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Do nothing."""

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Do nothing."""

    def set(self, name: str, value: float, **labels: str) -> None:
        """Do nothing."""


class PrometheusMeter:
    """A `Meter` on prometheus-client, into `registry`."""

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
