"""The deployment `detector` sleeps until words come, and answers with the boxes and masks of what they name."""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest

from packshot.imaging.codec import encode_png

LIMIT_S = 180.0
"""A replica starts in a few seconds on an idle machine."""


@pytest.mark.timeout(2 * LIMIT_S)
def test_words_wake_the_detector_and_find_the_cup(
    http: httpx.Client, coffee: dict[str, Any], replica_pids: Callable[[], dict[str, list[int]]]
) -> None:
    awake = replica_pids().get("detector", [])  # another test may have woken it
    click = http.post(f"/v1/photos/{coffee['id']}/masks", json={"boxes": [[90, 60, 480, 380]]})
    assert click.json()["masks"][0]["source"] == "box"
    assert set(replica_pids().get("detector", [])) <= set(awake), "a click wakes nobody"

    def find(**body: str) -> dict[str, Any]:
        answer = http.post(f"/v1/photos/{coffee['id']}/masks", json=body, timeout=LIMIT_S)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    first = find(text="white coffee cup")
    assert first["found"]["words"] == {"known": ["coffee", "cup"], "unknown": ["white"]}
    assert first["masks"][0]["source"] == "text"
    x0, y0, x1, y1 = first["masks"][0]["bbox"]
    assert x0 < 320 < x1, "the cup stands in the middle"
    assert y0 < 200 < y1
    (pid,) = replica_pids()["detector"]
    os.kill(pid, signal.SIGKILL)
    again = find(text="white coffee cup")
    assert again["found"]["boxes"][0]["box"] == first["found"]["boxes"][0]["box"]
    unknown = find(text="杯子")
    assert (unknown["masks"], unknown["found"]["notes"][0]["code"]) == ([], "no_known_word")


def test_a_row_without_the_named_product_is_skipped(http: httpx.Client) -> None:
    """The real detector finds nothing on an empty backdrop."""
    empty = encode_png(np.full((256, 256, 3), 230, np.uint8))
    photo = http.post("/v1/photos", files={"file": ("empty.png", empty, "image/png")}).json()["id"]
    look = {"canvas": [256, 256], "find": "mug"}
    deliver = [{"preset": "ebay", "scene": "white", "name": "{sku}-{n:02}.{ext}"}]
    body = {"name": "x", "defaults": look, "deliver": deliver, "items": [{"sku": "A", "photo": photo}]}
    catalogue = http.post("/v1/catalogues", json=body).json()["id"]
    assert http.post(f"/v1/catalogues/{catalogue}/start").status_code == 202
    give_up_at = time.monotonic() + LIMIT_S
    while (seen := http.get(f"/v1/catalogues/{catalogue}").json())["state"] != "done":
        assert time.monotonic() < give_up_at, seen
        time.sleep(0.2)
    (row,) = http.get(f"/v1/catalogues/{catalogue}/rows").json()["rows"]
    assert (row["state"], row["code"]) == ("skipped", "no_product")
    assert "no_product" in http.get(f"/v1/catalogues/{catalogue}/manifest.csv").text
