"""`/v1/masks`: the files behind a candidate."""

import io

import numpy as np
from PIL import Image

from tests.api_graph import Api, code_of


def test_a_mask_is_an_8_bit_grey_png_of_the_photos_size(api: Api) -> None:
    answer = api.http.get(api.mask()["url"])
    image = Image.open(io.BytesIO(answer.content))
    pixels = np.asarray(image)
    assert (answer.headers["content-type"], image.mode, image.size) == ("image/png", "L", (120, 90))
    assert set(np.unique(pixels)) == {0, 255}
    assert pixels[20:60, 20:80].all()
    assert np.count_nonzero(pixels) == 60 * 40


def test_a_cutout_is_an_rgba_png_around_the_product(api: Api) -> None:
    answer = api.http.get(api.mask()["cutout_url"])
    image = Image.open(io.BytesIO(answer.content))
    assert image.mode == "RGBA"
    assert 60 <= image.width <= 68
    assert 40 <= image.height <= 48
    assert np.asarray(image)[image.height // 2, image.width // 2, 3] == 255


def test_what_is_known_about_a_mask_is_what_the_click_answered(api: Api) -> None:
    mask = api.mask()
    assert mask["photo_id"] == api.photo()["id"]
    assert api.http.get(f"{mask['url']}.json").json() == mask
    assert code_of(api.stranger.get(f"{mask['url']}.json")) == (404, "not_found")


def test_a_deleted_mask_is_gone(api: Api) -> None:
    mask = api.mask()
    assert api.http.delete(mask["url"]).status_code == 204
    assert code_of(api.http.get(mask["url"])) == (404, "not_found")
    assert code_of(api.http.get(mask["cutout_url"])) == (404, "not_found")


def test_a_mask_that_a_live_shot_needs_is_not_deleted(api: Api) -> None:
    mask = api.mask()
    shot_id = api.http.post("/v1/shots", json={"layers": [{"mask_id": mask["id"]}]}).json()["id"]
    assert code_of(api.http.delete(mask["url"])) == (409, "in_use")
    api.http.delete(f"/v1/shots/{shot_id}")
    assert api.http.delete(mask["url"]).status_code == 204


def test_foreign_masks_do_not_exist(api: Api) -> None:
    mask = api.mask()
    for call in (api.stranger.get, api.stranger.delete):
        assert code_of(call(mask["url"])) == (404, "not_found")
    assert code_of(api.stranger.get(mask["cutout_url"])) == (404, "not_found")
