"""P7: first clicks that race for one photo encode it once, later clicks never; and what that saves a session."""

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

from bench.harness import Row, tell, timed
from bench.p3_click import clicks
from bench.session import post, session
from packshot.imaging.codec import encode_png
from packshot.types import U8

RACERS, CLICKS, SESSION_REPEATS = 16, 8, 3
RACE = Row("P7-race", f"encodes of one photo while {RACERS} first clicks race", 1)
LATER = Row("P7-later", "1 + encodes in eight more clicks", 1)
SESSION = Row("P7-session", "eight clicks on eight photos ÷ eight on one, seconds, ViT-B", 7, at_least=True)


def encodes(http: httpx.Client) -> float:
    """The counter, once it stands still: it lags by Ray's report interval."""
    return float(
        next(
            line.rsplit(" ", 1)[1]
            for line in http.get("/metrics").text.splitlines()
            if line.startswith("packshot_photo_encodes_total ")
        )
    )


def settled(http: httpx.Client, at_least: float, timeout_s: float = 30.0) -> float:
    """The counter after it reached `at_least` and then kept still over three report intervals."""
    give_up_at = time.monotonic() + timeout_s
    while (value := encodes(http)) < at_least and time.monotonic() < give_up_at:
        time.sleep(0.5)
    time.sleep(6)
    return max(value, encodes(http))


def race() -> bool:
    """RACERS first clicks on one photo at once, then eight more: how often the photo is encoded."""
    with session() as served:
        before = settled(served.http, 1)
        path = uploaded(served.http, skimage.data.chelsea())
        with ThreadPoolExecutor(RACERS) as racers:
            list(racers.map(lambda x: click(served.http, path, x), range(100, 100 + RACERS)))
        encoded = settled(served.http, before + 1) - before
        for x in range(200, 208):
            click(served.http, path, x)
        later = settled(served.http, before + encoded) - before - encoded
    return tell(RACE, [encoded], racers=RACERS) & tell(LATER, [1 + later])


def clicks_of_a_session() -> bool:
    """Eight clicks on one photo against one click on each of eight: what the kept embedding saves, at ViT-B size."""
    torch.manual_seed(0)
    network = sam_model_registry["vit_b"]().eval()
    ratios = []
    with tempfile.TemporaryDirectory() as folder, clicks(network, Path(folder), skimage.data.coffee()) as (http, path):
        click(http, path, 300)  # warm
        for repeat in range(SESSION_REPEATS):
            same = [uploaded(http, marked(9 * repeat))] * CLICKS
            fresh = [uploaded(http, marked(9 * repeat + 1 + index)) for index in range(CLICKS)]
            kept_s, none_s = (timed(partial(click_each, http, paths)) for paths in (same, fresh))
            ratios.append(none_s / kept_s)
    return tell(SESSION, ratios, parity="the same clicks")


def uploaded(http: httpx.Client, pixels: U8) -> str:
    """The click path of a new photo."""
    photo = post(http, "/v1/photos", files={"file": ("photo.png", encode_png(pixels), "image/png")})
    return f"/v1/photos/{photo['id']}/masks"


def marked(number: int) -> U8:
    """The coffee photo with one pixel of its own: another photo to every cache."""
    pixels: U8 = skimage.data.coffee().copy()
    pixels[0, number] = 255 - pixels[0, number]
    return pixels


def click(http: httpx.Client, path: str, x: int) -> None:
    post(http, path, json={"points": [{"x": x, "y": 150, "label": 1}]})


def click_each(http: httpx.Client, paths: list[str]) -> None:
    for path in paths:
        click(http, path, 300)


def main() -> int:
    """Measure and report."""
    return 0 if race() & clicks_of_a_session() else 1


if __name__ == "__main__":
    raise SystemExit(main())
