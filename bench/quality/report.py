"""The table and the page of a run, from its rows."""

from __future__ import annotations

import html
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.quality.measures import spread

__all__ = ["write"]

TARGETS = {
    "available, each painted once": "",
    "available, with retry": "≥ 85 %",
    "paintings for each picture": "",
    "object expansion, mean": "≤ 0.03",
    "contact gap, mean": "≤ 0.01",
    "seam, mean ΔE": "≤ 3",
    "set spread, mean ΔE": "",
    "lines of text that read the same": "100 %",
}
"""The rows of the table, and the figure that each should reach."""
STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 1200px; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; } td, th { padding: 4px 14px 4px 0; text-align: left; }
td:nth-child(n+2), th:nth-child(n+2) { text-align: right; font-variant-numeric: tabular-nums; }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(230px, 1fr)); gap: 18px 14px; }
figure { margin: 0; } .picture { position: relative; } .picture img { width: 100%; display: block; border-radius: 6px; }
.picture i { position: absolute; border: 2px solid #ff4d47; border-radius: 2px; }
figcaption { font-size: 0.85rem; } .bad { color: #c4262c; font-weight: 600; } .small { opacity: 0.7; }
"""

Row = dict[str, Any]


def write(out: Path, pack: str, scenes: Sequence[str]) -> str:
    """Write table.md, rows.jsonl and index.html of the folder, and return the table. Raises ValueError without rows."""
    rows = [json.loads(path.read_text("utf-8")) for path in sorted((out / "rows").glob("*.json"))]
    if not rows:
        raise ValueError(f"{out} has no rows; make some pictures first")
    (out / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    found = summary(rows)
    lines = [f"| {pack}, {len(rows)} pictures | measured | target |", "|---|---|---|"]
    lines += [f"| {name} | {value} | {TARGETS[name]} |" for name, value in found.items()]
    failed = Counter(check for row in rows for check in set(row["tries"][0]["failed"]))
    told = ", ".join(f"{name} {count}" for name, count in failed.most_common()) or "none"
    table = "\n".join(lines) + f"\n\nFailed findings of the first paintings: {told}.\n"
    (out / "table.md").write_text(table, "utf-8")
    (out / "index.html").write_text(_page(rows, pack, scenes, found, told), "utf-8")
    return table


def summary(rows: Sequence[Row]) -> dict[str, str]:
    """The figures of the table, by their names. All but the first count the picture that was kept."""
    kept = [_kept(row) for row in rows]
    sets: dict[tuple[int, int], list[list[float]]] = defaultdict(list)
    for row, one in zip(rows, kept, strict=True):
        if one["lab"]:
            sets[row["scene"], row["seed"]].append(one["lab"])
    spreads = [spread(labs) for labs in sets.values() if len(labs) > 1]
    values = (
        f"{np.mean([row['tries'][0]['available'] for row in rows]):.1%}",
        f"{np.mean([one['available'] for one in kept]):.1%}",
        f"{np.mean([len(row['tries']) for row in rows]):.2f}",
        f"{np.mean([one['expansion'] for one in kept]):.4f}",
        f"{np.mean([one['gap'] for one in kept]):.4f}",
        f"{np.mean([one['seam'] for one in kept]):.2f}",
        f"{np.mean(spreads):.2f}" if spreads else "",
        _text([one.get("text") for one in kept]),
    )
    return dict(zip(TARGETS, values, strict=True))


def _text(found: Sequence[dict[str, int] | None]) -> str:
    """The share of the photos' lines that read the same in the pictures; "" without any that can be compared."""
    read = [one for one in found if one]
    compared = sum(one["same"] + one["changed"] for one in read)
    if not compared:
        return ""
    rate = sum(one["same"] for one in read) / compared
    small = sum(one["unproven"] for one in read)
    return f"{rate:.1%} of {compared:,}" + (f", {small:,} too small" if small else "")


def _kept(row: Row) -> Row:
    """The painting that a shot with `retry` would keep."""
    best: Row = max(row["tries"], key=lambda one: one["worth"])
    return best


def _page(rows: Sequence[Row], pack: str, scenes: Sequence[str], found: dict[str, str], told: str) -> str:
    def badness(row: Row) -> tuple[int, float]:
        one = _kept(row)
        return -len(one["failed"]), -(one["expansion"] + one["gap"] + one["seam"] / 30)

    cells = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{value}</td><td>{TARGETS[name]}</td></tr>"
        for name, value in found.items()
    )
    figures = "".join(_figure(row, scenes) for row in sorted(rows, key=badness))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Quality of {html.escape(pack)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style>'
        f"<h1>Quality of {html.escape(pack)}</h1><p>{len(rows)} pictures of held-out products, the worst first. "
        f"Failed findings of the first paintings: {html.escape(told)}.</p>"
        f"<table><tr><th></th><th>measured</th><th>target</th></tr>{cells}</table>"
        f'<div class="sheet">{figures}</div></html>\n'
    )


def _figure(row: Row, scenes: Sequence[str]) -> str:
    one = _kept(row)
    boxes = "".join(
        f'<i style="left:{100 * x0:.1f}%;top:{100 * y0:.1f}%;width:{100 * (x1 - x0):.1f}%;'
        f'height:{100 * (y1 - y0):.1f}%"></i>'
        for _, x0, y0, x1, y1 in one["boxes"]
    )
    name = f"{row['product']}-{row['scene']}-{one['seed']}"
    failed = f'<span class="bad">{html.escape(", ".join(one["failed"]))}</span> · ' if one["failed"] else ""
    tries = f" · kept of {len(row['tries'])}" if len(row["tries"]) > 1 else ""
    return (
        f'<figure><div class="picture"><img loading="lazy" src="pictures/{html.escape(name)}.jpg" '
        f'alt="{html.escape(name)}">{boxes}</div>'
        f"<figcaption>{failed}expansion {one['expansion']:.3f} · seam {one['seam']:.1f}{tries}<br>"
        f'<span class="small">{html.escape(row["product"])}, {html.escape(scenes[row["scene"]])}</span></figcaption>'
        "</figure>"
    )
