"""The base class of every answer, and the scalar types that answers share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, PlainSerializer, WithJsonSchema

VERSION_HEADER = "x-packshot-version"
"""The header in which every answer names the version of Packshot that the server runs."""


class Answer(BaseModel):
    """Base class of every answer. Unknown fields are ignored, so an old client can read a newer server's answers."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def iso(moment: datetime) -> str:
    """The moment as ISO 8601 in UTC with milliseconds and the suffix `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Moment = Annotated[
    datetime,
    PlainSerializer(iso, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A point in time. Its JSON form is ISO 8601 in UTC."""

Number = Annotated[float | int, WithJsonSchema({"type": "number"})]
"""A number whose JSON form is the one that was stored: 2 stays 2 and does not become 2.0."""


def absent(value: object) -> bool:
    """Whether a field is None and is left out of an answer. Use it as `Field(None, exclude_if=absent)`."""
    return value is None
