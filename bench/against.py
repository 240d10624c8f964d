"""This tree against another checkout of it: is a change slower? `python -m bench.against PATH [--pairs 15]`.

Both trees serve the laptop profile side by side, and take turns: A B B A. Each pair times one shot, one click with its
embedding cached, and one cutout. The figure is the median ratio with its interval (order statistics, 95 %). "No worse
by 3 %" holds when the interval's lower end is at most 1.03 and its upper end says how sure that is: an interval that
reaches over 1.03 is undecided. Seconds of the wall clock and seconds of the processors (of all processes of that
cluster) both count.
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
from cluster.local import ENVIRONMENT, free_port
from packshot.imaging.codec import encode_png

ROOT = Path(__file__).parents[1]
WORSE = 1.03
START_S = 300.0


@dataclass(frozen=True)
class Side:
    """One tree's cluster. `process`: the parent of all its processes."""

    http: httpx.Client
    process: psutil.Process
    photo_id: str
    mask_id: str

    def cpu_s(self) -> float:
        """Processor seconds of the cluster so far."""
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
    """The laptop profile of that tree on a free port, with one photo and one mask."""
    with tempfile.TemporaryDirectory() as home, httpx.Client(timeout=300, trust_env=False) as http:
        port = free_port("127.0.0.1")
        environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(tree), "PACKSHOT_HOME": home}
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
            raise SystemExit(f"the cluster must answer within {START_S:g} s, it did not; its exit code: {child.poll()}")
        time.sleep(0.5)


def shot(side: Side) -> None:
    """One picture of 1024 x 1024, from request to the end of its download."""
    body = {"layers": [{"mask_id": side.mask_id}], "prompt": "on a marble table", "seed": 7, "steps": 4}
    answer = post(side.http, "/v1/shots", json=body, headers={"Prefer": "wait=100"})
    if answer["status"] != "done":
        raise SystemExit(f"the shot must end done, got {answer}")
    side.http.get(answer["images"][0]["url"]).raise_for_status()


def click(side: Side) -> None:
    """Ten clicks one after another, their photo encoded before."""
    for x in range(180, 380, 20):
        point = {"points": [{"x": x, "y": 200, "label": 1}]}
        post(side.http, f"/v1/photos/{side.photo_id}/masks", json=point)


def cutout(side: Side) -> None:
    """A cutout as it is first asked for."""
    side.http.get(f"/v1/masks/{side.mask_id}/cutout").raise_for_status()


def timed(side: Side, call: Callable[[Side], None]) -> tuple[float, float]:
    """(wall seconds, processor seconds) of one call."""
    began_s, began_cpu_s = time.perf_counter(), side.cpu_s()
    call(side)
    return time.perf_counter() - began_s, side.cpu_s() - began_cpu_s


def interval(ratios: list[float]) -> tuple[float, float]:
    """95 % interval of the median by order statistics: distribution-free."""
    ordered, count = sorted(ratios), len(ratios)
    chance, outside = 0.0, 0
    for below in range(count // 2):
        chance += math.comb(count, below) / 2**count
        if 2 * chance > 0.05:
            break
        outside = below + 1
    return ordered[max(0, outside - 1)], ordered[min(count - 1, count - outside)]


def row(name: str, ratios: list[float]) -> dict[str, Any]:
    """One JSON line: the median ratio, its interval and what follows from it."""
    low, high = interval(ratios)
    said = "holds" if high <= WORSE else "worse" if low > WORSE else "undecided"
    middle = statistics.median(ratios)
    return {"row": name, "ratio": round(middle, 3), "interval": [round(low, 3), round(high, 3)], "no_worse": said}


def main() -> int:
    """Measure and report; exits 1 where something is worse beyond doubt."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="the other checkout, for example the parent commit's worktree")
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
