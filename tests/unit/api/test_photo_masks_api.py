"""Masks that people bring: an upload's own alpha, brush strokes, and further clicks on an earlier mask."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from packshot.client import Client, StrokeIn
from packshot.imaging.codec import encode_png, read_png
from tests.api_graph import Api, code_of
from tests.unit.api.test_photos_api import upload

COLOUR = (60, 90, 160)


def mug(shade: int = 0) -> tuple[bytes, np.ndarray]:
    """An upload of 120 x 90 px that is already cut out: a soft body with a handle's opening, and its alpha."""
    y, x = np.mgrid[:90, :120]
    body = np.clip((30 - np.hypot(x - 60, y - 45)) * 60 + 127, 0, 255)
    opening = np.clip((10 - np.hypot(x - 72, y - 45)) * 60 + 127, 0, 255)
    alpha = np.rint(body * (1 - opening / 255)).astype(np.uint8)
    alpha[60:64, 50:60] = 100
    pixels = np.dstack([np.full((90, 120, 3), (*COLOUR[:2], COLOUR[2] + shade), np.uint8), alpha])
    return encode_png(pixels), alpha


def cut_photo(api: Api, shade: int = 0) -> tuple[dict[str, Any], np.ndarray]:
    data, alpha = mug(shade)
    return upload(api.http, data).json(), alpha


def masks_of(api: Api, photo: dict[str, Any], **body: Any) -> list[dict[str, Any]]:
    answer = api.http.post(f"{photo['url']}/masks", json=body)
    assert answer.status_code == 200, answer.text
    masks: list[dict[str, Any]] = answer.json()["masks"]
    return masks


def pixels_at(api: Api, url: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(api.http.get(url).content)))


def test_the_uploads_own_alpha_is_the_first_candidate(api: Api) -> None:
    photo, alpha = cut_photo(api)
    first, *others = masks_of(api, photo)
    assert (first["source"], first["score"], first.get("parent")) == ("alpha", 1.0, None)
    assert [mask["source"] for mask in others] == ["automatic", "automatic"]
    assert np.array_equal(pixels_at(api, first["url"]), alpha)
    ys, xs = np.nonzero(alpha >= 128)
    assert first["bbox"] == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
    assert first["area"] == len(ys)
    assert masks_of(api, photo, multimask=False) == [first]


def test_the_cutout_of_an_own_alpha_has_its_colours_and_no_white_rim(api: Api) -> None:
    photo, alpha = cut_photo(api)
    mask = masks_of(api, photo)[0]
    cutout = pixels_at(api, mask["cutout_url"])
    ys, xs = np.nonzero(alpha)
    x0, y0, x1, y1 = mask["cutout_bbox"]
    assert (x0, y0, x1, y1) == (xs.min() - 3, ys.min() - 3, xs.max() + 4, ys.max() + 4)
    assert np.array_equal(cutout[..., 3], alpha[y0:y1, x0:x1])
    assert (cutout[cutout[..., 3] > 0][:, :3] == COLOUR).all()


@pytest.mark.parametrize(
    ("prompts", "is_first"),
    [
        ({"points": [{"x": 40, "y": 45}]}, True),
        ({"points": [{"x": 40, "y": 45}, {"x": 5, "y": 5, "label": 0}]}, True),
        ({"points": [{"x": 5, "y": 5}]}, False),
        ({"points": [{"x": 72, "y": 45}]}, False),
        ({"points": [{"x": 40, "y": 45}, {"x": 60, "y": 20, "label": 0}]}, False),
        ({"boxes": [[20, 10, 100, 80]]}, True),
        ({"boxes": [[20, 10, 60, 80]]}, False),
        ({"boxes": [[20, 10, 100, 80]], "points": [{"x": 72, "y": 45, "label": 0}]}, True),
    ],
    ids=["on it", "beside it", "off it", "in the opening", "not it", "around it", "half", "around it, not the opening"],
)
def test_with_prompts_the_own_alpha_comes_first_where_it_is_meant(
    api: Api, prompts: dict[str, Any], is_first: bool
) -> None:
    photo, _ = cut_photo(api)
    sources = [mask["source"] for mask in masks_of(api, photo, **prompts)]
    assert (sources[0] == "alpha") is is_first
    assert len(sources) == 3
    assert sources[1] == ("box" if "boxes" in prompts else "points")


def test_an_opaque_photo_has_no_alpha_candidate(api: Api) -> None:
    assert [mask["source"] for mask in masks_of(api, api.photo())] == ["automatic"] * 3


DAB = {"mode": "add", "radius_px": 6, "points": [[20, 30], [40, 30]]}


def test_strokes_make_a_new_mask_of_their_base(api: Api) -> None:
    base = api.mask()
    erase = {"mode": "erase", "radius_px": 5, "points": [[50, 40]]}
    (mask,) = masks_of(api, api.photo(), base_mask_id=base["id"], strokes=[{**DAB, "points": [[5, 5]]}, erase])
    assert (mask["source"], mask.get("parent"), mask["score"]) == ("strokes", base["id"], 1.0)
    before, after = pixels_at(api, base["url"]), pixels_at(api, mask["url"])
    assert (before[40, 50], after[40, 50]) == (255, 0)
    assert (before[5, 5], after[5, 5]) == (0, 255)
    changed = np.argwhere(before != after)
    near = np.minimum(np.hypot(*(changed - (40, 50)).T), np.hypot(*(changed - (5, 5)).T))
    assert near.max() <= 7
    assert mask["area"] == np.count_nonzero(after)
    assert np.array_equal(pixels_at(api, base["url"]), before)


def test_strokes_without_a_base_paint_on_an_empty_mask(api: Api) -> None:
    (mask,) = masks_of(api, api.photo(), strokes=[DAB])
    assert (mask["source"], mask.get("parent")) == ("strokes", None)
    assert mask["bbox"] == [14, 24, 47, 37]


def test_strokes_on_an_own_alpha_keep_its_soft_values_and_colours(api: Api) -> None:
    photo, alpha = cut_photo(api)
    own = masks_of(api, photo)[0]
    erase = {"mode": "erase", "radius_px": 4, "points": [[60, 20]]}
    (mask,) = masks_of(api, photo, base_mask_id=own["id"], strokes=[erase])
    painted = pixels_at(api, mask["url"])
    y, x = np.mgrid[:90, :120]
    untouched = np.hypot(x - 60, y - 20) > 6
    assert np.array_equal(painted[untouched], alpha[untouched])
    assert painted[20, 60] == 0
    cutout = pixels_at(api, mask["cutout_url"])
    assert (cutout[cutout[..., 3] > 0][:, :3] == COLOUR).all()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"strokes": [{**DAB, "points": [[500, 500]]}]}, "stroke_outside"),
        ({"strokes": [{**DAB, "points": []}]}, "invalid_request"),
        ({"strokes": [{**DAB, "radius_px": 0}]}, "invalid_request"),
        ({"strokes": [{**DAB, "radius_px": 2001}]}, "invalid_request"),
        ({"strokes": [{**DAB, "mode": "smear"}]}, "invalid_request"),
        ({"strokes": [{**DAB, "points": [[1]]}]}, "invalid_request"),
        ({"strokes": [{**DAB, "points": [[1, 1]] * 2_001}]}, "invalid_request"),
        (
            {"strokes": [{"mode": "add", "radius_px": 2000, "points": [[0, 0], [9, 9], [9, 0]] * 100}]},
            "strokes_too_large",
        ),
        ({"strokes": [DAB], "points": [{"x": 1, "y": 1}]}, "invalid_request"),
        ({"strokes": [{**DAB, "mode": "erase"}]}, "mask_empty"),
    ],
)
def test_strokes_that_cannot_be_meant_are_refused(api: Api, body: Any, code: str) -> None:
    assert code_of(api.http.post(f"{api.photo()['url']}/masks", json=body)) == (422, code)


def test_ten_thousand_strokes_are_refused_with_the_limit(api: Api) -> None:
    answer = api.http.post(f"{api.photo()['url']}/masks", json={"strokes": [{**DAB, "points": [[9, 9]]}] * 10_000})
    assert code_of(answer) == (422, "invalid_request")
    assert "at most 1000 items" in answer.json()["detail"]


def test_a_base_must_be_a_mask_of_the_photo_and_have_something_to_do(api: Api) -> None:
    base, other = api.mask(), api.photo(shade=200)
    body = {"base_mask_id": base["id"], "strokes": [DAB]}
    assert code_of(api.http.post(f"{other['url']}/masks", json=body)) == (422, "mask_of_other_photo")
    assert code_of(api.http.post(f"{api.photo()['url']}/masks", json={"base_mask_id": base["id"]})) == (
        422,
        "invalid_request",
    )
    foreign = api.stranger.post("/v1/photos", files={"file": ("a.png", mug()[0], "image/png")}).json()
    assert code_of(api.stranger.post(f"{foreign['url']}/masks", json=body)) == (404, "not_found")
    unknown = {**body, "base_mask_id": "mk_unknown"}
    assert code_of(api.http.post(f"{api.photo()['url']}/masks", json=unknown)) == (404, "not_found")


def test_further_clicks_go_to_the_segmenter_with_the_earlier_mask(api: Api) -> None:
    base = api.mask()
    masks = masks_of(api, api.photo(), base_mask_id=base["id"], points=[{"x": 50, "y": 40}])
    assert {(mask["source"], mask.get("parent")) for mask in masks} == {("points", base["id"])}
    key = api.graph.base_keys[-1]
    assert key is not None
    assert np.array_equal(read_png(api.store.assets.get(key)), pixels_at(api, base["url"]))
    photo, _ = cut_photo(api)
    own = masks_of(api, photo)[0]
    again = masks_of(api, photo, base_mask_id=own["id"], points=[{"x": 40, "y": 45}])
    assert {mask["source"] for mask in again} == {"points"}  # a further click asks for something else


def test_a_deleted_own_alpha_is_offered_again_after_another_upload(api: Api) -> None:
    photo, _ = cut_photo(api, shade=3)
    own = masks_of(api, photo)[0]
    assert api.http.delete(own["url"]).status_code == 204
    assert masks_of(api, photo)[0]["source"] == "automatic"
    cut_photo(api, shade=3)
    assert masks_of(api, photo)[0]["source"] == "alpha"


def test_the_client_paints_sends_and_refines_masks(api: Api) -> None:
    with Client(api.url, api.key) as client:
        photo_id = api.photo()["id"]
        sent = client.put_mask(photo_id, encode_png(np.pad(np.full((40, 60), 255, np.uint8), ((25, 25), (30, 30)))))
        erase = StrokeIn(mode="erase", radius_px=5, points=[(60, 45)])
        painted = client.paint_strokes(photo_id, [erase], base_mask_id=sent.id)
        fresh = client.paint_strokes(photo_id, [StrokeIn(mode="add", radius_px=5, points=[(60, 45)])])
        better = client.masks(photo_id, points=[(60, 45, 1)], base_mask_id=painted.id)
    assert (sent.source, sent.bbox, sent.parent) == ("upload", (30, 25, 90, 65), None)
    assert (painted.source, painted.parent, fresh.parent) == ("strokes", sent.id, None)
    assert {(mask.source, mask.parent) for mask in better} == {("points", painted.id)}
