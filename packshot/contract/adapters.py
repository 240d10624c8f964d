"""Adapters: a LoRA or a textual inversion that a tenant owns, and how much a shot takes of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import Field

from packshot.contract.base import Answer, Moment, Number, absent
from packshot.contract.request_base import Request

__all__ = [
    "MAX_ADAPTERS",
    "MAX_SCALE",
    "AdapterAnswer",
    "AdapterChange",
    "AdapterIn",
    "AdapterKind",
    "AdapterNote",
    "AdapterPage",
    "AdapterUpload",
    "AdapterUse",
    "AdapterUseAnswer",
    "each_adapter_once",
]

AdapterKind = Literal["lora", "inversion"]

MAX_ADAPTERS = 4
"""The most adapters of a shot."""
MAX_SCALE = 2.0
"""A scale is between minus this and this."""


@dataclass(frozen=True, kw_only=True)
class AdapterUse:
    """An adapter of a shot. `scale` is -2..2: 1 = as trained. `sha256` is its file's, found when a shot is accepted."""

    id: str
    scale: float = 1.0
    sha256: str = ""

    def to_json(self) -> dict[str, Any]:
        """The form of a request, with the file's hash."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> AdapterUse:
        """The adapter of `to_json`'s form."""
        return cls(id=stored["id"], scale=stored["scale"], sha256=stored.get("sha256", ""))


class AdapterIn(Request):
    """An adapter of a shot."""

    id: str = Field(min_length=1, max_length=64, description="An adapter of POST /v1/adapters, ad_….")
    scale: float = Field(
        AdapterUse.scale,
        ge=-MAX_SCALE,
        le=MAX_SCALE,
        description="How much of it: -2 to 2; 1 = as trained, 0 = nothing of a LoRA, below 0 = away from it.",
    )
    sha256: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description="Its file's SHA-256, if the request must be refused for another file; null = any.",
    )


def each_adapter_once(adapters: list[AdapterIn] | None) -> list[AdapterIn] | None:
    """Return adapters unchanged. Raises ValueError when one is named twice."""
    for adapter_id, count in Counter(one.id for one in adapters or ()).items():
        if count > 1:
            raise ValueError(f"an adapter may be named once, got {adapter_id} {count} times; change its scale instead")
    return adapters


class AdapterUseAnswer(Answer):
    """An adapter of a shot."""

    id: str
    scale: Number
    sha256: str = Field("", description="SHA-256 of its file, hexadecimal; empty in a style.")


class AdapterUpload(Request):
    """An adapter, as multipart/form-data."""

    file: bytes = Field(description="A safetensors file of a LoRA (peft, diffusers or kohya) or a textual inversion.")
    name: str = Field(description="1 to 120 characters; no two adapters share one.")
    licence: str = Field("", description="Its licence, such as an SPDX name, up to 200 characters; empty = the file's.")
    trigger: str = Field(
        "",
        description="The word of prompts that it belongs to, up to 64 characters without spaces; empty = the file's. "
        "An inversion needs one.",
    )
    trained_from: str = Field("", description="What it was trained from, up to 2,000 characters; empty = the file's.")
    engine: str = Field("", description="The engine for which it is; empty = the first that takes adapters.")


class AdapterChange(Request):
    """New values of an adapter's fields. A missing field keeps its value."""

    name: str | None = Field(None, description="The new name.")
    trigger: str | None = Field(None, description="The new trigger; an inversion's must not be empty.")
    licence: str | None = Field(None, description="The new licence.")
    trained_from: str | None = Field(None, description="What it was trained from.")


class AdapterNote(Answer):
    """What is to be known of an adapter's file."""

    code: str = Field(description="A stable name: other_base (trained on other weights of the family), or unchecked.")
    detail: str = Field(description="A sentence that says it.")


class AdapterAnswer(Answer):
    """An adapter: a LoRA or a textual inversion. Its file never changes."""

    id: str
    name: str
    kind: AdapterKind
    engine: str = Field(description="The engine that it was checked against.")
    family: str = Field(description="The family of networks that it changes; engines of this family take it.")
    rank: int = Field(description="The largest rank of a LoRA's layers, or the number of an inversion's vectors.")
    trigger: str = Field(description="The word of prompts that it belongs to; empty = none.")
    licence: str = Field(description="Its licence; empty = not said.")
    trained_from: str | None = Field(
        None, exclude_if=absent, description="What it was trained from; absent = not said."
    )
    sha256: str = Field(description="SHA-256 of its file, hexadecimal.")
    bytes: int = Field(description="Size of its file, bytes.")
    url: str = Field(description="Path of the adapter.")
    notes: tuple[AdapterNote, ...] = Field((), description="What is to be known of its file; often nothing.")
    created_at: Moment


class AdapterPage(Answer):
    """A page of adapters, newest first."""

    adapters: tuple[AdapterAnswer, ...]
    next_cursor: str | None = Field(description="The value of `cursor` for the next page; null on the last page.")


ADAPTER_BODIES: tuple[type[Request], ...] = (AdapterUpload, AdapterChange)
"""The request bodies of this module, for the OpenAPI document."""
