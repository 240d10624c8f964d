"""What no picture can come of, through the real graph: each a 4xx with its code, no replica lost,
and the next shot is done."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import skimage.data
from PIL import Image


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


COFFEE = Image.fromarray(skimage.data.coffee())
PNG, JPEG = encoded(COFFEE), encoded(COFFEE, "JPEG")
FRAMES = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]

REFUSED_FILES = {
    "truncated": (JPEG[: len(JPEG) // 2], "image/jpeg", 422, "photo_unreadable"),
    "page": (b"%PDF-1.7", "image/png", 415, "photo_format"),
    "oversized": (PNG + bytes(97 * 2**20), "image/png", 413, "body_too_large"),
    "51-mpx": (encoded(Image.new("L", (7300, 7000))), "image/png", 422, "photo_too_many_pixels"),
    "animated": (
        encoded(FRAMES[0], "WEBP", save_all=True, append_images=FRAMES[1:]),
        "image/webp",
        422,
        "photo_animated",
    ),
}
TAKEN_FILES = {
    "16-bit": encoded(Image.fromarray((np.arange(64 * 64, dtype=np.uint16) * 16).reshape(64, 64))),
    "cmyk": encoded(COFFEE.resize((80, 60)).convert("CMYK"), "JPEG"),
    "webp": encoded(COFFEE.resize((80, 60)), "WEBP"),
    "avif": encoded(COFFEE.resize((80, 60)), "AVIF"),
    "unmarked": encoded(COFFEE.resize((80, 60)), "JPEG")[:-2],
    "palette": encoded(COFFEE.resize((80, 60)).convert("P")),
}
REFUSED_CLICKS = {
    "point-outside": ({"points": [{"x": 601, "y": 10, "label": 1}]}, "point_outside"),
    "empty-box": ({"boxes": [[10, 10, 10, 40]]}, "box_invalid"),
    "inverted-box": ({"boxes": [[40, 10, 10, 40]]}, "box_invalid"),
    "unknown-field": ({"point": [[1, 2]]}, "invalid_request"),
}
REFUSED_SHOTS = {
    "canvas-63": {"canvas": {"width": 63, "height": 512}},
    "canvas-4097": {"canvas": {"width": 512, "height": 4097}},
    "unknown-field": {"colour": "white"},
    "steps-0": {"steps": 0},
    "steps-10000": {"steps": 10_000},
}


def upload(http: httpx.Client, data: bytes, claimed_type: str) -> httpx.Response:
    return http.post("/v1/photos", files={"file": ("a", data, claimed_type)})


@pytest.fixture(scope="module", autouse=True)
def nothing_is_lost(http: httpx.Client, replica_pids: Callable[[], dict[str, list[int]]]) -> Iterator[None]:
    before = replica_pids()
    yield
    assert replica_pids() == before
    assert http.get("/readyz").status_code == 200


@pytest.mark.parametrize(("data", "claimed_type", "status", "code"), REFUSED_FILES.values(), ids=REFUSED_FILES)
def test_a_file_that_is_no_photo_is_refused(
    http: httpx.Client, data: bytes, claimed_type: str, status: int, code: str
) -> None:
    answer = upload(http, data, claimed_type)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize("name", TAKEN_FILES)
def test_an_odd_photo_becomes_the_right_picture(http: httpx.Client, name: str) -> None:
    data = TAKEN_FILES[name]
    answer = upload(http, data, "image/jpeg" if data[:2] == b"\xff\xd8" else "image/png")
    assert answer.status_code == 201, answer.text
    seen = np.asarray(Image.open(io.BytesIO(http.get(answer.json()["url"]).content)).convert("RGB"), np.float32)
    if name == "16-bit":
        assert seen[0].max() < 10
        assert seen[-1].min() > 245
    else:
        wanted = np.asarray(COFFEE.resize((80, 60)), np.float32)
        assert np.abs(seen - wanted).mean() < 24  # another gamut, 256 colours


@pytest.mark.parametrize(("body", "code"), REFUSED_CLICKS.values(), ids=REFUSED_CLICKS)
def test_a_click_that_cannot_be_meant_is_refused(
    http: httpx.Client, coffee: dict[str, Any], body: Any, code: str
) -> None:
    answer = http.post(f"/v1/photos/{coffee['id']}/masks", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


@pytest.mark.parametrize("fields", REFUSED_SHOTS.values(), ids=REFUSED_SHOTS)
def test_a_shot_out_of_bounds_is_refused(
    http: httpx.Client, shot_of: Callable[..., dict[str, Any]], fields: dict[str, Any]
) -> None:
    answer = http.post("/v1/shots", json=shot_of(**fields))
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_nan_is_not_json(http: httpx.Client, cup: dict[str, Any]) -> None:
    body = f'{{"layers": [{{"mask_id": "{cup["id"]}"}}], "guidance_scale": NaN}}'
    answer = http.post("/v1/shots", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_json")


def test_a_prompt_of_ten_thousand_characters_is_refused(
    http: httpx.Client, shot_of: Callable[..., dict[str, Any]]
) -> None:
    answer = http.post("/v1/shots", json=shot_of(prompt="marble " * 1429))
    assert (answer.status_code, answer.json()["code"]) == (422, "prompt_invalid")


def test_unknown_ids_answer_404(http: httpx.Client, shot_of: Callable[..., dict[str, Any]]) -> None:
    answers = [
        http.get("/v1/photos/ph_unknown"),
        http.post("/v1/photos/ph_unknown/masks", json={}),
        http.get("/v1/shots/sh_unknown"),
        http.post("/v1/shots", json=shot_of(layers=[{"mask_id": "mk_unknown"}])),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(404, "not_found")] * 4


def test_a_mask_that_was_deleted_meanwhile_is_refused(
    http: httpx.Client, shot_of: Callable[..., dict[str, Any]]
) -> None:
    photo = upload(http, encoded(Image.fromarray(skimage.data.rocket())), "image/png").json()
    mask = http.post(f"/v1/photos/{photo['id']}/masks", json={"boxes": [[280, 60, 360, 360]]}).json()["masks"][0]
    assert http.delete(f"/v1/photos/{photo['id']}").status_code == 204
    answer = http.post("/v1/shots", json=shot_of(layers=[{"mask_id": mask["id"]}]))
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_after_all_that_a_shot_is_done(http: httpx.Client, shot_of: Callable[..., dict[str, Any]]) -> None:
    shot = http.post("/v1/shots", json=shot_of(seed=5), headers={"Prefer": "wait=120"}).json()
    assert shot["status"] == "done"
