"""Touch-ups and enhancements run the defect findings of shots, over the whole picture that they make."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from bench.defects.cases import SIDE_PX, SPEC, STAMP, Case, plant
from packshot.contract.enhancement import EnhancementSpec, Target
from packshot.contract.light import Reflection, Shadow
from packshot.contract.shot_spec import ShotSpec
from packshot.contract.touchup_spec import TouchupSpec
from packshot.contract.verdict import Finding
from packshot.imaging.codec import read_png
from packshot.imaging.composite import Ground, composite, scene_behind
from packshot.shots import Finished, LayoutFiles, Painted, Prepared
from packshot.shots.enhance import finish_enhancement
from packshot.shots.finish import finish
from packshot.shots.lighting import lit_ground
from packshot.shots.stages import EnhancementOrder, PreparedEnhancement, PreparedTouchup, TouchupOrder
from packshot.shots.touchup import finish_touchup
from packshot.types import U8, Framing, Render

LIT = replace(SPEC, shadow=Shadow("contact"), reflection=Reflection(0.4))
WHOLE = (0, 0, SIDE_PX, SIDE_PX)
FILES = LayoutFiles(SPEC.canvas, ())
SEED = 3


def case(kind: str) -> Case:
    found = plant(kind, SEED)
    assert found is not None
    return found


def painted(scene: U8) -> Painted:
    return Painted(Render(scene, 1), STAMP, {})


def touched_up(clean: Case, scene: U8, spec: ShotSpec = LIT, *, product: bool = False) -> Finished:
    """The next version of a clean picture, whose scene was painted as `scene` wherever it differs."""
    parent = finish(Prepared(clean.flat, 1.0), painted(clean.scene), spec)
    changed = (clean.scene != scene).any(axis=-1).astype(np.uint8) * 255
    region = cv2.dilate(changed, np.ones((9, 9), np.uint8))
    region[clean.flat.alpha > 0] = 0
    touchup = TouchupSpec(
        parent_id="im_1", prompt="", negative_prompt="", seed=1, strength=1.0, product=product, box=WHOLE
    )
    prepared = PreparedTouchup(
        base=np.ascontiguousarray(read_png(parent.png)[..., :3]),
        region=region,
        flat=clean.flat,
        shown=clean.flat,
        ground=Ground() if product else lit_ground(clean.flat, spec, None).ground,
        product_by=1.0,
        framing=Framing.of_whole(SIDE_PX, SIDE_PX),
    )
    order = TouchupOrder(spec, touchup, FILES, "", "", parent.verdict)
    return finish_touchup(prepared, painted(scene), order)


def defects(made: Finished) -> dict[str, Finding]:
    checks = ("floating", "indistinct", "hallucination", "expansion")
    return {one.check: one for one in made.verdict.findings if one.check in checks}


@pytest.mark.parametrize("product", [False, True], ids=["locked", "painted"])
def test_a_touchup_without_a_defect_has_none(product: bool) -> None:
    clean, spec = case("clean"), replace(LIT, reflection=None)
    found = defects(touched_up(clean, clean.scene, spec, product=product))
    assert {check: one.level for check, one in found.items()} == dict.fromkeys(
        ("floating", "indistinct", "hallucination"), "ok"
    )


def test_a_second_product_that_a_touchup_painted_fails_at_its_place() -> None:
    clean, second = case("clean"), case("second")
    found = defects(touched_up(clean, second.scene))["hallucination"]
    assert (found.level, found.box is not None) == ("failed", True)
    x0, y0, x1, y1 = found.box or (0, 0, 0, 0)
    changed = (clean.scene != second.scene).any(axis=-1)
    middle = changed[round((y0 + y1) / 2 * SIDE_PX), round((x0 + x1) / 2 * SIDE_PX)]
    assert middle, "the box is where it was painted"


def test_a_reflection_is_not_taken_for_a_second_product() -> None:
    clean = case("clean")
    assert defects(touched_up(clean, clean.scene))["hallucination"].level == "ok"
    assert "hallucination" not in defects(touched_up(clean, clean.scene, product=True))


def test_the_scene_behind_a_picture_is_what_was_painted() -> None:
    clean = case("clean")
    ground = lit_ground(clean.flat, LIT, None).ground
    behind = scene_behind(composite(clean.flat, clean.scene, ground), clean.flat, ground)
    outside = clean.flat.alpha == 0
    apart = np.abs(behind.astype(np.int16) - clean.scene)[outside]
    assert apart.max() <= 3
    assert apart.mean() < 0.2


def enhanced(target: Target, photo: Case, scene: U8) -> Finished:
    base = np.ascontiguousarray(read_png(finish(Prepared(photo.flat, 1.0), painted(photo.scene), SPEC).png)[..., :3])
    alpha = photo.flat.alpha
    region = {"product": alpha > 0, "scene": alpha < 255, "all": alpha >= 0}[target].astype(np.uint8) * 255
    prepared = PreparedEnhancement(base, region, photo.flat, 1.0, Framing.of_whole(SIDE_PX, SIDE_PX))
    job = EnhancementSpec(photo_id="ph_1", target=target, strength=0.6, box=WHOLE)
    return finish_enhancement(prepared, painted(scene), EnhancementOrder(SPEC, job, FILES, ""))


def test_an_enhanced_scene_has_the_findings_of_a_shot() -> None:
    clean, second = case("clean"), case("second")
    assert defects(enhanced("scene", clean, clean.scene))["hallucination"].level == "ok"
    assert defects(enhanced("scene", clean, second.scene))["hallucination"].level == "failed"
    assert defects(enhanced("product", clean, clean.scene)) == {}, "its scene is the photo's own"


def test_what_the_photo_shows_too_is_a_warning() -> None:
    second = case("second")
    found = defects(enhanced("scene", second, second.scene))["hallucination"]
    assert found.level == "warning"
    assert found.detail.endswith("the photo shows this too")
    assert found.box is not None
