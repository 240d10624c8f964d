"""What each reason changes in the shot of a picture's next version."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest

from packshot.contract.engines import SamplingLimits
from packshot.contract.light import Shadow
from packshot.contract.requests import LayerIn, ShotRequest
from packshot.contract.reviews import RedoRequest
from packshot.contract.shot_spec import Background, Canvas, Condition, LayerSpec, ShotSpec
from packshot.contract.status import ReviewReason
from packshot.errors import BadInput
from packshot.review.redo import mended
from tests.specs import spec_of

LIMITS = SamplingLimits(max_steps=100, max_guidance_scale=20.0, max_control_scale=2.0)
SPEC = spec_of(
    canvas=Canvas(400, 200),
    layers=(LayerSpec(mask_id="mk_1", x=0.5, y=0.4, scale=0.25),),
    conditions=(Condition(scale=0.8, end=0.6),),
    images=3,
    shadow=Shadow("contact"),
    negative_prompt="blurry, text",
)
OTHERS = [LayerIn(mask_id="mk_2")]


def redone(reason: ReviewReason, spec: ShotSpec = SPEC, version: int = 1, **redo: Any) -> ShotRequest:
    return mended(
        spec,
        RedoRequest(**redo),
        reason=reason,
        seed=9,
        limits=LIMITS,
        cutouts={"mk_1": (100, 40)},
        version=version,
    )


def changed(reason: ReviewReason, spec: ShotSpec = SPEC, **redo: Any) -> dict[str, Any]:
    """The fields in which the next version's shot differs, beside the number of pictures."""
    before = ShotRequest.model_validate(spec.to_json() | {"images": 1, "seed": 9}).model_dump()
    return {name: value for name, value in redone(reason, spec, **redo).model_dump().items() if before[name] != value}


SEED = 9 + 1_000_003


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("product_changed", {"seed": SEED, "control_end": 1.0, "control_scale": 1.0}),
        ("shadow", {"shadow": "none"}),
        ("light", {"seed": SEED}),
        (
            "hallucination",
            {
                "seed": SEED,
                "control_end": 1.0,
                "control_scale": 1.0,
                "negative_prompt": "blurry, text, another product, extra objects, extra parts",
            },
        ),
        ("text", {"seed": SEED, "negative_prompt": "blurry, text, letters, watermark, logo"}),
        ("other", {"seed": SEED}),
    ],
)
def test_a_reason_changes_what_mends_it(reason: ReviewReason, changes: dict[str, Any]) -> None:
    assert changed(reason) == pytest.approx(changes) if reason == "light" else changed(reason) == changes


def test_a_floating_product_stands_on_the_ground_with_its_shadow() -> None:
    """The cutout of 100 x 40 px is placed 100 x 40 px on a canvas of 400 x 200: half its height is 0.1."""
    request = redone("floating", replace(SPEC, shadow=Shadow("none")))
    assert request.shadow == "contact"
    assert request.layers[0].y + 0.1 == pytest.approx(0.82)
    low = replace(SPEC, layers=(LayerSpec(mask_id="mk_1", y=0.9, scale=0.25),))
    assert redone("floating", low).layers[0].y == 0.9, "what stands lower stays"
    turned = replace(SPEC, layers=(replace(SPEC.layers[0], rotation_deg=90),))
    assert redone("floating", turned).layers[0].y + 0.25 == pytest.approx(0.82)


@pytest.mark.parametrize(
    ("reason", "without", "enough"),
    [
        ("cutout_edge", {"prompt": "x"}, {"layers": OTHERS}),
        ("scale", {"seed": 3}, {"layers": OTHERS}),
        ("brand", {"seed": 3}, {"prompt": "in our blue"}),
    ],
)
def test_what_a_machine_cannot_know_must_be_said(
    reason: ReviewReason, without: dict[str, Any], enough: dict[str, Any]
) -> None:
    with pytest.raises(BadInput, match="redo_needs_change"):
        redone(reason, **without)
    assert set(changed(reason, **enough)) - {"seed"} == set(enough)


def test_what_the_request_says_comes_before_what_the_reason_changes() -> None:
    assert changed("light", seed=3, prompt="dusk") == {"seed": 3, "prompt": "dusk"}
    assert redone("floating", layers=OTHERS).layers == OTHERS


def test_a_plain_picture_is_not_made_again_the_same() -> None:
    plain = replace(SPEC, background=Background("white"))
    for reason in ("light", "hallucination", "text", "product_changed", "other"):
        with pytest.raises(BadInput, match="redo_needs_change"):
            redone(reason, plain)
    assert redone("shadow", plain).shadow == "none"
    assert redone("light", plain, layers=OTHERS).layers == OTHERS


def test_each_version_has_a_seed_of_its_own_and_every_reason_is_mapped() -> None:
    assert len({redone("other", version=version).seed for version in range(1, 50)}) == 49
    for reason in get_args(ReviewReason):
        assert redone(reason, layers=OTHERS, prompt="other words") != ShotRequest.model_validate(SPEC.to_json())
