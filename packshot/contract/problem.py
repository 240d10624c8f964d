"""The one shape of an error: a problem document (RFC 9457)."""

from __future__ import annotations

from pydantic import Field

from packshot.contract.base import Answer
from packshot.errors import KINDS

MEDIA_TYPE = "application/problem+json"

SENTENCES: dict[str, str] = {code: sentence for kind in KINDS for code, sentence in kind.codes.items()}
"""Every code that a client may meet, and what it means."""


class FieldProblem(Answer):
    """One offending field."""

    loc: tuple[str | int, ...] = Field(description="The path to the field.")
    msg: str = Field(description="The rule and the value received.")


class Problem(Answer):
    """Why a request was refused or failed."""

    type: str = Field(description="A URN made of the code.")
    title: str = Field(description="What the code means.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="The rule, the value received and the remedy. It may be reworded.")
    code: str = Field(
        description="Stable. Later versions may add codes. "
        + " ".join(f"`{code}`: {sentence}" for code, sentence in SENTENCES.items()),
        json_schema_extra={"x-extensible-enum": list(SENTENCES)},
    )
    errors: tuple[FieldProblem, ...] | None = Field(
        None, exclude_if=lambda errors: not errors, description="The offending fields, where there are any."
    )
