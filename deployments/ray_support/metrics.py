"""The library's `Meter` over Ray's metrics, and the function that sums them over the cluster for `/metrics`."""

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

from packshot.meter import METRICS

PREFIX = "ray_"
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


async def cluster_metrics(extra: dict[str, float]) -> str:
    """Return every `packshot_*` metric of the cluster as Prometheus text, summed over replicas.

    `extra` adds gauges, by name. A node that does not answer within two seconds is left out.
    """
    nodes = [node for node in await asyncio.to_thread(ray.nodes) if node["Alive"] and node["MetricsExportPort"]]
    async with httpx.AsyncClient(timeout=2.0) as http:
        answers = await asyncio.gather(
            *(http.get(f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics") for node in nodes),
            return_exceptions=True,
        )
    texts = [answer.text for answer in answers if isinstance(answer, httpx.Response)]
    return await asyncio.to_thread(summed, texts, extra)


def summed(texts: Iterable[str], extra: dict[str, float] | None = None) -> str:
    """Sum the metrics of `packshot.meter` in Ray's exports over all labels that `packshot.meter` does not name.

    `texts` are the nodes' exports. Ray's prefix is removed. `extra` adds gauges, by name. Ray's own metrics are
    thousands of lines, and parsing them would block this process for a second, so they are filtered out first.
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
    for name, value in (extra or {}).items():
        sums[name] = {("", "", *("" for _ in METRICS[name].labels)): value}
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
