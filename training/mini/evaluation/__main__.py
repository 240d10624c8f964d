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
from training.mini import judge as judges
from training.mini.evaluation import measure
from training.mini.evaluation.painting import STEPS, Painter
from training.mini.evaluation.sheets import mask_sheets, painted_sheet
from training.mini.evaluation.table import in_card, markdown, sizes, table

PARTS = ("masks", "painter", "speed", "sheets")
THREADS = 2
COMMITTED, CARD = "evaluation.json", "README.md"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=package.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subset", action="store_true", help="fewer samples, no painted sheet")
    parser.add_argument("--pack", type=Path, default=Path("packshot/packs/mini"))
    parser.add_argument(
        "--judge", type=Path, default=judges.SHIPPED, help="weights file or run folder of the judge of scenes"
    )
    parser.add_argument("--out", type=Path, default=Path("out/eval-mini"))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument(
        "--commit", action="store_true", help=f"also write {COMMITTED} and the model card's table, next to the weights"
    )
    options = parser.parse_args()
    began = time.perf_counter()

    def log(what: str) -> None:
        print(f"{time.perf_counter() - began:6.0f} s  {what}", file=sys.stderr, flush=True)

    measure.quiet_threads(THREADS)
    options.out.mkdir(parents=True, exist_ok=True)
    mode = "subset" if options.subset else "full"
    counts = measure.COUNTS[mode]
    pack, dtype = measure.open_pack(options.pack), measure.served_dtype()
    segmenter, painter = measure.open_segmenter(pack, dtype), Painter(pack, dtype)
    judge = judges.load(options.judge) if options.judge.exists() else None
    figures: dict[str, object] = {"size": sizes(pack)}
    if "speed" in options.parts:
        log("speed")
        figures["speed"] = measure.speed_figures(segmenter, painter, counts.rounds)
    if "masks" in options.parts:
        figures["masks"], measured = measure.mask_figures(segmenter, counts.subjects, measure.encoder_px(pack), log)
        if "sheets" in options.parts:
            mask_sheets(measured, options.out)
    if "painter" in options.parts:
        figures["painter"] = measure.paint_figures(segmenter, painter, judge, counts, log)
        if "sheets" in options.parts and not options.subset:
            log("painter: sheet")
            painted_sheet(painter, options.out)
    log("slice")
    made = {
        "mode": mode,
        "dtype": str(dtype).removeprefix("torch."),
        "threads": THREADS,
        "cores": os.cpu_count(),
        "steps": STEPS,
        "subjects a set": counts.subjects,
        "shots": counts.shots,
        "judge": options.judge.name if judge else "none",
    }
    found = table(pack, figures, made, measure.slice_figures(pack))
    written = [options.out / "table.json", *([options.pack / COMMITTED] if options.commit else [])]
    for path in written:
        path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
    shown = markdown(found)
    (options.out / "table.md").write_text(shown, "utf-8")
    if options.commit:
        card = options.pack / CARD
        card.write_text(in_card(card.read_text("utf-8"), shown), "utf-8")
    print(shown, file=sys.stderr)
    verdicts = {row["title"]: row["verdict"] for row in found["rows"] if row["verdict"]}
    misses = [title for title, verdict in verdicts.items() if verdict == "MISS"]
    line = {
        "row": "eval_mini",
        "mode": mode,
        "holds": sum(verdict == "holds" for verdict in verdicts.values()),
        "misses": misses,
        "not_measured": [title for title, verdict in verdicts.items() if verdict == "not measured"],
        "seconds": round(time.perf_counter() - began),
    }
    print(json.dumps(line, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
