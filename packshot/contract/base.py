"""The base of every answer, and the scalar types that answers share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, PlainSerializer, WithJsonSchema


class Answer(BaseModel):
    """Base of what the server answers. A reader ignores unknown fields, so that an old client reads a new server."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds, `Z` at the end."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Moment = Annotated[
    datetime,
    PlainSerializer(iso, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A time, which JSON carries as ISO 8601 in UTC."""

Number = Annotated[float | int, WithJsonSchema({"type": "number"})]
"""A number that keeps the form in which it was stored: 2 stays 2 and does not become 2.0."""


def absent(value: object) -> bool:
    """Whether an optional field is left out of an answer: `Field(None, exclude_if=absent)`."""
    return value is None
