"""Deliveries with `reframe: paint`: the engine paints the sides that a channel's frame adds, and the product stays."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from packshot.client import Client, DeliverIn
from packshot.delivery.presets import preset_named
from packshot.imaging.codec import encode_png, read_png
from tests.api_graph import Api, code_of, running
from tests.directed import Directed, directed

SIDE = 384
CANVAS = {"width": SIDE, "height": SIDE}
STORY = {"preset": "meta-ad-9x16", "reframe": "paint"}


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Directed]:
    with running(tmp_path_factory.mktemp("reframing"), heartbeat_s=0.1) as api, directed(api) as at_work:
        yield at_work


@pytest.fixture(scope="module")
def api(studio: Directed) -> Api:
    return studio.api


def shot(api: Api, **fields: Any) -> dict[str, Any]:
    """A finished picture, by default a painted one, whose product lies low in a square canvas."""
    pixels = np.random.default_rng(7).integers(0, 255, (400, 400, 3), dtype=np.uint8)
    photo = api.http.post("/v1/photos", files={"file": ("a.png", encode_png(pixels), "image/png")}).json()
    click = {"boxes": [[100, 80, 300, 320]], "multimask": False}
    mask = api.http.post(f"/v1/photos/{photo['id']}/masks", json=click).json()["masks"][0]
    layer = {"mask_id": mask["id"], "scale": 0.4, "x": 0.5, "y": 0.7}
    body = {"layers": [layer], "canvas": CANVAS, "shadow": "none", **fields}
    done = api.http.post("/v1/shots", json=body, headers={"prefer": "wait=60"}).json()
    image: dict[str, Any] = done["images"][0]
    return image


def deliver(api: Api, image: dict[str, Any], *entries: dict[str, Any]) -> Any:
    return api.http.post(f"{image['url']}/deliveries", json={"deliver": list(entries)})


def test_the_sides_are_painted_and_the_product_stays(api: Api) -> None:
    image = shot(api)
    without = deliver(api, image, {"preset": "meta-ad-9x16"})
    assert code_of(without) == (422, "not_served")
    assert "reframe: paint" in without.json()["detail"]

    first = deliver(api, image, STORY, {"preset": "shopify"})
    assert first.status_code == 202, first.text
    assert [row["preset"] for row in first.json()["deliveries"]] == ["shopify"], "the others are made at once"
    [painting] = first.json()["painting"]
    assert (painting["entry"], painting["preset"]) == (0, "meta-ad-9x16")
    again = deliver(api, image, STORY)
    assert again.status_code == 200 or again.json()["painting"][0]["shot_id"] == painting["shot_id"], "painted once"

    with Client(api.url, api.key) as client:
        [file] = client.deliver(image["id"], [DeliverIn.model_validate(STORY)])
    assert abs(file.width * 16 / (file.height * 9) - 1) < 0.002
    assert "the engine painted" in file.changes[0]
    assert f"of {image['id']} for the frame" in file.changes[0]
    findings = {finding.check: finding.level for finding in file.findings}
    assert findings["delivered_lock"] == "ok"
    assert findings["safe_zone"] == "ok"
    opened = Image.open(io.BytesIO(api.http.get(file.url).content))
    assert opened.size == (file.width, file.height)

    reframed = api.http.get(f"/v1/images/{file.image_id}.json").json()
    checks = {finding["check"]: finding for finding in reframed["verdict"]["findings"]}
    assert checks["lock"]["level"] == "ok"
    assert "it grew by" in checks["touchup"]["detail"]
    assert reframed["recipe"]["touchup"]["parent_id"] == image["id"]
    left, top = (reframed["recipe"]["touchup"]["margins"][side] for side in ("left", "top"))
    big, small = (read_png(api.http.get(one["url"]).content) for one in (reframed, image))
    assert np.array_equal(big[top : top + SIDE, left : left + SIDE], small), "no pixel of the picture changed"
    assert api.http.get(f"{image['url']}.json").json().get("superseded_by") is None, "the square one still counts"


def test_the_product_lies_inside_the_safe_zone(api: Api) -> None:
    zone = preset_named("meta-ad-9x16").safe_zone
    assert zone is not None
    image = shot(api, canvas={"width": 360, "height": 640}, seed=3)
    with Client(api.url, api.key) as client:
        [file] = client.deliver(image["id"], [DeliverIn.model_validate(STORY)])
    assert {finding.check: finding.level for finding in file.findings}["safe_zone"] == "ok"


def test_a_plain_background_is_padded_and_nothing_is_painted(api: Api) -> None:
    image = shot(api, background="white", seed=4)
    answer = deliver(api, image, STORY)
    assert answer.status_code == 200, answer.text
    [file] = answer.json()["deliveries"]
    assert file["image_id"] == image["id"]
    assert "padded with white" in file["changes"][0]


def test_work_that_was_cancelled_begins_anew(api: Api, studio: Directed) -> None:
    image = shot(api, seed=5)
    studio.hold()
    try:
        [first] = deliver(api, image, STORY).json()["painting"]
        api.http.delete(first["url"])
    finally:
        studio.let_go()
    with api.http.stream("GET", first["events_url"]) as events:
        events.read()
    if api.http.get(first["url"]).json()["status"] == "cancelled":
        [second] = deliver(api, image, STORY).json()["painting"]
        assert second["shot_id"] != first["shot_id"]
    with Client(api.url, api.key) as client:
        [file] = client.deliver(image["id"], [DeliverIn.model_validate(STORY)])
    assert file.width < file.height


@pytest.mark.parametrize("reframe", ["crop", "", 1, True])
def test_another_way_to_reframe_is_refused(api: Api, reframe: object) -> None:
    answer = api.http.post("/v1/images/im_1/deliveries", json={"deliver": [STORY | {"reframe": reframe}]})
    assert code_of(answer) == (422, "invalid_request")
    assert "deliver.0.reframe" in answer.json()["detail"]
