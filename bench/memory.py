"""The memory of the local cluster: the sum of PSS over its process tree, idle and while the demo's shots run."""

from __future__ import annotations

import threading

import psutil

from bench.harness import Row, print_row
from bench.p1_shot import over_http
from bench.session import session

ROW = Row("memory", "MiB of the cluster under the demo's shots, PSS", 6 * 1024)


def pss_mib() -> float:
    """The proportional set size of this process and all its descendants, MiB."""
    total = 0
    me = psutil.Process()
    for process in [me, *me.children(recursive=True)]:
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return float(total) / 2**20


def main() -> int:
    """Measure and report."""
    with session() as served:
        idle = pss_mib()
        peak, done = [idle], threading.Event()

        def watch() -> None:
            while not done.wait(0.5):
                peak.append(pss_mib())

        watcher = threading.Thread(target=watch)
        watcher.start()
        for prompt in ("on a marble table", "on a wooden table"):
            over_http(
                served,
                {"layers": [{"mask_id": served.mask_id}], "prompt": prompt, "images": 2, "seed": 7},
            )
        done.set()
        watcher.join()
    return 0 if print_row(ROW, [max(peak)], idle_mib=round(idle), peak_mib=round(max(peak))) else 1


if __name__ == "__main__":
    raise SystemExit(main())
