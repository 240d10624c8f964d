"""P5: our graph against a monolith on the same cores: saturated throughput, clicks under that load, and tail latency.

Both sides get the same photo, mask, layout and briefs over HTTP from the same clients, and both decode, composite and
encode PNGs.

- Pictures: CLIENTS clients request their next picture as soon as they have one (closed loop).
- Clicks: one more client clicks every half second, unless its last click is still outstanding. This is a separate run,
  because the side that answers more clicks would paint fewer pictures.
- Tail: both sides get the same Poisson arrivals of pictures, at shares of the monolith's rate, with 6, 12 or 18 steps.
  Each of SEEDS draws is one pair, and the sides take turns to go first. A p99 of few arrivals is their slowest, so the
  row is the median of the pairs' ratios; p95 is beside it.

    python -m bench.p5_saturated          # all
    python -m bench.p5_saturated tail     # pictures and the tail, without clicks
"""

from __future__ import annotations

import io
import random
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

from bench.demo import CUP_AND_SAUCER_BOX_XYXY
from bench.harness import Row, print_row, timed
from bench.session import Session, post, session
from cluster.local import free_port
from packshot.imaging.codec import encode_png
from packshot.models.device import pick_device, pick_dtype, use_threads
from packshot.models.engines.unet_controlnet import DiffusionEngine
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings

CLIENTS, SHOTS, REPEATS, CLICK_REPEATS, THREADS = 6, 12, 5, 2, 2
STEPS, GUIDANCE, CONTROL, SIDE_PX = 16, 2.0, 0.8, 256  # the mini pack's defaults
PROMPT = "on a marble table, soft light"
LAYER = {"x": 0.5, "y": 0.55, "scale": 0.6}
CLICK_EVERY_S = 0.5
LOADS, ARRIVALS, SEEDS, MIXED_STEPS = (0.5, 0.8), 24, 5, (6, 12, 18)
CLICKS = Row("P5-clicks", "click p99 while pictures are painted ÷ the monolith's", 0.2)
TAILS = {
    load: Row(f"P5-tail-{load:.0%}", f"p99 of pictures at {load:.0%} of the monolith's rate ÷ the monolith's", 1.0)
    for load in LOADS
}
Paint = Callable[..., bytes]
Click = Callable[[], object]


def serve_side(served: Session) -> tuple[Paint, Click]:
    """The calls of our graph, over HTTP."""

    def paint(seed: int, steps: int = STEPS) -> bytes:
        body = {"layers": [{"mask_id": served.mask_id, **LAYER}], "prompt": PROMPT, "seed": seed, "images": 1}
        body |= {"steps": steps, "guidance_scale": GUIDANCE, "control_scale": CONTROL, "shadow": "none"}
        body |= {"canvas": {"width": SIDE_PX, "height": SIDE_PX}}
        shot = post(served.http, "/v1/shots", json=body, headers={"Prefer": "wait=100"})
        return served.http.get(shot["images"][0]["url"]).content

    def click() -> object:
        point = {"points": [{"x": 280, "y": 200, "label": 1}]}
        return post(served.http, f"/v1/photos/{served.photo_id}/masks", json=point)

    return paint, click


@contextmanager
def monolith_side() -> Iterator[tuple[Paint, Click]]:
    """The calls of the monolith, in a process of its own, with the same photo and mask."""
    port = free_port("127.0.0.1")
    process = subprocess.Popen([sys.executable, "-m", "bench.monolith", str(port), str(THREADS)])
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=300) as http:
            _wait_ready(http, process)
            photo = http.post("/photos", content=encode_png(skimage.data.coffee())).json()["photo"]
            prompts: dict[str, Any] = {"photo": photo, "boxes": [CUP_AND_SAUCER_BOX_XYXY]}
            mask = int(http.post("/masks", json=prompts).headers["x-mask"])

            def paint(seed: int, steps: int = STEPS) -> bytes:
                brief = {"prompt": PROMPT, "seed": seed, "steps": steps, "guidance_scale": GUIDANCE}
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


def saturated(paint: Paint) -> float:
    """Pictures per second with CLIENTS concurrent clients."""
    with ThreadPoolExecutor(CLIENTS) as clients:
        started_at = time.perf_counter()
        list(clients.map(paint, range(SHOTS)))
        return SHOTS / (time.perf_counter() - started_at)


def clicked(paint: Paint, click: Click) -> list[float]:
    """The seconds of each click while CLIENTS clients request pictures."""
    clicks: list[float] = []
    over = threading.Event()

    def clicking() -> None:
        while not over.wait(CLICK_EVERY_S):
            clicks.append(timed(click))

    with ThreadPoolExecutor(1) as person:
        clicker = person.submit(clicking)
        saturated(paint)
        over.set()
        clicker.result()
    return clicks


def batch_gain() -> float:
    """The rate of rows at the best number of rows per step, over the rate at the two rows of one guided scene."""
    settings = Settings()
    device = pick_device(settings.device)
    use_threads(THREADS)
    pack = find_pack("mini", settings)
    step_s = DiffusionEngine(pack, device, pick_dtype(device, settings.dtype), freeze=True).step_seconds()
    return max(rows / seconds for rows, seconds in step_s.items()) / (2 / step_s[2])


def tail(paint: Paint, arrivals: list[tuple[float, int]]) -> list[float]:
    """The seconds of each picture from when it was due. `arrivals` holds (seconds from the start, steps)."""
    began = time.perf_counter()

    def one(numbered: tuple[int, tuple[float, int]]) -> float:
        seed, (due_s, steps) = numbered
        time.sleep(max(0.0, began + due_s - time.perf_counter()))
        paint(seed, steps)
        return time.perf_counter() - began - due_s

    with ThreadPoolExecutor(len(arrivals)) as clients:
        return list(clients.map(one, enumerate(arrivals)))


def arrivals_at(rate: float, seed: int) -> list[tuple[float, int]]:
    """Poisson arrivals at `rate` pictures per second, as (seconds from the start, steps)."""
    rng, now = random.Random(seed), 0.0
    found = []
    for _ in range(ARRIVALS):
        now += rng.expovariate(rate)
        found.append((now, rng.choice(MIXED_STEPS)))
    return found


def tails_of(sides: list[Paint], rate: float) -> list[list[tuple[float, float]]]:
    """For each draw of arrivals at `rate` pictures per second, the (p95, p99) in seconds of each side."""
    pairs = []
    for seed in range(SEEDS):
        arrivals, pair = arrivals_at(rate, seed), [(0.0, 0.0)] * len(sides)
        for number in sorted(range(len(sides)), reverse=seed % 2 == 1):
            p95, p99 = np.percentile(tail(sides[number], arrivals), (95, 99))
            pair[number] = (float(p95), float(p99))
        pairs.append(pair)
        print(
            f"{rate:.2f} pictures/s, draw {seed}: p99 {' and '.join(f'{p99:.1f}' for _, p99 in pair)} s",
            file=sys.stderr,
        )
    return pairs


def main() -> int:
    """Measure and report."""
    clicking = "tail" not in sys.argv[1:]
    gain = batch_gain()
    rates: list[tuple[float, float]] = []
    clicks: tuple[list[float], list[float]] = ([], [])
    with session() as served, monolith_side() as theirs:
        sides = (serve_side(served), theirs)
        pixels = [np.asarray(Image.open(io.BytesIO(paint(7))).convert("RGB")).astype(int) for paint, _ in sides]
        difference = int(np.abs(pixels[0] - pixels[1]).max())
        for paint, click in sides:  # warm-up
            clicked(paint, click)
        for repeat in range(REPEATS):
            ours, other = (saturated(paint) for paint, _ in sides)
            rates.append((ours, other))
            print(f"repeat {repeat + 1}: {ours:.2f} and {other:.2f} pictures/s", file=sys.stderr)
        for _ in range(CLICK_REPEATS if clicking else 0):
            for kept, side in zip(clicks, sides, strict=True):
                kept.extend(clicked(*side))
        # The time of a picture is proportional to its steps.
        full = statistics.median(rate for _, rate in rates) * STEPS / statistics.mean(MIXED_STEPS)
        tails = {load: tails_of([paint for paint, _ in sides], load * full) for load in LOADS}
    parity = f"max difference {difference}/255"
    pictures = Row(
        "P5-pictures",
        f"saturated pictures/s ÷ the monolith's (0.9 x batch gain {gain:.2f})",
        round(max(1.0, 0.9 * gain), 2),
        at_least=True,
    )
    holds = [
        print_row(pictures, [ours / other for ours, other in rates], parity=parity, pictures_per_s=rates),
    ]
    if clicking:
        click_p99 = [float(np.percentile(side, 99)) for side in clicks]
        counts, p99_ms = [len(side) for side in clicks], [round(1000 * s) for s in click_p99]
        ratio = click_p99[0] / click_p99[1]
        holds.append(print_row(CLICKS, [ratio], parity=parity, p99_ms=p99_ms, clicks=counts))
    for load, pairs in tails.items():
        p95, p99 = ([[round(side[at], 2) for side in pair] for pair in pairs] for at in (0, 1))
        ratios_95 = [round(ours / other, 2) for ours, other in p95]
        ratios_99 = [ours / other for ours, other in p99]
        holds.append(print_row(TAILS[load], ratios_99, parity=parity, p99_s=p99, p95_s=p95, ratios_p95=ratios_95))
    return 0 if all(holds) else 1


if __name__ == "__main__":
    raise SystemExit(main())
