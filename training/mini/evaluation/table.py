"""The table of figures and their targets, as JSON and Markdown, with the hashes of the measured files."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from packshot.models.packs.pack import Pack
from training.mini.evaluation.rows import ROWS

# The model card contains the table between these marks.
OPENS, CLOSES = "<!-- table: eval-mini --commit writes it -->", "<!-- /table -->"
EDGE_MASKS = {"off_0": "true mask", "off_2": "up to 2 px off", "off_4": "up to 4 px off", "by_box": "found by box"}
EDGE_FIGURES = {"alpha_mae": "alpha", "edge_on_green": "ΔE on green", "edge_on_white": "ΔE on white"}


def hashes(pack: Pack) -> dict[str, str | None]:
    """The sha256 of every file in the pack's manifest; None for a file that is pinned by a revision instead."""
    return {name: spec.sha256 for role in pack.manifest.roles.values() for name, spec in role.files.items()}


def sizes(pack: Pack) -> dict[str, float]:
    """The size of the weights in megabytes (10^6 bytes): all files, and the largest one."""
    lengths = [path.stat().st_size / 1e6 for path in (pack.folder / name for name in hashes(pack))]
    return {"pack_mb": round(sum(lengths), 1), "largest_mb": round(max(lengths), 2)}


def table(pack: Pack, figures: dict[str, Any], made: dict[str, Any], slice_: dict[str, float]) -> dict[str, Any]:
    """The whole table, ready for JSON.

    `figures` are all measured figures, `made` describes the measurement, and `slice_` holds the figures that a test
    repeats.
    """
    rows = []
    for row in ROWS:
        value = row.of(figures)
        said = {"group": row.group, "title": row.title, "target": row.target, "verdict": row.verdict(value)}
        rows.append(said | {"figure": value})
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    return {
        "pack": {"name": pack.name, "native_px": list(pack.manifest.native_px), "files": hashes(pack)},
        "made": {"machine": machine} | made,
        "rows": rows,
        "figures": figures,
        "slice": slice_,
    }


def markdown(found: Mapping[str, Any]) -> str:
    """The table as Markdown: the measured rows by group, then the details of what was measured."""
    made = found["made"]
    said = ", ".join(f"{name} {value}" for name, value in made.items())
    lines = [f"# Packshot {found['pack']['name']}, measured", "", said]
    missing = []
    for group, members in groupby(found["rows"], lambda row: row["group"]):
        rows = [row for row in members if row["figure"] is not None or row["target"]]
        if any(row["figure"] is not None for row in rows):
            cells = [(row["title"], _shown(row["figure"]), row["target"], row["verdict"]) for row in rows]
            lines += ["", *_grid((group, "figure", "target", ""), cells)]
        else:
            missing.append(group)
    if missing:
        lines += ["", f"Not measured: {'; '.join(missing)}."]
    for heading, details in _details(found["figures"]):
        lines += ["", *_grid(heading, details)]
    return "\n".join(lines) + "\n"


def _details(figures: Mapping[str, Any]) -> Iterator[tuple[Sequence[str], list[Sequence[str]]]]:
    """Heading and cells of each table of details, of what was measured."""
    masks = figures.get("masks", {})
    if photos := masks.get("photos"):
        prompts = ("box", "click", "clicks3", "automatic", "spread3", "click_best")
        edges = ("box", "click", "clicks3")
        heading = ("real photo: IoU", *prompts, *(f"F {prompt}" for prompt in edges), "score error")
        cells: list[Sequence[str]] = []
        for name, row in photos.items():
            f, error = row.get("border_f", {}), row.get("score_error")
            cells.append([name, *(_shown(row[p]) for p in prompts), *(_shown(f.get(p)) for p in edges), _shown(error)])
        yield heading, cells
    if calibration := masks.get("calibration"):
        keys = ("scores", "answers", "score", "iou")
        rows = calibration["reliability"]
        yield ("score", "answers", "mean score", "mean IoU"), [[f"{row[key]}" for key in keys] for row in rows]
    if cutouts := figures.get("cutouts"):
        yield (
            ("the cutout's edge, by mask", *EDGE_FIGURES.values()),
            [(said, *(_shown(cutouts[mask][key]) for key in EDGE_FIGURES)) for mask, said in EDGE_MASKS.items()],
        )
    if ladder := figures.get("ladder"):
        names = list(next(iter(ladder.values()))["objects"])
        yield (
            ("border error by box, px", *(f"{size} Mpx" for size in ladder)),
            [(name, *(_shown(row["objects"][name]["border_px"]) for row in ladder.values())) for name in names],
        )
    if surfaces := figures.get("controls", {}).get("surfaces"):
        yield tuple(surfaces), [[_shown(share) for share in surfaces.values()]]


def _grid(heading: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""
    rows = [heading, *cells]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return [lines[0], "|---" * len(heading) + "|", *lines[1:]]


def in_card(card: str, shown: str) -> str:
    """The model card with `shown` (from `markdown`) between its table's marks. Raises ValueError without the marks."""
    before, _, rest = card.partition(f"{OPENS}\n")
    _, closes, after = rest.partition(CLOSES)
    if not closes:
        raise ValueError(f"the model card has no place for the table: write {OPENS} and {CLOSES} on lines of their own")
    table = shown.partition("\n\n")[2].strip()  # without the heading: the card has its own
    return f"{before}{OPENS}\n{table}\n{CLOSES}{after}"


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
