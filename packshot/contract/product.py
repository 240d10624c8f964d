"""Whose product a picture shows: the photo's own, or one that an engine painted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, field_validator

from packshot.contract.base import Answer
from packshot.contract.request_base import Request

__all__ = ["MAX_VIEWS", "RETOUCHED", "GeneratedProduct", "ProductAnswer", "ProductIn", "ProductSource"]

ProductSource = Literal["locked", "generated"]
"""locked: the photo's own pixels, or those under a proven gain. generated: an engine painted the product."""

RETOUCHED = "retouched"
"""The category of pictures whose product an engine painted: a person must approve them."""

MAX_VIEWS = 8
"""The most photos beside which people judge a painted product."""


class ProductIn(Request):
    """A product that the engine paints, by an adapter that was trained on views of it."""

    mode: Literal["generated"] = Field(description="generated: the product in the picture is no photo.")
    views: list[str] = Field(
        min_length=1,
        max_length=MAX_VIEWS,
        description="1 to 8 photos of the product, ph_…; a reviewer compares the picture with them.",
    )

    @field_validator("views")
    @classmethod
    def _photos_each_once(cls, views: list[str]) -> list[str]:
        for one in views:
            if not one.startswith("ph_") or len(one) > 64:
                raise ValueError(f"a view must be a photo's id ph_…, got {one[:64]!r}; upload the photo")
        if len(set(views)) < len(views):
            raise ValueError(f"a view may be named once, got {', '.join(views)}; name each once")
        return views


class ProductAnswer(Answer):
    """A product that the engine paints. `ProductIn` describes the fields."""

    mode: Literal["generated"]
    views: tuple[str, ...]


@dataclass(frozen=True)
class GeneratedProduct:
    """A product that the engine paints. `views` are the ids of photos of it."""

    views: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The form of a request."""
        return {"mode": "generated", "views": list(self.views)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | None) -> GeneratedProduct | None:
        """The product of `to_json`'s form; None for a shot that shows the photo's own."""
        return cls(tuple(stored["views"])) if stored else None
