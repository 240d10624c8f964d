"""`python -m training.mini.evaluation`: measure a pack, write table and sheets, and print one JSON line.

It only reports: the exit code is 0 even when a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import training.mini.evaluation as package
from training.mini.evaluation import measure, sheets, stamps
from training.mini.evaluation.painting import STEPS
from training.mini.evaluation.parts import PARTS, Plan, log, measured
from training.mini.evaluation.table import in_card, markdown, sizes, table
from training.path_traced.assets import Cache

COMMITTED, CARD = "evaluation.json", "README.md"
PICTURE = Path("docs/pictures/mini-sheet.jpg")
"""The model card shows it."""


def main() -> None:
    """Run the command line."""
    options = _options()
    if options.fetch_stamps:
        stamps.fetch(Cache.default())
        return
    began = time.perf_counter()
    mode = "subset" if options.subset else "full"
    options.out.mkdir(parents=True, exist_ok=True)
    plan = Plan(options.pack, options.judge, options.out, mode, tuple(options.parts), options.shards, began)
    figures, spent_s = measured(plan)
    log(began, "slice")
    measure.quiet_threads(1)
    pack = measure.open_pack(options.pack)
    repeated = measure.slice_figures(pack)
    judge = pack.manifest.roles.get("judge")
    made = {
        "mode": mode,
        "dtype": str(measure.DTYPE).removeprefix("torch."),
        "cores": os.cpu_count(),
        "steps": STEPS,
        "subjects a set": plan.counts.subjects,
        "shots": plan.counts.shots,
        "judge": options.judge.name if options.judge else ", ".join(judge.files) if judge else "none",
        "minutes": round((time.perf_counter() - began) / 60, 1),
        "processor minutes": round((spent_s + time.process_time()) / 60, 1),
    }
    found = table(pack, figures | {"size": sizes(pack)}, made, repeated)
    written = [options.out / "table.json", *([options.pack / COMMITTED] if options.commit else [])]
    for path in written:
        path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
    shown = markdown(found)
    (options.out / "table.md").write_text(shown, "utf-8")
    if options.commit:
        card = options.pack / CARD
        card.write_text(in_card(card.read_text("utf-8"), shown), "utf-8")
        if mode == "full" and "sheets" in plan.parts:
            sheets.card_picture(options.out / sheets.SCENES, PICTURE)
    print(shown, file=sys.stderr)
    verdicts = {f"{row['group']}: {row['title']}": row["verdict"] for row in found["rows"] if row["verdict"]}
    line = {
        "row": "eval_mini",
        "mode": mode,
        "holds": sum(verdict == "holds" for verdict in verdicts.values()),
        "misses": [title for title, verdict in verdicts.items() if verdict == "MISS"],
        "not_measured": [title for title, verdict in verdicts.items() if verdict == "not measured"],
        "seconds": round(time.perf_counter() - began),
    }
    print(json.dumps(line, ensure_ascii=False), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=package.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subset", action="store_true", help="fewer samples, no painted sheet")
    parser.add_argument("--pack", type=Path, default=Path("packshot/packs/mini"))
    parser.add_argument("--judge", type=Path, help="run folder of another judge of scenes than the pack's")
    parser.add_argument("--out", type=Path, default=Path("out/eval-mini"))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--shards", type=Path, help="folder of path-traced shards; their heldout-*.npz are measured")
    parser.add_argument(
        "--fetch-stamps", action="store_true", help=f"only download {stamps.PACKAGE} into the cache outside the tree"
    )
    parser.add_argument(
        "--commit", action="store_true", help=f"also write {COMMITTED}, the model card's table and {PICTURE}"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
