"""P7: concurrent first clicks encode a photo once, later clicks never; and how much time the cache saves a session."""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx
import skimage.data
import torch
from segment_anything import sam_model_registry

from bench.harness import Row, print_row, timed
from bench.p3_click import clicks
from bench.session import post, session
from packshot.imaging.codec import encode_png
from packshot.types import U8

RACERS, CLICKS, SESSION_REPEATS = 16, 8, 3
RACE = Row("P7-race", f"encodes of one photo while {RACERS} first clicks race", 1)
LATER = Row("P7-later", "1 + encodes in eight more clicks", 1)
SESSION = Row("P7-session", "eight clicks on eight photos ÷ eight on one, seconds, ViT-B", 7, at_least=True)


def encodes(http: httpx.Client) -> float:
    """The present value of the counter of photo encodes."""
    return float(
        next(
            line.rsplit(" ", 1)[1]
            for line in http.get("/metrics").text.splitlines()
            if line.startswith("packshot_photo_encodes_total ")
        )
    )


def settled(http: httpx.Client, at_least: float, timeout_s: float = 30.0) -> float:
    """The counter once it has reached `at_least`, after three more of Ray's report intervals, by which it lags."""
    give_up_at = time.monotonic() + timeout_s
    while (value := encodes(http)) < at_least and time.monotonic() < give_up_at:
        time.sleep(0.5)
    time.sleep(6)
    return max(value, encodes(http))


def race() -> bool:
    """Count the encodes of one photo under RACERS concurrent first clicks, and under eight later clicks."""
    with session() as served:
        before = settled(served.http, 1)
        path = uploaded(served.http, skimage.data.chelsea())
        with ThreadPoolExecutor(RACERS) as racers:
            list(racers.map(lambda x: click(served.http, path, x), range(100, 100 + RACERS)))
        encoded = settled(served.http, before + 1) - before
        for x in range(200, 208):
            click(served.http, path, x)
        later = settled(served.http, before + encoded) - before - encoded
    return print_row(RACE, [encoded], racers=RACERS) & print_row(LATER, [1 + later])


def clicks_of_a_session() -> bool:
    """Time eight clicks on one photo against one click on each of eight photos, with a ViT-B."""
    torch.manual_seed(0)
    network = sam_model_registry["vit_b"]().eval()
    ratios = []
    with tempfile.TemporaryDirectory() as folder, clicks(network, Path(folder), skimage.data.coffee()) as (http, path):
        click(http, path, 300)  # warm-up
        for repeat in range(SESSION_REPEATS):
            same = [uploaded(http, marked(9 * repeat))] * CLICKS
            fresh = [uploaded(http, marked(9 * repeat + 1 + index)) for index in range(CLICKS)]
            cached_s, uncached_s = (timed(partial(click_each, http, paths)) for paths in (same, fresh))
            ratios.append(uncached_s / cached_s)
    return print_row(SESSION, ratios, parity="the same clicks")


def uploaded(http: httpx.Client, pixels: U8) -> str:
    """Upload a photo. Returns the path of clicks on it."""
    photo = post(http, "/v1/photos", files={"file": ("photo.png", encode_png(pixels), "image/png")})
    return f"/v1/photos/{photo['id']}/masks"


def marked(number: int) -> U8:
    """The coffee photo with one changed pixel, so that no cache holds it."""
    pixels: U8 = skimage.data.coffee().copy()
    pixels[0, number] = 255 - pixels[0, number]
    return pixels


def click(http: httpx.Client, path: str, x: int) -> None:
    """Click once at column `x`."""
    post(http, path, json={"points": [{"x": x, "y": 150, "label": 1}]})


def click_each(http: httpx.Client, paths: list[str]) -> None:
    """Click once at each path."""
    for path in paths:
        click(http, path, 300)


def main() -> int:
    """Measure and report."""
    return 0 if race() & clicks_of_a_session() else 1


if __name__ == "__main__":
    raise SystemExit(main())
