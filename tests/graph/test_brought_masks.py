"""Masks that people bring, through the real deployments: finisher, mask decoder and decode worker."""

from typing import Any

import httpx
import numpy as np
import pytest

from packshot.imaging.codec import encode_png, read_png


@pytest.fixture(scope="module")
def cut_out(http: httpx.Client) -> dict[str, Any]:
    """A blue box with an opening, uploaded as a PNG that is already cut out."""
    pixels = np.full((240, 320, 4), (40, 80, 170, 0), np.uint8)
    pixels[60:180, 100:220, 3] = 255
    pixels[100:140, 140:180, 3] = 0
    pixels[60:180, 218:220, 3] = 120
    answer = http.post("/v1/photos", files={"file": ("box.png", encode_png(pixels), "image/png")})
    assert answer.status_code == 201, answer.text
    return answer.json()


def masks(http: httpx.Client, photo: dict[str, Any], **body: Any) -> list[dict[str, Any]]:
    answer = http.post(f"{photo['url']}/masks", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["masks"]


def pixels(http: httpx.Client, url: str) -> np.ndarray:
    return read_png(http.get(url).content)


def test_an_own_alpha_is_first_where_it_is_meant(http: httpx.Client, cut_out: dict[str, Any]) -> None:
    own, *others = masks(http, cut_out)
    assert own["source"] == "alpha"
    assert {mask["source"] for mask in others} <= {"automatic"}
    mask = pixels(http, own["url"])
    assert (mask[120, 110], mask[120, 160], mask[120, 219], mask[0, 0]) == (255, 0, 120, 0)
    assert masks(http, cut_out, points=[{"x": 110, "y": 120}])[0] == own
    assert masks(http, cut_out, points=[{"x": 20, "y": 20}])[0]["source"] == "points"
    cutout = pixels(http, own["cutout_url"])
    assert (cutout[cutout[..., 3] > 0][:, :3] == (40, 80, 170)).all()


def test_strokes_and_further_clicks_build_on_a_mask(http: httpx.Client, coffee: dict[str, Any]) -> None:
    clicked = masks(http, coffee, points=[{"x": 330, "y": 210}])[0]
    erase = {"mode": "erase", "radius_px": 15, "points": [[330, 210], [360, 210]]}
    (painted,) = masks(http, coffee, base_mask_id=clicked["id"], strokes=[erase])
    assert (painted["source"], painted["parent"]) == ("strokes", clicked["id"])
    assert not pixels(http, painted["url"])[200:220, 330:360].any()
    further = masks(http, coffee, base_mask_id=painted["id"], points=[{"x": 330, "y": 260}])
    assert {mask["parent"] for mask in further} == {painted["id"]}


def test_a_mask_that_a_person_sends_is_cut_and_shot(http: httpx.Client, coffee: dict[str, Any], finished: Any) -> None:
    mask = np.zeros((coffee["height"], coffee["width"]), np.uint8)
    mask[100:300, 200:400] = 255
    sent = http.put(f"{coffee['url']}/masks", content=encode_png(mask)).json()
    assert sent["source"] == "upload"
    assert np.array_equal(pixels(http, sent["url"]), mask)
    body = {"layers": [{"mask_id": sent["id"]}], "background": "white", "canvas": {"width": 256, "height": 256}}
    (shot,) = finished([http.post("/v1/shots", json=body).json()["id"]])
    assert shot["status"] == "done", shot
    refused = http.put(f"{coffee['url']}/masks", content=encode_png(mask[:50]))
    assert refused.json()["code"] == "mask_size"
