"""POST /v1/verify: whose a file is, by its bytes, signature, watermark or pixels, and what was done to it."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from PIL import Image
from sqlalchemy import update

from packshot.contract.verdict import Verdict
from packshot.delivery.metadata import Origin
from packshot.delivery.signing import load_signer
from packshot.imaging.codec import encode_png
from packshot.imaging.fingerprint import fingerprint_of
from packshot.imaging.watermark import embed
from packshot.settings import Settings
from packshot.store.delivered_records import NewDelivered
from packshot.store.records import NewImage
from packshot.store.schema_files import delivered_file
from packshot.types import U8
from tests.api_graph import Api, code_of, running
from tests.specs import recipe_of
from tests.unit.imaging.test_product_print import packshot

SIDE = 256


def picture(seed: int, side: int = SIDE) -> U8:
    """A picture that looks like no other one."""
    rng = np.random.default_rng(seed)
    layers = [rng.integers(0, 256, (parts, parts, 3)).astype(np.uint8) for parts in (5, 20)]
    large = [cv2.resize(layer, (side, side), interpolation=cv2.INTER_CUBIC) for layer in layers]
    return np.asarray(cv2.addWeighted(large[0], 0.7, large[1], 0.3, 0), np.uint8)


def saved(pixels: U8, kind: str = "JPEG", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def made(api: Api, pixels: U8) -> dict[str, Any]:
    """A finished picture of the tenant, as clients see it."""
    shot_id = api.shot(background="white")
    claim = api.claim(shot_id)
    height, width = pixels.shape[:2]
    recipe = recipe_of(claim.spec.seeds[0], claim.spec)
    png, found = encode_png(pixels), fingerprint_of(pixels)
    api.store.queue.commit(claim, [NewImage(0, recipe.seed, width, height, png, Verdict(), recipe, None, found)])
    shown: dict[str, Any] = api.http.get(f"/v1/shots/{shot_id}").json()["images"][0]
    return shown | {"shot_id": shot_id}


def ask(client: httpx.Client, data: bytes) -> httpx.Response:
    return client.post("/v1/verify", files={"file": ("unknown.bin", data)})


def answer(client: httpx.Client, data: bytes) -> dict[str, Any]:
    response = ask(client, data)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def codes(found: dict[str, Any]) -> list[str]:
    return [change["code"] for change in found["changed_since"]]


@pytest.fixture(scope="module")
def signed(api_server: Api) -> tuple[dict[str, Any], bytes]:
    """A picture, and the signed JPEG that a channel got of it."""
    image = made(api_server, picture(1, 320))
    sent = api_server.http.get(f"/v1/images/{image['id']}", params={"preset": "meta-ad-1x1"})
    assert sent.headers.get("content-type") == "image/jpeg", sent.text
    return image, sent.content


def test_a_stored_picture_and_a_delivered_file_are_known_by_their_bytes(
    api: Api, signed: tuple[dict[str, Any], bytes]
) -> None:
    image, file = signed
    stored = api.http.get(f"/v1/images/{image['id']}").content
    for data, has_manifest in ((stored, False), (file, True)):
        found = answer(api.http, data)
        assert (found["ours"], found["match"], found["changed_since"]) == (True, "exact", [])
        assert (found["image_id"], found["shot_id"]) == (image["id"], image["shot_id"])
        assert found["recipe"]["request"]["background"] == "white"
        assert found["c2pa"]["present"] is has_manifest
    assert found["c2pa"] == {"present": True, "valid": True, "signer": found["c2pa"]["signer"], "trusted": True}
    assert found["c2pa"]["signer"]


def test_another_tenant_learns_that_it_is_ours_and_no_ids(api: Api, signed: tuple[dict[str, Any], bytes]) -> None:
    stranger = answer(api.stranger, signed[1])
    assert set(stranger) == {"ours", "match", "changed_since", "c2pa"}
    assert (stranger["ours"], stranger["match"]) == (True, "exact")
    assert signed[0]["id"] not in str(stranger)


def test_a_file_whose_bytes_were_lost_is_known_by_its_signature(api: Api, signed: tuple[dict[str, Any], bytes]) -> None:
    columns = delivered_file.c
    with api.store.database.write() as connection:
        mine = columns.image_id == signed[0]["id"]
        was = connection.execute(update(delivered_file).where(mine).values(sha256="0" * 64).returning(columns.id)).one()
    try:
        found = answer(api.http, signed[1])
    finally:
        with api.store.database.write() as connection:
            digest = hashlib.sha256(signed[1]).hexdigest()
            connection.execute(update(delivered_file).where(columns.id == was.id).values(sha256=digest))
    assert (found["match"], found["image_id"], found["changed_since"]) == ("c2pa", signed[0]["id"], [])


def test_a_file_that_was_changed_after_signing_says_so(api: Api, signed: tuple[dict[str, Any], bytes]) -> None:
    data = signed[1]
    commented = data[:2] + b"\xff\xfe\x00\x06note" + data[2:]  # a comment at the start of the JPEG
    found = answer(api.http, commented)
    assert (found["match"], found["image_id"]) == ("fingerprint", signed[0]["id"])
    assert codes(found) == ["encoded", "signature_broken"]
    assert found["c2pa"]["present"]
    assert not found["c2pa"]["valid"]


def test_a_stripped_file_is_known_by_its_pixels(api: Api, signed: tuple[dict[str, Any], bytes]) -> None:
    pixels = np.asarray(Image.open(io.BytesIO(signed[1])).convert("RGB"))
    found = answer(api.http, saved(pixels, quality=70))
    assert (found["match"], found["image_id"]) == ("fingerprint", signed[0]["id"])
    assert found["c2pa"] == {"present": False, "valid": False, "signer": None, "trusted": False}
    assert "resized" not in codes(found)


def resized(pixels: U8, by: float) -> U8:
    return np.asarray(cv2.resize(pixels, None, fx=by, fy=by, interpolation=cv2.INTER_AREA), np.uint8)


def edited(pixels: U8) -> U8:
    changed = pixels.copy()
    changed[180:230, 30:80] = 255 - changed[180:230, 30:80]
    return changed


def framed(pixels: U8) -> U8:
    return np.asarray(cv2.copyMakeBorder(pixels, 14, 14, 14, 14, cv2.BORDER_CONSTANT, value=(30, 90, 40)), np.uint8)


def on_screen(pixels: U8) -> U8:
    """Seen at 83 % on a screen that is a little brighter, and cut out by hand."""
    shown = 255 * (resized(pixels, 0.83)[1:-2, 2:-1] / 255.0) ** 0.95
    return np.rint(shown).astype(np.uint8)


CHANGES: dict[str, tuple[Callable[[U8], bytes], list[str]]] = {
    "encoded": (lambda pixels: saved(pixels, "WEBP", quality=80), ["encoded"]),
    "resized": (lambda pixels: saved(resized(pixels, 0.6), "PNG"), ["encoded", "resized"]),
    "cropped": (lambda pixels: saved(pixels[20:240, 16:236], quality=85), ["encoded", "cropped"]),
    "mirrored": (lambda pixels: saved(pixels[:, ::-1], quality=85), ["encoded", "mirrored"]),
    "edited": (lambda pixels: saved(edited(pixels), quality=85), ["encoded", "edited"]),
    "screenshot": (lambda pixels: saved(on_screen(pixels), "PNG"), ["encoded", "resized"]),
    "framed": (lambda pixels: saved(framed(pixels), quality=85), ["encoded", "framed"]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_answer_says_what_was_done(api: Api, change: str) -> None:
    image = made(api, picture(10 + list(CHANGES).index(change)))
    change_file, expected = CHANGES[change]
    found = answer(api.http, change_file(picture(10 + list(CHANGES).index(change))))
    assert (found["match"], found["image_id"], codes(found)) == ("fingerprint", image["id"], expected)
    if change == "edited":
        assert "at the bottom left" in found["changed_since"][-1]["detail"]


def test_a_stripped_product_on_white_is_known_and_another_of_its_shape_is_not(api: Api) -> None:
    image = made(api, packshot(21))
    found = answer(api.http, saved(packshot(21), quality=70))
    assert (found["match"], found["image_id"], codes(found)) == ("fingerprint", image["id"], ["encoded"])
    cropped = answer(api.http, saved(packshot(21)[30:290, 60:300], quality=85))
    assert (cropped["image_id"], codes(cropped)) == (image["id"], ["encoded", "cropped"])
    assert codes(answer(api.http, saved(packshot(21)[:, ::-1], quality=85))) == ["encoded", "mirrored"]
    assert answer(api.http, saved(packshot(22), quality=90))["match"] == "none"


def test_a_watermark_is_known_where_the_pixels_are_not(api: Api) -> None:
    image = made(api, picture(30))
    other = embed(picture(31, 768), 0x12_3456_789A, None)
    file = NewDelivered("web", "v1 web", b"marked", "jpg", "image/jpeg", 768, 768, None, (), (), mark=0x12_3456_789A)
    api.store.delivered.add(api.tenant_id, image["id"], file)
    found = answer(api.http, saved(other, quality=85))
    assert (found["match"], found["image_id"], codes(found)) == ("watermark", image["id"], ["encoded", "edited"])


def test_foreign_pictures_are_not_ours(api: Api, tmp_path: Path, signed: tuple[dict[str, Any], bytes]) -> None:
    plain = saved(np.full((64, 64, 3), 255, np.uint8), "PNG")
    for data in (saved(picture(40)), saved(picture(41)[:, :100], "PNG"), plain):
        found = answer(api.http, data)
        assert found == {"ours": False, "match": "none", "c2pa": found["c2pa"]}
    vendor = load_signer(Settings(home=tmp_path))
    origin = Origin(version="1", instance_id="xmp:iid:00000000-0000-0000-0000-000000000001")
    theirs = vendor.sign(saved(picture(42)), "image/jpeg", origin, generated=True, source_type=None)
    found = answer(api.http, theirs)
    assert (found["ours"], found["c2pa"]["valid"], found["c2pa"]["trusted"]) == (False, True, False)


def test_a_strangers_signature_with_our_id_proves_nothing(
    api: Api, tmp_path: Path, signed: tuple[dict[str, Any], bytes]
) -> None:
    [ours] = api.store.fingerprints.exact(hashlib.sha256(signed[1]).hexdigest())
    [record] = api.store.delivered.records(ours.tenant, [ours.file_id]).values()
    assert record.instance_id is not None
    forger = load_signer(Settings(home=tmp_path))
    origin = Origin(version="1", instance_id=record.instance_id)
    forged = forger.sign(saved(picture(43)), "image/jpeg", origin, generated=True, source_type=None)
    assert answer(api.http, forged)["match"] == "none"


def _zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.png", encode_png(picture(50, 64)))
    return out.getvalue()


def _animated() -> bytes:
    frames = [Image.fromarray(picture(seed, 64)) for seed in (51, 52)]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    return out.getvalue()


def test_what_is_no_picture_is_told_for_what_it_is(api: Api) -> None:
    assert code_of(ask(api.http, b"")) == (422, "photo_empty")
    assert code_of(ask(api.http, _zip())) == (415, "photo_format")
    assert "ZIP" in ask(api.http, _zip()).json()["detail"]
    assert code_of(ask(api.http, _animated())) == (422, "photo_animated")
    assert code_of(ask(api.http, saved(picture(53))[:-2000])) == (422, "photo_unreadable")
    assert code_of(ask(api.http, bytes(api.settings.max_body_bytes))) == (413, "body_too_large")
    assert code_of(api.http.post("/v1/verify", json={})) == (422, "invalid_request")
    assert code_of(api.http.post("/v1/verify", data={"file": "text"})) == (422, "invalid_request")
    both = api.http.post("/v1/verify", files={"file": b"x"}, data={"tenant": "other"})
    assert code_of(both) == (422, "invalid_request")


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running(tmp_path_factory.mktemp("public"), public_verify=2) as api:
        yield api


def test_anyone_may_ask_where_the_operator_lets_them_and_only_so_often(api: Api, public: Api) -> None:
    assert code_of(ask(api.anyone, saved(picture(60, 64)))) == (401, "unauthorized")
    image = made(public, picture(60))
    assert answer(public.anyone, public.http.get(f"/v1/images/{image['id']}").content) == {
        "ours": True,
        "match": "exact",
        "changed_since": [],
        "c2pa": {"present": False, "valid": False, "signer": None, "trusted": False},
    }
    wrong = public.anyone.post("/v1/verify", files={"file": b"x"}, headers={"authorization": "Bearer pk_wrong"})
    assert code_of(wrong) == (401, "unauthorized")
    assert answer(public.anyone, saved(picture(61)))["ours"] is False
    late = ask(public.anyone, saved(picture(61)))
    assert code_of(late) == (429, "busy")
    assert 0 < int(late.headers["retry-after"]) <= 60
    assert answer(public.http, saved(picture(61)))["ours"] is False
