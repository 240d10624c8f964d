"""The Grafana dashboards.

`service` shows what users experience, `pipeline` the deployments, and `resources` what runs out: places in the queue,
the database, the edge and the GPUs.
"""

from __future__ import annotations

import json
from string import ascii_uppercase

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import GraphDrawStyle, LegendDisplayMode, LegendPlacement, StackingMode
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
)

from cluster.kube.alerts import recorded
from cluster.kube.objectives import OBJECTIVES

DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
THIRD, QUARTER = 8, 6
"""Widths of panels; a Grafana row has 24 columns."""
RATE = "$__rate_interval"
REFUSALS = "busy|queue_full|body_too_large"
"""Codes with which a request is refused because of its size or of the load."""

Query = tuple[str, str]
"""A PromQL expression and the name of its series."""


def dashboards() -> dict[str, str]:
    """Grafana's JSON by file name without suffix."""
    boards = {"service": _service(), "pipeline": _pipeline(), "resources": _resources()}
    return {name: _text(board) for name, board in boards.items()}


def _text(board: dashboard.Dashboard) -> str:
    """Grafana's JSON. Each panel gets an id and each of its queries a refId, which the library leaves empty."""
    plain = json.loads(JSONEncoder(sort_keys=True).encode(board.build()))
    for number, panel in enumerate(plain["panels"], 1):
        panel["id"] = number
        for letter, query in zip(ascii_uppercase, panel.get("targets", []), strict=False):
            query["refId"] = letter
    return json.dumps(plain, indent=1) + "\n"


def _service() -> dashboard.Dashboard:
    board = _board("packshot-service", "Packshot: service", "What users experience: objectives, traffic, waiting.")
    board.with_row(dashboard.Row("Objectives: burn rate of the month's error budget (1 is allowed)"))
    for one in OBJECTIVES:
        board.with_panel(_burn(one.name, one.sentence, one.budget))
    board.with_row(dashboard.Row("Requests"))
    board.with_panel(
        _lines(
            "Requests per second, by status",
            "reqps",
            (f"sum by (status_code) (rate(ray_serve_num_http_requests_total[{RATE}]))", "{{status_code}}"),
            stacked=True,
        )
    )
    board.with_panel(_lines("Time to an answer", "ms", *_quantiles("ray_serve_http_request_latency_ms")))
    board.with_panel(
        _lines(
            "Errors per second, by code",
            "reqps",
            (f"sum by (code) (rate(ray_packshot_errors_total[{RATE}]))", "{{code}}"),
            stacked=True,
        )
    )
    board.with_row(dashboard.Row("Shots"))
    board.with_panel(
        _lines(
            "Shots ended per minute, by status",
            "short",
            (f"60 * sum by (status) (rate(ray_packshot_shots_total[{RATE}]))", "{{status}}"),
            stacked=True,
        )
    )
    board.with_panel(_lines("Time from acceptance to end", "s", *_quantiles("ray_packshot_shot_seconds")))
    board.with_panel(_lines("Shots waiting in the store", "short", ("max(packshot_shots_queued)", "waiting")))
    return board


def _pipeline() -> dashboard.Dashboard:
    board = _board("packshot-pipeline", "Packshot: pipeline", "The deployments: replicas, load, batches, caches.")
    board.with_row(dashboard.Row("Replicas"))
    board.with_panel(
        _lines(
            "Healthy replicas",
            "short",
            ("sum by (deployment) (ray_serve_deployment_replica_healthy)", "{{deployment}}"),
        )
    )
    board.with_panel(
        _lines(
            "Desired and target replicas (they differ at the limit)",
            "short",
            ("max by (deployment) (ray_serve_autoscaling_desired_replicas)", "{{deployment}} desired"),
            ("max by (deployment) (ray_serve_autoscaling_target_replicas)", "{{deployment}} target"),
        )
    )
    board.with_panel(
        _lines(
            "Ongoing calls",
            "short",
            ("sum by (deployment) (ray_serve_replica_processing_queries)", "{{deployment}}"),
        )
    )
    board.with_row(dashboard.Row("Painting"))
    board.with_panel(
        _lines(
            "Denoising steps per second (each scene counts)",
            "short",
            (f"sum by (deployment) (rate(ray_packshot_denoise_steps_total[{RATE}]))", "{{deployment}}"),
        )
    )
    board.with_panel(
        _lines(
            "Shots waiting for each engine",
            "short",
            ("max by (engine) (packshot_engine_shots)", "{{engine}}"),
        )
    )
    board.with_panel(
        _lines(
            "Rows that share a step",
            "short",
            (
                f"sum by (deployment) (rate(ray_packshot_denoise_batch_rows_sum[{RATE}])) / "
                f"sum by (deployment) (rate(ray_packshot_denoise_batch_rows_count[{RATE}]))",
                "{{deployment}}",
            ),
        )
    )
    board.with_panel(
        _lines("Time in each stage, p95", "ms", *_stages(0.95)),
    )
    board.with_row(dashboard.Row("Clicks"))
    board.with_panel(
        _lines(
            "Masks decoded, photos encoded and products understood per second",
            "short",
            (f"sum(rate(ray_packshot_mask_decodes_total[{RATE}]))", "masks"),
            (f"sum(rate(ray_packshot_photo_encodes_total[{RATE}]))", "photos"),
            (f"sum(rate(ray_packshot_word_searches_total[{RATE}]))", "words"),
            (f"sum(rate(ray_packshot_products_understood_total[{RATE}]))", "geometries"),
            (f"sum(rate(ray_packshot_references_encoded_total[{RATE}]))", "references"),
        )
    )
    board.with_panel(
        _lines(
            "Hit rate of the embedding cache",
            "percentunit",
            (
                f"sum(rate(ray_packshot_embedding_cache_hits_total[{RATE}])) / "
                f"(sum(rate(ray_packshot_embedding_cache_hits_total[{RATE}]))"
                f" + sum(rate(ray_packshot_photo_encodes_total[{RATE}])))",
                "hits",
            ),
        )
    )
    board.with_panel(
        _lines(
            "Calls waiting for a replica",
            "short",
            ("sum by (deployment) (ray_serve_deployment_queued_queries)", "{{deployment}}"),
        )
    )
    return board


def _resources() -> dashboard.Dashboard:
    """Queue gauges are the store's and equal at every gateway, hence `max`. DCGM_* come from NVIDIA's dcgm-exporter."""
    board = _board("packshot-resources", "Packshot: resources", "What runs out: queue, database, edge, GPUs.")
    board.with_row(dashboard.Row("Queue"))
    age, waiting = "packshot_queue_oldest_seconds", "packshot_queue_shots"
    board.with_panel(_lines("Oldest waiting shot, by priority", "s", (f"max by (priority) ({age})", "{{priority}}")))
    board.with_panel(
        _lines("Oldest waiting shot, ten tenants", "s", (f"topk(10, max by (tenant) ({age}))", "{{tenant}}"))
    )
    by_tenant = f"topk(10, sum by (tenant) (max by (tenant, priority) ({waiting})))"
    board.with_panel(_lines("Waiting shots, ten tenants", "short", (by_tenant, "{{tenant}}"), stacked=True))
    board.with_row(dashboard.Row("Database"))
    connections = "sum by (deployment, state) (ray_packshot_database_connections)"
    board.with_panel(_lines("Connections", "short", (connections, "{{deployment}} {{state}}"), stacked=True))
    board.with_panel(_lines("Time of a claim", "s", *_quantiles("ray_packshot_claim_seconds")))
    claims = f"sum(rate(ray_packshot_claim_seconds_count[{RATE}]))"
    board.with_panel(_lines("Claims per second", "ops", (claims, "claims")))
    board.with_row(dashboard.Row("Edge"))
    passed = f"sum by (direction) (rate(ray_packshot_http_bytes_total[{RATE}]))"
    board.with_panel(_lines("Bytes of bodies per second", "Bps", (passed, "{{direction}}")))
    board.with_panel(
        _lines(
            "Requests under way",
            "short",
            ('sum(ray_serve_replica_processing_queries{deployment="gateway"})', "at gateways"),
            ("sum(ray_serve_num_ongoing_http_requests)", "at proxies"),
        )
    )
    refused = f'sum by (code) (rate(ray_packshot_errors_total{{code=~"{REFUSALS}"}}[{RATE}]))'
    board.with_panel(_lines("Refused per second: too much at once", "reqps", (refused, "{{code}}"), stacked=True))
    attempts = f"60 * sum by (outcome) (rate(ray_packshot_webhook_attempts_total[{RATE}]))"
    board.with_panel(_lines("Attempts to send events per minute", "short", (attempts, "{{outcome}}"), stacked=True))
    board.with_row(dashboard.Row("GPUs"))
    board.with_panel(
        _lines("Busy", "percent", ("avg by (Hostname, gpu) (DCGM_FI_DEV_GPU_UTIL)", "{{Hostname}} {{gpu}}"))
    )
    used = "sum by (Hostname, gpu) (DCGM_FI_DEV_FB_USED)"
    free = "sum by (Hostname, gpu) (DCGM_FI_DEV_FB_FREE)"
    board.with_panel(_lines("Memory in use", "percentunit", (f"{used} / ({used} + {free})", "{{Hostname}} {{gpu}}")))
    xid = "max by (Hostname, gpu) (DCGM_FI_DEV_XID_ERRORS)"
    board.with_panel(_lines("Last XID error (0 = none)", "short", (xid, "{{Hostname}} {{gpu}}")))
    return board


def _board(uid: str, title: str, description: str) -> dashboard.Dashboard:
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["packshot"])
        .refresh("30s")
        .time("now-6h", "now")
        .readonly()
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )


def _burn(name: str, sentence: str, budget: float) -> stat.Panel:
    steps = [Threshold(None, "green"), Threshold(1, "orange"), Threshold(6, "red")]
    return (
        stat.Panel()
        .title(f"{name}: burn rate, last hour")
        .description(sentence)
        .datasource(DATASOURCE)
        .with_target(_target(f'{recorded("1h")}{{objective="{name}"}} / {budget:g}', name))
        .unit("short")
        .decimals(1)
        .no_value("no events")
        .thresholds(_thresholds(steps))
        .height(5)
        .span(QUARTER)
    )


def _lines(title: str, unit: str, *queries: Query, stacked: bool = False) -> timeseries.Panel:
    panel = (
        timeseries.Panel()
        .title(title)
        .datasource(DATASOURCE)
        .unit(unit)
        .min(0)
        .height(8)
        .span(THIRD)
        .draw_style(GraphDrawStyle.LINE)
        .fill_opacity(20 if stacked else 0)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC))
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    for expr, legend in queries:
        panel.with_target(_target(expr, legend))
    return panel


def _target(expr: str, legend: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(expr).legend_format(legend).datasource(DATASOURCE)


def _thresholds(steps: list[Threshold]) -> dashboard.ThresholdsConfig:
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _quantiles(histogram: str) -> list[Query]:
    return [
        (f"histogram_quantile({q}, sum by (le) (rate({histogram}_bucket[{RATE}])))", f"p{q * 100:g}")
        for q in (0.5, 0.95, 0.99)
    ]


def _stages(quantile: float) -> list[Query]:
    rate = f"rate(ray_serve_deployment_processing_latency_ms_bucket[{RATE}])"
    return [(f"histogram_quantile({quantile}, sum by (le, deployment) ({rate}))", "{{deployment}}")]
