"""`python -m bench`: every row, one process each; exits 1 when a target does not hold."""

from __future__ import annotations

import subprocess
import sys

ROWS = ("p1_shot", "p2_hops", "p3_click", "p4_goodput", "p5_saturated", "p7_encodes", "p10_ready", "memory")


def main() -> int:
    """Run the rows that were named, or all."""
    rows = sys.argv[1:] or ROWS
    return max(subprocess.run([sys.executable, "-m", f"bench.{row}"], check=False).returncode for row in rows)


if __name__ == "__main__":
    raise SystemExit(main())
