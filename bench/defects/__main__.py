"""Judge the findings about defects on the labelled set: `python -m bench.defects [--out DIR] [--every N]`.

Each row of labels.csv is drawn again from its seed, finished, and compared with its labels. A precision below the
target makes the exit code 1. DIR gets a picture of each case that was judged wrongly, with the boxes of its findings.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from bench.defects.cases import Case, plant
from packshot.contract.verdict import Finding
from packshot.imaging.codec import read_png

LABELS = Path(__file__).with_name("labels.csv")
CLASSES = ("floating", "scale", "indistinct", "hallucination")
TARGET = 0.8
"""The least precision of each class."""
TILE_PX, COLUMNS = 256, 6


@dataclass
class Score:
    """What the findings of one class got right and wrong, in cases."""

    right: int = 0
    false: int = 0
    missed: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def precision(self) -> float:
        """The share of the failed findings whose case has the defect; 1 without one."""
        return self.right / (self.right + self.false) if self.right + self.false else 1.0

    @property
    def recall(self) -> float:
        """The share of the cases with the defect that were found; 1 without one."""
        return self.right / (self.right + self.missed) if self.right + self.missed else 1.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="judge every N-th case of the set")
    parser.add_argument("--out", type=Path, help="folder for the sheet of the cases that were judged wrongly")
    args = parser.parse_args(argv)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    started_at = time.process_time()
    tiles: list[np.ndarray] = []
    scores, cases = judge(args.every, tiles if args.out else None)
    for name, score in scores.items():
        print(f"{name:14} precision {score.precision:.2f}, recall {score.recall:.2f}; {', '.join(score.wrong)}")
    told = {name: [round(one.precision, 3), round(one.recall, 3)] for name, one in scores.items()}
    print(json.dumps({"cases": cases, **told, "core_s": round(time.process_time() - started_at, 1)}))
    if args.out and tiles:
        args.out.mkdir(parents=True, exist_ok=True)
        tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % COLUMNS)
        rows = [np.hstack(tiles[at : at + COLUMNS]) for at in range(0, len(tiles), COLUMNS)]
        Image.fromarray(np.vstack(rows)).save(args.out / "wrong.png")
    return 0 if all(score.precision >= TARGET for score in scores.values()) else 1


def judge(every: int = 1, wrong: list[np.ndarray] | None = None) -> tuple[dict[str, Score], int]:
    """The score of each class over every N-th case, and the number of cases. `wrong` collects tiles of the mistakes."""
    scores = {name: Score() for name in CLASSES}
    count = 0
    for case, labels in labelled(every):
        count += 1
        made = case.finished
        failed = [one for one in made.verdict.findings if one.level == "failed" and one.check in CLASSES]
        found = {one.check for one in failed}
        for name, score in scores.items():
            score.right += name in found and name in labels
            score.false += name in found and name not in labels
            score.missed += name not in found and name in labels
            if (name in found) != (name in labels):
                score.wrong.append(("" if name in labels else "not ") + case.name)
        if wrong is not None and found != labels:
            wrong.append(_tile(case, read_png(made.png), failed))
    return scores, count


def labelled(every: int = 1) -> Iterator[tuple[Case, set[str]]]:
    """The cases of the set with the names of the defects that each has: every N-th of each kind."""
    seen: Counter[str] = Counter()
    with LABELS.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            seen[row["kind"]] += 1
            if (seen[row["kind"]] - 1) % every == 0:
                case = plant(row["kind"], int(row["seed"]))
                if case is None:
                    raise ValueError(f"{LABELS}: the scene of {row['kind']} {row['seed']} cannot have this defect")
                yield case, set(row["defects"].split())


def _tile(case: Case, picture: np.ndarray, failed: Sequence[Finding]) -> np.ndarray:
    sized = cv2.resize(np.ascontiguousarray(picture[..., :3]), (TILE_PX, TILE_PX), interpolation=cv2.INTER_CUBIC)
    tile: np.ndarray = np.asarray(sized, np.uint8)
    for at, one in enumerate(failed):
        if one.box:
            x0, y0, x1, y1 = (round(side * TILE_PX) for side in one.box)
            cv2.rectangle(tile, (x0, y0), (x1, y1), (255, 0, 0), 1)
        cv2.putText(tile, f"{one.check} {one.value:.2f}", (4, 32 + 14 * at), 0, 0.4, (255, 0, 255))
    cv2.putText(tile, case.name, (4, 16), 0, 0.4, (255, 0, 0))
    return tile


if __name__ == "__main__":
    raise SystemExit(main())
