"""A vendor's service as an engine: what is sent, and what each kind of answer means for the shot.

The vendor is a real server on loopback that speaks the published form and misbehaves.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from packshot.batching.scene_job import Rendered
from packshot.contract.shot_spec import Canvas
from packshot.errors import BadInput, EngineFailed, PackRefused, PackshotError, Unavailable
from packshot.imaging.codec import encode_png
from packshot.meter import NoMeter
from packshot.models.engines.remote.painter import RemotePainter
from packshot.models.engines.remote.shapes import SHAPES, Edit, NoPicture
from packshot.models.footprint.pack_footprint import compute_footprint
from packshot.models.packs.endpoint import Endpoint
from packshot.models.packs.framing import MAX_STRETCH, window_steps
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings
from packshot.store.assets import Assets
from packshot.types import Brief, EdgeMap, Kept, Scene
from packshot.webhooks import Egress
from tests.receiver import receiving, wait_until
from tests.vendor import (
    KEY,
    PRICE_S,
    SIZE,
    Behaviour,
    Vendor,
    answers,
    endpoint_at,
    floods,
    hangs_up,
    parts_of,
    picture,
    pixels_of,
    remote_pack,
    says,
    stalls,
    vending,
)
from tests.waiting import WAIT_S


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    with vending() as vendor:
        yield vendor


class Painters:
    """Makes painters of one vendor that keep their pictures in one place, as replicas do."""

    def __init__(self, folder: Path, vendor: Vendor) -> None:
        self.folder, self.vendor = folder, vendor
        self.egress = Egress(allow_loopback=True)

    def one(self, **changes: Any) -> RemotePainter:
        pack = remote_pack(self.folder / "elsewhere", self.vendor, **changes)
        settings = Settings.model_validate({"remote_key": KEY, "home": self.folder / "home"})
        return RemotePainter(pack, settings, egress=self.egress, answers=Assets(settings.asset_root), meter=NoMeter())


@pytest.fixture
def painters(tmp_path: Path, vendor: Vendor) -> Painters:
    return Painters(tmp_path, vendor)


def scene(seed: int = 7, prompt: str = "on a beach", side: int = SIZE) -> Scene:
    product = np.full((side, side, 3), 127, np.uint8)
    product[20:40, 24:44] = (200, 30, 30)
    repaint = np.full((side, side), 255, np.uint8)
    repaint[20:40, 24:44] = 0
    brief = Brief(prompt, seed=seed, steps=1, guidance_scale=1.0, control_scale=0.0)
    return Scene(product, repaint, EdgeMap(np.zeros((side, side), np.uint8)), brief)


def painted(painter: RemotePainter, what: Scene | None = None) -> Rendered:
    return asyncio.run(painter.render(what or scene()))


def refusal(painter: RemotePainter, what: Scene | None = None) -> PackshotError:
    with pytest.raises(PackshotError) as raised:
        painted(painter, what)
    return raised.value


def test_a_call_sends_picture_mask_and_words_and_gives_the_scene(vendor: Vendor, painters: Painters) -> None:
    told: list[tuple[int, int]] = []
    painter = painters.one(fields={"quality": "high", "moderation": True})

    async def run() -> Rendered:
        return await painter.render(scene(), lambda index, steps, _: told.append((index, steps)))

    render, timing_ms = asyncio.run(run())
    assert render.pixels.shape == (SIZE, SIZE, 3)
    assert render.pixels[..., 2].mean() == 200
    assert [finding.check for finding in render.findings] == ["seed"]
    assert told == [(1, 1)]
    assert timing_ms["device"] == PRICE_S * 1000
    (call,) = vendor.calls
    form = parts_of(call)
    assert call.headers["authorization"] == f"Bearer {KEY}"
    assert form["prompt"] == b"Photograph: on a beach."
    assert (form["model"], form["size"], form["n"]) == (b"test-image-1", b"64x64", b"1")
    assert (form["quality"], form["moderation"]) == (b"high", b"true")
    assert np.array_equal(pixels_of(form["image"])[..., ::-1], scene().product)
    assert np.array_equal(pixels_of(form["mask"])[..., 3], 255 - scene().inpaint_mask), "transparent = paint here"


def test_a_touch_up_sends_the_finished_picture_and_its_region(vendor: Vendor, painters: Painters) -> None:
    finished = np.full((SIZE, SIZE, 3), 90, np.uint8)
    region = np.zeros((SIZE, SIZE), np.uint8)
    region[:, 32:] = 255
    painted(painters.one(), replace(scene(), kept=Kept(finished, region)))
    form = parts_of(vendor.calls[0])
    assert np.array_equal(pixels_of(form["image"]), finished)
    assert np.array_equal(pixels_of(form["mask"])[..., 3], 255 - region)


SHORT_S = 4.0
"""A limit that passes, and which a vendor reaches on a busy machine: the first call makes TLS's context, too."""
HTML = b"<!doctype html><title>Sign in</title>"
BOMB = encode_png(np.zeros((5000, 5000, 3), np.uint8))


@pytest.mark.parametrize(
    ("behaviour", "kind", "code", "words"),
    [
        (says(429, "slow down", retry_after="7"), Unavailable, "remote_unavailable", "429: slow down"),
        (says(500, "oops"), Unavailable, "remote_unavailable", "500: oops"),
        (answers(HTML, "text/html", 502), Unavailable, "remote_unavailable", "answered 502"),
        (says(401, f"bad key {KEY}"), Unavailable, "remote_unavailable", "refuses the key"),
        (answers(HTML, "text/html"), EngineFailed, "remote_answer", "must be JSON, got 37 bytes of text/html"),
        (answers(b'{"data": []}'), EngineFailed, "remote_answer", "data must be a list with an object"),
        (answers(b'{"data": [{"url": "https://x.example"}]}'), EngineFailed, "remote_answer", "in base64"),
        (answers(picture((96, 64))), EngineFailed, "remote_answer", "64x64 px, got 96x64"),
        (answers(picture(file=BOMB)), EngineFailed, "remote_answer", "its picture"),
        (answers(picture(file=b"GIF89a" + bytes(99))), EngineFailed, "remote_answer", "must be png, jpeg, webp"),
        (answers(picture(file=encode_png(scene().product)[:-40])), EngineFailed, "remote_answer", "its picture"),
        (floods, EngineFailed, "remote_answer", "an answer may have 2000000 bytes"),
        (hangs_up, EngineFailed, "remote_answer", "no answer"),
        (stalls, EngineFailed, "remote_answer", "no complete answer within 4 s"),
        (says(400, "blocked", "moderation_blocked"), BadInput, "content_refused", "change the words"),
        (says(400, "unknown field", "invalid_value"), EngineFailed, "remote_refused", "400: unknown field"),
    ],
)
def test_what_an_answer_means(
    vendor: Vendor,
    painters: Painters,
    behaviour: Behaviour,
    kind: type[PackshotError],
    code: str,
    words: str,
) -> None:
    """Outages wait; wrong answers are attempts that may succeed; what the vendor refuses ends the shot."""
    vendor.behaviours = [behaviour]
    error = refusal(painters.one(timeout_s=SHORT_S if behaviour is stalls else WAIT_S, max_answer_bytes=2_000_000))
    assert isinstance(error, kind)
    assert error.code == code
    assert words in error.detail
    assert error.retryable == (code == "remote_answer")
    assert len(vendor.calls) == 1, "nothing is tried again here"


@pytest.mark.parametrize("behaviour", [stalls, hangs_up])
def test_silence_is_an_outage_where_a_repeat_is_billed_once(
    vendor: Vendor, painters: Painters, behaviour: Behaviour
) -> None:
    """The vendor has billed the first call. The repeat has the same key, so it is not billed again."""
    vendor.idempotent, vendor.behaviours = True, [behaviour]
    painter = painters.one(idempotency_header="Idempotency-Key", timeout_s=SHORT_S if behaviour is stalls else WAIT_S)
    assert isinstance(refusal(painter), Unavailable)
    assert painted(painters.one(idempotency_header="Idempotency-Key")).render.pixels.any()
    assert len(vendor.calls) == 2
    assert len(vendor.billed) == 1
    asyncio.run(painters.one(idempotency_header="Idempotency-Key").render(scene(seed=8)))
    assert len(vendor.billed) == 2, "another seed is another picture"


def test_a_picture_that_came_is_not_bought_again(vendor: Vendor, painters: Painters) -> None:
    """A shot runs again, on another replica, because its second picture had to wait."""
    first = painted(painters.one())
    again = painted(painters.one(timeout_s=5))
    assert np.array_equal(first.render.pixels, again.render.pixels)
    assert (len(vendor.calls), len(vendor.billed)) == (1, 1)
    assert again[1]["device"] == PRICE_S * 1000, "the attempt before was not counted"
    painted(painters.one(), scene(prompt="in a forest"))
    assert len(vendor.billed) == 2


def test_a_vendor_that_asks_to_wait_gets_no_call_until_then(vendor: Vendor, painters: Painters) -> None:
    vendor.behaviours = [says(429, retry_after="3600")]
    painter = painters.one()
    assert refusal(painter).retry_after_s == 3600
    later = refusal(painter, scene(seed=8))
    assert later.code == "remote_unavailable"
    assert later.retry_after_s == pytest.approx(3600, abs=60)
    assert len(vendor.calls) == 1


@pytest.mark.parametrize(
    ("value", "wait_s"), [("999999999", 3600.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("soon", None), ("-5", None)]
)
def test_how_long_a_vendor_may_ask_to_wait(
    vendor: Vendor, painters: Painters, value: str, wait_s: float | None
) -> None:
    vendor.behaviours = [says(503, retry_after=value)]
    assert refusal(painters.one()).retry_after_s == wait_s


def test_a_redirect_to_a_private_address_is_not_followed(vendor: Vendor, painters: Painters) -> None:
    with receiving() as inside:
        vendor.behaviours = [answers(b"", status=307, location=f"http://127.0.0.1:{inside.port}/latest/meta-data")]
        error = refusal(painters.one())
        assert (error.code, error.retryable) == ("remote_answer", True)
        assert "a redirect, which is not followed" in error.detail
        assert not inside.got


def test_an_endpoint_at_a_private_address_is_not_called(vendor: Vendor, painters: Painters) -> None:
    painters.egress = Egress()
    error = refusal(painters.one())
    assert error.code == "remote_unavailable"
    assert "must be https at public addresses" in error.detail
    assert not vendor.calls


def test_nobody_listens(painters: Painters) -> None:
    with receiving() as gone:
        port = gone.port
    error = refusal(painters.one(url=f"http://127.0.0.1:{port}/"))
    assert error.code == "remote_unavailable", "the vendor got nothing, so nothing is billed"


def test_the_key_is_in_no_error_log_or_recipe(
    vendor: Vendor, painters: Painters, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    vendor.behaviours = [says(code, f"you sent {KEY}") for code in (400, 401, 500)]
    painter = painters.one()
    told = [refusal(painter, scene(seed=seed)).detail for seed in range(3)]
    painted(painter)
    assert KEY not in "".join(
        [*told, caplog.text, repr(painter.stamp), repr(Settings.model_validate({"remote_key": KEY}))]
    )


def test_the_key_comes_from_a_file_that_may_change(tmp_path: Path, vendor: Vendor) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    pack = remote_pack(tmp_path / "elsewhere", vendor)
    settings = Settings(remote_key_file=str(keys), home=tmp_path)
    egress, kept = Egress(allow_loopback=True), Assets(settings.asset_root)
    with pytest.raises(PackRefused, match="PACKSHOT_REMOTE_KEY_FILE has none") as refused:
        RemotePainter(pack, settings, egress=egress, answers=kept)
    assert refused.value.code == "pack_key"
    for seed, key in enumerate(("first", "second")):
        (keys / "elsewhere").write_text(f"{key}\n", "utf-8")
        painted(RemotePainter(pack, settings, egress=egress, answers=kept), scene(seed=seed))
        assert vendor.calls[-1].headers["authorization"] == f"Bearer {key}"


def test_cancelling_closes_the_call(vendor: Vendor, painters: Painters) -> None:
    left: list[bytes] = []

    def waits(_: Vendor, handler: Any) -> None:
        handler.connection.settimeout(WAIT_S)
        left.append(handler.connection.recv(1))

    vendor.behaviours = [waits]

    async def run() -> None:
        task = asyncio.create_task(painters.one().render(scene()))
        await asyncio.to_thread(wait_until, lambda: bool(vendor.calls))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(wait_until, lambda: bool(left))

    asyncio.run(run())
    assert left == [b""]


def test_people_go_first_and_no_more_calls_run_than_may(
    vendor: Vendor, painters: Painters, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> list[str]:
        painter, ended = painters.one(in_flight=1), list[str]()

        async def one(name: str, seed: int, interactive: bool) -> None:
            await painter.render(scene(seed=seed), interactive=interactive)
            ended.append(name)

        take, came = painter._take_place, list[bool]()

        async def noted(interactive: bool) -> None:
            came.append(interactive)
            await take(interactive)

        async def until(number: int) -> None:
            while len(came) < number:  # noqa: ASYNC110 - nothing tells when it holds
                await asyncio.sleep(0.001)

        async with asyncio.TaskGroup() as group:
            await painter._take_place(True)  # the only place is taken
            monkeypatch.setattr(painter, "_take_place", noted)
            group.create_task(one("catalogue", 1, False))
            await until(1)
            group.create_task(one("person", 2, True))
            await until(2)
            assert not vendor.calls
            await painter._give_place()
        return ended

    assert asyncio.run(run()) == ["person", "catalogue"]


def test_the_other_published_form(vendor: Vendor) -> None:
    """Vertex AI's: JSON both ways, a mask that is white where it is painted, and a filter that leaves pictures out."""
    edit = Edit(scene().product, scene().inpaint_mask, "on a beach")
    shape, endpoint = SHAPES["imagen"], remote_endpoint(vendor)
    body = json.loads(shape.call(endpoint, edit).body)
    raw, mask = body["instances"][0]["referenceImages"]
    assert np.array_equal(
        pixels_of(base64.b64decode(raw["referenceImage"]["bytesBase64Encoded"]))[..., ::-1], edit.picture
    )
    assert np.array_equal(pixels_of(base64.b64decode(mask["referenceImage"]["bytesBase64Encoded"])), edit.repaint)
    assert body["parameters"]["sampleCount"] == 1
    assert shape.picture({"predictions": [{"bytesBase64Encoded": base64.b64encode(b"file").decode()}]}) == b"file"
    for held_back in ({"predictions": [{"raiFilteredReason": "people"}]}, {}):
        with pytest.raises(NoPicture) as raised:
            shape.picture(held_back)
        assert raised.value.refused
    assert shape.refuses({"error": {"message": "The prompt violates Responsible AI practices"}})
    assert not shape.refuses({"error": {"message": "quota"}})


def test_the_shipped_pack_is_a_remote_engine_on_no_device(tmp_path: Path) -> None:
    pack = find_pack("remote", Settings(home=tmp_path))
    pack.check()
    assert not pack.missing()
    assert list(pack.hashes(pack.engine_roles)) == ["manifest"]
    assert compute_footprint(pack).stages == {}
    engine = pack.summary()
    assert engine.price_device_s > 0
    for size in ((1024, 1024), (2000, 2000), (1080, 1350), (1080, 1920), (2000, 800), (640, 480)):
        framing = pack.manifest.framing(Canvas(*size))
        assert framing.windows == 1
        assert framing.size in engine.capabilities.sizes
        assert framing.stretch(size) <= MAX_STRETCH
        assert window_steps(size, 1, engine) == 1


@pytest.mark.parametrize("changes", [{"recipe": "unet_controlnet"}, {"endpoint": None}])
def test_an_endpoint_belongs_to_a_remote_engine(tmp_path: Path, vendor: Vendor, changes: dict[str, Any]) -> None:
    pack = remote_pack(tmp_path / "elsewhere", vendor)
    manifest = yaml.safe_load((pack.folder / "manifest.yaml").read_text("utf-8")) | changes
    (pack.folder / "manifest.yaml").write_text(yaml.safe_dump(manifest), "utf-8")
    with pytest.raises(PackRefused) as refused:
        find_pack("elsewhere", Settings(pack_path=str(pack.folder)))
    assert refused.value.code == "pack_mismatch"


def remote_endpoint(vendor: Vendor) -> Any:
    return Endpoint.model_validate(endpoint_at(vendor, shape="imagen"))
