"""`/v1/projects` and `/v1/styles`, the project of photos and shots, and the search among shots."""

from __future__ import annotations

import itertools
from typing import Any

import httpx
import pytest

from packshot.client import Client, StyleChange, StyleRequest
from packshot.errors import Conflict
from packshot.imaging.codec import read_png
from tests.api_graph import Api, code_of, png

NUMBERS = itertools.count(1)


def new_name(word: str = "Spring") -> str:
    """A name that no other test has used."""
    return f"{word} {next(NUMBERS)}"


def created(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    assert answer.headers["location"] == body["url"]
    return body


def project(api: Api) -> dict[str, Any]:
    return created(api.http.post("/v1/projects", json={"name": new_name()}))


def test_a_project_is_made_renamed_listed_and_deleted(api: Api) -> None:
    made = project(api)
    url, name = made["url"], new_name("Sómmer")
    renamed = api.http.patch(url, json={"name": f"  {name} "}).json()
    assert renamed == {**made, "name": name}
    assert api.http.get(url).json() == renamed
    assert renamed in api.http.get("/v1/projects", params={"limit": 100}).json()["projects"]
    page = api.http.get("/v1/projects", params={"limit": 1}).json()
    assert len(page["projects"]) == 1
    assert api.stranger.get("/v1/projects").json() == {"projects": [], "next_cursor": None}
    assert api.http.delete(url).status_code == 204
    assert code_of(api.http.get(url)) == (404, "not_found")


@pytest.mark.parametrize("name", ["", "   ", "x" * 121, "a\u202eb", "a\x00b", "\ud800"])
def test_a_name_without_letters_or_with_control_characters_is_refused(api: Api, name: str) -> None:
    content = b'{"name": "\\ud800"}' if name == "\ud800" else None
    for kind in ("projects", "styles"):
        options: dict[str, Any] = {"content": content} if content else {"json": {"name": name}}
        status, code = code_of(api.http.post(f"/v1/{kind}", **options))
        assert status == 422
        assert code in ("name_invalid", "invalid_request", "invalid_json")


def test_a_name_is_taken_once(api: Api) -> None:
    made = project(api)
    assert code_of(api.http.post("/v1/projects", json={"name": made["name"]})) == (409, "name_taken")
    style = created(api.http.post("/v1/styles", json={"name": new_name("Marble")}))
    assert code_of(api.http.post("/v1/styles", json={"name": style["name"]})) == (409, "name_taken")
    other = created(api.http.post("/v1/styles", json={"name": new_name("Marble")}))
    assert code_of(api.http.patch(other["url"], json={"name": style["name"]})) == (409, "name_taken")


def test_photos_and_shots_join_a_project(api: Api) -> None:
    home = project(api)["id"]
    files = {"file": ("a.png", png(shade=91), "image/png")}
    photo = api.http.post("/v1/photos", files=files, data={"project_id": home}).json()
    assert photo["project_id"] == api.http.get(f"{photo['url']}.json").json()["project_id"] == home
    assert api.http.post("/v1/photos", files=files).json()["project_id"] == home
    listed = api.http.get("/v1/photos", params={"project_id": home}).json()["photos"]
    assert [one["id"] for one in listed] == [photo["id"]]
    assert api.http.get("/v1/photos", params={"project_id": "pj_none"}).json()["photos"] == []
    shot_id = api.shot(project_id=home, prompt="by the sea")
    other_id = api.shot(prompt="by the sea")
    assert api.http.get(f"/v1/shots/{shot_id}").json()["project_id"] == home
    assert "project_id" not in api.http.get(f"/v1/shots/{other_id}").json()
    listed = api.http.get("/v1/shots", params={"project_id": home, "q": "SEA by"}).json()["shots"]
    assert [shot["id"] for shot in listed] == [shot_id]
    assert api.http.get("/v1/shots", params={"project_id": home, "q": "lake"}).json()["shots"] == []
    assert code_of(api.http.get("/v1/shots", params={"q": "a\x00"})) == (422, "prompt_invalid")
    assert code_of(api.http.post("/v1/shots", json=api.request(project_id="pj_none"))) == (404, "not_found")
    assert code_of(api.http.post("/v1/photos", files=files, data={"project_id": "pj_none"})) == (404, "not_found")
    with_file = [("file", ("a.png", png(), "image/png")), ("project_id", ("b.png", png(), "image/png"))]
    assert code_of(api.http.post("/v1/photos", files=with_file)) == (422, "invalid_request")


def test_a_style_has_a_small_copy_of_a_picture(api: Api) -> None:
    image = api.finish(api.shot(prompt="style"))["images"][0]
    small = api.http.get(f"{image['url']}/thumbnail")
    assert small.headers["content-type"] == "image/png"
    fields = {"name": new_name("Marble"), "prompt": "on marble", "image_id": image["id"]}
    made = created(api.http.post("/v1/styles", json=fields))
    thumbnail = api.http.get(made["thumbnail_url"])
    assert "immutable" in thumbnail.headers["cache-control"]
    assert thumbnail.content == small.content
    assert max(read_png(thumbnail.content).shape) == 96  # the picture's own size, which is below 384 px
    assert code_of(api.stranger.get(made["thumbnail_url"])) == (404, "not_found")

    changed = api.http.patch(made["url"], json={"shadow": "none", "negative_prompt": "text"}).json()
    assert changed == {**made, "shadow": "none", "negative_prompt": "text"}
    assert api.http.patch(made["url"], json={"shadow": None}).json()["shadow"] is None
    assert api.http.get(made["url"]).json()["prompt"] == "on marble"
    for wrong in ({"name": None}, {"prompt": None}, {"palette": ["#fff"]}, {"palette": None}):
        assert code_of(api.http.patch(made["url"], json=wrong)) == (422, "invalid_request")
    assert code_of(api.http.patch(made["url"], json={"prompt": "x" * 2001})) == (422, "prompt_invalid")
    assert code_of(api.http.patch(made["url"], json={"image_id": "im_none"})) == (404, "not_found")
    assert api.http.delete(made["url"]).status_code == 204
    assert code_of(api.http.get(made["thumbnail_url"])) == (404, "not_found")


def test_a_style_without_a_picture_has_no_thumbnail(api: Api) -> None:
    made = created(api.http.post("/v1/styles", json={"name": new_name("Plain")}))
    assert "thumbnail_url" not in made
    assert code_of(api.http.get(f"{made['url']}/thumbnail")) == (404, "not_found")


def test_the_client_knows_projects_and_styles(api: Api) -> None:
    with Client(api.url, api.key) as client:
        made = client.create_project(new_name())
        with pytest.raises(Conflict, match="name_taken"):
            client.create_project(made.name)
        assert client.rename_project(made.id, new_name()).id == made.id
        assert client.upload(png(shade=92), project_id=made.id).project_id == made.id
        assert made.id in [one.id for one in client.projects()]
        client.delete_project(made.id)
        assert made.id not in [one.id for one in client.projects()]
        style = client.create_style(StyleRequest(name=new_name("Marble"), prompt="on marble"))
        assert client.change_style(style.id, StyleChange(prompt="on slate")).name == style.name
        assert [one.prompt for one in client.styles() if one.id == style.id] == ["on slate"]
        client.delete_style(style.id)
        assert style.id not in [one.id for one in client.styles()]


def test_each_image_of_a_shot_has_its_preview(api: Api) -> None:
    shot_id = api.shot(images=2, prompt="two previews")
    claim = api.claim(shot_id)
    api.store.assets.put_at(f"previews/{shot_id}.png", b"\x89PNG 0")
    api.store.queue.heartbeat(claim, step=3, steps=32, preview_version=1)
    assert api.http.get(f"/v1/shots/{shot_id}/preview", params={"at": 1}).content == b"\x89PNG 0"
    second = {"image": 1}
    assert code_of(api.http.get(f"/v1/shots/{shot_id}/preview", params=second)) == (404, "not_found")
    api.store.assets.put_at(f"previews/{shot_id}-1.png", b"\x89PNG 1")
    assert api.http.get(f"/v1/shots/{shot_id}/preview", params=second).content == b"\x89PNG 1"
    assert code_of(api.http.get(f"/v1/shots/{shot_id}/preview", params={"image": 2})) == (404, "not_found")


def test_a_mask_is_reduced_for_a_screen(api: Api) -> None:
    mask = api.mask()
    whole = read_png(api.http.get(mask["url"]).content)
    small = read_png(api.http.get(mask["url"], params={"longest_px": 60}).content)
    assert (whole.shape, small.shape) == ((90, 120), (45, 60))
    assert abs(float((small > 127).mean()) - float((whole > 127).mean())) < 0.02
    assert read_png(api.http.get(mask["url"], params={"longest_px": 4000}).content).shape == whole.shape
    assert code_of(api.http.get(mask["url"], params={"longest_px": 8})) == (422, "invalid_request")
