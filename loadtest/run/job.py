"""What the generator is told: one JSON object, handed to the Locust child in a file and to its workers in a message."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from loadtest.checks.layout import Size
from loadtest.scenarios.scenario import Scenario

JOB_FILE = "PACKSHOT_LOADTEST_JOB"
RECORDS_FILE = "PACKSHOT_LOADTEST_RECORDS"
LEAD_S = 1.0
"""Between the word to begin and second 0 of the schedule, so that every worker has it in time."""


@dataclass(frozen=True)
class Tenant:
    """One tenant of the run. `key`: None under open access. Photo and mask were made before the load."""

    key: str | None
    photo_id: str
    mask_id: str
    cutout_px: Size
    photo: int
    """Which of the run's drawn photos it is (photos.py)."""


@dataclass(frozen=True)
class Job:
    """A run: the scenario, where it goes, on whose behalf, and how many workers share it.

    `run`: this run's own name, in its idempotency keys and photos: the same scenario again is new work for the server.
    """

    run: str
    scenario: Scenario
    host: str
    tenants: tuple[Tenant, ...]
    workers: int = 1
    factor: float = 1.0

    def to_json(self) -> str:
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
        raw: dict[str, Any] = json.loads(text)
        tenants = tuple(Tenant(**{**row, "cutout_px": tuple(row["cutout_px"])}) for row in raw["tenants"])
        scenario = Scenario.model_validate(raw["scenario"])
        return cls(raw["run"], scenario, raw["host"], tenants, raw["workers"], raw["factor"])
