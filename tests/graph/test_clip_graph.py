"""Clips through the real graph: a finisher films, pictures pass, and a cancel stops it."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.receiver import wait_until

LONG = {"move": "pan", "seconds": 8.0, "size": 640}
"""A clip that takes several seconds of a core."""


@pytest.fixture
def image(http: httpx.Client, shot_of: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    request = shot_of(background="#d8d2c8", shadow="contact", canvas={"width": 640, "height": 640})
    shot = http.post("/v1/shots", json=request, headers={"Prefer": "wait=120"}).json()
    return shot["images"][0]


def test_a_finisher_films_a_picture(http: httpx.Client, image: dict[str, Any]) -> None:
    body = {"move": "orbit", "seconds": 1.0, "size": 256}
    answer = http.post(f"{image['url']}/clips", json=body, headers={"Prefer": "wait=120"})
    assert answer.status_code == 200, answer.text
    clip = answer.json()["clip"]
    opened = Image.open(io.BytesIO(http.get(clip["url"]).content))
    assert (opened.size, getattr(opened, "n_frames", 1)) == ((256, 256), 24)


def test_a_picture_passes_a_clip_and_a_cancel_stops_it(
    http: httpx.Client, image: dict[str, Any], shot_of: Callable[..., dict[str, Any]]
) -> None:
    clip = http.post(f"{image['url']}/clips", json=LONG).json()
    wait_until(lambda: http.get(clip["url"]).json()["step"] > 2, 180)
    begun_at = time.monotonic()
    shot = http.post(
        "/v1/shots", json=shot_of(background="white", shadow="none"), headers={"Prefer": "wait=120"}
    ).json()
    passed_s = time.monotonic() - begun_at
    now = http.get(clip["url"]).json()
    assert (shot["status"], now["status"]) == ("done", "running"), (passed_s, now)
    assert http.delete(clip["url"]).status_code == 202
    wait_until(lambda: http.get(clip["url"]).json()["status"] == "cancelled", 120)
