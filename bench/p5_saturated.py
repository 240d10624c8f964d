"""P5: pictures a second when more is asked than can be done, and clicks meanwhile, against a monolith on the same cores.

Both sides get the same photo, mask, layout and briefs over HTTP from the same clients: CLIENTS people who ask for their next
picture when they have one, and one who clicks twice a second. Both decode, composite and encode PNGs.
"""

from __future__ import annotations

import io
import itertools
import json
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np
import skimage.data
from PIL import Image
from rich.console import Console
from rich.table import Table

from bench.demo import CUP_AND_SAUCER_BOX_XYXY
from bench.session import Session, post, session
from packshot.imaging.codec import encode_png

CLIENTS, SHOTS, REPEATS, THREADS = 6, 12, 5, 2
STEPS, GUIDANCE, CONTROL, SIDE_PX = 12, 2.0, 0.8, 512
PROMPT = "on a marble table, soft light"
LAYER = {"x": 0.5, "y": 0.55, "scale": 0.6}
CLICK_EVERY_S = 0.5
TARGET, CLICK_TARGET = 1.0, 0.2
Paint, Click = Callable[[int], bytes], Callable[[], object]


def serve_side(served: Session) -> tuple[Paint, Click]:
    """Our graph, over HTTP."""

    def paint(seed: int) -> bytes:
        body = {"layers": [{"mask_id": served.mask_id, **LAYER}], "prompt": PROMPT, "seed": seed, "images": 1}
        body |= {"steps": STEPS, "guidance_scale": GUIDANCE, "control_scale": CONTROL, "shadow": "none"}
        body |= {"canvas": {"width": SIDE_PX, "height": SIDE_PX}}
        shot = post(served.http, "/v1/shots", json=body, headers={"Prefer": "wait=100"})
        return served.http.get(shot["images"][0]["url"]).content

    def click() -> object:
        point = {"points": [{"x": 280, "y": 200, "label": 1}]}
        return post(served.http, f"/v1/photos/{served.photo_id}/masks", json=point)

    return paint, click


@contextmanager
def monolith_side() -> Iterator[tuple[Paint, Click]]:
    """The monolith in a process of its own, with the same photo and mask."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "bench.monolith", str(port), str(THREADS)])
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=300) as http:
            _wait_ready(http, process)
            photo = http.post("/photos", content=encode_png(skimage.data.coffee())).json()["photo"]
            asked: dict[str, Any] = {"photo": photo, "boxes": [CUP_AND_SAUCER_BOX_XYXY]}
            mask = int(http.post("/masks", json=asked).headers["x-mask"])

            def paint(seed: int) -> bytes:
                brief = {"prompt": PROMPT, "seed": seed, "steps": STEPS, "guidance_scale": GUIDANCE}
                brief |= {"control_scale": CONTROL}
                body = {"mask": mask, "layer": LAYER, "width": SIDE_PX, "height": SIDE_PX, "brief": brief}
                return http.post("/shots", json=body).raise_for_status().content

            def click() -> object:
                point = {"photo": photo, "points": [{"x": 280, "y": 200, "label": 1}]}
                return http.post("/masks", json=point).raise_for_status().content

            yield paint, click
    finally:
        process.terminate()
        process.wait(30)


def _wait_ready(http: httpx.Client, process: subprocess.Popen[bytes], timeout_s: float = 120) -> None:
    for _ in range(int(timeout_s / 0.5)):
        try:
            http.get("/ready")
        except httpx.TransportError:
            if process.poll() is not None:
                raise SystemExit("the monolith ended before it was ready") from None
            time.sleep(0.5)
        else:
            return
    raise SystemExit(f"the monolith must be ready within {timeout_s:g} s")


def saturated(paint: Paint, click: Click) -> tuple[float, list[float]]:
    """Pictures a second with CLIENTS at it, and seconds of the clicks meanwhile."""
    clicks: list[float] = []
    over = threading.Event()

    def clicking() -> None:
        while not over.wait(CLICK_EVERY_S):
            started_at = time.perf_counter()
            click()
            clicks.append(time.perf_counter() - started_at)

    with ThreadPoolExecutor(CLIENTS + 1) as people:
        clicker = people.submit(clicking)
        started_at = time.perf_counter()
        list(people.map(paint, itertools.islice(itertools.count(), SHOTS)))
        spent = time.perf_counter() - started_at
        over.set()
        clicker.result()
    return SHOTS / spent, clicks


def main() -> int:
    """Measure and report."""
    rates: list[tuple[float, float]] = []
    clicks: tuple[list[float], list[float]] = ([], [])
    with session() as served, monolith_side() as theirs:
        sides = (serve_side(served), theirs)
        pixels = [np.asarray(Image.open(io.BytesIO(paint(7))).convert("RGB")).astype(int) for paint, _ in sides]
        difference = int(np.abs(pixels[0] - pixels[1]).max())
        for paint, click in sides:  # warm
            saturated(paint, click)
        for repeat in range(REPEATS):
            both = [saturated(*side) for side in sides]
            rates.append((both[0][0], both[1][0]))
            for kept, (_, new) in zip(clicks, both, strict=True):
                kept.extend(new)
            print(f"repeat {repeat + 1}: {both[0][0]:.2f} and {both[1][0]:.2f} pictures/s", file=sys.stderr)
    ratios = [ours / other for ours, other in rates]
    p99 = [float(np.percentile(side, 99)) for side in clicks]
    table = Table(title=f"P5: {CLIENTS} clients, {STEPS} guided steps, {SIDE_PX}² canvas")
    for column in ("", "ours", "monolith", "ratio", "target"):
        table.add_column(column, justify="right")
    ratio, click_ratio = statistics.median(ratios), p99[0] / p99[1]
    ours, other = (statistics.median(pair[side] for pair in rates) for side in (0, 1))
    table.add_row("pictures/s", f"{ours:.2f}", f"{other:.2f}", f"{ratio:.2f}", f"≥ {TARGET}")
    table.add_row(
        "click p99", f"{p99[0] * 1000:.0f} ms", f"{p99[1] * 1000:.0f} ms", f"{click_ratio:.2f}", f"≤ {CLICK_TARGET}"
    )
    Console(stderr=True).print(table)
    parity = f"max difference {difference}/255"
    lines = (
        {"row": "P5-pictures", "ratio": round(ratio, 3), "target": TARGET, "holds": ratio >= TARGET, "repeats": REPEATS,
         "spread": [round(min(ratios), 3), round(max(ratios), 3)], "parity": parity},
        {"row": "P5-clicks", "ratio": round(click_ratio, 3), "target": CLICK_TARGET, "holds": click_ratio <= CLICK_TARGET,
         "clicks": [len(side) for side in clicks], "parity": parity},
    )  # fmt: skip
    for line in lines:
        print(json.dumps(line), flush=True)
    return 0 if all(line["holds"] for line in lines) else 1


if __name__ == "__main__":
    raise SystemExit(main())
