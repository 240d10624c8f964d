"""Checks of rules and dashboards, as promtool would make them.

Every expression must parse, recorded metrics must exist, and each alert must link to the runbook. A test compares
`metric_names` with the metrics that a running system exports.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import promql_parser

from cluster.kube.build import Manifest

GRAFANA = re.compile(r"\$__rate_interval|\$__interval|\$__range")


def metric_names(expression: str) -> set[str]:
    """The names of the metrics that the expression reads. Raises ValueError when it does not parse."""
    return set(_walk(promql_parser.parse(GRAFANA.sub("5m", expression))))


def rule_expressions(manifests: list[Manifest]) -> Iterator[str]:
    """The expressions of every PrometheusRule."""
    for rule in _rules(manifests):
        yield rule["expr"]


def dashboard_expressions(manifests: list[Manifest]) -> Iterator[str]:
    """The expressions of every dashboard in a ConfigMap that Grafana's sidecar loads."""
    for one in manifests:
        if one["kind"] == "ConfigMap" and "grafana_dashboard" in one["metadata"].get("labels", {}):
            for text in one["data"].values():
                yield from _expressions(json.loads(text))


def recorded_names(manifests: list[Manifest]) -> set[str]:
    """The names of the metrics that the rules record."""
    return {rule["record"] for rule in _rules(manifests) if "record" in rule}


def faults(manifests: list[Manifest]) -> Iterator[str]:
    """The faults of rules and dashboards, one line each."""
    for expression in (*rule_expressions(manifests), *dashboard_expressions(manifests)):
        try:
            names = metric_names(expression)
        except ValueError as error:
            yield f"PromQL must parse: {expression}: {error}"
            continue
        for name in names:
            if name.startswith("packshot:") and name not in recorded_names(manifests):
                yield f"{name} must be recorded by a rule: {expression}"
    alerts = [rule for rule in _rules(manifests) if "alert" in rule]
    seen: set[tuple[str, str]] = set()
    for rule in alerts:
        name, labels, notes = rule["alert"], rule.get("labels", {}), rule.get("annotations", {})
        if labels.get("severity") not in ("page", "ticket"):
            yield f"{name} must have the severity page or ticket, got {labels.get('severity')}"
        for key in ("summary", "runbook"):
            if not notes.get(key):
                yield f"{name} must have the annotation {key}"
        identity = (name, json.dumps(labels, sort_keys=True))
        if identity in seen:
            yield f"{name} must have other labels than another alert of the same name, got {labels}"
        seen.add(identity)


def _rules(manifests: list[Manifest]) -> Iterator[dict[str, Any]]:
    for one in manifests:
        if one["kind"] == "PrometheusRule":
            for group in one["spec"]["groups"]:
                yield from group["rules"]


def _expressions(panel: Any) -> Iterator[str]:
    """Every `expr` in a dashboard, at any depth."""
    if isinstance(panel, dict):
        for key, value in panel.items():
            if key == "expr" and isinstance(value, str):
                yield value
            else:
                yield from _expressions(value)
    elif isinstance(panel, list):
        for each in panel:
            yield from _expressions(each)


def _walk(node: Any) -> Iterator[str]:
    if isinstance(node, promql_parser.VectorSelector):
        if node.name:
            yield node.name
        return
    for child in ("expr", "lhs", "rhs", "vector_selector", "vs", "param"):
        if (below := getattr(node, child, None)) is not None:
            yield from _walk(below)
    args = getattr(node, "args", None)
    for below in args if isinstance(args, list) else []:
        yield from _walk(below)
