"""The PrometheusRule: multi-window burn-rate alerts of the objectives, and alerts on states that no ratio shows.

The burn rate is the rate at which the error budget of 30 days is consumed, over the allowed rate. Each alert uses a
long window, which makes it significant, and a short one, which ends it soon after the problem (the SRE workbook's
method). A burn rate of 14.4 consumes 2 % of the month's budget in an hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cluster.kube.objectives import OBJECTIVES, Objective
from cluster.kube.rayservice import NAME, PART_OF


@dataclass(frozen=True)
class Burn:
    """Alert with `severity` when the burn rate exceeds `rate` over both the `long` and the `short` window."""

    rate: float
    long: str
    short: str
    severity: str


BURNS = (
    Burn(14.4, "1h", "5m", "page"),
    Burn(6, "6h", "30m", "page"),
    Burn(3, "1d", "2h", "ticket"),
    Burn(1, "3d", "6h", "ticket"),
)
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")


def alert_rules() -> dict[str, Any]:
    """The PrometheusRule manifest."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": NAME, "labels": PART_OF},
        "spec": {
            "groups": [
                {"name": "packshot-ratios", "interval": "30s", "rules": [*_ratios()]},
                {"name": "packshot-burn", "rules": [_burn_alert(one, burn) for one in OBJECTIVES for burn in BURNS]},
                {"name": "packshot-state", "rules": _state()},
            ]
        },
    }


def recorded(window: str) -> str:
    """The name of the recorded ratio of bad events over `window`."""
    return f"packshot:bad:ratio_rate{window}"


def _ratios() -> list[dict[str, Any]]:
    return [
        {
            "record": recorded(window),
            "expr": f"({one.bad}) / ({one.all_events} > 0)".replace("WINDOW", window),
            "labels": {"objective": one.name},
        }
        for one in OBJECTIVES
        for window in WINDOWS
    ]


def _burn_alert(one: Objective, burn: Burn) -> dict[str, Any]:
    def over(window: str) -> str:
        return f'{recorded(window)}{{objective="{one.name}"}} > {burn.rate:g} * {one.budget:g}'

    return {
        "alert": "PackshotBudgetBurns",
        "expr": f"{over(burn.long)} and {over(burn.short)}",
        "for": "2m" if burn.severity == "page" else "15m",
        "labels": {"severity": burn.severity, "objective": one.name, "window": burn.long},
        "annotations": {
            "summary": f"{one.sentence} The month's error budget burns {burn.rate:g} times too fast.",
            "description": "{{ $value | humanizePercentage }} of the last " + burn.long + " were bad.",
            "runbook": "docs/runbook.md#a-budget-burns",
        },
    }


ENGINE_WAITS = (
    'max by (engine, deployment) (label_replace(packshot_engine_shots, "deployment", "$1", "generator", "(.*)")) > 0'
)
ENGINE_PAINTS = "sum by (deployment) (rate(ray_packshot_denoise_steps_total[10m])) > 0"


def _state() -> list[dict[str, Any]]:
    return [
        _alert(
            "PackshotGone",
            'absent(ray_serve_deployment_replica_healthy{deployment="gateway"} > 0)',
            "5m",
            "page",
            "No gateway replica is healthy.",
            "packshot-is-gone",
        ),
        _alert(
            "PackshotPaintsNothing",
            "sum(packshot_shots_queued) > 0 and (sum(rate(ray_packshot_denoise_steps_total[10m])) or vector(0)) == 0",
            "10m",
            "page",
            "Shots wait, but no denoising step runs.",
            "nothing-is-painted",
        ),
        _alert(
            "PackshotEngineStarves",
            f"{ENGINE_WAITS} unless on (deployment) {ENGINE_PAINTS}",
            "20m",
            "ticket",
            "Shots wait for {{ $labels.engine }}, but {{ $labels.deployment }} takes no denoising step.",
            "nothing-is-painted",
        ),
        _alert(
            "PackshotReplicaUnhealthy",
            "min by (deployment) (ray_serve_deployment_replica_healthy) == 0",
            "5m",
            "ticket",
            "A replica of {{ $labels.deployment }} fails its health check.",
            "a-replica-is-unhealthy",
        ),
        _alert(
            "PackshotEngineCrashes",
            'sum(increase(ray_packshot_errors_total{code="engine_crash"}[30m])) > 3',
            "0s",
            "ticket",
            "Generator replicas crashed while painting more than three times in half an hour.",
            "engines-crash",
        ),
        _alert(
            "PackshotOutOfCapacity",
            f"{TARGET} - ({RUNNING} or 0 * {TARGET}) > 0",
            "15m",
            "ticket",
            "{{ $labels.deployment }} has lacked {{ $value }} replicas for a quarter of an hour.",
            "out-of-capacity",
        ),
        _alert(
            "PackshotGpuPodsPending",
            f"count({PENDING} and on (namespace, pod) {WITH_GPU})",
            "15m",
            "ticket",
            "{{ $value }} pods with a GPU have waited for a node, an image or weights for a quarter of an hour.",
            "out-of-capacity",
        ),
        _alert(
            "PackshotUnreachable",
            'max by (instance) (probe_success{job="packshot-outside"}) == 0',
            "3m",
            "page",
            "{{ $labels.instance }} does not answer from outside.",
            "packshot-is-gone",
        ),
        *_waiting(),
        *_beneath(),
        *_deploy(),
        *_blind(),
    ]


TARGET = "sum by (deployment) (ray_serve_autoscaling_target_replicas)"
RUNNING = "sum by (deployment) (ray_serve_deployment_replica_healthy)"
"""Replicas that the policy wants, and those that run. Two clusters of an upgrade count together."""
PENDING = 'kube_pod_status_phase{phase="Pending", pod=~"packshot-.+-worker-.+"} == 1'
WITH_GPU = 'kube_pod_container_resource_requests{resource=~"nvidia_com_.+"} > 0'
"""Series of kube-state-metrics: worker pods of the RayService that do not run yet, and pods that ask for a device."""
OTHER_EXPORTERS = ("kube_", "probe_", "DCGM_")
"""The prefixes of metrics of others: kube-state-metrics, the blackbox exporter, NVIDIA's DCGM exporter."""
STATUS = "last_over_time(ray_serve_application_status[2m])"
"""Serve reports it every ten seconds, so that it is missing from some of the scrapes."""
DEPLOY_FAILED, RUNS = 1, 6
"""Values of Serve's gauge of an application's status (`ray.serve.schema.ApplicationStatus.to_numeric`)."""


def _waiting() -> list[dict[str, Any]]:
    """The age of the oldest waiting shot by priority. A burst that starts from no nodes stays below it."""
    limits = {"interactive": (300, "page"), "catalogue": (3600, "ticket")}
    return [
        _alert(
            "PackshotShotsWait",
            f'max by (priority) (packshot_queue_oldest_seconds{{priority="{priority}"}}) > {limit_s}',
            "2m",
            severity,
            "The oldest waiting shot of priority {{ $labels.priority }} has waited {{ $value | humanizeDuration }}.",
            "shots-wait-too-long",
        )
        for priority, (limit_s, severity) in limits.items()
    ]


def _beneath() -> list[dict[str, Any]]:
    """What Packshot stands on: the database, the edge, the devices."""
    claims = "sum by (le) (rate(ray_packshot_claim_seconds_bucket[10m]))"
    xid = "DCGM_FI_DEV_XID_ERRORS"
    attempts = "sum(increase(ray_packshot_webhook_attempts_total[30m]))"
    unanswered = attempts.replace("total[", 'total{outcome="unanswered"}[')
    return [
        _alert(
            "PackshotDatabaseSlow",
            f"histogram_quantile(0.95, {claims}) > 0.5",
            "10m",
            "ticket",
            "Every twentieth claim of a shot takes the database {{ $value | humanizeDuration }} or longer.",
            "the-database-is-slow",
        ),
        _alert(
            "PackshotEdgeGone",
            'max(kube_deployment_status_replicas_available{deployment="packshot-edge"}) == 0',
            "2m",
            "page",
            "No pod of the edge is ready.",
            "packshot-is-gone",
        ),
        _alert(
            "PackshotWebhooksUnanswered",
            f"{unanswered} > 0.9 * {attempts} and {attempts} > 20",
            "15m",
            "ticket",
            "Nine of ten attempts to send an event of a webhook got no answer in the last half hour.",
            "webhooks-get-no-answer",
        ),
        _alert(
            "PackshotGpuFault",
            f"max by (Hostname, gpu) ({xid} > 0 and changes({xid}[1h]) > 0)",
            "0s",
            "ticket",
            "The driver has reported Xid {{ $value }} of GPU {{ $labels.gpu }} on {{ $labels.Hostname }}.",
            "lose-a-gpu-node",
        ),
    ]


def _deploy() -> list[dict[str, Any]]:
    """The states of the application in which Serve waits for a person, or has not finished for long."""
    return [
        _alert(
            "PackshotDeployFailed",
            f"max by (application) ({STATUS} == {DEPLOY_FAILED})",
            "1m",
            "page",
            "Serve has given up on the application {{ $labels.application }} and does not try again by itself.",
            "a-deploy-failed",
        ),
        _alert(
            "PackshotDeployStuck",
            f"max by (application) ({STATUS} != {RUNS})",
            "30m",
            "ticket",
            "The application {{ $labels.application }} has not run for half an hour.",
            "a-deploy-failed",
        ),
    ]


def _blind() -> list[dict[str, Any]]:
    """Sources without which alerts above could never fire."""
    sources = {
        "kube-state-metrics": 'absent(kube_pod_status_phase{pod=~"packshot-.+"})',
        "the gateway's /metrics": "absent(packshot_shots_queued)",
    }
    return [
        _alert(
            "PackshotBlind",
            expr,
            "15m",
            "ticket",
            f"Prometheus gets nothing from {source}.",
            "alerts-are-blind",
            source,
        )
        for source, expr in sources.items()
    ]


def _alert(
    name: str, expr: str, hold: str, severity: str, summary: str, anchor: str, source: str = ""
) -> dict[str, Any]:
    return {
        "alert": name,
        "expr": expr,
        "for": hold,
        "labels": {"severity": severity, **({"source": source} if source else {})},
        "annotations": {"summary": summary, "runbook": f"docs/runbook.md#{anchor}"},
    }
