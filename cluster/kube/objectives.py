"""The service level objectives, as PromQL. The alerts (alerts.py) and dashboards (dashboards.py) are built from them.

Ray exports every metric with the prefix `ray_`, with one series per replica.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Objective:
    """An objective: at least the share `good` of all events must be good over 30 days.

    `sentence` states it in words. `bad` and `all_events` are PromQL in which WINDOW stands for the window.
    """

    name: str
    sentence: str
    good: float
    bad: str
    all_events: str

    @property
    def budget(self) -> float:
        """The share of events that may be bad."""
        return round(1 - self.good, 6)


def _within(histogram: str, labels: str, bound: str) -> tuple[str, str]:
    """PromQL for (bad, all) events of a histogram. An event above `bound` is bad; the label `le` may be 60 or 60.0."""
    comma = "," if labels else ""
    every = f"sum(rate({histogram}_count{{{labels}}}[WINDOW]))"
    fast = f'sum(rate({histogram}_bucket{{{labels}{comma}le=~"{bound}(\\\\.0)?"}}[WINDOW]))'
    return f"{every} - {fast}", every


OBJECTIVES = (
    Objective(
        "requests",
        "99.9 % of HTTP requests are answered without a 5xx.",
        0.999,
        'sum(rate(ray_serve_num_http_requests_total{status_code=~"5.."}[WINDOW])) or vector(0)',
        "sum(rate(ray_serve_num_http_requests_total[WINDOW]))",
    ),
    Objective(
        "shots",
        "99 % of shots that end are done, not failed.",
        0.99,
        'sum(rate(ray_packshot_shots_total{status="failed"}[WINDOW])) or vector(0)',
        'sum(rate(ray_packshot_shots_total{status=~"done|failed"}[WINDOW]))',
    ),
    Objective(
        "shots-in-time",
        "95 % of shots end within 10 minutes of their acceptance, catalogues included.",
        0.95,
        *_within("ray_packshot_shot_seconds", "", "600"),
    ),
    Objective(
        "clicks-in-time",
        "95 % of clicks are answered within 2 s, including first clicks, for which the photo is encoded.",
        0.95,
        *_within("ray_serve_http_request_latency_ms", 'route="/v1/photos/{photo_id}/masks"', "2000"),
    ),
)
