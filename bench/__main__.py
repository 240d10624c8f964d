"""`python -m bench [ROW …]`: measures all rows, or the named ones, in one process each.

Prints a table and writes out/bench/rows.jsonl and a chart. The exit code is 1 when a target is missed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.chart import draw
from cluster.local import ENVIRONMENT

OUT = Path("out/bench")
ROWS = (
    "p1_shot",
    "p2_hops",
    "p3_click",
    "p4_goodput",
    "p5_saturated",
    "p6_scale",
    "p7_encodes",
    "p8_loadgen",
    "p9_burst",
    "p10_ready",
    "p11_finishing",
    "p12_queue",
    "p14_adapters",
    "p15_lane",
    "p16_conditions",
    "p17_audit",
    "first_picture",
    "first_hour",
    "memory",
    "gpu",
)


def lines_of(row: str) -> list[dict[str, Any]]:
    """Run a row's process and return the JSON objects that it printed; without any, one that gives its exit code."""
    env = {**os.environ, **ENVIRONMENT}  # the thread settings of the cluster, for both sides
    process = subprocess.Popen([sys.executable, "-m", f"bench.{row}"], stdout=subprocess.PIPE, text=True, env=env)
    assert process.stdout is not None
    found = []
    for line in process.stdout:
        print(line, end="", flush=True)
        if line.startswith('{"row"'):
            found.append(json.loads(line))
    code = process.wait()
    return found or [{"row": row, "holds": False, "not_measured": f"it ended with exit code {code}"}]


def summary(lines: list[dict[str, Any]]) -> Table:
    """A table with the ratio, the target and the verdict of each row."""
    table = Table(title="python -m bench", title_justify="left")
    for column in ("row", "what", "ratio", "spread", "target", ""):
        table.add_column(column, justify="right" if column in ("ratio", "spread", "target") else "left")
    for line in lines:
        ratio = f"{line['ratio']:g}" if "ratio" in line else ""
        spread = "{:g}-{:g}".format(*line["spread"]) if "spread" in line else ""
        aim = f"{'≥' if line.get('at_least') else '≤'} {line['target']:g}" if "target" in line else ""
        verdict = f"not measured: {line['not_measured']}" if "not_measured" in line else _verdict(line)
        table.add_row(line["row"], line.get("what", ""), ratio, spread, aim, verdict)
    return table


def _verdict(line: dict[str, Any]) -> str:
    return "holds" if line["holds"] else "MISS"


def main() -> int:
    """Measure the rows that the command line names, or all rows."""
    OUT.mkdir(parents=True, exist_ok=True)
    lines = []
    for row in sys.argv[1:] or ROWS:
        print(f"{time.strftime('%H:%M:%S')} {row}", file=sys.stderr, flush=True)
        lines += lines_of(row)
    (OUT / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    Console(stderr=True, width=160).print(summary(lines))
    print(f"chart: {draw(lines, OUT / 'rows.png')}", file=sys.stderr)
    return 0 if all(line.get("holds", True) for line in lines) else 1


if __name__ == "__main__":
    raise SystemExit(main())
