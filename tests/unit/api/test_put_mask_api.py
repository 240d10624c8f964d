"""`PUT /v1/photos/{id}/masks`: a mask that a person made elsewhere."""

import io

import httpx
import numpy as np
import pytest
from PIL import Image

from packshot.imaging.codec import encode_png
from tests.api_graph import Api, code_of, jpeg
from tests.unit.api.test_photo_masks_api import COLOUR, cut_photo, masks_of, pixels_at


def soft() -> np.ndarray:
    """A mask of 120 x 90 px: a disk with a soft rim and a half-transparent stripe."""
    y, x = np.mgrid[:90, :120]
    mask = np.clip((30 - np.hypot(x - 60, y - 45)) * 40 + 127, 0, 255).astype(np.uint8)
    mask[40:44, 50:70] = 90
    return mask


def as_mode(mask: np.ndarray, mode: str) -> bytes:
    """The mask as a PNG of this mode."""
    image = Image.fromarray(mask)
    if mode == "I;16":
        image = Image.fromarray(mask.astype(np.uint16) * 257)
    elif mode in ("LA", "RGBA"):
        image = Image.new("L" if mode == "LA" else "RGB", image.size, 200 if mode == "LA" else COLOUR)
        image.putalpha(Image.fromarray(mask))
    else:
        image = image.convert(mode, dither=Image.Dither.NONE)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def put(api: Api, data: bytes, content_type: str = "image/png") -> httpx.Response:
    return api.http.put(f"{api.photo()['url']}/masks", content=data, headers={"content-type": content_type})


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "RGB", "P", "I;16"])
def test_a_sent_mask_keeps_its_soft_values(api: Api, mode: str) -> None:
    answer = put(api, as_mode(soft(), mode))
    mask = answer.json()
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == mask["url"]
    assert (mask["source"], mask.get("parent"), mask["score"]) == ("upload", None, 1.0)
    assert np.array_equal(pixels_at(api, mask["url"]), soft())
    ys, xs = np.nonzero(soft() >= 128)
    assert (mask["area"], mask["bbox"]) == (len(ys), [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])


def test_a_bilevel_mask_is_taken(api: Api) -> None:
    mask = put(api, as_mode(soft(), "1")).json()
    assert np.array_equal(pixels_at(api, mask["url"]) >= 128, soft() >= 128)


def test_a_grey_profile_does_not_change_the_values(api: Api) -> None:
    """Photoshop writes "Dot Gain 20 %" into grey files; a mask is coverage and not light."""
    out = io.BytesIO()
    Image.fromarray(soft()).save(out, "PNG", gamma=1.0, icc_profile=b"\0\0\0\x80not a profile" * 8)
    assert np.array_equal(pixels_at(api, put(api, out.getvalue()).json()["url"]), soft())


def test_the_bytes_decide_and_not_the_claim(api: Api) -> None:
    assert put(api, as_mode(soft(), "L"), "application/octet-stream").status_code == 201


def test_a_sent_mask_can_be_painted_on_and_shot(api: Api) -> None:
    mask = put(api, as_mode(soft(), "L")).json()
    erase = {"mode": "erase", "radius_px": 4, "points": [[60, 30]]}
    (painted,) = masks_of(api, api.photo(), base_mask_id=mask["id"], strokes=[erase])
    assert painted["parent"] == mask["id"]
    assert pixels_at(api, painted["url"])[42, 60] == 90
    shot = api.http.post("/v1/shots", json={"layers": [{"mask_id": painted["id"]}], "background": "white"})
    assert shot.status_code == 202
    api.http.delete(shot.json()["url"])


def test_a_mask_can_be_sent_for_an_upload_with_its_own_alpha(api: Api) -> None:
    photo, _ = cut_photo(api)
    answer = api.http.put(f"{photo['url']}/masks", content=as_mode(soft(), "L"))
    assert answer.json()["source"] == "upload"


ALL = np.full((90, 120), 255, np.uint8)


@pytest.mark.parametrize(
    ("data", "status", "code", "words"),
    [
        (as_mode(np.zeros((90, 121), np.uint8), "L"), 422, "mask_size", "120 x 90 px, got 121 x 90 px; resize"),
        (as_mode(np.zeros((3, 3), np.uint8), "L"), 422, "mask_size", "got 3 x 3 px"),
        (as_mode(np.zeros((90, 120), np.uint8), "L"), 422, "mask_empty", "paint the product white"),
        (as_mode(np.full((90, 120), 100, np.uint8), "RGBA"), 422, "mask_empty", "128 to 255"),
        (as_mode(255 - soft(), "L"), 422, "mask_inverted", "100% of the photo's outermost pixels as product; invert"),
        (as_mode(ALL, "L"), 422, "mask_inverted", "invert it"),
        (as_mode(ALL, "RGBA"), 422, "mask_inverted", "invert it"),
        (encode_png(np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)), 422, "mask_unreadable", "grey"),
        (as_mode(soft(), "L")[:300], 422, "mask_unreadable", "complete"),
        (as_mode(soft(), "L")[:33] + bytes(40), 422, "mask_unreadable", "complete"),
        (jpeg(), 415, "mask_format", "got bytes that start with ff d8 ff"),
        (b"", 415, "mask_format", "got 0 bytes"),
    ],
    ids=[
        *("wider", "tiny", "empty", "all soft", "inverted", "everything", "opaque", "colours"),
        *("truncated", "header only", "jpeg", "no bytes"),
    ],
)
def test_a_mask_that_cannot_be_meant_is_refused_with_rule_value_and_remedy(
    api: Api, data: bytes, status: int, code: str, words: str
) -> None:
    answer = put(api, data)
    assert code_of(answer) == (status, code)
    assert words in answer.json()["detail"]


def test_a_mask_of_one_pixel_is_taken_and_cannot_be_placed(api: Api) -> None:
    dot = np.zeros((90, 120), np.uint8)
    dot[45, 60] = 255
    mask = put(api, as_mode(dot, "L")).json()
    assert (mask["area"], mask["bbox"]) == (1, [60, 45, 61, 46])
    shot = api.http.post("/v1/shots", json={"layers": [{"mask_id": mask["id"]}]})
    assert code_of(shot) == (422, "mask_too_small")


def test_a_body_over_the_limit_and_foreign_photos_are_refused(api: Api) -> None:
    assert code_of(put(api, bytes(600 * 1024))) == (413, "body_too_large")
    answer = api.stranger.put(f"{api.photo()['url']}/masks", content=as_mode(soft(), "L"))
    assert code_of(answer) == (404, "not_found")
