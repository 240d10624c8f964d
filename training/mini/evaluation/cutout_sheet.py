"""Cutouts of real photos by box, on white, green and black at 200 %: what a designer looks at first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training.mini.evaluation.colour import BLACK, GREEN, WHITE, over
from training.mini.evaluation.cutouts import cut_at_place
from training.mini.evaluation.masks import Answers
from training.mini.evaluation.pointing import box_of
from training.mini.evaluation.sheets import write_sheet
from training.mini.evaluation.subjects import Subject

U8 = NDArray[np.uint8]
MARGIN_PX, ENLARGED, PAGE_PX = 12, 2, 1600


def cutout_sheets(measured: Sequence[tuple[Subject, Answers]], out: Path) -> list[Path]:
    """Write `cutouts-1.png` and so on, about PAGE_PX high: a row for each object whose photo may be shown."""
    pages: list[list[list[U8]]] = []
    height = PAGE_PX
    for subject, answers in measured:
        if not subject.shown:
            continue
        row = list(tiles(subject, answers))
        if height + row[0].shape[0] > PAGE_PX:
            pages, height = [*pages, []], 0
        pages[-1].append(row)
        height += row[0].shape[0]
    return [write_sheet(out / f"cutouts-{number}.png", rows) for number, rows in enumerate(pages, 1)]


def tiles(subject: Subject, answers: Answers) -> Iterator[U8]:
    """The cutout of the mask found by box on white, green and black: three uint8 hxwx3, each pixel ENLARGED.

    Each tells the object's name, its IoU and its border F.
    """
    mask = answers.masks["box"]
    cutout = cut_at_place(subject.image, mask)[_around(mask | subject.truth)]
    alpha = cutout[..., 3] / 255
    for colour in (WHITE, GREEN, BLACK):
        shown = over(cutout[..., :3] / 255 * alpha[..., None], alpha, colour)
        enlarged = np.rint(shown * 255).astype(np.uint8).repeat(ENLARGED, 0).repeat(ENLARGED, 1)
        item = subject.name.rpartition("/")[2]
        said = f"{item} {answers.overlaps['box']:.2f}, F {answers.borders['box']:.2f}"
        ink = (255, 255, 255) if colour == BLACK else (0, 0, 0)
        cv2.putText(enlarged, said, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.4, ink, 1, cv2.LINE_AA)
        yield enlarged


def _around(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    x0, y0, x1, y1 = (int(value) for value in box_of(mask))
    return slice(max(0, y0 - MARGIN_PX), y1 + MARGIN_PX), slice(max(0, x0 - MARGIN_PX), x1 + MARGIN_PX)
