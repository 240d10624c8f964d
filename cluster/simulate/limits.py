"""What limits one agency's catalogue: for each resource of a profile, the rate of SKUs at which it is used up.

An SKU is a photo of 10 Mpx, a click, and a shot of two pictures of 2,000 x 2,000 px that are downloaded once. What it
costs was measured (docs/measurements.md, 2026-11-26, "What one SKU costs"); what a GPU needs for it is the profile's.
"""

from __future__ import annotations

from dataclasses import dataclass

from cluster.autoscaling import Pipeline
from cluster.profiles import Profile
from cluster.simulate.stages import A_24_GB_CARD
from cluster.stages import StageName
from packshot.settings import Settings

SKUS = 50_000
PICTURES, STEPS, ROWS = 2, 20, 2
WAITING = 1_000
"""Shots that wait: the default limit of a tenant."""

CORE_S: dict[StageName, float] = {
    "gateway": 0.06 + 0.075 + 0.09 + PICTURES * 0.016,  # upload, click, shot with its waiting, downloads
    "photo_decoder": 0.3,
    "finisher": 2.4 + 0.43 + PICTURES * 0.27,  # cutout, layout, pictures
    "canny": 0.03,
    "director": 0.15,
}
"""Processor seconds of a stage for one SKU."""

SHOT_S, DIRECTOR_HOLDS = 12.0, 12
"""Seconds for which a director holds a shot in full batches, and how many it holds (the profile's `target_ongoing`). It
has one database connection."""
ENCODES_S = 0.1
"""Seconds of an encoder replica for a photo on the production profile's card (the profile's `shot_s`)."""
BODY_MB = 4.0 + PICTURES * 2.0
"""Bodies of an SKU, 10^6 bytes: a camera's JPEG, and the pictures as PNG."""
EDGE_MB_S = 2 * 1_250.0
"""What the edge's two pods can pass, assuming 10 Gbit/s each."""
CONNECTIONS = 100
"""PostgreSQL's default `max_connections`."""


@dataclass(frozen=True)
class Limit:
    """A resource. `each` SKU needs this much of it, and there is `has` of it each second (`unit` of both)."""

    resource: str
    each: float
    has: float
    unit: str

    @property
    def skus_s(self) -> float:
        """SKUs per second at which the resource is used up."""
        return self.has / self.each


def limits(profile: Profile, settings: Settings | None = None) -> list[Limit]:
    """The limits of a profile with autoscaling at its largest size, the first one first."""
    settings = settings or Settings()
    plan = profile.autoscaling or Pipeline()
    picture_s = STEPS * ROWS * plan.row_step_s + plan.picture_s
    high = {name: profile.stage(name).range.max for name in profile.deployments}
    found = [
        Limit("GPUs that paint", PICTURES * picture_s, high["generator"], "GPU s"),
        Limit("encoder replicas", ENCODES_S, high["sam_encoder"], "replica s"),
        Limit("claims of the database", A_24_GB_CARD.claim_s(WAITING), A_24_GB_CARD.database_cores, "database core s"),
        Limit("edge, bodies", BODY_MB, EDGE_MB_S, "MB"),
        Limit("database connections", _connections_each(settings), CONNECTIONS, "connections at 1 SKU/s"),
    ]
    for name, core_s in CORE_S.items():
        if name in high:
            cores = high[name] * (profile.stage(name).cpus or 1.0)
            found.append(Limit(f"{name} processors", core_s, cores, "core s"))
    return sorted(found, key=lambda limit: limit.skus_s)


def _connections_each(settings: Settings) -> float:
    """Connections at one SKU a second: those of the gateways that it keeps busy, and of the directors that hold it."""
    pool = settings.database_pool_size + settings.database_pool_overflow
    gateways = CORE_S["gateway"] / Pipeline().utilisation
    return gateways * pool + SHOT_S / DIRECTOR_HOLDS


def rows(profile: Profile) -> list[str]:
    """The limits as rows of a Markdown table."""
    lines = [
        f"| resource | an SKU needs | {profile.name} has | SKUs a second | 50,000 SKUs take |",
        "|---|---|---|---|---|",
    ]
    for one in limits(profile, Settings.model_construct()):
        hours = SKUS / one.skus_s / 3600
        lines.append(
            f"| {one.resource} | {one.each:.3g} {one.unit} | {one.has:,.4g} | {one.skus_s:.3g} | {hours:.2g} h |"
        )
    return lines
