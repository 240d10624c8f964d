"""The periods of usage and budgets: days and months in UTC, counted in days since 1970."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

EPOCH = date(1970, 1, 1)
DAY_S = 86_400.0


def day_of(seconds: float) -> int:
    """The day of a time in seconds since 1970."""
    return int(seconds // DAY_S)


def number_of(day: date) -> int:
    """The number of a calendar day."""
    return (day - EPOCH).days


def date_of(day: int) -> date:
    """The calendar day of a number."""
    return EPOCH + timedelta(days=day)


def month_of(day: int) -> int:
    """The first day of the month of `day`."""
    return number_of(date_of(day).replace(day=1))


def next_month(day: int) -> int:
    """The first day of the month after that of `day`."""
    return number_of((date_of(day).replace(day=1) + timedelta(days=32)).replace(day=1))


def start_of(day: int) -> datetime:
    """The moment at which a day begins."""
    return datetime.fromtimestamp(day * DAY_S, UTC)
