"""The main job through the real graph: one photo to pictures whose product is the photo's own."""

import concurrent.futures
import re
import time
from collections.abc import Callable
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
import skimage.data
from standardwebhooks import Webhook

from packshot.imaging.codec import read_png
from packshot.types import U8
from tests.receiver import receiving, wait_until


def get_picture(http: httpx.Client, image: dict[str, Any]) -> U8:
    answer = http.get(image["url"])
    assert answer.headers["content-type"] == "image/png"
    return read_png(answer.content)


def test_the_graph_is_ready(http: httpx.Client) -> None:
    assert http.get("/healthz").json() == {"status": "ok"}
    assert http.get("/readyz").status_code == 200


def test_the_box_finds_cup_and_saucer(cup: dict[str, Any]) -> None:
    x0, _, x1, _ = cup["bbox"]
    assert cup["score"] > 0.5
    assert 60 <= x0 <= 130
    assert 440 <= x1 <= 500
    assert 40_000 <= cup["area"] <= 130_000


def test_a_layer_at_one_to_one_keeps_the_photos_own_pixels(
    http: httpx.Client, cup: dict[str, Any], shot_of: Callable[..., dict[str, Any]]
) -> None:
    cutout = read_png(http.get(cup["cutout_url"]).content)
    height, width = cutout.shape[:2]
    canvas = 512
    layer = {"mask_id": cup["id"], "x": 0.5, "y": 0.5, "scale": max(height, width) / canvas}
    shot = http.post(
        "/v1/shots",
        json=shot_of(layers=[layer], canvas={"width": canvas, "height": canvas}),
        headers={"Prefer": "wait=120"},
    ).json()
    assert shot["status"] == "done"
    image = shot["images"][0]
    assert image["verdict"]["level"] in ("ok", "warning")
    picture = get_picture(http, image)
    assert picture.shape == (canvas, canvas, 3)
    left, top = (int(np.floor(canvas / 2 - side / 2 + 0.5)) for side in (width, height))
    pasted = picture[top : top + height, left : left + width]
    mask = read_png(http.get(cup["url"]).content)
    inside = cv2.erode(mask, np.ones((5, 5), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=255) > 0
    x0, y0 = corner_in_photo(cutout, cup["bbox"])
    inside = inside[y0 : y0 + height, x0 : x0 + width]
    assert np.array_equal(pasted[inside], skimage.data.coffee()[y0 : y0 + height, x0 : x0 + width][inside])
    assert inside.sum() > 10_000
    outside = picture[:60, :60].reshape(-1, 3)
    assert outside.std() > 0.5  # something was painted


def corner_in_photo(cutout: U8, bbox: list[int]) -> tuple[int, int]:
    """The cutout's upper left corner in the photo. A soft edge reaches a little beyond the mask's box."""
    photo, opaque = skimage.data.coffee(), cutout[..., 3] == 255
    height, width = opaque.shape
    for y0 in range(max(0, bbox[1] - 5), bbox[1] + 6):
        for x0 in range(max(0, bbox[0] - 5), bbox[0] + 6):
            window = photo[y0 : y0 + height, x0 : x0 + width]
            if window.shape == (height, width, 3) and np.array_equal(window[opaque], cutout[..., :3][opaque]):
                return x0, y0
    raise AssertionError("the cutout's opaque pixels are not the photo's")


def test_a_white_packshot_is_white_and_needs_no_engine(
    http: httpx.Client, shot_of: Callable[..., dict[str, Any]]
) -> None:
    shot = http.post(
        "/v1/shots", json=shot_of(background="white", shadow="none"), headers={"Prefer": "wait=120"}
    ).json()
    picture = get_picture(http, shot["images"][0])
    assert (picture[:5] == 255).all()


def test_the_same_request_gives_the_same_bytes(http: httpx.Client, shot_of: Callable[..., dict[str, Any]]) -> None:
    pictures = []
    for _ in range(2):
        shot = http.post("/v1/shots", json=shot_of(seed=11), headers={"Prefer": "wait=120"}).json()
        pictures.append(http.get(shot["images"][0]["url"]).content)
    assert pictures[0] == pictures[1]


def test_server_timing_tells_the_stages(http: httpx.Client, shot_of: Callable[..., dict[str, Any]]) -> None:
    answer = http.post("/v1/shots", json=shot_of(seed=12), headers={"Prefer": "wait=120"})
    told = {
        name: float(ms) for name, ms in (part.split(";dur=") for part in answer.headers["server-timing"].split(", "))
    }
    assert set(told) == {"queue", "render", "begin", "steps", "decode", "finish"}
    assert told["begin"] + told["steps"] + told["decode"] <= told["render"]


def test_a_painted_shot_uses_device_seconds(http: httpx.Client, shot_of: Callable[..., dict[str, Any]]) -> None:
    asked = shot_of(sku="DEVICE-SECONDS")
    shot = http.post("/v1/shots", json=asked, headers={"prefer": "wait=120"}).json()
    device_s = shot["images"][0]["recipe"]["timing_ms"]["device"] / 1000
    assert device_s > 0
    used = {row["name"]: row for row in http.get("/v1/usage?group=sku").json()["rows"]}["DEVICE-SECONDS"]
    assert (used["shots"], used["pictures"]) == (1, 1)
    assert used["device_s"] == pytest.approx(device_s, abs=0.002)


def test_events_tell_the_way_to_the_end(http: httpx.Client, shot_of: Callable[..., dict[str, Any]]) -> None:
    shot = http.post("/v1/shots", json=shot_of(steps=12)).json()
    names = []
    with http.stream("GET", shot["events_url"]) as stream:
        for line in stream.iter_lines():
            if line.startswith("event:"):
                names.append(line.split(":")[1].strip())
    assert names[-1] == "done"
    assert names.count("done") == 1
    assert set(names) <= {"queued", "progress", "preview", "done"}


def test_a_webhook_hears_of_the_end_of_a_shot(http: httpx.Client, shot_of: Callable[..., dict[str, Any]]) -> None:
    with receiving() as receiver:
        wanted = {"url": f"http://127.0.0.1:{receiver.port}/hook", "events": ["shot.ended"]}
        hook = http.post("/v1/webhooks", json=wanted).json()
        asked = shot_of(background="white", sku="MUG-01")
        shot = http.post("/v1/shots", json=asked, headers={"prefer": "wait=120"}).json()
        wait_until(lambda: len(receiver.got) > 0)
        told = Webhook(hook["secret"]).verify(receiver.got[0].body, receiver.got[0].headers)
        assert (told["type"], told["data"]["id"], told["data"]["sku"]) == ("shot.ended", shot["id"], "MUG-01")
        assert [image["id"] for image in told["data"]["images"]] == [image["id"] for image in shot["images"]]
        assert http.delete(f"/v1/webhooks/{hook['id']}").status_code == 204


def test_sixteen_first_clicks_cost_one_encode(http: httpx.Client, metrics_every_s: float) -> None:
    from packshot.imaging.codec import encode_png

    photo = http.post("/v1/photos", files={"file": ("cat.png", encode_png(skimage.data.chelsea()), "image/png")}).json()
    quiet_s = 10 * metrics_every_s
    before = encodes(http, quiet_s, at_least=0)

    def click(x: int) -> httpx.Response:
        return http.post(f"/v1/photos/{photo['id']}/masks", json={"points": [{"x": x, "y": 150, "label": 1}]})

    with concurrent.futures.ThreadPoolExecutor(16) as racers:
        answers = list(racers.map(click, range(100, 116)))
    assert {answer.status_code for answer in answers} == {200}
    assert all("encode" in answer.headers["server-timing"] for answer in answers)
    assert encodes(http, quiet_s, at_least=before + 1) == before + 1


def encodes(http: httpx.Client, quiet_s: float, at_least: float) -> float:
    """The counter's value when it has not changed for `quiet_s` seconds, some of Ray's report intervals."""
    seen, since = -1.0, time.monotonic()
    while seen < at_least or time.monotonic() - since < quiet_s:
        found = re.search(r"^packshot_photo_encodes_total (\S+)$", http.get("/metrics").text, re.MULTILINE)
        value = float(found[1]) if found else 0.0
        if value != seen:
            seen, since = value, time.monotonic()
        assert time.monotonic() - since < 120
        time.sleep(0.2)
    return seen


def test_a_cancelled_shot_ends_cancelled_at_the_next_step(
    http: httpx.Client, shot_of: Callable[..., dict[str, Any]], finished: Callable[..., list[dict[str, Any]]]
) -> None:
    shot = http.post("/v1/shots", json=shot_of(steps=100, images=4)).json()
    assert http.delete(f"/v1/shots/{shot['id']}").status_code == 202
    (ended,) = finished([shot["id"]], timeout_s=120)
    assert ended["status"] == "cancelled"
    assert ended["images"] == []
    assert http.delete(f"/v1/shots/{shot['id']}").json()["code"] == "already_finished"
