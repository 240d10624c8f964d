"""What is proven of a product's label: that its text is the photo's, or a master artwork's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["PROVEN_CATEGORIES", "TEXT_CHECK", "Proof"]

PROVEN_CATEGORIES = ("cosmetics", "supplements", "alcohol", "medical")
"""The categories of a SKU whose text must be proven, and whose pictures a person must approve."""

TEXT_CHECK = "text"
"""The name of the check in a verdict's findings."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """Prove the text of a shot's products.

    `must_read` are words that the picture must show as they are. `master` is the photo id of an artwork that is read
    instead of the photos of the products; None = the photos.
    """

    must_read: tuple[str, ...] = ()
    master: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The proof as a shot request has it."""
        return {"text": True, "must_read": list(self.must_read), "master": self.master}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | None) -> Proof | None:
        """The proof of `to_json`'s form; None without one."""
        if stored is None:
            return None
        return cls(must_read=tuple(stored.get("must_read", ())), master=stored.get("master"))
