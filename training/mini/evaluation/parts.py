"""The evaluation's two halves, each in a process with one torch thread: what is cut, and what is painted.

Two processes of one thread use two cores better than one process of two threads, because masks are many small steps.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from training.mini import judge as judges
from training.mini.evaluation import cutout_sheet, measure, sheets, stamps
from training.mini.evaluation.controls import control_figures
from training.mini.evaluation.cutouts import cutout_figures
from training.mini.evaluation.heads import head_figures
from training.mini.evaluation.ladder import ladder_figures
from training.mini.evaluation.masks import Answers
from training.mini.evaluation.painting import Painter, drawn_shots
from training.mini.evaluation.rendered import rendered_figures
from training.mini.evaluation.subjects import Subject
from training.path_traced.assets import Cache

PARTS = ("speed", "masks", "stamps", "rendered", "cutouts", "ladder", "heads", "painter", "controls", "sheets")
Figures = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What to measure: a pack's folder, the mode's counts, some of PARTS, and where sheets go.

    `judge` is the folder of a judge's training; None = the pack's own judge, if it has one.
    `shards` is a folder of path-traced shards, or None. `began` is the `time.perf_counter` of the start.
    """

    pack: Path
    judge: Path | None
    out: Path
    mode: str
    parts: tuple[str, ...]
    shards: Path | None
    began: float

    @property
    def counts(self) -> measure.Counts:
        """The mode's sizes."""
        return measure.COUNTS[self.mode]


def log(began: float, what: str) -> None:
    """Print a step with the seconds since `began` and this process's own seconds."""
    elapsed, spent = time.perf_counter() - began, time.process_time()
    print(f"{elapsed:6.0f} s  {what} (process: {spent:.0f} s)", file=sys.stderr, flush=True)


def measured(plan: Plan) -> tuple[Figures, float]:
    """All figures, and the processor seconds of the processes. The speed is measured first, alone."""
    speed = partial(_in_process, speed_part) if "speed" in plan.parts else None
    halves = [partial(_in_process, half) for half in (cut_part, paint_part)]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        found = [pool.submit(speed, plan).result()] if speed else []
        found += [job.result() for job in [pool.submit(half, plan) for half in halves]]
    return {key: value for figures, _ in found for key, value in figures.items()}, sum(spent for _, spent in found)


def _in_process(part: Any, plan: Plan) -> tuple[Figures, float]:
    measure.quiet_threads(1)
    began = time.process_time()
    return part(plan), time.process_time() - began


def speed_part(plan: Plan) -> Figures:
    """The times of `speed.py`."""
    log(plan.began, "speed")
    pack = measure.open_pack(plan.pack)
    segmenter, painter = measure.open_segmenter(pack), Painter(pack, measure.DTYPE)
    return {"speed": measure.speed_figures(segmenter, painter, plan.counts.rounds)}


def cut_part(plan: Plan) -> Figures:
    """The figures of masks and cutouts, and their sheets."""
    say, counts = partial(log, plan.began), plan.counts
    pack = measure.open_pack(plan.pack)
    segmenter = measure.open_segmenter(pack)
    figures: Figures = {}
    pages: dict[str, list[tuple[Subject, Answers]]] = {}
    if "masks" in plan.parts:
        figures["masks"], found = measure.mask_figures(segmenter, counts.subjects, measure.encoder_px(pack), say)
        pages["photos"] = [pair for pair in found if "/" in pair[0].name]
        pages["held-out"] = [pair for pair in found if "/" not in pair[0].name]
    if "stamps" in plan.parts:
        if stamps.available(Cache.default()):
            say("masks: stamps")
            photos = stamps.subjects(Cache.default(), counts.stamps)
            figures["stamps"], pages["stamps"] = measure.set_figures(segmenter, photos)
        else:
            say("masks: stamps are skipped; python -m training.mini.evaluation --fetch-stamps downloads them")
    if "rendered" in plan.parts:
        if plan.shards:
            say("masks: path-traced shards")
            figures["path_traced"], pages["path-traced"] = rendered_figures(segmenter, plan.shards, counts.rendered)
        else:
            say("masks: path-traced shards are skipped; --shards names their folder")
    if "cutouts" in plan.parts:
        say("cutouts: edges of exact scenes")
        figures["cutouts"] = cutout_figures(segmenter, counts.cutouts)
    if "ladder" in plan.parts:
        say("ladder: 0.5, 3 and 12 megapixels")
        figures["ladder"] = ladder_figures(segmenter)
    if "heads" in plan.parts:
        say("heads: geometry and names")
        figures["heads"] = head_figures(pack, segmenter.encoder, counts.groups)
    if "sheets" in plan.parts:
        say("masks: sheets")
        sheets.mask_sheets(pages, plan.out)
        cutout_sheet.cutout_sheets(pages.get("photos", []), plan.out)
    say("masks: done")
    return figures


def paint_part(plan: Plan) -> Figures:
    """The figures of the painter, and its sheet. Without a judge, its readings are left out."""
    say, counts = partial(log, plan.began), plan.counts
    pack = measure.open_pack(plan.pack)
    segmenter, painter = measure.open_segmenter(pack), Painter(pack, measure.DTYPE)
    judge = judges.load(plan.judge) if plan.judge else measure.open_judge(pack)
    figures: Figures = {}
    if "painter" in plan.parts:
        figures["painter"] = measure.paint_figures(segmenter, painter, judge, counts, say)
    if "controls" in plan.parts:
        say("painter: controls")
        figures["controls"] = control_figures(painter, judge, drawn_shots(counts.controls, painter.width_px))
    if "sheets" in plan.parts and plan.mode == "full":
        say("painter: sheet of 8 products and 8 prompts")
        sheets.painted_sheet(painter, plan.out)
    say("painter: done")
    return figures
