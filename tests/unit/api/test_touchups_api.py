"""`/v1/images/{id}/touchups`, `…/versions` and `…/restore` over HTTP."""

from __future__ import annotations

import base64
import math
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from sqlalchemy import select, update

from packshot.contract.touchup_spec import TouchupSpec
from packshot.contract.verdict import Verdict
from packshot.imaging.codec import encode_png, read_mask
from packshot.store.records import NewImage
from packshot.store.schema import shot
from tests.api_graph import Api, code_of, png
from tests.specs import recipe_of

SIDE = 96
STROKE = {"mode": "add", "radius_px": 6.0, "points": [[10, 10], [20, 12]]}
ALL_OVER = {"mode": "add", "radius_px": 200.0, "points": [[48, 48]]}


@pytest.fixture
def picture(api: Api) -> dict[str, Any]:
    """A finished picture of 96 x 96 px whose product is in its middle."""
    shot = api.finish(api.shot(canvas={"width": SIDE, "height": SIDE}, prompt="on marble", sku="MUG", meta={"a": "b"}))
    return shot["images"][0]


def touch_up(api: Api, picture: dict[str, Any], **body: Any) -> Any:
    return api.http.post(f"/v1/images/{picture['id']}/touchups", json={"strokes": [STROKE], **body})


def commit(api: Api, touchup_id: str) -> dict[str, Any]:
    """End a touch-up with a picture, as its flow does, and return that picture."""
    claim = api.claim(touchup_id)
    touchup = TouchupSpec.from_json(claim.job)
    recipe = replace(recipe_of(touchup.seed, claim.spec), touchup=touchup)
    canvas = claim.spec.canvas
    data = png(canvas.width, canvas.height, shade=touchup.seed % 251)
    new = NewImage(0, touchup.seed, canvas.width, canvas.height, data, Verdict(), recipe)
    return api.http.get(f"/v1/shots/{api.store.queue.commit(claim, [new]).id}").json()["images"][0]


def mask_png(at: Any = np.s_[4:20, 4:30], size: tuple[int, int] = (SIDE, SIDE)) -> str:
    mask = np.zeros(size, np.uint8)
    mask[at] = 255
    return base64.b64encode(encode_png(mask)).decode()


def test_a_touchup_is_accepted_like_a_shot_and_makes_the_next_version(api: Api, picture: dict[str, Any]) -> None:
    answer = touch_up(api, picture, prompt="a leaf", seed=5, strength=0.6)
    assert answer.status_code == 202, answer.text
    accepted = answer.json()
    assert (accepted["kind"], accepted["status"], accepted["sku"], accepted["meta"]) == (
        "touchup",
        "queued",
        "MUG",
        {"a": "b"},
    )
    assert answer.headers["location"] == accepted["url"]
    new = commit(api, accepted["id"])
    assert (new["parent_id"], new["version"], new["review_state"], new["seed"]) == (picture["id"], 2, "in_review", 5)
    touchup = new["recipe"]["touchup"]
    assert (touchup["prompt"], touchup["strength"], touchup["product"]) == ("a leaf", 0.6, False)
    whole = api.http.get(f"/v1/images/{picture['id']}.json").json()
    assert whole["superseded_by"] == new["id"]
    log = api.http.get(f"/v1/images/{new['id']}/reviews").json()["reviews"]
    assert [(line["state"], line["by"]) for line in log] == [("in_review", "touchup")]


def test_what_is_left_out_is_the_scenes_own(api: Api, picture: dict[str, Any]) -> None:
    claim = api.claim(touch_up(api, picture).json()["id"])
    touchup = TouchupSpec.from_json(claim.job)
    assert (touchup.prompt, touchup.strength, claim.spec.prompt) == ("on marble", 1.0, "on marble")
    assert touchup.seed != picture["seed"]
    x0, y0, x1, y1 = touchup.box
    assert x0 == y0 == 0
    assert (x1, y1) == (SIDE, SIDE)  # the picture is smaller than half the engine's native side


def test_the_region_is_what_mask_strokes_and_marks_show_without_the_product(api: Api, picture: dict[str, Any]) -> None:
    marks = [{"kind": "rect", "points": [[0.9, 0.9], [1.0, 1.0]]}]
    claim = api.claim(touch_up(api, picture, mask=mask_png(np.s_[80:96, 4:30]), marks=marks).json()["id"])
    assert claim.job_key is not None
    region = read_mask(api.store.assets.get(claim.job_key)).pixels
    assert region.shape == (SIDE, SIDE)
    assert region[12, 15] == region[85, 10] == region[94, 94] == 255
    assert region[48, 48] == region[94, 50] == 0
    claim = api.claim(touch_up(api, picture, strokes=[ALL_OVER]).json()["id"])
    assert claim.job_key is not None
    region = read_mask(api.store.assets.get(claim.job_key)).pixels
    assert region[2, 2] == 255
    assert region[48, 48] == 0  # the product stays


def test_a_larger_canvas_moves_the_layers_with_it(api: Api, picture: dict[str, Any]) -> None:
    answer = touch_up(api, picture, strokes=[], canvas={"left": 31, "top": 8})
    claim = api.claim(answer.json()["id"])
    assert (claim.spec.canvas.width, claim.spec.canvas.height) == (SIDE + 31, SIDE + 8)
    assert claim.job_key is not None
    region = read_mask(api.store.assets.get(claim.job_key)).pixels
    assert region.shape == (SIDE + 8, SIDE + 31)
    assert cv2.countNonZero(region[8:, 31:]) == 0
    assert (region[:8] == 255).all()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"strokes": []}, "region_empty"),
        ({"strokes": [], "canvas": {}}, "region_empty"),
        ({"strokes": [], "mask": mask_png(np.s_[0:0, 0:0])}, "region_empty"),
        ({"strokes": [{"mode": "add", "radius_px": 2.0, "points": [[48, 48]]}]}, "region_product"),
        ({"strokes": [{"mode": "add", "radius_px": 2.0, "points": [[500, 500]]}]}, "stroke_outside"),
        ({"mask": mask_png(size=(SIDE, SIDE + 1))}, "mask_size"),
        ({"mask": "no base64!"}, "mask_unreadable"),
        ({"mask": base64.b64encode(b"no png").decode()}, None),
        ({"mask": mask_png(np.s_[:, :])}, "mask_inverted"),
        ({"strength": 0}, "invalid_request"),
        ({"strength": 2}, "invalid_request"),
        ({"canvas": {"left": -1}}, "invalid_request"),
        ({"canvas": {"left": 4001}}, "canvas_too_large"),
        ({"canvas": {"left": 10}, "strength": 0.5}, "invalid_request"),
        ({"prompt": "x" * 3000}, "prompt_invalid"),
        ({"marks": [{"kind": "rect", "points": [[0, 0]]}]}, "invalid_request"),
        ({"seed": -1}, "invalid_request"),
        ({"unknown": 1}, "invalid_request"),
    ],
)
def test_what_cannot_be_painted_is_refused(
    api: Api, picture: dict[str, Any], body: dict[str, Any], code: str | None
) -> None:
    answer = touch_up(api, picture, **body)
    assert 400 <= answer.status_code < 500, answer.text
    if code is not None:
        assert code_of(answer) == (422, code)
    assert api.http.get(f"/v1/images/{picture['id']}.json").json().get("superseded_by") is None


def test_a_strength_that_is_no_number_is_refused(api: Api, picture: dict[str, Any]) -> None:
    url, body = f"/v1/images/{picture['id']}/touchups", f'{{"strength": {math.nan}}}'
    headers = {"content-type": "application/json"}
    assert api.http.post(url, content=body, headers=headers).status_code == 422


def test_a_picture_without_a_painted_scene_is_refused(api: Api) -> None:
    shot = api.finish(api.shot(canvas={"width": SIDE, "height": SIDE}, background="white"))
    assert code_of(touch_up(api, shot["images"][0])) == (422, "nothing_painted")


def test_a_picture_of_nobody_or_of_another_tenant_is_not_found(api: Api, picture: dict[str, Any]) -> None:
    for call in ("touchups", "restore"):
        url = f"/v1/images/{picture['id']}/{call}"
        assert code_of(api.stranger.post(url, json={"strokes": [STROKE]})) == (404, "not_found")
        assert code_of(api.http.post(f"/v1/images/im_none/{call}", json={"strokes": [STROKE]})) == (404, "not_found")
    assert code_of(api.stranger.get(f"/v1/images/{picture['id']}/versions")) == (404, "not_found")


def test_a_painted_product_needs_a_persons_approval(api: Api, picture: dict[str, Any]) -> None:
    body = {"strokes": [{"mode": "add", "radius_px": 2.0, "points": [[48, 48]]}], "product": True}
    new = commit(api, touch_up(api, picture, **body).json()["id"])
    delivery = f"/v1/images/{new['id']}?preset=ebay"
    assert code_of(api.http.get(delivery)) == (409, "not_approved")
    # and so does what is made of it
    again = commit(api, touch_up(api, new).json()["id"])
    assert again["recipe"]["touchup"]["product"] is False
    assert code_of(api.http.get(f"/v1/images/{again['id']}?preset=ebay")) == (409, "not_approved")


def test_two_touchups_at_once_both_become_versions(api: Api, picture: dict[str, Any]) -> None:
    first, second = touch_up(api, picture, seed=1).json()["id"], touch_up(api, picture, seed=2).json()["id"]
    one, two = commit(api, first), commit(api, second)
    assert [(new["version"], new["parent_id"]) for new in (one, two)] == [(2, picture["id"]), (3, picture["id"])]
    versions = api.http.get(f"/v1/images/{picture['id']}/versions").json()
    assert (versions["newest"], [each["id"] for each in versions["versions"]]) == (
        two["id"],
        [picture["id"], one["id"], two["id"]],
    )


def test_a_superseded_picture_is_refused_until_it_is_restored(api: Api, picture: dict[str, Any]) -> None:
    new = commit(api, touch_up(api, picture).json()["id"])
    assert code_of(touch_up(api, picture)) == (409, "superseded")
    for _ in range(2):  # a repeat changes nothing
        restored = api.http.post(f"/v1/images/{picture['id']}/restore").json()
        assert (restored["id"], restored.get("superseded_by"), restored["version"]) == (picture["id"], None, 1)
    assert api.http.get(f"/v1/images/{new['id']}.json").json()["superseded_by"] == picture["id"]
    third = commit(api, touch_up(api, picture).json()["id"])
    assert third["version"] == 3
    assert api.http.get(f"/v1/images/{new['id']}/versions").json()["newest"] == third["id"]
    api.http.post(f"/v1/images/{new['id']}/restore")
    found = api.http.get(f"/v1/images/{third['id']}/versions").json()
    assert (found["newest"], len(found["versions"])) == (new["id"], 3)


def test_a_repeat_with_its_key_is_the_same_touchup(api: Api, picture: dict[str, Any]) -> None:
    url = f"/v1/images/{picture['id']}/touchups"
    answers = [api.http.post(url, json={"strokes": [STROKE]}, headers={"idempotency-key": "t1"}) for _ in range(2)]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    other = api.http.post(url, json={"strokes": [ALL_OVER]}, headers={"idempotency-key": "t1"})
    assert code_of(other) == (422, "idempotency_mismatch")


def test_a_touchup_is_cancelled_and_listed_like_a_shot(api: Api, picture: dict[str, Any]) -> None:
    job = touch_up(api, picture).json()
    assert api.http.get(f"/v1/shots/{job['id']}").json()["kind"] == "touchup"
    listed = api.http.get("/v1/shots", params={"kind": "touchup", "limit": 1}).json()["shots"]
    assert listed[0]["id"] == job["id"]
    assert code_of(api.http.get("/v1/shots", params={"kind": "dream"})) == (422, "invalid_request")
    assert api.http.delete(f"/v1/shots/{job['id']}").json()["status"] == "cancelled"
    assert api.http.get(f"/v1/images/{picture['id']}.json").json().get("superseded_by") is None


def test_a_picture_of_an_engine_that_is_gone_is_refused_and_the_engines_are_named(
    api: Api, picture: dict[str, Any]
) -> None:
    """A touch-up by another engine would not match the rest of the scene; a new shot may use any engine."""
    with api.store.database.write() as connection:
        of_it = shot.c.id == api.http.get(f"/v1/images/{picture['id']}.json").json()["shot_id"]
        request = connection.execute(select(shot.c.request).where(of_it)).scalar_one()
        connection.execute(update(shot).where(of_it).values(request={**request, "engine": "gone"}))
    redo = api.http.post(f"/v1/images/{picture['id']}/redo", json={"reason": "light"})
    for answer in (touch_up(api, picture), redo):
        assert code_of(answer) == (422, "unknown_engine"), answer.text
        assert "mini" in answer.json()["detail"]
