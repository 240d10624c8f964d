"""Clips over the API: accepted like a shot, filmed by the director, fetched, gated and refused."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from packshot.imaging.codec import encode_png
from packshot.imaging.motion import encode
from packshot.shots import Director, Finisher
from packshot.shots.layout import find_layout
from packshot.store.records import NewImage
from tests.api_graph import Api, code_of
from tests.specs import recipe_of
from tests.unit.shots.painter import Painter

SIDE = 128
SHORT = {"move": "orbit", "seconds": 1.0, "size": 64}


@pytest.fixture(scope="module")
def image(api_server: Api) -> dict[str, Any]:
    return finished(api_server, "#d8d2c8")


def finished(api: Api, background: str, shade: int = 0, **fields: Any) -> dict[str, Any]:
    """Finish a shot with its real pixels, and return its picture."""
    columns = np.linspace(0, 200, 160, dtype=np.uint8)
    pixels = np.broadcast_to(columns[None, :, None], (140, 160, 3)).copy()
    pixels[..., 2] = shade
    photo = api.http.post("/v1/photos", files={"file": ("a.png", encode_png(pixels), "image/png")}).json()
    box = {"boxes": [[20, 20, 140, 130]], "multimask": False}
    mask = api.http.post(f"/v1/photos/{photo['id']}/masks", json=box).json()["masks"][0]
    body = {
        "layers": [{"mask_id": mask["id"], "scale": 0.5, "y": 0.6}],
        "canvas": {"width": SIDE, "height": SIDE},
        "background": background,
        "sku": "B01-RED",
        **fields,
    }
    shot_id = api.http.post("/v1/shots", json=body).json()["id"]
    claim = api.claim(shot_id)
    made = Finisher(api.store.assets).finish_plain(find_layout(api.store, api.tenant_id, claim.spec), claim.spec)
    one = NewImage(0, 7, SIDE, SIDE, made.png, made.verdict, recipe_of(7, claim.spec, queue=1))
    api.store.queue.commit(claim, [one])
    picture: dict[str, Any] = api.http.get(f"/v1/shots/{shot_id}").json()["images"][0]
    return picture | {"shot_id": shot_id, "mask_id": mask["id"], "photo_id": photo["id"]}


def film(api: Api) -> None:
    """Run what waits, with the real pixels."""

    async def run() -> None:
        director = Director(api.store, Painter(api.store), api.settings, worker="w")
        while await director.run_next() is not None:
            pass

    asyncio.run(run())


def ordered(api: Api, image: dict[str, Any], **fields: Any) -> Any:
    return api.http.post(f"{image['url']}/clips", json=SHORT | fields)


def test_a_clip_is_accepted_filmed_and_fetched(api: Api, image: dict[str, Any]) -> None:
    answer = ordered(api, image)
    assert answer.status_code == 202, answer.text
    accepted = answer.json()
    assert (accepted["kind"], accepted["status"], accepted["sku"]) == ("clip", "queued", "B01-RED")
    assert answer.headers["location"] == accepted["url"]
    film(api)
    shot = api.http.get(accepted["url"]).json()
    assert (shot["status"], shot["step"], shot["steps"], shot["images"]) == ("done", 24, 24, [])
    clip = shot["clip"]
    assert (clip["image_id"], clip["shot_id"], clip["move"]) == (image["id"], accepted["id"], "orbit")
    assert api.http.get(f"{clip['url']}.json").json() == clip
    file = api.http.get(clip["url"])
    assert (file.status_code, file.headers["content-type"]) == (200, "image/webp")
    assert file.headers["content-disposition"] == f'inline; filename="{clip["id"]}.webp"'
    opened = Image.open(io.BytesIO(file.content))
    assert (opened.size, getattr(opened, "n_frames", 1), len(file.content)) == ((64, 64), 24, clip["bytes"])
    assert api.http.get(clip["url"], headers={"if-none-match": file.headers["etag"]}).status_code == 304


def test_lists_of_shots_hold_no_clips_unless_they_are_asked_for(api: Api, image: dict[str, Any]) -> None:
    clip_id = ordered(api, image).json()["id"]
    film(api)
    assert clip_id not in {shot["id"] for shot in api.http.get("/v1/shots").json()["shots"]}
    asked = api.http.get("/v1/shots", params={"kind": "clip"}).json()["shots"]
    assert asked[0]["id"] == clip_id
    assert {shot["kind"] for shot in asked} == {"clip"}


def test_a_repeat_with_the_key_is_the_same_clip(api: Api, image: dict[str, Any]) -> None:
    headers = {"idempotency-key": "clip-1"}
    first, again = (api.http.post(f"{image['url']}/clips", json=SHORT, headers=headers) for _ in range(2))
    assert first.json()["id"] == again.json()["id"]
    other = api.http.post(f"{image['url']}/clips", json=SHORT | {"move": "pan"}, headers=headers)
    assert code_of(other) == (422, "idempotency_mismatch")
    film(api)


def test_a_waiting_clip_can_be_cancelled(api: Api, image: dict[str, Any]) -> None:
    url = ordered(api, image).json()["url"]
    assert api.http.delete(url).status_code == 202
    film(api)
    assert api.http.get(url).json()["status"] == "cancelled"


def test_the_stream_ends_with_the_clip(api: Api, image: dict[str, Any]) -> None:
    accepted = ordered(api, image).json()
    film(api)
    with api.http.stream("GET", accepted["events_url"]) as stream:
        lines = [line for line in stream.iter_lines() if line]
    assert lines[0] == "event: done" or "event: done" in lines
    assert '"url": "/v1/clips/' in "".join(lines) or '"url":"/v1/clips/' in "".join(lines)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"seconds": 600}, "seconds"),
        ({"seconds": 0.5}, "seconds"),
        ({"size": 8000}, "size"),
        ({"size": 10}, "size"),
        ({"format": "gif"}, "format"),
        ({"move": "spin"}, "move"),
        ({"fps": 60}, "fps"),
        ({"seconds": "4"}, "seconds"),
        ({"zoom": 2}, "zoom"),
    ],
)
def test_a_field_out_of_its_bounds_is_refused(
    api: Api, image: dict[str, Any], fields: dict[str, Any], field: str
) -> None:
    answer = ordered(api, image, **fields)
    assert code_of(answer) == (422, "invalid_request")
    assert answer.json()["errors"][0]["loc"] == [field]


def test_a_number_that_is_none_is_refused(api: Api, image: dict[str, Any]) -> None:
    answer = api.http.post(
        f"{image['url']}/clips", content=b'{"seconds": NaN}', headers={"content-type": "application/json"}
    )
    assert code_of(answer) == (422, "invalid_json")


def test_a_transparent_picture_is_refused(api: Api) -> None:
    picture = finished(api, "transparent", shade=40)
    answer = ordered(api, picture)
    assert code_of(answer) == (422, "not_filmable")
    assert "make a shot with a background" in answer.json()["detail"]


def test_mp4_without_ffmpeg_names_the_remedy(api: Api, image: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "_ffmpeg_installed", lambda: False)
    answer = ordered(api, image, format="mp4")
    assert code_of(answer) == (422, "video_not_installed")
    assert "send format webp" in answer.json()["detail"]


def test_another_tenants_picture_and_clip_are_not_found(api: Api, image: dict[str, Any]) -> None:
    url = ordered(api, image).json()["url"]
    film(api)
    clip = api.http.get(url).json()["clip"]
    assert code_of(api.stranger.post(f"{image['url']}/clips", json=SHORT)) == (404, "not_found")
    assert code_of(api.stranger.get(clip["url"])) == (404, "not_found")
    assert code_of(api.stranger.get(f"{clip['url']}.json")) == (404, "not_found")
    assert code_of(api.http.post("/v1/images/im_none/clips", json=SHORT)) == (404, "not_found")


def test_a_held_picture_gives_no_clip(api: Api, image: dict[str, Any]) -> None:
    url = ordered(api, image).json()["url"]
    film(api)
    clip = api.http.get(url).json()["clip"]
    api.store.tenants.set_require_approval(api.tenant_id, True)
    try:
        assert code_of(ordered(api, image)) == (409, "not_approved")
        assert code_of(api.http.get(clip["url"])) == (409, "not_approved")
        api.http.patch(image["url"], json={"review": "approved"})
        assert api.http.get(clip["url"]).status_code == 200
        assert ordered(api, image).status_code == 202
    finally:
        api.store.tenants.set_require_approval(api.tenant_id, False)
        film(api)
