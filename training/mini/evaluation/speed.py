"""Seconds of what a person waits for, warm, median of a few: encode a photo, a click, a picture at native size."""

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
    """`encode_s`, `click_s` on the coffee photo, `picture_s`: guided, STEPS steps, decoded; THREADS torch threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        coffee = real_photos()[0]
        seen = segmenter.look(coffee.image)
        return {
            "encode_s": _median(lambda: segmenter.look(coffee.image), rounds),
            "click_s": _median(lambda: segmenter.answer(seen, [deepest(coffee.truth)]), rounds),
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
