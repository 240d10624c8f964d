"""`/v1/images`: finished pictures, delivered and reviewed."""

import io
from typing import Any

import pytest
from PIL import Image

from packshot.api.answers import disposition
from packshot.delivery.presets import presets
from tests.api_graph import Api, code_of

CANVAS = {"width": 96, "height": 96}


@pytest.fixture(scope="module")
def image(api_server: Api) -> dict[str, Any]:
    return api_server.finish(api_server.shot(canvas=CANVAS, seed=7))["images"][0]


def test_an_image_is_the_file_that_was_committed(api: Api, image: dict[str, Any]) -> None:
    answer = api.http.get(image["url"])
    stored = api.store.images.get(api.tenant_id, image["id"])
    assert answer.content == api.store.assets.get(stored.asset_key)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"] == f'inline; filename="{image["id"]}.png"'
    assert answer.headers["cache-control"].startswith("private")


def test_a_preset_delivers_a_download_of_its_own_format_and_tells_what_it_changed(
    api: Api, image: dict[str, Any]
) -> None:
    answer = api.http.get(image["url"], params={"preset": "etsy"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["content-disposition"] == f'attachment; filename="{image["id"]}-etsy.jpg"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "enlarged 2.00x" in answer.headers["x-packshot-notes"]
    assert Image.open(io.BytesIO(answer.content)).size == (192, 192)


def test_a_picture_that_cannot_meet_a_preset_is_refused_with_the_rule(api: Api, image: dict[str, Any]) -> None:
    answer = api.http.get(image["url"], params={"preset": "amazon-main"})
    assert code_of(answer) == (422, "preset_unmet")
    assert "255,255,255" in answer.json()["detail"]


def test_a_preset_is_met_also_when_the_shots_mask_is_gone(api: Api) -> None:
    mask = api.mask()
    shot = api.finish(api.shot(layers=[{"mask_id": mask["id"]}], canvas=CANVAS))
    assert api.http.delete(mask["url"]).status_code == 204
    assert api.http.get(shot["images"][0]["url"], params={"preset": "etsy"}).status_code == 200


def test_a_picture_too_small_for_a_preset_is_refused_with_the_size(api: Api, image: dict[str, Any]) -> None:
    answer = api.http.get(image["url"], params={"preset": "ebay"})
    assert code_of(answer) == (422, "preset_unmet")
    assert "500 px" in answer.json()["detail"]


@pytest.mark.parametrize("name", ["nowhere", "", "../../x", "\x00"])
def test_an_unknown_preset_has_a_code(api: Api, image: dict[str, Any], name: str) -> None:
    assert code_of(api.http.get(image["url"], params={"preset": name})) == (422, "unknown_preset")


def test_presets_are_listed_with_source_and_date(api: Api) -> None:
    listed = api.http.get("/v1/presets").json()["presets"]
    assert [row["name"] for row in listed] == [preset.name for preset in presets()]
    assert all(row["source"] and row["dated"] and row["expires"] for row in listed)


def test_a_review_is_kept_and_taken_back(api: Api, image: dict[str, Any]) -> None:
    approved = api.http.patch(image["url"], json={"review": "approved", "note": "good light"}).json()
    assert (approved["review"], approved["note"], approved["id"]) == ("approved", "good light", image["id"])
    rejected = api.http.patch(image["url"], json={"review": "rejected"}).json()
    assert (rejected["review"], rejected["note"]) == ("rejected", "good light")
    undone = api.http.patch(image["url"], json={"review": None, "note": ""}).json()
    assert (undone["review"], undone["note"]) == (None, None)
    assert {"verdict", "recipe", "seed", "shot_id", "created_at"} <= set(undone)


def test_what_is_known_about_an_image_is_its_review_version_and_recipe(api: Api, image: dict[str, Any]) -> None:
    reviewed = api.http.patch(image["url"], json={"review": "approved", "note": "crisp"}).json()
    described = api.http.get(f"{image['url']}.json")
    assert described.json() == reviewed
    assert (reviewed["review"], reviewed["note"]) == ("approved", "crisp")
    assert (reviewed["version"], "supersedes" in reviewed) == (1, False)
    shot = api.http.get(f"/v1/shots/{reviewed['shot_id']}").json()
    assert reviewed["recipe"] == {**shot["images"][0]["recipe"], "request": shot["request"]}
    assert shot["images"][0]["review"] == "approved"
    assert described.headers["cache-control"] == "private, no-cache"  # a review may change


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"review": "maybe"},
        {"review": 1},
        {"note": "x"},
        {"review": None, "note": "n" * 2001},
        {"review": None, "by": 1},
    ],
)
def test_a_review_that_cannot_be_meant_is_refused(api: Api, image: dict[str, Any], body: dict[str, Any]) -> None:
    assert code_of(api.http.patch(image["url"], json=body)) == (422, "invalid_request")


def test_a_note_that_no_database_holds_is_refused(api: Api, image: dict[str, Any]) -> None:
    answer = api.http.patch(image["url"], content=b'{"review": null, "note": "a\\u0000b"}')
    assert code_of(answer) == (422, "invalid_request")


def test_foreign_and_unknown_images_do_not_exist(api: Api, image: dict[str, Any]) -> None:
    for answer in (
        api.stranger.get(image["url"]),
        api.stranger.get(f"{image['url']}.json"),
        api.http.get("/v1/images/im_unknown.json"),
        api.stranger.patch(image["url"], json={"review": None}),
        api.http.get("/v1/images/im_unknown"),
        api.http.get("/v1/images/%00"),
    ):
        assert code_of(answer) == (404, "not_found")


def test_a_filename_is_plain_for_old_clients_and_exact_beside_it() -> None:
    assert disposition("a.png") == 'attachment; filename="a.png"'
    assert disposition('a"\r\nb: Größe.png') == (
        "attachment; filename=\"a___b__Gr__e.png\"; filename*=UTF-8''a%22%0D%0Ab%3A%20Gr%C3%B6%C3%9Fe.png"
    )
