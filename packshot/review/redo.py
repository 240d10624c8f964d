"""A redo: the shot that makes a picture's next version, changed by the reason for which changes were requested."""

from __future__ import annotations

import math
from collections.abc import Mapping

from packshot.contract.engines import SamplingLimits
from packshot.contract.requests import MAX_SEED, LayerIn, ShotRequest
from packshot.contract.reviews import RedoRequest
from packshot.contract.shot_spec import ShotSpec
from packshot.contract.status import ReviewReason
from packshot.errors import BadInput

GROUND = 0.82
"""Where a product that floats is put down, as a fraction of the canvas's height: the ground line of catalogues."""

NEXT_SEED = 1_000_003
"""Distance of a version's seed from the last one's, so that no picture of the same shot has it."""

FIRMER = 1.25
"""By what the weight of the edges grows when the engine changed or invented something at the product."""

NO_TEXT = "text, letters, watermark, logo"
NO_OTHERS = "another product, extra objects, extra parts"

NEW_SEED: frozenset[ReviewReason] = frozenset({"product_changed", "light", "hallucination", "text", "brand", "other"})
EDGES_TO_THE_END: frozenset[ReviewReason] = frozenset({"product_changed", "hallucination"})
UNWANTED: Mapping[ReviewReason, str] = {"text": NO_TEXT, "hallucination": NO_OTHERS}
NEEDS: Mapping[ReviewReason, tuple[str, ...]] = {
    "cutout_edge": ("layers",),
    "scale": ("layers",),
    "brand": ("prompt", "layers"),
}
"""Reasons that nothing but one of these fields of the request mends."""


def mended(
    spec: ShotSpec,
    redo: RedoRequest,
    *,
    reason: ReviewReason,
    seed: int,
    limits: SamplingLimits,
    cutouts: Mapping[str, tuple[int, int]],
    version: int,
) -> ShotRequest:
    """The shot of the next version of a picture that `spec` and `seed` made.

    `redo` has what the client wants changed; it comes before what the reason changes. `limits` are the engine's.
    `cutouts` has (width, height) of the layers' cutouts by mask id, in pixels. `version` is the picture's.

    product_changed and hallucination keep the edges to the end and weigh them more; hallucination and text are also
    named in the negative prompt; floating puts the product on the ground line, with a contact shadow if it had none;
    shadow draws a contact shadow, or leaves it out. All but floating, shadow, cutout_edge and scale take a new seed. A
    picture whose product was painted takes a new seed for every reason.
    Raises BadInput `redo_needs_change` when the shot would be the same again.
    """
    painted = spec.product is not None  # nothing but another seed, or other words, changes such a picture
    if painted and redo.layers is not None:
        rule = f"a picture whose product was painted has no layers, got {len(redo.layers)}"
        raise _needs(f"{rule}; leave them out, and send another prompt or seed")
    needed = () if painted else NEEDS.get(reason, ())
    if needed and not any(getattr(redo, field) is not None for field in needed):
        raise _needs(f"the reason {reason} needs {' or '.join(needed)} in the request, got none; say what to change")
    changes: dict[str, object] = {"images": 1, "seed": seed}
    if reason in NEW_SEED or painted:
        changes["seed"] = (seed + NEXT_SEED * version) % (MAX_SEED + 1)
    if reason in EDGES_TO_THE_END and not painted:
        weight = max(spec.canny.scale, 0.4) * FIRMER
        changes |= {"control_end": 1.0, "control_scale": min(weight, limits.max_control_scale)}
    if reason in UNWANTED:
        changes["negative_prompt"] = _joined(spec.negative_prompt, UNWANTED[reason])
    if reason == "floating" and not painted:
        changes["layers"] = [layer.model_dump() for layer in _grounded(spec, cutouts)]
        if spec.shadow.kind == "none":
            changes["shadow"] = "contact"
    if reason == "shadow" and not painted:
        changes["shadow"] = "none" if spec.shadow.kind == "contact" else "contact"
    changes |= redo.model_dump(include={"layers", "prompt", "seed"}, exclude_none=True)
    request = ShotRequest.model_validate(spec.to_json() | changes)
    if not spec.background.generated:
        seen = {"layers", "shadow"}  # nothing else shows on a plain background
        if request.model_dump(include=seen) == ShotRequest.model_validate(spec.to_json()).model_dump(include=seen):
            rule = f"nothing is painted on {spec.background.name}, so a redo for {reason} would be the same picture"
            raise _needs(f"{rule}; send other layers, or redo it for floating or shadow")
    return request


def _grounded(spec: ShotSpec, cutouts: Mapping[str, tuple[int, int]]) -> list[LayerIn]:
    """The layers, moved down together until the lowest foot stands on the ground line; moved nowhere if it is lower."""
    layers = [LayerIn.model_validate(layer) for layer in spec.to_json()["layers"]]
    feet = [layer.y + _half_height(layer, cutouts[layer.mask_id], spec) for layer in layers if layer.mask_id in cutouts]
    down = max(0.0, GROUND - max(feet)) if feet else 0.0
    return [layer.model_copy(update={"y": layer.y + down}) for layer in layers]


def _half_height(layer: LayerIn, cutout_px: tuple[int, int], spec: ShotSpec) -> float:
    """Half the height of a rotated layer, as a fraction of the canvas's height."""
    width_px, height_px = cutout_px
    factor = layer.scale * max(spec.canvas.width, spec.canvas.height) / max(width_px, height_px)
    turn = math.radians(layer.rotation_deg)
    reach_px = abs(math.sin(turn)) * width_px + abs(math.cos(turn)) * height_px
    return factor * reach_px / 2 / spec.canvas.height


def _joined(words: str, more: str) -> str:
    """The negative prompt with what it lacks of `more`."""
    lacking = [word for word in more.split(", ") if word not in words.lower()]
    return ", ".join([*([words] if words.strip() else []), *lacking])


def _needs(rule: str) -> BadInput:
    return BadInput("redo_needs_change", f"{rule}.")
