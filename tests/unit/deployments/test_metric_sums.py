"""A gateway's `/metrics` sums Packshot's few metrics out of Ray's large export."""

from typing import Any

import httpx
import pytest

from deployments.ray_support import metrics
from deployments.ray_support.metrics import node_metrics, summed
from packshot.meter import Sample

RAYS_OWN = '# HELP ray_tasks Tasks.\n# TYPE ray_tasks gauge\nray_tasks{Name="packshot_thing",State="RUNNING"} 4.0\n'


def replica(pid: str, steps: float, done: float) -> str:
    return (
        "# HELP ray_packshot_denoise_steps_total Rows.\n# TYPE ray_packshot_denoise_steps_total counter\n"
        f'ray_packshot_denoise_steps_total{{WorkerId="{pid}"}} {steps}\n{RAYS_OWN}'
        "# HELP ray_packshot_shots_total Shots.\n# TYPE ray_packshot_shots_total counter\n"
        f'ray_packshot_shots_total{{WorkerId="{pid}",status="done"}} {done}\n'
    )


def test_counters_are_summed_over_replicas_and_keep_the_contracts_labels() -> None:
    told = summed([replica("a", 20.0, 2.0), replica("b", 30.0, 3.0)], [Sample("packshot_shots_queued", {}, 7.0)])
    lines = [line for line in told.splitlines() if not line.startswith("#")]
    assert "packshot_denoise_steps_total 50.0" in lines
    assert 'packshot_shots_total{status="done"} 5.0' in lines
    assert "packshot_shots_queued 7.0" in lines
    assert not any("ray_" in line or "thing" in line for line in lines)


def test_what_is_not_ours_is_not_even_parsed() -> None:
    assert "packshot_denoise_steps_total 20.0" in summed(['ray_other{not="text', replica("a", 20.0, 2.0)])
    assert "packshot_denoise_steps_total 20.0" in summed([replica("a", 20.0, 2.0) + 'ray_other{not="text\n'])


async def test_a_gateway_asks_its_own_node_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a cluster of forty pods, forty gateways that ask forty nodes would be 1,600 requests a scrape."""
    nodes = [
        {"NodeID": f"n{number}", "Alive": True, "NodeManagerAddress": f"10.0.0.{number}", "MetricsExportPort": 8080}
        for number in range(40)
    ]
    asked: list[str] = []

    async def get(self: httpx.AsyncClient, url: str) -> httpx.Response:
        asked.append(url)
        return httpx.Response(200, text=replica("a", 20.0, 2.0))

    class Context:
        def get_node_id(self) -> str:
            return "n7"

    def own(*_: Any) -> Context:
        return Context()

    monkeypatch.setattr("ray.nodes", lambda: nodes)
    monkeypatch.setattr("ray.get_runtime_context", own)
    monkeypatch.setattr(httpx.AsyncClient, "get", get)
    metrics._own_export.cache_clear()
    try:
        text = await node_metrics([Sample("packshot_queue_shots", {"priority": "catalogue", "tenant": "tn_a"}, 3.0)])
    finally:
        metrics._own_export.cache_clear()
    assert asked == ["http://10.0.0.7:8080/metrics"]
    assert "packshot_denoise_steps_total 20.0" in text
    assert 'packshot_queue_shots{priority="catalogue",tenant="tn_a"} 3.0' in text
