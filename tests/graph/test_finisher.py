"""The finisher dies while it works: every picture and cutout is still made, and no shot needs another attempt."""

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from packshot.settings import Settings
from packshot.store.store import Store

SHOTS = 8
LIMIT_S = 240.0
"""Serve replaces a dead replica in a few seconds on an idle machine."""


@pytest.mark.timeout(LIMIT_S + 60)
def test_the_finishers_death_loses_nothing(
    http: httpx.Client,
    home: Path,
    cup: dict[str, Any],
    shot_of: Callable[..., dict[str, Any]],
    finished: Callable[..., list[dict[str, Any]]],
    replica_pids: Callable[[], dict[str, list[int]]],
) -> None:
    large = {"width": 1024, "height": 1024}
    bodies = [shot_of(background="white", canvas=large, seed=seed) for seed in range(SHOTS - 1)] + [shot_of(seed=99)]
    with ThreadPoolExecutor(2) as pool:
        accepted = [http.post("/v1/shots", json=body).json()["id"] for body in bodies]
        cutouts = [pool.submit(http.get, f"/v1/masks/{cup['id']}/cutout", timeout=LIMIT_S) for _ in range(2)]
        (victim,) = replica_pids()["finisher"]
        os.kill(victim, signal.SIGKILL)
        ended = finished(accepted, timeout_s=LIMIT_S)
        assert [one.result().status_code for one in cutouts] == [200, 200]
    assert [(shot["status"], shot.get("error"), len(shot["images"])) for shot in ended] == [("done", None, 1)] * SHOTS
    assert victim not in replica_pids()["finisher"]
    store = Store.from_settings(Settings(home=home))
    try:
        assert {store.shots.get(store.tenants.local().id, shot).attempt for shot in accepted} == {1}
    finally:
        store.close()


def test_a_cutout_mask_and_delivery_come_from_the_finisher(
    http: httpx.Client,
    cup: dict[str, Any],
    shot_of: Callable[..., dict[str, Any]],
    finished: Callable[..., list[dict[str, Any]]],
) -> None:
    assert http.get(f"/v1/masks/{cup['id']}").headers["content-type"] == "image/png"
    assert http.get(f"/v1/masks/{cup['id']}/cutout").content.startswith(b"\x89PNG")
    white = {"background": "white", "shadow": "none", "canvas": {"width": 1200, "height": 1200}}
    layers = [{"mask_id": cup["id"], "scale": 0.9}]
    (shot,) = finished([http.post("/v1/shots", json=shot_of(**white, layers=layers)).json()["id"]])
    image = shot["images"][0]["url"]
    delivered = http.get(image, params={"preset": "amazon-main"})
    assert delivered.status_code in (200, 422), delivered.text
    assert http.get(image, params={"preset": "nowhere"}).json()["code"] == "unknown_preset"
