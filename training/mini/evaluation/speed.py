"""The speed of what a person waits for: encoding a photo, a click, and a picture at native size. Medians, warm."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from training.mini.evaluation.masks import Segmenter
from training.mini.evaluation.painting import STEPS, Painter, Shot
from training.mini.evaluation.pointing import deepest
from training.mini.evaluation.subjects import real_photos

THREADS = 2


def speed(segmenter: Segmenter, painter: Painter, shot: Shot, rounds: int) -> dict[str, float]:
    """The median seconds of `rounds` repeats with THREADS torch threads.

    `encode_s` and `click_s` use the coffee photo. `picture_s` is a guided picture of STEPS steps, decoded.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        coffee = real_photos()[0]
        seen = segmenter.encode(coffee.image)
        return {
            "encode_s": _median(lambda: segmenter.encode(coffee.image), rounds),
            "click_s": _median(lambda: segmenter.segment(seen, [deepest(coffee.truth)]), rounds),
            "picture_s": _median(lambda: painter.paint([shot], STEPS), max(2, rounds // 2)),
        }
    finally:
        torch.set_num_threads(threads)


def _median(work: Callable[[], object], rounds: int) -> float:
    work()
    spent = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return round(statistics.median(spent), 4)
