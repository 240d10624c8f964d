"""Uploads and downloads past the gateway, on a folder and on S3: the same requests, the same photos."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from PIL import Image
from sqlalchemy import update

from packshot.client import AsyncClient, Client
from packshot.errors import BadInput
from packshot.store.schema import upload
from tests.api_graph import Api, code_of, png, running
from tests.s3_server import S3Server
from tests.waiting import WAIT_S


@pytest.fixture(scope="module")
def on_s3(tmp_path_factory: pytest.TempPathFactory, s3: S3Server) -> Iterator[Api]:
    home = tmp_path_factory.mktemp("on_s3")
    studio = home / "studio"
    studio.mkdir()
    (studio / "index.html").write_text("<p>the page</p>")
    with running(home, studio_dir=studio, assets_url=s3.new_root(), redirect_downloads=True) as api:
        yield api


@pytest.fixture(params=["file", "s3"])
def api(request: pytest.FixtureRequest) -> Api:
    server: Api = request.getfixturevalue("api_server" if request.param == "file" else "on_s3")
    return server


def offer(api: Api, data: bytes, content_type: str = "image/png") -> dict[str, Any]:
    announced = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "content_type": content_type}
    answer = api.http.post("/v1/uploads", json=announced)
    assert answer.status_code == 201, answer.text
    return answer.json()


def put(offered: dict[str, Any], data: bytes) -> httpx.Response:
    """Send the file as any HTTP client would: without a key, to the URL alone."""
    return httpx.put(offered["url"], content=data, headers=offered["headers"], trust_env=False, timeout=WAIT_S)


def make(api: Api, offered: dict[str, Any], **fields: Any) -> httpx.Response:
    return api.http.post("/v1/photos", json={"upload_id": offered["id"], **fields})


def test_a_photo_is_made_of_a_file_that_was_put_to_the_url(api: Api) -> None:
    data = png(shade=101)
    offered = offer(api, data)
    assert offered["method"] == "PUT"
    assert offered["url"].startswith(api.url) is ("s3" not in api.store.assets.root_url)
    assert put(offered, data).is_success
    answer = make(api, offered)
    assert answer.status_code == 201, answer.text
    photo = answer.json()
    assert (photo["width"], photo["height"], photo["bytes"], photo["format"]) == (120, 90, len(data), "png")
    assert photo["sha256"] == hashlib.sha256(data).hexdigest()
    assert answer.headers["location"] == photo["url"]
    assert Image.open(io.BytesIO(api.http.get(photo["url"], follow_redirects=True).content)).size == (120, 90)
    assert make(api, offered).json()["id"] == photo["id"]  # the answer was lost
    again = api.http.post("/v1/photos", files={"file": ("a.png", data, "image/png")}).json()
    assert again["id"] == photo["id"]
    assert not api.store.assets.exists(f"uploads/{offered['id']}")


def test_an_upload_brings_its_alpha_and_joins_a_project(api: Api) -> None:
    out = io.BytesIO()
    cut = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    cut.paste((200, 30, 60, 255), (8, 8, 56, 56))
    cut.save(out, "PNG")
    project = api.http.post("/v1/projects", json={"name": "past the gateway"}).json()["id"]
    offered = offer(api, out.getvalue(), "image/jpeg")
    assert put(offered, out.getvalue()).is_success
    photo = make(api, offered, project_id=project).json()
    assert photo["project_id"] == project
    assert {note["code"] for note in photo["notes"]} >= {"type_by_bytes", "alpha_kept"}
    (first, *_) = api.http.post(f"/v1/photos/{photo['id']}/masks", json={}).json()["masks"]
    assert first["source"] == "alpha"


def test_what_is_not_as_announced_is_refused(api: Api) -> None:
    data = png(shade=102)
    offered = offer(api, data)
    missing = make(api, offered)
    assert code_of(missing) == (422, "upload_mismatch")
    assert "but there is none" in missing.json()["detail"]
    for wrong, said in ((data + b"x", f"got {len(data) + 1} bytes"), (data[:-1] + b"x", "got ")):
        api.store.assets.put_at(f"uploads/{offered['id']}", wrong)
        answer = make(api, offered)
        assert code_of(answer) == (422, "upload_mismatch")
        assert said in answer.json()["detail"]
    assert put(offered, data).is_success
    assert make(api, offered).status_code == 201


def test_this_servers_own_url_takes_that_file_with_its_token_only(api_server: Api) -> None:
    data = png(shade=103)
    offered = offer(api_server, data)
    for wrong in (data[:-1], data + b"x"):
        assert code_of(put(offered, wrong)) == (422, "upload_mismatch")
    bare = offered["url"].partition("?")[0]
    assert code_of(httpx.put(bare, content=data, trust_env=False, timeout=WAIT_S)) == (422, "invalid_request")
    assert code_of(httpx.put(f"{bare}?token=guess", content=data, trust_env=False, timeout=WAIT_S)) == (
        404,
        "not_found",
    )
    other = offer(api_server, png(shade=104))
    token = other["url"].partition("?token=")[2]
    assert code_of(httpx.put(f"{bare}?token={token}", content=data, trust_env=False, timeout=WAIT_S)) == (
        404,
        "not_found",
    )
    assert not api_server.store.assets.exists(f"uploads/{offered['id']}")


def test_no_tenant_reaches_anothers_upload(api: Api) -> None:
    data = png(shade=105)
    offered = offer(api, data)
    assert put(offered, data).is_success
    stolen = api.stranger.post("/v1/photos", json={"upload_id": offered["id"]})
    assert code_of(stolen) == (404, "not_found")
    assert code_of(api.anyone.post("/v1/photos", json={"upload_id": offered["id"]})) == (401, "unauthorized")
    assert make(api, offered).status_code == 201
    assert code_of(api.stranger.post("/v1/photos", json={"upload_id": offered["id"]})) == (404, "not_found")


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("bytes", 0, (422, "invalid_request")),
        ("bytes", 1024 * 1024 + 1, (413, "body_too_large")),
        ("sha256", "A" * 64, (422, "invalid_request")),
        ("sha256", "a" * 63, (422, "invalid_request")),
        ("content_type", "image/png\r\nx-evil: 1", (422, "invalid_request")),
    ],
)
def test_what_is_announced_must_be_valid(api_server: Api, field: str, value: object, code: tuple[int, str]) -> None:
    announced = {"bytes": 1, "sha256": "a" * 64, "content_type": "image/png", field: value}
    assert code_of(api_server.http.post("/v1/uploads", json=announced)) == code


def test_unconfirmed_uploads_are_swept(api: Api) -> None:
    data = png(shade=106)
    offered = offer(api, data)
    assert put(offered, data).is_success
    with api.store.database.write() as connection:
        connection.execute(update(upload).where(upload.c.id == offered["id"]).values(expires_at=0.0))
    assert code_of(make(api, offered)) == (404, "not_found")
    assert api.store.retention.sweep([])["uploads"] == 1
    assert not api.store.assets.exists(f"uploads/{offered['id']}")


def test_too_many_open_uploads_are_refused(api_server: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("packshot.store.uploads.MAX_OPEN", 0)
    announced = {"bytes": 1, "sha256": "a" * 64, "content_type": "image/png"}
    answer = api_server.http.post("/v1/uploads", json=announced)
    assert code_of(answer) == (429, "queue_full")
    assert answer.headers["retry-after"] == "60"


def test_files_are_read_from_the_bucket_where_it_signs_urls(on_s3: Api, s3: S3Server) -> None:
    photo = on_s3.http.post("/v1/photos", files={"file": ("a.png", png(shade=107), "image/png")}).json()
    shown = on_s3.finish(on_s3.shot())["images"][0]
    for url in (photo["url"], shown["url"]):
        sent = on_s3.http.get(url)  # the setting is on
        assert sent.status_code == 307
        assert sent.headers["cache-control"] == "private, no-store"
        assert sent.headers["location"].startswith(s3.url)
        there = httpx.get(sent.headers["location"], trust_env=False, timeout=WAIT_S)
        assert there.headers["content-type"] == "image/png"
        assert there.content == on_s3.http.get(url, params={"redirect": "0"}).content
        assert code_of(on_s3.stranger.get(url)) == (404, "not_found")
    assert "inline" in there.headers["content-disposition"]
    with Client(on_s3.url, on_s3.key) as client:
        assert client.download(shown["url"]) == there.content
    delivered = on_s3.http.get(shown["url"], params={"redirect": "1", "preset": "web-square"})
    assert delivered.status_code in (200, 422)  # a delivery is made on request, so it is in no bucket


def test_the_studios_policy_names_the_bucket(on_s3: Api, s3: S3Server) -> None:
    policy = on_s3.anyone.get("/").headers["content-security-policy"]
    assert f"img-src 'self' {s3.url};" in policy
    assert f"connect-src 'self' {s3.url};" in policy


def test_a_folder_signs_nothing_and_sends_the_bytes(api_server: Api) -> None:
    url = api_server.photo()["url"]
    assert api_server.http.get(url, params={"redirect": "1"}).content == api_server.http.get(url).content


def test_the_clients_upload_directly(api: Api) -> None:
    progress: list[tuple[int, int]] = []
    data = png(shade=108)
    with Client(api.url, api.key) as client:
        photo = client.upload(data, "image/png", direct=True, sent=lambda sent, total: progress.append((sent, total)))
        assert client.upload(data).id == photo.id
    assert progress == [(len(data), len(data))]

    async def asynchronous() -> str:
        async with AsyncClient(api.url, api.key) as client:
            return (await client.upload(data, "image/png", direct=True)).id

    assert asyncio.run(asynchronous()) == photo.id
    with Client(api.url, api.key) as client, pytest.raises(BadInput, match=r"photo_unreadable") as refused:
        client.upload(b"\x89PNG\r\n\x1a\n and then nothing", "image/png", direct=True)
    assert refused.value.code
