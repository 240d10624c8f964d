"""The library's `Meter` over Ray's metrics, and the function that sums a node's replicas for `/metrics`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import cache
from typing import Any

import httpx
import ray
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from ray.serve import metrics

from packshot.meter import METRICS, Sample

PREFIX = "ray_"
Samples = Iterable[Sample]
_LINE_STARTS = tuple(f"{start}{PREFIX}packshot_" for start in ("", "# HELP ", "# TYPE "))


@cache
def _counter(name: str) -> metrics.Counter:
    return metrics.Counter(name, description=METRICS[name].help, tag_keys=_tag_keys(name))


@cache
def _gauge(name: str) -> metrics.Gauge:
    return metrics.Gauge(name, description=METRICS[name].help, tag_keys=_tag_keys(name))


@cache
def _histogram(name: str) -> metrics.Histogram:
    row = METRICS[name]
    return metrics.Histogram(name, description=row.help, boundaries=list(row.buckets), tag_keys=_tag_keys(name))


def _tag_keys(name: str) -> Any:
    return METRICS[name].labels  # Ray's annotation, Tuple[str], allows one only


class RayMeter:
    """A `Meter` that writes to Ray's metrics agent. Use it inside a replica."""

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        _counter(name).inc(amount, tags=labels)

    def observe(self, name: str, value: float, **labels: str) -> None:
        _histogram(name).observe(value, tags=labels)

    def set(self, name: str, value: float, **labels: str) -> None:
        _gauge(name).set(value, tags=labels)


def report(gauges: Samples) -> None:
    """Set gauges of this replica in Ray's metrics agent."""
    for sample in gauges:
        _gauge(sample.name).set(sample.value, tags=dict(sample.labels))


NODE_TIMEOUT_S = 2.0
"""How long Ray's export of this node may take."""


async def node_metrics(gauges: Samples) -> str:
    """Return the `packshot_*` metrics of this replica's node as Prometheus text, summed over the node's replicas.

    Prometheus sums over nodes: each gateway that asked every node would cost the square of their number. `gauges` adds
    the store's values, which are the same at every gateway. When the node does not answer, only these are returned.
    """
    try:
        async with httpx.AsyncClient(timeout=NODE_TIMEOUT_S) as http:
            texts = [(await http.get(await asyncio.to_thread(_own_export))).text]
    except (httpx.HTTPError, LookupError):
        texts = []
    return await asyncio.to_thread(summed, texts, gauges)


@cache
def _own_export() -> str:
    """The address of this node's export. Raises LookupError while Ray does not know its port."""
    own = ray.get_runtime_context().get_node_id()
    for node in ray.nodes():
        if node["NodeID"] == own and node["MetricsExportPort"]:
            return f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    raise LookupError(f"the node {own} must export metrics, it has no port")


def summed(texts: Iterable[str], gauges: Samples = ()) -> str:
    """Sum the metrics of `packshot.meter` in Ray's exports over all labels that `packshot.meter` does not name.

    `texts` are the nodes' exports. Ray's prefix is removed. `gauges` adds samples. Ray's own metrics are thousands of
    lines, and parsing them would block this process for a second, so they are filtered out first.
    """
    sums: dict[str, dict[tuple[str, ...], float]] = {name: {} for name in METRICS}
    for text in texts:
        packshot_lines = "\n".join(line for line in text.splitlines() if line.startswith(_LINE_STARTS))
        for family in text_string_to_metric_families(packshot_lines):
            for sample in family.samples:
                name = sample.name.removeprefix(PREFIX)
                for metric, row in METRICS.items():
                    base = metric.removesuffix("_total") if row.kind == "counter" else metric
                    if name not in (metric, base, f"{metric}_bucket", f"{metric}_sum", f"{metric}_count"):
                        continue
                    suffix = name.removeprefix(metric) if name != base else ""
                    labels = (suffix, sample.labels.get("le", ""), *(sample.labels.get(key, "") for key in row.labels))
                    sums[metric][labels] = sums[metric].get(labels, 0.0) + sample.value
    for name, labels_of, value in gauges:
        sums[name]["", "", *(labels_of.get(key, "") for key in METRICS[name].labels)] = value
    registry = CollectorRegistry()
    registry.register(_Sums(sums))
    return generate_latest(registry).decode()


class _Sums(Collector):
    def __init__(self, sums: dict[str, dict[tuple[str, ...], float]]) -> None:
        self._sums = sums

    def collect(self) -> Iterable[Metric]:
        for name, row in METRICS.items():
            samples = self._sums[name]
            if row.kind == "histogram":
                yield self._histogram(name, samples)
                continue
            family = (CounterMetricFamily if row.kind == "counter" else GaugeMetricFamily)(
                name, row.help, labels=row.labels
            )
            if not samples and not row.labels:
                family.add_metric([], 0.0)
            for (_, _, *labels), value in sorted(samples.items()):
                family.add_metric(labels, value)
            yield family

    @staticmethod
    def _histogram(name: str, samples: dict[tuple[str, ...], float]) -> HistogramMetricFamily:
        family = HistogramMetricFamily(name, METRICS[name].help)
        bounds = {le: value for (suffix, le), value in samples.items() if suffix == "_bucket"}
        if bounds:
            buckets = sorted(bounds.items(), key=lambda bound: float(bound[0]))
            family.add_metric([], buckets, sum_value=samples.get(("_sum", ""), 0.0))
        return family
