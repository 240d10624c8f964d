"""A running system exports every metric that alerts and dashboards use."""

import re
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import ray

from cluster.kube import promql
from cluster.kube.alerts import OTHER_EXPORTERS, alert_rules
from cluster.kube.dashboards import dashboards
from tests.waiting import WAIT_S


@pytest.fixture
def named() -> set[str]:
    """Every metric of ours that the rules and dashboards read, except those that the rules record."""
    board = {"kind": "ConfigMap", "metadata": {"labels": {"grafana_dashboard": "1"}}, "data": dashboards()}
    manifests = [alert_rules(), board]
    expressions = [*promql.rule_expressions(manifests), *promql.dashboard_expressions(manifests)]
    read = {name for expression in expressions for name in promql.metric_names(expression)}
    read = {name for name in read if not name.startswith(OTHER_EXPORTERS)}
    return read - promql.recorded_names(manifests)


def rays_export() -> str:
    (node,) = [node for node in ray.nodes() if node["Alive"]]
    return httpx.get(f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics", timeout=WAIT_S).text


def exported(http: httpx.Client) -> set[str]:
    """The names in Ray's own export on this node, and in the gateway's /metrics."""
    text = rays_export() + http.get("/metrics").text
    return set(re.findall(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)", text, re.MULTILINE))


def test_alerts_and_dashboards_name_only_what_is_exported(
    http: httpx.Client,
    coffee: dict[str, Any],
    shot_of: Callable[..., dict[str, Any]],
    finished: Callable[..., list[dict[str, Any]]],
    named: set[str],
) -> None:
    """After a relit shot in a picture's style that a webhook hears of, two clicks on one photo, words and one error: a
    series begins with its first event in a replica.

    The queue's gauges exist while shots wait, so a catalogue waits meanwhile.

    All of them happen here: the replicas that counted those of earlier tests may have been killed since.
    """
    assert len(named) > 15
    click = {"points": [{"x": 200, "y": 200, "label": 1}]}
    for _ in range(2):  # the second is answered from the cache, whichever replica has it
        assert http.post(f"/v1/photos/{coffee['id']}/masks", json=click).status_code == 200
    assert http.post(f"/v1/photos/{coffee['id']}/masks", json={"text": "cup"}).status_code == 200
    assert http.get("/v1/shots/none").status_code == 404
    nobody = {"url": "http://127.0.0.1:9/", "events": ["shot.ended"]}
    hook = http.post("/v1/webhooks", json=nobody).json()["id"]
    style = {"references": [{"photo_id": coffee["id"]}], "parts": ["scene"]}
    (shot,) = finished([http.post("/v1/shots", json=shot_of(relight={"mode": "match"}, style=style)).json()["id"]])
    assert shot["status"] == "done"
    waiting = [http.post("/v1/shots", json=shot_of(priority="catalogue")).json()["id"] for _ in range(40)]
    give_up_at = time.monotonic() + 200
    seen: set[str] = set()
    while missing := named - (seen := seen | exported(http)):
        assert time.monotonic() < give_up_at, f"no series of {sorted(missing)}"
        time.sleep(1)
    assert http.delete(f"/v1/webhooks/{hook}").status_code == 204
    for one in waiting:
        http.delete(f"/v1/shots/{one}")
    finished(waiting)


def test_gateways_directors_and_generators_report_to_the_autoscaler(http: httpx.Client) -> None:
    """Serve counts its calls of `record_autoscaling_stats`, and those that failed."""
    assert http.get("/healthz").status_code == 200
    wanted = {"gateway", "director", "generator"}
    asked = re.compile(r'^ray_serve_user_autoscaling_stats_latency_ms_count\{.*deployment="(\w+)"', re.MULTILINE)
    give_up_at = time.monotonic() + 200
    while missing := wanted - set(asked.findall(rays_export())):
        assert time.monotonic() < give_up_at, f"never asked {sorted(missing)}"
        time.sleep(1)
    assert "ray_serve_record_autoscaling_stats_failed" not in re.sub("(?m)^#.*$", "", rays_export())
