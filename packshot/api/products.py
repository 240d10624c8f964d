"""The product of a shot that its engine paints: what such a shot needs, and what it cannot have."""

from __future__ import annotations

from collections.abc import Sequence

from packshot.contract.product import GeneratedProduct
from packshot.contract.requests import ShadowIn, ShotRequest
from packshot.errors import BadInput, FieldError
from packshot.store.adapters import AdapterRecord

__all__ = ["check_triggers", "product_of"]

OF_A_PHOTO = ("control_scale", "conditions", "shadow", "reflection", "relight", "style", "retry", "proof")
"""The fields of a shot that work on the product's own pixels or its place in the picture."""


def product_of(body: ShotRequest) -> GeneratedProduct | None:
    """The product that the engine paints; None for the layers' own products.

    Raises BadInput `invalid_request` for one without a painted scene or without an adapter, and for a field that needs
    the photo's own product.
    """
    if body.product is None:
        return None
    if body.background != "generate":
        rule = f"a painted product needs background generate, got {body.background}"
        raise _refused("background", rule, "leave background out")
    if not body.adapters:
        rule = "a painted product needs an adapter that knows it, got none"
        raise _refused("adapters", rule, "train one (packshot train dreambooth) and send its id in adapters")
    for name in OF_A_PHOTO:
        if name in body.model_fields_set and not _without_effect(name, body):
            rule = f"{name} needs the photo's own product, and this shot has product generated"
            raise _refused(name, rule, f"leave {name} out")
    return GeneratedProduct(tuple(body.product.views))


def _without_effect(name: str, body: ShotRequest) -> bool:
    """Whether the field's value changes nothing: null, an empty list, a weight of 0, or no shadow."""
    if name == "shadow":
        return (body.shadow.mode if isinstance(body.shadow, ShadowIn) else body.shadow) == "none"
    return not getattr(body, name)


def check_triggers(prompt: str, records: Sequence[AdapterRecord]) -> None:
    """Raise BadInput `invalid_request` when adapters have triggers and the prompt holds none of them.

    Without its word the engine would paint any product of the kind.
    """
    triggers = [record.trigger for record in records if record.trigger]
    words = prompt.lower()
    if triggers and not any(trigger.lower() in words for trigger in triggers):
        rule = (
            f"the prompt of a painted product must hold its adapter's trigger ({', '.join(triggers)}), got {prompt!r}"
        )
        raise _refused("prompt", rule[:300], "name the product by it, such as `… seen from above`")


def _refused(field: str, rule: str, remedy: str) -> BadInput:
    errors: list[FieldError] = [{"loc": [field], "msg": rule}]
    return BadInput("invalid_request", f"{rule}; {remedy}.", errors=errors)
