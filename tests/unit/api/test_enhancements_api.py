"""`POST /v1/photos/{id}/enhancements` over HTTP: what is accepted, what is stored, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from packshot.contract.enhancement import EnhancementSpec
from packshot.contract.verdict import Verdict
from packshot.shots.layout import find_layout
from packshot.store.records import NewImage
from packshot.types import Detection
from tests.api_graph import Api, code_of, png
from tests.specs import recipe_of

MUG = Detection((20, 10, 60, 50), 0.9)


@pytest.fixture(autouse=True)
def _shown(api: Api) -> Iterator[None]:
    api.graph.shown = {"mug": (MUG,), "lamp": ()}
    yield
    api.graph.shown, api.graph.finds_words = {}, True


def enhance(api: Api, **body: Any) -> Any:
    return api.http.post(f"/v1/photos/{api.photo()['id']}/enhancements", json=body)


def claimed(api: Api, **body: Any) -> tuple[Any, EnhancementSpec]:
    answer = enhance(api, **body)
    assert answer.status_code == 202, answer.text
    accepted = answer.json()
    assert (accepted["kind"], answer.headers["location"]) == ("enhancement", accepted["url"])
    claim = api.claim(accepted["id"])
    return claim, EnhancementSpec.from_json(claim.job)


def test_the_named_product_is_painted_where_it_is_and_a_person_must_approve_it(api: Api) -> None:
    claim, job = claimed(api, text="mug", prompt="a glossy mug", seed=4, sku="MUG", meta={"a": "b"})
    assert (job.target, job.strength, job.locked) == ("product", 0.35, False)
    spec = claim.spec
    assert (spec.canvas.width, spec.canvas.height) == (120, 90)  # the photo's own size
    assert (spec.prompt, spec.seed, spec.shadow.kind, spec.images) == ("a glossy mug", 4, "none", 1)
    (layer,) = spec.layers
    (file,) = find_layout(api.store, claim.tenant, spec).layers
    x0, y0, x1, y1 = api.store.masks.get(claim.tenant, layer.mask_id).cutout_bbox_xyxy or MUG.box_xyxy
    assert (layer.x * 120, layer.y * 90, layer.scale * 120) == ((x0 + x1) / 2, (y0 + y1) / 2, max(x1 - x0, y1 - y0))
    assert file.placement == layer
    stored = api.store.shots.get(claim.tenant, claim.shot_id)
    assert (stored.category, stored.sku, stored.meta) == ("retouched", "MUG", {"a": "b"})
    assert stored.steps == round(0.35 * spec.steps), "the last part of the schedule"
    shot = api.finish(enhance(api, text="mug", seed=5).json()["id"])
    (picture,) = shot["images"]
    assert code_of(api.http.get(f"/v1/images/{picture['id']}?preset=amazon-main")) == (409, "not_approved")


def test_a_scene_keeps_the_product_so_nobody_need_approve_it(api: Api) -> None:
    claim, job = claimed(api, target="scene", mask_id=api.mask()["id"], strength=0.9)
    assert (job.strength, job.locked, job.box) == (0.9, True, (0, 0, 120, 90))
    assert api.store.shots.get(claim.tenant, claim.shot_id).category is None


def test_without_words_the_product_is_found_by_itself(api: Api) -> None:
    _, job = claimed(api, target="all")
    assert (job.strength, job.locked) == (0.5, False)


def test_a_repeat_with_its_key_is_one_enhancement(api: Api) -> None:
    url, key = f"/v1/photos/{api.photo()['id']}/enhancements", {"idempotency-key": "once"}
    first = api.http.post(url, json={"text": "mug"}, headers=key).json()
    assert api.http.post(url, json={"text": "mug"}, headers=key).json()["id"] == first["id"]
    assert code_of(api.http.post(url, json={"text": "mug", "seed": 1}, headers=key)) == (422, "idempotency_mismatch")


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ({"text": "lamp"}, "no_product", "the photo must show the product, got none: nothing in the photo is 'lamp'"),
        ({"text": "mug", "mask_id": "ma_x"}, "invalid_request", "say once what the product is"),
        ({"not_text": "lamp"}, "invalid_request", "not_text must come with text"),
        ({"text": ""}, "invalid_request", "text"),
        ({"text": "mug " * 500}, "invalid_request", "text"),
        ({"text": "白色杯子"}, "no_product", "must name a product that the detector knows"),
        ({"strength": 0}, "invalid_request", "strength"),
        ({"target": "label"}, "invalid_request", "target"),
        ({"engine": "none"}, "unknown_engine", "none"),
        ({"steps": 10_000}, "invalid_request", "steps must be at most"),
        ({"prompt": "x" * 3000}, "prompt_invalid", "prompt must have at most"),
        ({"canvas": {"width": 64, "height": 64}}, "invalid_request", "canvas"),
    ],
)
def test_what_cannot_be_repainted_is_refused(api: Api, body: dict[str, Any], code: str, words: str) -> None:
    answer = enhance(api, **body)
    assert code_of(answer) == (422, code)
    assert words in answer.text.replace("\\'", "'")


def test_a_mask_of_another_photo_is_refused(api: Api) -> None:
    other = api.photo(shade=9)
    answer = api.http.post(f"/v1/photos/{other['id']}/enhancements", json={"mask_id": api.mask()["id"]})
    assert code_of(answer) == (422, "mask_of_other_photo")
    assert api.http.post("/v1/photos/ph_00000000000000000000/enhancements", json={}).status_code == 404


def test_a_repainted_photo_is_repainted_again_and_not_redone(api: Api) -> None:
    claim, job = claimed(api, text="mug")
    recipe = replace(recipe_of(0, claim.spec), enhancement=job)
    api.store.queue.commit(claim, [NewImage(0, 0, 120, 90, png(120, 90), Verdict(), recipe)])
    (picture,) = api.http.get(f"/v1/shots/{claim.shot_id}").json()["images"]
    assert picture["recipe"]["enhancement"] == job.to_json()
    assert "touchup" not in picture["recipe"]
    answer = api.http.post(f"/v1/images/{picture['id']}/redo", json={"reason": "other"})
    assert code_of(answer) == (422, "redo_needs_change")
    assert f"/v1/photos/{job.photo_id}/enhancements" in answer.json()["detail"]
