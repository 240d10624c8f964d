"""A pack whose engine is a vendor's service: where it is called, and what its manifest says of it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["Endpoint", "ShapeName"]

ShapeName = Literal["openai_images", "imagen"]
"""The published forms of a call that edits a picture."""


class Endpoint(BaseModel):
    """The block `endpoint` of a manifest.

    `prompt` is what the vendor gets, with the brief's words for `{prompt}`. `fields` are further fields of the call, as
    the vendor documents them. `key_header` carries the key: `authorization` as a bearer token, another header as it is,
    "" none. `idempotency_header` carries a key that is the same when a picture is asked for again; "" says that the
    vendor has none, so a call without an answer may be billed. `in_flight` is how many calls a replica may make at
    once. `latency_s` is what a call usually takes, by which the autoscaling plans until calls were measured.
    `price_device_s` is how many device-seconds a picture counts as in usage and budgets: its price divided by that of
    a second of your GPU.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    shape: ShapeName
    url: str = Field(pattern=r"^https?://[^\s@#]+$")
    model: str = Field(min_length=1)
    prompt: str = "{prompt}"
    fields: dict[str, str | int | float | bool] = Field(default_factory=dict)
    key_header: str = Field("authorization", pattern=r"^[a-z0-9-]*$")
    idempotency_header: str = Field("", pattern=r"^[A-Za-z0-9-]*$")
    in_flight: int = Field(4, ge=1, le=256)
    timeout_s: float = Field(180.0, gt=0, le=900)
    latency_s: float = Field(30.0, gt=0)
    max_answer_bytes: int = Field(32 * 1024 * 1024, gt=0)
    price_device_s: float = Field(gt=0)

    @field_validator("prompt")
    @classmethod
    def _prompt_has_the_words(cls, prompt: str) -> str:
        if prompt.count("{prompt}") != 1:
            raise ValueError(f"must contain {{prompt}} once, where the brief's words go, got {prompt[:80]!r}")
        return prompt
