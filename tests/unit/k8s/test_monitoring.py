"""Alerts fire when they should, and rules and dashboards read what Packshot and Serve export."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from ray.serve.schema import ApplicationStatus

from cluster.kube import promql
from cluster.kube.alerts import BURNS, DEPLOY_FAILED, RUNS, WINDOWS, alert_rules
from cluster.kube.build import Manifest
from cluster.kube.dashboards import REFUSALS, dashboards
from cluster.kube.objectives import OBJECTIVES
from packshot.api.problems import code_rows
from packshot.meter import METRICS
from tests.debian_tools import missing

ROOT = Path(__file__).parents[3]


def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        missing("promtool", "Debian's package prometheus carries it")
    (tmp_path / "rules.groups.yaml").write_text(yaml.safe_dump(alert_rules()["spec"]))
    shutil.copy(ROOT / "k8s/components/monitoring/rules.test.yaml", tmp_path)
    for arguments in (["check", "rules", "rules.groups.yaml"], ["test", "rules", "rules.test.yaml"]):
        done = subprocess.run([promtool, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_each_objective_is_watched_at_each_rate() -> None:
    alerts = [rule for rule in promql._rules([alert_rules()]) if rule.get("alert") == "PackshotBudgetBurns"]
    assert len(alerts) == len(OBJECTIVES) * len(BURNS)
    for burn in BURNS:
        assert {burn.long, burn.short} <= set(WINDOWS)
        # At this rate the long window's part of the month's budget is what the alert says is worth a call.
        hours = {"1h": 1, "6h": 6, "1d": 24, "3d": 72}[burn.long]
        spent = burn.rate * hours / (30 * 24)
        assert 0.02 <= spent + 1e-9 <= 0.1 + 1e-9


def test_bounds_of_objectives_are_bounds_of_histograms() -> None:
    assert 600 in METRICS["packshot_shot_seconds"].buckets
    from cluster.kube.rayservice import LATENCY_BUCKETS_MS

    assert "2000" in LATENCY_BUCKETS_MS.split(",")


def test_our_metrics_are_in_the_contract(overlays: dict[str, list[Manifest]]) -> None:
    """Ray's exporter puts `ray_` before a name, and `_bucket`, `_sum`, `_count` after a histogram's."""
    suffixed = {
        f"{name}{suffix}"
        for name, row in METRICS.items()
        for suffix in (("_bucket", "_sum", "_count") if row.kind == "histogram" else ("",))
    }
    named = read_by(overlays["production"])
    ours = {name.removeprefix("ray_") for name in named if name.removeprefix("ray_").startswith("packshot_")}
    assert ours
    assert ours <= suffixed


def read_by(manifests: list[Manifest]) -> set[str]:
    expressions = [*promql.rule_expressions(manifests), *promql.dashboard_expressions(manifests)]
    return {name for expression in expressions for name in promql.metric_names(expression)}


def test_the_runbook_has_a_heading_for_each_alert() -> None:
    headings = {
        line.lstrip("# ").strip().lower().replace(" ", "-").replace(",", "").replace("'", "")
        for line in (ROOT / "docs/runbook.md").read_text().splitlines()
        if line.startswith("#")
    }
    for rule in promql._rules([alert_rules()]):
        if "alert" in rule:
            page, _, anchor = rule["annotations"]["runbook"].partition("#")
            assert page == "docs/runbook.md"
            assert anchor in headings


def test_metric_names_are_read_from_every_part_of_an_expression() -> None:
    text = (
        "histogram_quantile(0.9, sum by (le) (rate(a_bucket[$__rate_interval]))) "
        '> on() (b{x="y"} or -c) and max_over_time(d[5m:1m]) > 0'
    )
    assert promql.metric_names(text) == {"a_bucket", "b", "c", "d"}


@pytest.mark.parametrize("name", ["service", "pipeline", "resources"])
def test_a_dashboards_panels_have_names_and_places_of_their_own(name: str) -> None:
    board = json.loads(dashboards()[name])
    panels = board["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        here = {(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])}
        assert not here & cells, panel["title"]
        assert max(x for x, _ in here) < 24
        cells |= here
        queries = [query["refId"] for query in panel.get("targets", [])]
        assert len(queries) == len(set(queries))
        assert panel["type"] == "row" or queries


def test_statuses_in_alerts_are_serves_numbers() -> None:
    assert ApplicationStatus.DEPLOY_FAILED.to_numeric() == DEPLOY_FAILED
    assert ApplicationStatus.RUNNING.to_numeric() == RUNS


def test_codes_in_alerts_are_codes() -> None:
    codes = {code for code, _, _ in code_rows()}
    assert set(REFUSALS.split("|")) <= codes
    for expression in promql.rule_expressions([alert_rules()]):
        assert set(re.findall(r'code="([^"]+)"', expression)) <= codes
