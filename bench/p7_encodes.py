"""P7: sixteen first clicks on one photo at once cost exactly one encode; a session's later clicks cost none."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import skimage.data

from bench.harness import timed
from bench.session import post, session
from packshot.imaging.codec import encode_png

RACERS = 16


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


def main() -> int:
    """Measure and report."""
    with session() as served:
        before = settled(served.http, 1)
        pixels = skimage.data.chelsea()
        photo = post(served.http, "/v1/photos", files={"file": ("cat.png", encode_png(pixels), "image/png")})
        path = f"/v1/photos/{photo['id']}/masks"

        def click(x: int) -> float:
            return timed(lambda: post(served.http, path, json={"points": [{"x": x, "y": 150, "label": 1}]}))

        with ThreadPoolExecutor(RACERS) as racers:
            list(racers.map(click, range(100, 100 + RACERS)))
        race = settled(served.http, before + 1) - before
        later_s = [click(200 + n) for n in range(8)]
        session_encodes = settled(served.http, before + race) - before - race
    holds = race == 1 and session_encodes == 0
    line = {"row": "P7", "encodes_in_race": race, "racers": RACERS, "encodes_in_8_more_clicks": session_encodes}
    print(json.dumps({**line, "click_ms": round(1000 * sorted(later_s)[4], 1), "holds": holds}))
    return 0 if holds else 1


if __name__ == "__main__":
    raise SystemExit(main())
