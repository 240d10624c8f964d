"""`relight` through the API: accepted for a painted scene, refused otherwise, stored with its proof."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from packshot.client import Client
from packshot.contract.requests import RelightIn, ShotRequest
from packshot.contract.shot_spec import ShotSpec
from packshot.imaging.light.gain import read_gain
from packshot.shots import Painted, Prepared
from packshot.shots.finish import finish
from packshot.shots.layout import draw_layout, find_layout
from packshot.store.records import NewImage
from packshot.types import Render
from tests.api_graph import Api, code_of
from tests.specs import STAMP, recipe_of
from tests.understood import understood


def relit_picture(api: Api) -> dict[str, Any]:
    """Finish a relit shot with its real pixels, in an even scene, and return its picture."""
    shot_id = api.shot(
        canvas={"width": 600, "height": 600},
        relight={"amount": 0.1},
        shadow={"mode": "cast", "direction_deg": 90},
    )
    claim = api.claim(shot_id)
    flat, enlarged_by = draw_layout(api.store.assets, find_layout(api.store, api.tenant_id, claim.spec))
    scene = Render(np.full((600, 600, 3), (210, 190, 160), np.uint8), 7)
    made = finish(Prepared(flat, enlarged_by), Painted(scene, STAMP, {}), claim.spec, [understood(flat.alpha)])
    recipe = recipe_of(7, claim.spec, queue=1)
    api.store.queue.commit(claim, [NewImage(0, 7, 600, 600, made.png, made.verdict, recipe, made.gain_png)])
    image: dict[str, Any] = api.http.get(f"/v1/shots/{shot_id}").json()["images"][0]
    return image


@pytest.mark.parametrize(
    ("relight", "stored"),
    [
        ({}, {"mode": "match", "amount": 0.25}),
        ({"mode": "match", "amount": 1}, {"mode": "match", "amount": 1.0}),
        ({"mode": "off", "amount": 0.7}, None),
        (None, None),
    ],
)
def test_a_shot_keeps_how_it_is_relit_and_old_code_sees_nothing_of_a_shot_that_is_not(
    api: Api, relight: object, stored: object
) -> None:
    shot_id = api.shot(relight=relight)
    assert api.http.get(f"/v1/shots/{shot_id}").json()["request"].get("relight") == stored
    spec = api.claim(shot_id).spec
    assert ShotSpec.from_json(spec.to_json()) == spec
    assert ("relight" in spec.to_json()) is (stored is not None)


@pytest.mark.parametrize(
    "relight",
    [
        "match",
        {"mode": "auto"},
        {"amount": -0.1},
        {"amount": 1.01},
        {"amount": 1e9},
        {"amount": "0.5"},
        {"strength": 0.5},
        [0.5],
    ],
    ids=str,
)
def test_a_relight_out_of_bounds_is_refused(api: Api, relight: object) -> None:
    assert code_of(api.http.post("/v1/shots", json=api.request(relight=relight))) == (422, "invalid_request")


def test_an_amount_that_is_no_number_is_refused(api: Api) -> None:
    body = api.http.build_request("POST", "/v1/shots", json=api.request(relight={"amount": 0.5})).content
    answer = api.http.post("/v1/shots", content=body.replace(b"0.5", b"NaN"))
    assert code_of(answer) == (422, "invalid_json")


@pytest.mark.parametrize("background", ["white", "transparent", "#c0ffee"])
def test_a_plain_background_has_no_light_to_take(api: Api, background: str) -> None:
    answer = api.http.post("/v1/shots", json=api.request(background=background, relight={}))
    assert code_of(answer) == (422, "relight_refused")
    assert f"got {background}; leave relight out, or paint a scene" in answer.json()["detail"]
    off = api.request(background=background, relight={"mode": "off"})
    assert api.http.post("/v1/shots", json=off).status_code == 202


def test_the_gain_of_a_relit_picture_can_be_fetched_and_its_lock_is_in_the_verdict(api: Api) -> None:
    image = relit_picture(api)
    found = {finding["check"]: finding["level"] for finding in image["verdict"]["findings"]}
    assert found["relit_lock"] == found["relight"] == "ok"
    answer = api.http.get(f"{image['url']}/gain")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    assert max(Image.open(io.BytesIO(answer.content)).size) <= 128
    assert np.ptp(read_gain(answer.content).values) > 500
    assert code_of(api.stranger.get(f"{image['url']}/gain")) == (404, "not_found")
    delivered = api.http.post(f"{image['url']}/deliveries", json={"deliver": [{"preset": "amazon-pt"}]})
    assert delivered.status_code == 200, delivered.text
    checks = [finding["check"] for finding in delivered.json()["deliveries"][0]["findings"]]
    assert checks[0] == "relit_lock"
    main = api.http.post(f"{image['url']}/deliveries", json={"deliver": [{"preset": "amazon-main"}]})
    assert code_of(main) == (422, "preset_unmet")
    assert "got a relit product; make the packshot without relight" in main.json()["detail"]


def test_a_gain_that_was_altered_on_disk_answers_409(api: Api) -> None:
    image = relit_picture(api)
    key = api.store.images.get(api.tenant_id, image["id"]).gain_key
    assert key is not None
    file = Path(api.store.settings.asset_root.removeprefix("file://")) / key
    whole = file.read_bytes()
    try:
        file.write_bytes(whole[:-3] + b"abc")
        asked: list[Callable[[], Any]] = [
            lambda: api.http.get(f"{image['url']}/gain"),
            lambda: api.http.get(image["url"], params={"preset": "ebay"}),
            lambda: api.http.post(f"{image['url']}/deliveries", json={"deliver": [{"preset": "ebay"}]}),
        ]
        for ask in asked:
            assert code_of(ask()) == (409, "gain_altered")
    finally:
        file.write_bytes(whole)


def test_a_picture_that_is_not_relit_has_no_gain(api: Api) -> None:
    image = api.finish(api.shot())["images"][0]
    answer = api.http.get(f"{image['url']}/gain")
    assert code_of(answer) == (404, "not_found")
    assert "is not relit; ask for `relight` in its shot" in answer.json()["detail"]


def test_the_client_sends_relight_and_reads_it_back(api: Api) -> None:
    with Client(api.url, api.key) as client:
        request = ShotRequest.model_validate({**api.request(), "relight": RelightIn(amount=0.3)})
        request_back = client.shot(client.shoot(request).id).request
    assert request_back.relight is not None
    assert (request_back.relight.mode, request_back.relight.amount) == ("match", 0.3)
