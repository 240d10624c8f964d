"""Odd but well-formed wishes, through the real graph: a sensible picture that says what is odd, or a 4xx,
and never noise."""

from collections.abc import Callable
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from packshot.imaging.codec import encode_png, read_png
from packshot.types import U8

TINY_BOX = [300, 200, 303, 203]
PROMPTS = {
    "empty": ("", "ok"),
    "unknown": ("zorbly quaxle frimble", "warning"),
    "chinese": ("在大理石桌子上", "warning"),
    "contradictory": ("white black marble, grass, dark night, bright daylight, hard soft warm cool light", "ok"),
}


@pytest.fixture(scope="module")
def shots(http: httpx.Client, cup: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """All odd shots, requested at once: name -> the ended shot."""
    layer = {"mask_id": cup["id"]}
    wishes: dict[str, dict[str, Any]] = {name: {"prompt": prompt} for name, (prompt, _) in PROMPTS.items()}
    wishes["fills"] = {"layers": [{**layer, "scale": 4.0}]}
    wishes["speck"] = {"layers": [{**layer, "scale": 3 / 256}]}
    wishes["wide"] = {"canvas": {"width": 1000, "height": 200}, "layers": [{**layer, "scale": 0.15}]}
    wishes["two"] = {"layers": [{**layer, "x": 0.3, "scale": 0.4}, {**layer, "x": 0.72, "scale": 0.4}]}
    small = {"canvas": {"width": 256, "height": 256}, "steps": 2, "seed": 3, "prompt": "on a marble table"}
    ids = {}
    for name, wish in wishes.items():
        answer = http.post("/v1/shots", json={**small, "layers": [layer], **wish})
        assert answer.status_code == 202, answer.text
        ids[name] = answer.json()["id"]
    return {name: ended(http, shot) for name, shot in ids.items()}


def ended(http: httpx.Client, shot: str) -> dict[str, Any]:
    with http.stream("GET", f"/v1/shots/{shot}/events") as stream:
        stream.read()  # ends with the shot
    return http.get(f"/v1/shots/{shot}").json()


def findings(shot: dict[str, Any]) -> dict[str, dict[str, Any]]:
    assert shot["status"] == "done", shot
    return {row["check"]: row for row in shot["images"][0]["verdict"]["findings"]}


def test_every_odd_shot_is_done_and_none_is_noise(shots: dict[str, dict[str, Any]]) -> None:
    for name, shot in shots.items():
        assert findings(shot)["scene"]["level"] in ("ok", "warning"), (name, findings(shot)["scene"])
        assert shot["images"][0]["verdict"]["level"] != "failed", name


@pytest.mark.parametrize("name", PROMPTS)
def test_a_prompt_that_is_not_understood_is_a_warning(shots: dict[str, dict[str, Any]], name: str) -> None:
    assert findings(shots[name])["prompt"]["level"] == PROMPTS[name][1], findings(shots[name])["prompt"]


def test_a_prompt_of_unknown_words_is_painted_as_an_empty_one(
    http: httpx.Client, shots: dict[str, dict[str, Any]]
) -> None:
    assert "zorbly, quaxle, frimble" in findings(shots["unknown"])["prompt"]["detail"]
    pictures = [http.get(shots[name]["images"][0]["url"]).content for name in ("empty", "unknown", "chinese")]
    assert np.abs(np.diff([read_png(data).astype(float) for data in pictures], axis=0)).mean() < 0.5


def test_a_product_that_fills_the_canvas_and_one_of_three_pixels_are_warned_of(
    shots: dict[str, dict[str, Any]],
) -> None:
    levels = {name: {check: row["level"] for check, row in findings(shots[name]).items()} for name in shots}
    assert levels["fills"]["scene"] == levels["fills"]["frame"] == "warning"
    assert levels["speck"]["fill"] == "warning"
    assert levels["two"]["fill"] == levels["two"]["frame"] == levels["two"]["scene"] == "ok"


def test_a_wide_canvas_is_painted_in_windows_and_not_stretched(shots: dict[str, dict[str, Any]]) -> None:
    found = findings(shots["wide"])
    assert "560x256 px in 2 overlapping windows" in found["framing"]["detail"]
    assert found["framing"]["value"] <= 1.1
    assert found["lock"]["level"] == "ok"
    assert shots["wide"]["images"][0]["width"] == 1000


def test_a_mask_of_three_pixels_is_refused(
    http: httpx.Client, coffee: dict[str, Any], shot_of: Callable[..., dict[str, Any]]
) -> None:
    masks = http.post(f"/v1/photos/{coffee['id']}/masks", json={"boxes": [TINY_BOX]}).json()["masks"]
    for mask in masks:
        answer = http.post("/v1/shots", json=shot_of(layers=[{"mask_id": mask["id"]}]))
        assert answer.status_code == 422, mask
        assert answer.json()["code"] in ("mask_empty", "mask_too_small")


def test_two_products_under_two_boxes_become_one_mask(http: httpx.Client, cup: dict[str, Any]) -> None:
    cutout = read_png(http.get(cup["cutout_url"]).content)
    height, width = cutout.shape[:2]
    pair = np.hstack([cutout, np.zeros((height, 40, 4), np.uint8), cutout[:, ::-1]])
    photo = upload(http, np.pad(pair, ((20, 20), (20, 20), (0, 0))))
    boxes = [[20, 20, 20 + width, 20 + height], [60 + width, 20, 60 + 2 * width, 20 + height]]
    mask = http.post(f"/v1/photos/{photo['id']}/masks", json={"boxes": boxes}).json()["masks"][0]
    left, right = (np.s_[:, : 40 + width], np.s_[:, 40 + width :])
    pixels = read_png(http.get(mask["url"]).content) > 0
    assert min(pixels[left].sum(), pixels[right].sum()) > 0.5 * max(pixels[left].sum(), pixels[right].sum())


def test_a_transparent_cutout_is_found_by_itself_and_shot(
    http: httpx.Client, cup: dict[str, Any], shot_of: Callable[..., dict[str, Any]]
) -> None:
    cutout = read_png(http.get(cup["cutout_url"]).content)
    cutout = np.pad(cutout, ((30, 30), (40, 40), (0, 0)))
    photo = upload(http, cutout)
    mask = http.post(f"/v1/photos/{photo['id']}/masks", json={}).json()["masks"][0]
    found, truth = read_png(http.get(mask["url"]).content) > 0, cutout[..., 3] >= 128
    assert np.count_nonzero(found & truth) / np.count_nonzero(found | truth) > 0.9
    shot = http.post(
        "/v1/shots", json=shot_of(layers=[{"mask_id": mask["id"]}], steps=2), headers={"Prefer": "wait=120"}
    ).json()
    assert findings(shot)["lock"]["level"] == findings(shot)["scene"]["level"] == "ok"


def test_a_glass_of_soft_alpha_is_laid_over_white(http: httpx.Client) -> None:
    ramp = cv2.resize(np.array([[0, 255]], np.uint8), (64, 64), interpolation=cv2.INTER_LINEAR)
    photo = upload(http, np.dstack([np.zeros((64, 64, 3), np.uint8), ramp]))
    seen = read_png(http.get(photo["url"]).content)
    assert np.abs(seen[..., 0].astype(int) - (255 - ramp)).max() <= 1


def upload(http: httpx.Client, rgba: U8) -> dict[str, Any]:
    answer = http.post("/v1/photos", files={"file": ("cutout.png", encode_png(rgba), "image/png")})
    assert answer.status_code == 201, answer.text
    return answer.json()
