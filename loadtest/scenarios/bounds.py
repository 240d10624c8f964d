"""The bounds of a scenario: absolute ones of each class, and relative ones between phases and between tenants."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(gt=0, le=7 * 86_400)]
Milliseconds = Annotated[float, Field(gt=0)]


class Strict(BaseModel):
    """Base of all models: unknown keys, infinities and NaN are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Bounds(Strict):
    """The latency bounds of a class, from the intended send time. A correct answer within `p99_ms` is a good one."""

    p50_ms: Milliseconds
    p95_ms: Milliseconds
    p99_ms: Milliseconds

    @model_validator(mode="after")
    def _rise(self) -> Bounds:
        if not self.p50_ms <= self.p95_ms <= self.p99_ms:
            raise ValueError(
                f"the bounds must satisfy p50 ≤ p95 ≤ p99, got {self.p50_ms:g}, {self.p95_ms:g}, {self.p99_ms:g}"
            )
        return self


class QueuePlace(Strict):
    """A bound on reported queue positions: at least `share` of them must be at most `within` off."""

    within: int = Field(ge=0)
    share: Fraction


class Beside(Strict):
    """A relative bound: in the phase `busy`, the p95 of each of `classes` is at most `times` that of the phase `idle`.

    `plus_ms` is added to the bound, for the step of a batch that runs when the answer is asked for.
    """

    idle: str
    busy: str
    classes: tuple[str, ...] = Field(min_length=1)
    times: float = Field(ge=1, le=100)
    plus_ms: float = Field(0.0, ge=0)

    @model_validator(mode="after")
    def _two_phases(self) -> Beside:
        if self.idle == self.busy:
            raise ValueError(f"beside must compare two phases, got {self.idle!r} twice")
        return self


class Shares(Strict):
    """A bound on the tenants' shares of the catalogue shots that began while every tenant had some waiting.

    A share may be `within` (a part of it) off that of the tenant's weight. `weights` has one for each tenant; a cluster
    that the load test starts gets them. A run in which fewer than `least` such shots began misses the bound.
    """

    within: Fraction
    least: int = Field(200, ge=1)
    weights: tuple[Annotated[float, Field(ge=0.01, le=100)], ...] = Field(min_length=2)


class Slo(Strict):
    """The bounds of a run.

    `goodput` is the smallest share of good answers, and `errors` the largest share of wrong ones. `classes` bounds the
    latencies, `queue_place` the reported queue positions, and `recovery_s` the recovery time of every fault. `beside`
    compares two phases, and `shares` bounds how tenants share the workers. `parked` asks that catalogue scenes were
    parked while people's scenes stepped, and that none is parked at the end.
    """

    goodput: Fraction
    errors: Fraction
    classes: dict[str, Bounds] = Field(min_length=1)
    queue_place: QueuePlace | None = None
    recovery_s: Seconds | None = None
    beside: Beside | None = None
    shares: Shares | None = None
    parked: bool = False

    @property
    def phases(self) -> tuple[str, ...]:
        """The phases whose latencies are compared."""
        return () if self.beside is None else (self.beside.idle, self.beside.busy)
