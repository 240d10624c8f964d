"""The bodies and answers of usage and budgets."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field

from packshot.contract.base import Answer, Moment, Number, absent
from packshot.contract.requests import Request


class UsedAnswer(Answer):
    """What the shots of one group made."""

    name: str | None = Field(description="The SKU, the key's id or the day; null = the shots without a SKU or key.")
    shots: int = Field(description="Shots that are done.")
    pictures: int = Field(description="Their pictures.")
    device_s: Number = Field(description="Seconds for which a device painted them.")


class TotalAnswer(Answer):
    """What all the shots of the days made."""

    shots: int
    pictures: int
    device_s: Number


class UsageAnswer(Answer):
    """A page of usage by SKU, key or day, in the order of the names."""

    group: Literal["sku", "key", "day"]
    first_day: date = Field(description="The first day, in UTC.")
    last_day: date = Field(description="The last day.")
    rows: tuple[UsedAnswer, ...]
    total: TotalAnswer = Field(description="Of all pages.")
    next_cursor: str | None = Field(description="The value of `cursor` for the next page; null on the last page.")


class BudgetRequest(Request):
    """The budget of a tenant or key, as a whole: a field that is null or missing has no limit."""

    images_per_day: int | None = Field(None, ge=1, lt=2**53, description="Pictures of a day (UTC); null = any number.")
    device_s_per_month: float | None = Field(
        None, gt=0, lt=2**53, description="Device-seconds of a calendar month (UTC); null = any number."
    )
    live_shots: int | None = Field(
        None, ge=1, lt=2**53, description="Shots that may wait or run at once; null = any number."
    )


class SpendingAnswer(Answer):
    """A budget, and what is spent of it."""

    budget: Literal["images_per_day", "device_s_per_month", "live_shots"]
    limit: Number
    spent: Number
    resets_at: Moment | None = Field(None, exclude_if=absent, description="When it resets; absent for live shots.")


class BudgetAnswer(Answer):
    """The budgets of a tenant or key. Those that are not listed have no limit."""

    owner_id: str = Field(description="The id of the tenant or the key.")
    budgets: tuple[SpendingAnswer, ...]


USAGE_BODIES: tuple[type[Request], ...] = (BudgetRequest,)
"""The request bodies of this module, for the OpenAPI document."""
