"""A vendor's engine in a real Serve: the generator's replica calls it, waits when told to, and pays for each picture
once (make soak: a cluster)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data

from bench.demo import CUP_AND_SAUCER_BOX_XYXY
from packshot.imaging.codec import encode_png, read_png
from packshot.settings import Settings
from packshot.store.store import Store
from tests.graph.test_restart import served
from tests.tiny_pack import build_tiny_pack
from tests.vendor import KEY, PRICE_S, answers, endpoint_at, says, vending

REMOTE: dict[str, Any] = {
    "recipe": "remote",
    "family": "remote",
    "defaults": {"steps": 1, "guidance_scale": 1.0, "control_scale": 0.0},
    "limits": {"max_steps": 1, "max_guidance_scale": 1.0, "max_control_scale": 0.0},
}
LIMIT_S = 200.0


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_vendor_paints_through_the_whole_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Busy once and wrong once: both shots are done, every picture that came is billed and counted once."""
    home = tmp_path / "home"
    store = Store.from_settings(Settings(home=home, open_access=True))
    tenant = store.tenants.local()
    store.budgets.set(tenant.id, {"images_per_day": 100})
    with vending() as vendor:
        folder = build_tiny_pack(tmp_path / "elsewhere", edit={**REMOTE, "endpoint": endpoint_at(vendor)})
        for name, value in (("PACK", "elsewhere"), ("PACK_PATH", str(folder)), ("REMOTE_KEY", KEY)):
            monkeypatch.setenv(f"PACKSHOT_{name}", value)
        with served(home, limit_s=800) as http:
            (engine,) = http.get("/v1/engines").json()["engines"]
            assert (engine["recipe"], engine["price_device_s"]) == ("remote", PRICE_S)
            file = ("c.png", encode_png(skimage.data.coffee()), "image/png")
            photo = http.post("/v1/photos", files={"file": file}).json()
            click = http.post(f"/v1/photos/{photo['id']}/masks", json={"boxes": [CUP_AND_SAUCER_BOX_XYXY]}).json()
            body = {"layers": [{"mask_id": click["masks"][0]["id"]}], "canvas": {"width": 96, "height": 96}}
            vendor.behaviours = [says(429, retry_after="1"), answers(b"<html>busy</html>", "text/html")]
            asked = [{**body, "prompt": "a beach", "images": 2, "seed": seed} for seed in (10, 20)]
            shots = [http.post("/v1/shots", json=one).json() for one in asked]
            give_up_at = time.monotonic() + LIMIT_S
            while any(shot["status"] not in ("done", "failed") for shot in shots):
                assert time.monotonic() < give_up_at, shots
                time.sleep(0.5)
                shots = [http.get(f"/v1/shots/{shot['id']}").json() for shot in shots]
            assert [shot["status"] for shot in shots] == ["done", "done"]
            pictures = [read_png(http.get(image["url"]).content) for shot in shots for image in shot["images"]]
        assert {picture.shape for picture in pictures} == {(96, 96, 3)}
        assert all(np.asarray(picture).std() > 1 for picture in pictures)
        assert not vendor.behaviours
        assert len(vendor.billed) == 5, "four pictures, and the page that the vendor billed as one"
        assert all(call.headers["authorization"] == f"Bearer {KEY}" for call in vendor.calls)
    assert store.usage.page(tenant.id, "day").total.device_s == 4 * PRICE_S
    store.close()
