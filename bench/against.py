"""Compares this checkout with another one: is a change slower? `python -m bench.against PATH [--pairs 15]`.

Both checkouts serve the laptop profile at the same time and are measured in turn: A B B A. Each pair times one shot,
ten clicks with a cached embedding, and ten cutouts. The figure is the median ratio with its 95 % interval (order
statistics). "No worse by 3 %" holds when the interval's upper end is at most 1.03. The change is worse when the lower
end exceeds 1.03, and undecided otherwise. Both wall-clock seconds and processor seconds (of all processes of a cluster)
are compared.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import skimage.data

from bench.demo import CUP_AND_SAUCER_BOX_XYXY
from bench.session import post
from cluster.local import free_port
from packshot.imaging.codec import encode_png

ROOT = Path(__file__).parents[1]
WORSE = 1.03
"""A median ratio above this counts as worse."""
START_S = 300.0
"""Longest wait for a cluster to become ready, seconds."""


@dataclass(frozen=True)
class Side:
    """The cluster of one checkout. `process` is the parent of all its processes."""

    http: httpx.Client
    process: psutil.Process
    photo_id: str
    mask_id: str

    def cpu_s(self) -> float:
        """Processor seconds that the cluster's running processes have used so far."""
        return sum(_cpu_s(one) for one in (self.process, *self.process.children(recursive=True)))

    def pss_mib(self) -> float:
        """Proportional set size of the cluster, MiB."""
        processes = (self.process, *self.process.children(recursive=True))
        return sum(float(one.memory_full_info().pss) for one in processes) / 2**20


def _cpu_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


@contextmanager
def served(tree: Path) -> Iterator[Side]:
    """Serve the laptop profile of the checkout `tree` on a free port, with one photo and one mask."""
    with tempfile.TemporaryDirectory() as home, httpx.Client(timeout=300, trust_env=False) as http:
        port = free_port("127.0.0.1")
        environment = {**os.environ, "PYTHONPATH": str(tree), "PACKSHOT_HOME": home}
        command = [sys.executable, "-m", "packshot.cli", "serve", "--port", str(port)]
        child = subprocess.Popen(command, cwd=tree, env=environment, stdout=sys.stderr)
        try:
            http.base_url = httpx.URL(f"http://127.0.0.1:{port}")
            _wait_ready(http, child)
            file = ("coffee.png", encode_png(skimage.data.coffee()), "image/png")
            photo = post(http, "/v1/photos", files={"file": file})
            mask = post(http, f"/v1/photos/{photo['id']}/masks", json={"boxes": [CUP_AND_SAUCER_BOX_XYXY]})["masks"][0]
            yield Side(http, psutil.Process(child.pid), photo["id"], mask["id"])
        finally:
            child.terminate()
            child.wait(60)


def _wait_ready(http: httpx.Client, child: subprocess.Popen[bytes]) -> None:
    give_up_at = time.monotonic() + START_S
    while True:
        try:
            if http.get("/readyz").is_success:
                return
        except httpx.TransportError:
            pass  # not listening yet
        if child.poll() is not None or time.monotonic() > give_up_at:
            raise SystemExit(f"the cluster must answer within {START_S:g} s; its exit code: {child.poll()}")
        time.sleep(0.5)


def shot(side: Side) -> None:
    """Request one picture of 1024 x 1024, and download it."""
    body = {"layers": [{"mask_id": side.mask_id}], "prompt": "on a marble table", "seed": 7, "steps": 4}
    answer = post(side.http, "/v1/shots", json=body, headers={"Prefer": "wait=100"})
    if answer["status"] != "done":
        raise SystemExit(f"the shot must end with status done, got {answer}")
    side.http.get(answer["images"][0]["url"]).raise_for_status()


def click(side: Side) -> None:
    """Send ten clicks one after the other on a photo whose embedding is cached."""
    for x in range(180, 380, 20):
        point = {"points": [{"x": x, "y": 200, "label": 1}]}
        post(side.http, f"/v1/photos/{side.photo_id}/masks", json=point)


def cutout(side: Side) -> None:
    """Fetch a cutout ten times: the kernel counts processor time in steps of 10 ms."""
    for _ in range(10):
        side.http.get(f"/v1/masks/{side.mask_id}/cutout").raise_for_status()


def timed(side: Side, call: Callable[[Side], None]) -> tuple[float, float]:
    """(wall seconds, processor seconds) of one call."""
    began_s, began_cpu_s = time.perf_counter(), side.cpu_s()
    call(side)
    return time.perf_counter() - began_s, side.cpu_s() - began_cpu_s


def interval(ratios: list[float]) -> tuple[float, float]:
    """The 95 % interval of the median from the order statistics, which is distribution-free."""
    ordered, count = sorted(ratios), len(ratios)
    probability, outside = 0.0, 0
    for below in range(count // 2):
        probability += math.comb(count, below) / 2**count
        if 2 * probability > 0.05:
            break
        outside = below + 1
    return ordered[max(0, outside - 1)], ordered[min(count - 1, count - outside)]


def row(name: str, ratios: list[float]) -> dict[str, Any]:
    """The JSON line of one figure: the median ratio, its interval and the verdict."""
    low, high = interval(ratios)
    verdict = "holds" if high <= WORSE else "worse" if low > WORSE else "undecided"
    median = statistics.median(ratios)
    return {"row": name, "ratio": round(median, 3), "interval": [round(low, 3), round(high, 3)], "no_worse": verdict}


def main() -> int:
    """Measure and report. The exit code is 1 when a figure is worse."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="the other checkout, for example a worktree of the parent commit")
    parser.add_argument("--pairs", type=int, default=15)
    args = parser.parse_args()
    calls = (shot, click, cutout)
    wall: dict[str, list[float]] = {call.__name__: [] for call in calls}
    cpu: dict[str, list[float]] = {call.__name__: [] for call in calls}
    with ExitStack() as stack:
        ours, theirs = (stack.enter_context(served(tree.resolve())) for tree in (ROOT, args.other))
        for call in calls:
            call(ours)
            call(theirs)
        for pair in range(args.pairs):
            order = (ours, theirs) if pair % 2 == 0 else (theirs, ours)
            for call in calls:
                times = {id(side): timed(side, call) for side in order}
                wall[call.__name__].append(times[id(ours)][0] / times[id(theirs)][0])
                cpu[call.__name__].append(times[id(ours)][1] / max(0.01, times[id(theirs)][1]))
            print(f"pair {pair + 1} of {args.pairs}", file=sys.stderr)
        memory = [ours.pss_mib() / theirs.pss_mib()]
        sizes = {"ours_mib": round(ours.pss_mib()), "theirs_mib": round(theirs.pss_mib())}
    rows = [row(f"{name}, wall", ratios) for name, ratios in wall.items()]
    rows += [row(f"{name}, processor", ratios) for name, ratios in cpu.items()]
    rows.append(row("memory", memory) | sizes)
    for line in rows:
        print(json.dumps(line), flush=True)
    return 1 if any(line["no_worse"] == "worse" for line in rows) else 0


if __name__ == "__main__":
    raise SystemExit(main())
