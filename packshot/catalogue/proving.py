"""Which proof of text an item's pictures need: its own, the defaults', and that of its category."""

from __future__ import annotations

from packshot.contract.catalogue import Item, Look
from packshot.contract.requests import ProofIn

__all__ = ["proof_of_item"]


def proof_of_item(look: Look, item: Item) -> ProofIn | None:
    """The proof of an item's pictures; None = none. What the item says comes before the defaults.

    An item with a category always has one, because its category makes it binding.
    """
    own = item.proof
    if own is not None and not own.text:
        return None
    general = look.proof if look.proof is not None and look.proof.text else None
    if own is None and general is None:
        return ProofIn() if item.category else None
    given = {**(general.model_dump() if general else {}), **(own.model_dump(exclude_unset=True) if own else {})}
    return ProofIn.model_validate(given)
