"""The body of every error answer: a problem document (RFC 9457)."""

from __future__ import annotations

from pydantic import Field

from packshot.contract.base import Answer, absent
from packshot.contract.catalogue import RowProblem
from packshot.errors import KINDS

MEDIA_TYPE = "application/problem+json"

SENTENCES: dict[str, str] = {code: sentence for kind in KINDS for code, sentence in kind.codes.items()}
"""Every error code and its meaning."""


class FieldProblem(Answer):
    """One field that broke a rule."""

    loc: tuple[str | int, ...] = Field(description="The path to the field.")
    msg: str = Field(description="The rule and the value received.")


class Problem(Answer):
    """Why a request was refused or failed."""

    type: str = Field(description="`urn:packshot:problem:` and the code.")
    title: str = Field(description="The meaning of the code.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="The rule, the value received and the remedy. The wording may change.")
    code: str = Field(
        description="A stable code. Later versions may add codes. "
        + " ".join(f"`{code}`: {sentence}" for code, sentence in SENTENCES.items()),
        json_schema_extra={"x-extensible-enum": list(SENTENCES)},
    )
    errors: tuple[FieldProblem, ...] | None = Field(
        None,
        exclude_if=lambda errors: not errors,
        description="The fields that broke a rule; absent if there are none.",
    )
    problems: tuple[RowProblem, ...] | None = Field(
        None, exclude_if=absent, description="Of a refused manifest: its first 1,000 problems, in its order."
    )
    problems_total: int | None = Field(None, exclude_if=absent, description="How many problems the manifest has.")
    state: str | None = Field(
        None, exclude_if=absent, description="The object's present state, for `version_changed`; absent otherwise."
    )
