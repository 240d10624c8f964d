"""A shot whose product the engine paints: what it needs, and that it never passes as locked."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import c2pa
import pytest
from PIL import Image

from packshot.contract.enhancement import EnhancementSpec, Target
from packshot.contract.product import GeneratedProduct
from packshot.contract.recipe import Recipe
from packshot.contract.verdict import Finding, Verdict
from packshot.delivery.presets import presets
from packshot.store.records import Claim, NewImage
from tests.adapter_files import peft_file
from tests.api_graph import Api, code_of, png
from tests.specs import recipe_of
from tests.unit.api.test_adapters_api import LORA, added

WHOLE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
LOCKED_ONLY = ("amazon-main", "etsy", "walmart-main", "zalando")


def body(api: Api, trigger: str = "zxmug", **fields: Any) -> dict[str, Any]:
    """A request for a picture of the product that an adapter of the trigger knows."""
    adapter = added(api, peft_file(LORA, {"packshot.tag": trigger} if trigger else None))
    asked: dict[str, Any] = {"product": {"mode": "generated", "views": [api.photo()["id"]]}, "engine": "second"}
    asked |= {"adapters": [{"id": adapter["id"]}], "prompt": "zxmug from above, on marble"}
    return {**asked, "canvas": {"width": 600, "height": 600}, **fields}


def claimed(api: Api, asked: dict[str, Any]) -> Claim:
    answer = api.http.post("/v1/shots", json=asked)
    assert answer.status_code == 202, answer.text
    return api.claim(answer.json()["id"])


def made(api: Api, claim: Claim, recipe: Recipe, findings: Sequence[Finding] = ()) -> str:
    """The id of an approved picture of the claimed work whose product an engine painted."""
    verdict = Verdict(tuple(findings), product="generated")
    api.store.queue.commit(claim, [NewImage(0, 0, 600, 600, png(600, 600), verdict, recipe)])
    (image,) = api.http.get(f"/v1/shots/{claim.shot_id}").json()["images"]
    assert image["verdict"]["product"] == "generated"
    url = f"/v1/images/{image['id']}"
    assert code_of(api.http.get(f"{url}?preset=ebay")) == (409, "not_approved"), "a person must look at it"
    assert api.http.post(f"{url}/reviews", json={"state": "approved"}).status_code == 201
    return str(image["id"])


def test_a_painted_product_has_no_layers_no_edges_and_no_shadow(api: Api) -> None:
    claim = claimed(api, body(api))
    spec = claim.spec
    assert spec.product == GeneratedProduct((api.photo()["id"],))
    assert (spec.layers, spec.canny.scale, spec.further_conditions, spec.shadow.kind) == ((), 0.0, (), "none")
    assert api.store.shots.get(claim.tenant, claim.shot_id).category == "retouched"
    stored = api.http.get(f"/v1/shots/{claim.shot_id}").json()
    assert stored["request"]["product"] == {"mode": "generated", "views": [api.photo()["id"]]}
    photo = api.http.delete(f"/v1/photos/{api.photo()['id']}")
    assert code_of(photo) == (409, "in_use"), "reviewers need the view"
    api.store.queue.fail(claim, "engine_failed", "done with it", retryable=False)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"adapters": []}, "needs an adapter that knows it, got none; train one"),
        ({"background": "white"}, "adapters need background generate, whose scene they change, got white"),
        ({"layers": [{"mask_id": "mk_x"}]}, "must have no layers, got 1"),
        ({"prompt": "a mug"}, "must hold its adapter's trigger (zxmug), got 'a mug'"),
        ({"shadow": "cast"}, "shadow needs the photo's own product"),
        ({"control_scale": 0.5}, "control_scale needs the photo's own product"),
        ({"conditions": [{"kind": "depth"}]}, "conditions needs the photo's own product"),
        ({"relight": {"mode": "match"}}, "relight needs the photo's own product"),
        ({"proof": {"text": True}}, "proof needs the photo's own product"),
        ({"retry": {"max": 1}}, "retry needs the photo's own product"),
        ({"style": {"palette": ["#ff0000"]}}, "style needs the photo's own product"),
        ({"product": {"mode": "generated", "views": []}}, "product.views"),
        ({"product": {"mode": "generated", "views": ["im_x"]}}, "a view must be a photo's id ph_"),
        ({"product": {"mode": "generated", "views": ["ph_x", "ph_x"]}}, "may be named once"),
        ({"product": {"mode": "locked", "views": ["ph_x"]}}, "product.mode"),
    ],
)
def test_what_a_painted_product_cannot_have_is_refused(api: Api, fields: dict[str, Any], words: str) -> None:
    answer = api.http.post("/v1/shots", json=body(api, **fields))
    assert code_of(answer) == (422, "invalid_request")
    assert words in answer.text.replace("\\'", "'")


def test_values_without_effect_are_no_refusal(api: Api) -> None:
    quiet = {"shadow": "none", "control_scale": 0.0, "style": None, "conditions": [], "layers": []}
    claim = claimed(api, body(api, trigger="", prompt="from above", **quiet))
    assert claim.spec.product is not None
    api.store.queue.fail(claim, "engine_failed", "done with it", retryable=False)


def test_views_and_engines_must_be_there(api: Api) -> None:
    lost = {"mode": "generated", "views": ["ph_00000000000000000000"]}
    assert code_of(api.http.post("/v1/shots", json=body(api, product=lost))) == (404, "not_found")
    assert code_of(api.http.post("/v1/shots", json=body(api, engine="mini"))) == (422, "engine_cannot")
    without = api.http.post("/v1/shots", json={"prompt": "a table"})
    assert code_of(without) == (422, "invalid_request")
    assert "a shot must have at least one layer, got none; send the mask of a product" in without.text


def test_a_painted_product_never_passes_as_locked(api: Api) -> None:
    claim = claimed(api, body(api))
    image_id = made(api, claim, recipe_of(0, claim.spec))
    assert {one.name for one in presets() if one.locked_product} == set(LOCKED_ONLY)
    for name in LOCKED_ONLY:
        refused = api.http.get(f"/v1/images/{image_id}?preset={name}")
        assert code_of(refused) == (422, "product_generated")
        assert refused.json()["errors"][0]["loc"] == ["preset", "locked_product"]
        assert "takes only a product as it was photographed, got one that an engine painted" in refused.text
    several = api.http.post(f"/v1/images/{image_id}/deliveries", json={"deliver": [{"preset": "amazon-main"}]})
    assert code_of(several) == (422, "product_generated")
    file = api.http.get(f"/v1/images/{image_id}?preset=ebay")
    assert file.status_code == 200, file.text
    xmp = str(
        Image.open(io.BytesIO(file.content)).info["xmp" if file.content[:3] == b"\xff\xd8\xff" else "XML:com.adobe.xmp"]
    )
    assert 'packshot:Product="generated"' in xmp
    assert 'photoshop:Credit="Product and scene made with AI"' in xmp
    assert f'DigitalSourceType="{WHOLE}"' in xmp
    with c2pa.Reader(file.headers["content-type"], io.BytesIO(file.content)) as reader:
        manifest = reader.get_active_manifest()
    actions = next(one["data"]["actions"] for one in manifest["assertions"] if "actions" in one["label"])
    created = next(one for one in actions if one["action"] == "c2pa.created")
    assert (created["digitalSourceType"], created["parameters"]["packshot.product"]) == (WHOLE, "generated")
    assert "c2pa.placed" not in {one["action"] for one in actions}, "no photo is in it"


@pytest.mark.parametrize(("target", "passes"), [("product", False), ("all", False), ("scene", True)])
def test_a_repainted_photo_passes_as_locked_only_where_its_product_stays(
    api: Api, target: Target, passes: bool
) -> None:
    photo = api.photo()
    answer = api.http.post(
        f"/v1/photos/{photo['id']}/enhancements", json={"target": target, "mask_id": api.mask()["id"]}
    )
    claim = api.claim(answer.json()["id"])
    recipe = replace(recipe_of(0, claim.spec), enhancement=EnhancementSpec.from_json(claim.job))
    if passes:
        lock = Finding("lock", "ok", "all equal", 0.0)
        api.store.queue.commit(claim, [NewImage(0, 0, 120, 90, png(), Verdict((lock,)), recipe)])
        (image,) = api.http.get(f"/v1/shots/{claim.shot_id}").json()["images"]
        assert "product" not in image["verdict"], "a locked product goes without saying"
        image_id = image["id"]
    else:
        image_id = made(api, claim, recipe)
    code = code_of(api.http.get(f"/v1/images/{image_id}?preset=amazon-main"))[1]
    assert code == ("preset_unmet" if passes else "product_generated")  # the scene itself does not suit that channel


def test_a_redo_paints_the_product_again_and_cannot_place_it(api: Api) -> None:
    claim = claimed(api, body(api))
    image_id = made(api, claim, recipe_of(0, claim.spec))
    url = f"/v1/images/{image_id}/redo"
    layers = api.http.post(url, json={"reason": "scale", "layers": api.request()["layers"]})
    assert code_of(layers) == (422, "redo_needs_change")
    assert "a picture whose product was painted has no layers, got 1" in layers.text
    for reason in ("floating", "shadow", "product_changed", "scale"):
        again = api.http.post(url, json={"reason": reason})
        assert again.status_code == 202, again.text
    newest = api.claim(again.json()["id"])
    assert (newest.spec.product, newest.spec.layers) == (claim.spec.product, ())
    assert newest.spec.seed != claim.spec.seed
    api.store.queue.fail(newest, "engine_failed", "done with it", retryable=False)


def test_nobody_knows_where_a_painted_product_stands_so_it_makes_no_clip(api: Api) -> None:
    claim = claimed(api, body(api))
    image_id = made(api, claim, recipe_of(0, claim.spec))
    clip = api.http.post(f"/v1/images/{image_id}/clips", json={"move": "push_in", "seconds": 1, "format": "webp"})
    assert code_of(clip) == (422, "not_filmable")


def test_verdicts_of_older_versions_say_it_by_their_lock() -> None:
    unproven = {"findings": [{"check": "lock", "level": "warning", "detail": "not applicable", "value": None}]}
    assert Verdict.from_json(unproven).product == "generated"
    assert Verdict.from_json({"findings": []}).product == "locked"
    for verdict in (Verdict(product="generated"), Verdict()):
        assert Verdict.from_json(verdict.to_json()) == verdict
