"""The generator's job: one JSON object that the Locust child reads from a file and its workers receive in a message."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from loadtest.checks.layout import Size
from loadtest.scenarios.scenario import Scenario

JOB_FILE = "PACKSHOT_LOADTEST_JOB"
RECORDS_FILE = "PACKSHOT_LOADTEST_RECORDS"
LEAD_S = 1.0
"""Seconds between the start message and second 0 of the schedule, so that every worker receives it in time."""


@dataclass(frozen=True)
class Tenant:
    """One tenant of the run, with the photo and the mask that were made before the load.

    `key` is the API key, or None under open access. `cutout_px` is the size of the mask's cutout in pixels.
    """

    key: str | None
    photo_id: str
    mask_id: str
    cutout_px: Size
    photo: int
    """Number of the photo among the run's drawn photos (photos.py)."""


@dataclass(frozen=True)
class Job:
    """A run: the scenario, the server's base URL, the tenants and the number of workers that share the schedule.

    `run` is a name that is unique to this run. It is part of the idempotency keys and photos, so that a repeated
    scenario is new work for the server. `factor` scales every rate.
    """

    run: str
    scenario: Scenario
    host: str
    tenants: tuple[Tenant, ...]
    workers: int = 1
    factor: float = 1.0

    def to_json(self) -> str:
        """This job as JSON, for `from_json`."""
        return json.dumps(
            {
                "run": self.run,
                "scenario": self.scenario.model_dump(mode="json"),
                "host": self.host,
                "tenants": [asdict(tenant) for tenant in self.tenants],
                "workers": self.workers,
                "factor": self.factor,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Job:
        """The job that `to_json` wrote."""
        raw: dict[str, Any] = json.loads(text)
        tenants = tuple(Tenant(**{**row, "cutout_px": tuple(row["cutout_px"])}) for row in raw["tenants"])
        scenario = Scenario.model_validate(raw["scenario"])
        return cls(raw["run"], scenario, raw["host"], tenants, raw["workers"], raw["factor"])
