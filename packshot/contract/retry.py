"""Painting a picture again by another seed, when a finding about it fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import Field

from packshot.contract.request_base import Request

RetryCheck = Literal["floating", "indistinct", "hallucination", "expansion", "scene"]
RETRY_CHECKS: tuple[RetryCheck, ...] = get_args(RetryCheck)
"""The findings that another seed can change."""
MAX_RETRIES = 4


class RetryIn(Request):
    """When to paint a picture again, by another seed."""

    max: int = Field(2, ge=1, le=MAX_RETRIES, description="How often each picture may be painted again, 1 to 4.")
    on: list[RetryCheck] = Field(
        list(RETRY_CHECKS),
        min_length=1,
        max_length=len(RETRY_CHECKS),
        description="The findings that must not fail. The best picture is kept, also when none of them passes.",
    )


@dataclass(frozen=True)
class Retry:
    """How often each picture is painted again at most, while one of the named findings fails."""

    max: int
    on: tuple[RetryCheck, ...]

    def to_json(self) -> dict[str, Any]:
        """The form of a request."""
        return {"max": self.max, "on": list(self.on)}

    @classmethod
    def from_json(cls, stored: dict[str, Any] | None) -> Retry | None:
        """The value of `to_json`'s form; None for a shot without one."""
        return cls(stored["max"], tuple(stored["on"])) if stored else None


@dataclass(frozen=True)
class Try:
    """One painting of a picture: its seed, and which of the named findings failed, in the verdict's order.

    `error` is the code of the error that ended a painting, else None.
    """

    seed: int
    failed: tuple[str, ...] = ()
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The form that a recipe keeps. `error` is left out where there is none."""
        values: dict[str, Any] = {"seed": self.seed, "failed": list(self.failed)}
        return values if self.error is None else {**values, "error": self.error}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Try:
        """The value of `to_json`'s form."""
        return cls(stored["seed"], tuple(stored["failed"]), stored.get("error"))
