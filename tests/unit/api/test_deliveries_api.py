"""Several channels' files of one picture in one call: each is made once, stored, and served again byte for byte."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import numpy as np
import pytest
import skimage.data
from PIL import Image
from pydantic import SecretStr

from packshot.client import Client, DeliverIn
from packshot.contract.verdict import Verdict
from packshot.delivery.delivered_lock import with_product
from packshot.delivery.presets import presets
from packshot.delivery.provenance import read_manifest
from packshot.delivery.signing import load_signer, trust_anchors
from packshot.errors import BadInput
from packshot.imaging.codec import encode_png
from packshot.imaging.watermark import read_mark
from packshot.settings import Settings
from packshot.shots.finish import Finisher
from packshot.shots.layout import draw_layout, find_layout
from packshot.store.records import NewImage
from packshot.types import U8
from tests.api_graph import Api, code_of
from tests.specs import recipe_of
from tests.unit.delivery.authorities import Authority, ec_key, pem_of

CANVAS = {"width": 600, "height": 600}


@pytest.fixture(scope="module")
def image(api_server: Api) -> dict[str, Any]:
    """A picture on white with a contact shadow, whose product has 540 px and is not enlarged."""
    return packshot(api_server, shadow="contact")


def packshot(api: Api, background: str = "white", **fields: Any) -> dict[str, Any]:
    """Finish a shot with its real pixels, and return its picture."""
    columns = np.linspace(0, 200, 640, dtype=np.uint8)
    pixels = np.broadcast_to(columns[None, :, None], (560, 640, 3)).copy()
    photo = api.http.post("/v1/photos", files={"file": ("a.png", encode_png(pixels), "image/png")}).json()
    box = {"boxes": [[40, 40, 580, 520]], "multimask": False}
    mask = api.http.post(f"/v1/photos/{photo['id']}/masks", json=box).json()["masks"][0]
    layers = [{"mask_id": mask["id"], "scale": 0.9}]
    body = {"layers": layers, "canvas": CANVAS, "background": background, "sku": "B01-RED", **fields}
    shot_id = api.http.post("/v1/shots", json=body).json()["id"]
    claim = api.claim(shot_id)
    finished = Finisher(api.store.assets).finish_plain(find_layout(api.store, api.tenant_id, claim.spec), claim.spec)
    one = NewImage(0, 7, 600, 600, finished.png, finished.verdict, recipe_of(7, claim.spec, queue=1))
    api.store.queue.commit(claim, [one])
    made: dict[str, Any] = api.http.get(f"/v1/shots/{shot_id}").json()["images"][0]
    return made


def deliver(api: Api, image: dict[str, Any], *entries: dict[str, Any]) -> Any:
    return api.http.post(f"{image['url']}/deliveries", json={"deliver": list(entries)})


def test_several_files_of_one_picture_come_from_one_call(api: Api, image: dict[str, Any]) -> None:
    answer = deliver(
        api,
        image,
        {"preset": "amazon-main", "name": "{sku}.MAIN.{ext}", "shadow": "none"},
        {"preset": "shopify", "name": "{sku}-{n:02}.{ext}"},
        {"preset": "meta-ad-9x16", "shadow": "none"},
    )
    assert answer.status_code == 200, answer.text
    rows = answer.json()["deliveries"]
    names = ["B01-RED.MAIN.png", "B01-RED-01.jpg", f"{image['id']}-meta-ad-9x16.jpg"]
    assert [row["name"] for row in rows] == names
    for row in rows:
        file = api.http.get(row["url"])
        assert file.status_code == 200
        assert len(file.content) == row["bytes"]
        assert hashlib.sha256(file.content).hexdigest() == row["sha256"]
        assert file.headers["content-disposition"] == f'attachment; filename="{row["name"]}"'
        assert file.headers["cache-control"].endswith("immutable")
        opened = Image.open(io.BytesIO(file.content))
        assert opened.size == (row["width"], row["height"])
        assert Image.MIME[str(opened.format)] == row["media_type"]
        assert row["digital_source_type"] == "http://cv.iptc.org/newscodes/digitalsourcetype/humanEdits"
        assert row["digital_source_type"].encode() in file.content
        assert all(finding["level"] != "failed" for finding in row["findings"])
        assert row["warning"] is None
    name_finding = next(finding for finding in rows[0]["findings"] if finding["check"] == "name")
    assert "must not hold `-`" in name_finding["detail"]
    assert any("nothing was cropped" in change for change in rows[2]["changes"])


def test_a_file_is_made_once_and_served_again_byte_for_byte(api: Api) -> None:
    image = packshot(api, shadow="none", seed=3)
    before = api.graph.deliveries
    [first] = deliver(api, image, {"preset": "amazon-main"}).json()["deliveries"]
    assert api.graph.deliveries == before + 1
    [again] = deliver(api, image, {"preset": "amazon-main", "shadow": "none", "name": "a.{ext}"}).json()["deliveries"]
    by_preset = api.http.get(image["url"], params={"preset": "amazon-main"})
    assert api.graph.deliveries == before + 1
    assert (again["id"], again["sha256"], again["created_at"]) == (first["id"], first["sha256"], first["created_at"])
    assert again["url"] == f"/v1/deliveries/{first['id']}/a.png"
    assert by_preset.content == api.http.get(first["url"]).content
    [shaded] = deliver(api, image, {"preset": "ebay", "shadow": "contact"}).json()["deliveries"]
    [plain] = deliver(api, image, {"preset": "ebay"}).json()["deliveries"]
    assert shaded["id"] != plain["id"]
    assert shaded["sha256"] != plain["sha256"]


def painted(api: Api, seed: int) -> dict[str, Any]:
    """A picture of a product in a photographed scene, committed as an engine's."""
    photo = api.http.post("/v1/photos", files={"file": ("a.png", encode_png(_scene(640)[:560]), "image/png")}).json()
    box = {"boxes": [[40, 40, 580, 520]], "multimask": False}
    mask = api.http.post(f"/v1/photos/{photo['id']}/masks", json=box).json()["masks"][0]
    body = {"layers": [{"mask_id": mask["id"], "scale": 0.4}], "canvas": CANVAS, "seed": seed, "sku": "B01"}
    shot_id = api.http.post("/v1/shots", json=body).json()["id"]
    claim = api.claim(shot_id)
    layout = draw_layout(api.store.assets, find_layout(api.store, api.tenant_id, claim.spec))[0]
    picture = with_product(_scene(600), layout)
    one = NewImage(0, seed, 600, 600, encode_png(picture), Verdict(), recipe_of(seed, claim.spec))
    api.store.queue.commit(claim, [one])
    made: dict[str, Any] = api.http.get(f"/v1/shots/{shot_id}").json()["images"][0]
    return made


def _scene(side_px: int) -> U8:
    return np.asarray(Image.fromarray(skimage.data.coffee()).resize((side_px, side_px)), np.uint8)


def test_a_painted_picture_is_delivered_compared_marked_and_signed(api: Api) -> None:
    image = painted(api, seed=31)
    before = api.http.get(image["url"]).content
    [row] = deliver(api, image, {"preset": "ebay"}).json()["deliveries"]
    found = {finding["check"]: finding["level"] for finding in row["findings"]}
    assert (found["delivered_lock"], found["watermark"], found["signature"]) == ("ok", "ok", "warning")
    data = api.http.get(row["url"]).content
    record = api.store.delivered.get(api.tenant_id, row["id"])
    assert record.mark is not None
    assert read_mark(np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))) == record.mark
    assert api.store.delivered.with_mark(record.mark) == [record]
    manifest = read_manifest(data, trust_anchors(api.settings))
    assert (manifest.valid, manifest.trusted, manifest.instance_id) == (True, True, record.instance_id)
    assert manifest.source_type == row["digital_source_type"]
    assert (record.signed_by, api.graph.signing_key_id) == ("development", "development")
    for secret in (image["id"], row["id"], api.tenant_id, "B01", record.asset_key):
        assert secret.encode() not in data
    assert api.http.get(image["url"]).content == before  # the stored picture stays as it is
    assert read_mark(np.asarray(Image.open(io.BytesIO(before)))) is None
    assert not read_manifest(before).present


def test_a_file_is_made_anew_for_another_key_and_the_first_one_stays(api: Api) -> None:
    image = packshot(api, shadow="none", seed=32)
    [first] = deliver(api, image, {"preset": "shopify"}).json()["deliveries"]
    data = api.http.get(first["url"]).content
    assert read_manifest(data).source_type == first["digital_source_type"]
    record = api.store.delivered.get(api.tenant_id, first["id"])
    assert (record.mark, record.signed_by) == (None, "development")
    key = ec_key()
    authority = Authority()
    chain = authority.issue(key) + authority.pem
    rotated = Settings(home=api.settings.home, signing_certificate=chain, signing_key=SecretStr(pem_of(key)))
    finisher = api.graph.finisher
    signer = load_signer(rotated)
    api.graph.finisher, api.graph.signing_key_id = Finisher(api.store.assets, signer=signer), signer.key_id
    try:
        [second] = deliver(api, image, {"preset": "shopify"}).json()["deliveries"]
        assert read_manifest(api.http.get(second["url"]).content, chain).signer == "Brand Ltd"
        api.graph.signing_key_id = "development"  # a gateway that still has the old certificate
        etsy = [deliver(api, image, {"preset": "etsy"}).json()["deliveries"][0]["id"] for _ in range(2)]
    finally:
        api.graph.finisher, api.graph.signing_key_id = finisher, "development"
    assert second["id"] != first["id"]
    assert etsy[0] == etsy[1]  # the recipe names the key that signed
    assert api.store.delivered.get(api.tenant_id, etsy[0]).signed_by == signer.key_id
    [again] = deliver(api, image, {"preset": "shopify"}).json()["deliveries"]
    assert again["id"] == first["id"]
    assert api.http.get(again["url"]).content == data


def test_every_refused_entry_is_told_and_the_others_are_kept(api: Api) -> None:
    image = packshot(api, shadow="contact", seed=4)
    before = api.graph.deliveries
    good = {"preset": "shopify"}
    answer = deliver(api, image, {"preset": "amazon-main"}, good, {"preset": "walmart-main"})
    assert code_of(answer) == (422, "preset_unmet")
    told = {(error["loc"][0], error["loc"][1], error["loc"][3]) for error in answer.json()["errors"]}
    assert ("deliver", 0, "background") in told
    assert ("deliver", 2, "size") in told
    assert {entry for _, entry, _ in told} == {0, 2}
    assert "use background `white` and shadow `none`" in answer.json()["detail"]
    assert api.graph.deliveries == before + 3
    assert deliver(api, image, good).status_code == 200
    assert api.graph.deliveries == before + 3


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ([], "invalid_request"),
        ([{"preset": "shopify"}] * 17, "invalid_request"),
        ([{"preset": "shopify", "crop": True}], "invalid_request"),
        ([{"preset": "shopify", "shadow": "hard"}], "invalid_request"),
        ([{"preset": "nowhere"}], "unknown_preset"),
        ([{"preset": "shopify", "name": "../{sku}.{ext}"}], "template_invalid"),
        ([{"preset": "shopify", "name": "{sku}"}], "template_invalid"),
        ([{"preset": "shopify", "name": "{asin}.{ext}"}], "filename_invalid"),
        ([{"preset": "shopify", "name": "{sku}.{ext}"}, {"preset": "ebay", "name": "{sku}.{ext}"}], "filename_invalid"),
    ],
)
def test_entries_that_cannot_be_meant_are_refused(
    api: Api, image: dict[str, Any], entries: list[dict[str, Any]], code: str
) -> None:
    assert code_of(deliver(api, image, *entries)) == (422, code)


def test_a_name_takes_the_shots_own_words(api: Api) -> None:
    meta = {"asin": "B0C1234567", "gtin14": "04006381333931", "scene": "white"}
    image = packshot(api, shadow="none", seed=5, meta=meta)
    names = ["{asin}.MAIN.{ext}", "{gtin:14}.{ext}", "{scene} {seed} {width}x{height}.{ext}"]
    rows = deliver(api, image, *({"preset": "shopify", "name": name} for name in names)).json()["deliveries"]
    assert [row["name"] for row in rows] == ["B0C1234567.MAIN.jpg", "04006381333931.jpg", "white 7 1200x1200.jpg"]
    assert len({row["id"] for row in rows}) == 1
    assert rows[2]["url"].endswith("/white%207%201200x1200.jpg")
    assert api.http.get(rows[2]["url"]).headers["content-disposition"].endswith("white%207%201200x1200.jpg")


def test_a_transparent_picture_with_its_shadow_keeps_it_in_a_delivery(api: Api) -> None:
    image = packshot(api, background="transparent", shadow="contact", seed=6)
    [row] = deliver(api, image, {"preset": "google-merchant"}).json()["deliveries"]
    pixels = np.asarray(Image.open(io.BytesIO(api.http.get(row["url"]).content)))
    assert pixels.shape[2] == 4
    dark = (pixels[..., 3] > 0) & (pixels[..., 3] < 128)
    assert dark.sum() > 1000


def test_other_tenants_and_other_names_see_nothing(api: Api, image: dict[str, Any]) -> None:
    [row] = deliver(api, image, {"preset": "shopify"}).json()["deliveries"]
    assert code_of(api.stranger.get(row["url"])) == (404, "not_found")
    assert code_of(api.stranger.post(f"{image['url']}/deliveries", json={"deliver": [{"preset": "etsy"}]}))[0] == 404
    assert code_of(api.http.get("/v1/deliveries/df_none/a.jpg")) == (404, "not_found")
    assert code_of(api.http.get(f"/v1/deliveries/{row['id']}/%2e%2e.jpg")) == (422, "filename_invalid")
    assert api.anyone.get(row["url"]).status_code == 401


def test_the_client_delivers(api: Api, image: dict[str, Any]) -> None:
    with Client(api.url, api.key) as client:
        [file] = client.deliver(image["id"], [DeliverIn(preset="shopify", name="{sku}.{ext}")])
        assert hashlib.sha256(client.download(file.url)).hexdigest() == file.sha256
        with pytest.raises(BadInput, match=r"preset_unmet: .*255,255,255"):
            client.deliver(image["id"], [DeliverIn(preset="amazon-main")])
        assert {preset.name for preset in client.presets()} == {preset.name for preset in presets()}
