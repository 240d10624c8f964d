"""`/v1/photos` and the clicks on them."""

import asyncio
import hashlib
import socket
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from httpx import Client, Response

from packshot.api.decoding import LocalDecoder
from packshot.imaging.codec import encode_png, read_png
from packshot.imaging.decoding.results import NormalisedPhoto
from tests.api_graph import Api, code_of, jpeg, png, running
from tests.waiting import WAIT_S


def upload(client: Client, data: bytes, claimed_type: str = "image/png", name: str = "a.png") -> Response:
    return client.post("/v1/photos", files={"file": (name, data, claimed_type)})


def test_an_upload_answers_with_what_the_contract_names(api: Api) -> None:
    data = jpeg(64, 48)
    answer = upload(api.http, data, "image/jpeg")
    photo = answer.json()
    assert answer.status_code == 201
    assert photo == {
        "id": photo["id"],
        "width": 64,
        "height": 48,
        "format": "jpeg",
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "url": f"/v1/photos/{photo['id']}",
        "notes": [],
        "created_at": photo["created_at"],
    }
    assert answer.headers["location"] == photo["url"]
    assert "decode;dur=" in answer.headers["server-timing"]


def test_notes_are_answered_stored_and_those_of_the_last_upload(api: Api) -> None:
    data = png(shade=31)
    photo = upload(api.http, data, "image/jpeg").json()
    assert [note["code"] for note in photo["notes"]] == ["type_by_bytes"]
    assert "PNG" in photo["notes"][0]["detail"]
    assert api.http.get(f"{photo['url']}.json").json() == photo
    by_name = upload(api.http, data, "application/octet-stream", "a.webp").json()
    assert (by_name["id"], [note["code"] for note in by_name["notes"]]) == (photo["id"], ["type_by_bytes"])
    assert upload(api.http, data).json()["notes"] == []
    assert api.http.get(f"{photo['url']}.json").json()["notes"] == []


def test_photos_are_listed_newest_first_in_pages_that_deletions_do_not_disturb(tmp_path: Path) -> None:
    with running(tmp_path) as api:
        ids = [upload(api.http, png(shade=shade)).json()["id"] for shade in range(5)]
        page = api.http.get("/v1/photos", params={"limit": 2}).json()
        assert [photo["id"] for photo in page["photos"]] == ids[:2:-1]
        assert page["photos"][0] == api.http.get(f"/v1/photos/{ids[4]}.json").json()
        api.http.delete(f"/v1/photos/{ids[3]}")  # the last one of the page
        rest = api.http.get("/v1/photos", params={"cursor": page["next_cursor"], "limit": 100}).json()
        assert [photo["id"] for photo in rest["photos"]] == ids[2::-1]
        assert rest["next_cursor"] is None
        found = api.http.get("/v1/photos", params={"sha256": hashlib.sha256(png(shade=1)).hexdigest()}).json()
        assert [photo["id"] for photo in found["photos"]] == ids[1:2]
        assert api.stranger.get("/v1/photos").json() == {"photos": [], "next_cursor": None}


@pytest.mark.parametrize(
    "params", [{"limit": 0}, {"limit": 101}, {"limit": "many"}, {"cursor": "ph_x"}, {"cursor": "nan:ph_x"}]
)
def test_a_page_of_photos_that_cannot_be_meant_is_refused(api: Api, params: dict[str, str | int]) -> None:
    assert code_of(api.http.get("/v1/photos", params=params)) == (422, "invalid_request")


def test_large_uploads_are_in_memory_two_at_a_time(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("packshot.api.services.LARGE_BYTES", 1)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda shade: upload(api.http, png(shade=shade)), range(210, 216)))
    assert [answer.status_code for answer in answers] == [201] * 6


def test_the_same_bytes_give_the_same_id_and_another_tenant_gets_another(api: Api) -> None:
    data = png(shade=77)
    first, second, other = (upload(client, data).json()["id"] for client in (api.http, api.http, api.stranger))
    assert first == second != other


def test_the_photo_comes_back_as_its_normalised_png(api: Api) -> None:
    answer = api.http.get(api.photo()["url"])
    assert answer.headers["content-type"] == "image/png"
    assert np.array_equal(read_png(answer.content), read_png(png()))


def test_files_are_cached_privately_for_ever_and_revalidate_by_etag(api: Api) -> None:
    answer = api.http.get(api.photo()["url"])
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    again = api.http.get(api.photo()["url"], headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("data", "claimed_type", "expected"),
    [
        (b"", "image/png", (422, "photo_empty")),
        (encode_png(np.zeros((40, 40, 4), np.uint8)), "image/png", (422, "photo_empty")),
        (b"BM" + bytes(60), "image/bmp", (415, "photo_format")),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(60), "image/tiff", (415, "photo_format")),
        (png()[:200], "image/png", (422, "photo_unreadable")),
        (jpeg()[:400], "image/jpeg", (422, "photo_unreadable")),
        (png()[:33] + bytes(40), "image/png", (422, "photo_unreadable")),
    ],
    ids=["empty", "clear", "bmp", "raw", "truncated-png", "truncated-jpeg", "header-only"],
)
def test_a_photo_that_cannot_be_read_is_refused_with_its_code(
    api: Api, data: bytes, claimed_type: str, expected: tuple[int, str]
) -> None:
    assert code_of(upload(api.http, data, claimed_type)) == expected


def test_an_upload_that_is_not_multipart_is_refused(api: Api) -> None:
    assert code_of(api.http.post("/v1/photos", content=png())) == (422, "invalid_request")
    assert code_of(api.http.post("/v1/photos", json={"file": "x"})) == (422, "invalid_request")


@pytest.mark.parametrize(
    "files",
    [
        [("photo", ("a.png", png(), "image/png"))],
        [("file", ("a.png", png(), "image/png")), ("file", ("b.png", png(), "image/png"))],
        [("file", ("a.png", png(), "image/png")), ("note", (None, "hello"))],
        [("file", (None, "a field, no file"))],
    ],
    ids=["other-name", "two-files", "a-field-more", "no-file"],
)
def test_a_multipart_body_holds_one_file_and_nothing_else(api: Api, files: list[Any]) -> None:
    assert code_of(api.http.post("/v1/photos", files=files)) == (422, "invalid_request")


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=x"])
def test_a_broken_multipart_body_is_refused(api: Api, content_type: str) -> None:
    answer = api.http.post("/v1/photos", content=b"--y\r\nnonsense", headers={"content-type": content_type})
    assert code_of(answer) == (422, "invalid_request")


def test_a_file_name_of_a_client_goes_nowhere(api: Api) -> None:
    answer = upload(api.http, png(shade=9), name="../../etc/passwd")
    assert answer.status_code == 201
    assert "passwd" not in answer.text


def test_a_deleted_photo_is_gone_with_its_masks(api: Api) -> None:
    photo = upload(api.http, png(shade=3)).json()
    mask = api.http.post(f"{photo['url']}/masks", json={}).json()["masks"][0]
    assert api.http.delete(photo["url"]).status_code == 204
    for url in (photo["url"], mask["url"], mask["cutout_url"]):
        assert code_of(api.http.get(url)) == (404, "not_found")
    assert code_of(api.http.delete(photo["url"])) == (404, "not_found")


def test_a_photo_that_a_live_shot_needs_is_not_deleted(api: Api) -> None:
    shot_id = api.shot()
    assert code_of(api.http.delete(api.photo()["url"])) == (409, "in_use")
    api.http.delete(f"/v1/shots/{shot_id}")


def test_a_click_answers_with_candidates_best_first(api: Api) -> None:
    answer = api.http.post(
        f"{api.photo()['url']}/masks",
        json={"points": [{"x": 50, "y": 40, "label": 1}, {"x": 1, "y": 1, "label": 0}], "multimask": True},
    )
    masks = answer.json()["masks"]
    assert answer.status_code == 200
    assert [mask["score"] for mask in masks] == sorted((mask["score"] for mask in masks), reverse=True)
    assert masks[0] == {
        "id": masks[0]["id"],
        "photo_id": api.photo()["id"],
        "score": 0.9,
        "area": 400,
        "bbox": [40, 30, 60, 50],
        "url": f"/v1/masks/{masks[0]['id']}",
        "cutout_url": f"/v1/masks/{masks[0]['id']}/cutout",
        "cutout_bbox": [37, 27, 63, 53],
        "lock_px": 2,
        "source": "points",
    }
    assert {"queue", "encode", "decode"} == {part.split(";")[0] for part in answer.headers["server-timing"].split(", ")}


def test_neither_points_nor_boxes_is_automatic(api: Api) -> None:
    assert (
        api.http.post(f"{api.photo()['url']}/masks", json={"multimask": False}).json()["masks"][0]["area"] == 120 * 90
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"points": [{"x": 120, "y": 10, "label": 1}]}, (422, "point_outside")),
        ({"points": [{"x": -1, "y": 10, "label": 1}]}, (422, "point_outside")),
        ({"boxes": [[10, 10, 10, 40]]}, (422, "box_invalid")),
        ({"boxes": [[50, 10, 10, 40]]}, (422, "box_invalid")),
        ({"boxes": [[10, 10, 121, 40]]}, (422, "box_invalid")),
        ({"boxes": [[10, 10, 20]]}, (422, "invalid_request")),
        ({"points": [{"x": 1, "y": 1, "label": 2}]}, (422, "invalid_request")),
        ({"points": [{"x": "1", "y": 1}]}, (422, "invalid_request")),
        ({"points": [{"x": True, "y": 1}]}, (422, "invalid_request")),
        ({"points": [{"x": 1, "y": 1}] * 65}, (422, "invalid_request")),
        ({"boxes": [[0, 0, 9, 9]] * 17}, (422, "invalid_request")),
        ({"point": []}, (422, "invalid_request")),
        ([], (422, "invalid_request")),
    ],
)
def test_a_click_that_cannot_be_meant_is_refused(api: Api, body: Any, expected: tuple[int, str]) -> None:
    assert code_of(api.http.post(f"{api.photo()['url']}/masks", json=body)) == expected


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_not_finite_are_not_json(api: Api, number: str) -> None:
    body = f'{{"points": [{{"x": {number}, "y": 1, "label": 1}}]}}'
    answer = api.http.post(f"{api.photo()['url']}/masks", content=body, headers={"content-type": "application/json"})
    assert code_of(answer) == (422, "invalid_json")


@pytest.mark.parametrize("client", ["http", "stranger"])
@pytest.mark.parametrize("route", ["", "/masks"])
def test_unknown_and_foreign_photos_answer_404(api: Api, client: str, route: str) -> None:
    photo_id = api.photo()["id"] if client == "stranger" else "ph_unknown"
    caller = getattr(api, client)
    answer = caller.post(f"/v1/photos/{photo_id}/masks", json={}) if route else caller.get(f"/v1/photos/{photo_id}")
    assert code_of(answer) == (404, "not_found")


@pytest.mark.parametrize("odd_id", ["%00", "..%2f..%2fetc", "ph_%ff", "x" * 3000, "%F0%9F%98%80"])
def test_ids_that_no_id_looks_like_answer_404(api: Api, odd_id: str) -> None:
    assert code_of(api.http.get(f"/v1/photos/{odd_id}")) == (404, "not_found")
    assert code_of(api.http.get(f"/v1/shots/{odd_id}/events")) == (404, "not_found")


def test_a_client_that_goes_away_cancels_its_click(api: Api) -> None:
    api.photo()
    api.graph.clicks_held = True
    body = b'{"multimask": false}'
    head = (
        f"POST {api.photo()['url']}/masks HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {api.key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", int(api.url.rpartition(":")[2]))) as connection:
        connection.sendall(head.encode() + body)
        assert api.graph.clicks_begun.wait(WAIT_S)
    assert api.graph.clicks_cancelled.wait(WAIT_S)


def test_a_fault_of_ours_is_a_500_that_tells_nothing_but_the_request_id(api: Api) -> None:
    api.graph.broken = RuntimeError("secret path /var/lib")
    answer = api.http.post(f"{api.photo()['url']}/masks", json={})
    assert code_of(answer) == (500, "internal")
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"] in answer.json()["detail"]


def test_uploads_that_may_not_wait_are_told_to_try_again_and_other_tenants_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One tenant's files keep the decoder busy. Another's upload is next, however many wait."""
    release, decode = threading.Event(), LocalDecoder.normalise

    async def held(self: LocalDecoder, data: bytes, claimed_type: str | None) -> NormalisedPhoto:
        await asyncio.to_thread(release.wait, WAIT_S)
        return await decode(self, data, claimed_type)

    monkeypatch.setattr(LocalDecoder, "normalise", held)
    monkeypatch.setattr("packshot.api.app.MAX_WAITING_EACH", 2)
    with running(tmp_path) as api, ThreadPoolExecutor(8) as many:
        mine = [many.submit(upload, api.http, png(shade=shade)) for shade in range(5)]
        first = as_completed(mine)
        refused = [next(first).result(), next(first).result()]  # all are here, and nothing is decoded yet
        theirs = many.submit(upload, api.stranger, png(shade=9))
        with pytest.raises(TimeoutError):
            theirs.result(0.2)  # it waits, and is not refused
        release.set()
        assert theirs.result().status_code == 201
        answers = [one.result() for one in mine]
    assert [code_of(answer) for answer in refused] == [(429, "busy")] * 2
    assert refused[0].headers["retry-after"]
    assert sorted(answer.status_code for answer in answers) == [201, 201, 201, 429, 429]


def test_uploads_at_once_wait_for_their_turn(api: Api) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda shade: upload(api.http, png(shade=shade)), range(200, 208)))
    assert [answer.status_code for answer in answers] == [201] * 8
    assert len({answer.json()["id"] for answer in answers}) == 8


def test_the_type_of_an_upload_is_read_in_any_case(api: Api) -> None:
    body = b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + png() + b"\r\n--b--\r\n"
    answer = api.http.post("/v1/photos", content=body, headers={"content-type": "Multipart/Form-Data; boundary=b"})
    assert answer.status_code == 201, answer.text
