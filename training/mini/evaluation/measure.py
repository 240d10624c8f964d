"""The measurement of a pack: all figures of the table as plain dicts, and the results that the sheets show."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import torch

from packshot.models.judge import SceneJudge
from packshot.models.packs.manifest import read_manifest
from packshot.models.packs.pack import Pack
from packshot.models.segment.segmenter import load_segmenter
from packshot.settings import Settings
from training.mini.evaluation import subjects
from training.mini.evaluation.diversity import diversity
from training.mini.evaluation.masks import Answers, Segmenter, ask, calibration, iou, means, score_error
from training.mini.evaluation.painting import Painter, drawn_shots, expansion, readings
from training.mini.evaluation.pointing import box_of, deepest
from training.mini.evaluation.shadow import shadows
from training.mini.evaluation.speed import speed
from training.mini.evaluation.subjects import Subject

CPU, DTYPE = torch.device("cpu"), torch.float32
"""Figures are those of fp32, on every machine. Where bf16 units serve the pack in bf16, answers may differ."""
Log = Callable[[str], None]
"""Called with the name of each step before it runs."""


@dataclass(frozen=True)
class Counts:
    """The size of an evaluation.

    `subjects` is per drawn set. `stamps`, `rendered` pictures and `cutouts` are measured,
    and `groups` pictures of each split of `groups.npz`. `shots` are painted, and
    `prompts` of them with `seeds` seeds for diversity. `controls` are painted with each word and setting. `rounds` is
    the number of timed repeats.
    """

    subjects: int
    stamps: int
    rendered: int
    cutouts: int
    groups: int
    shots: int
    prompts: int
    seeds: int
    controls: int
    rounds: int


COUNTS = {"full": Counts(32, 60, 48, 10, 16, 48, 4, 3, 4, 9), "subset": Counts(4, 8, 8, 2, 3, 4, 2, 2, 1, 3)}
SETS = {
    "held_out": subjects.held_out,
    "unseen_families": subjects.unseen_families,
    "unseen_materials": subjects.unseen_materials,
    "collages": subjects.collages,
}


def open_pack(folder: Path) -> Pack:
    """The pack in a folder."""
    return Pack(read_manifest(folder / "manifest.yaml"), folder, Settings())


def open_judge(pack: Pack) -> SceneJudge | None:
    """The pack's judge of scenes, if it has one."""
    judge: SceneJudge | None = pack.load("judge", CPU) if "judge" in pack.manifest.roles else None
    return judge


def open_segmenter(pack: Pack) -> Segmenter:
    """The pack's segmenter."""
    return Segmenter(*load_segmenter(pack, CPU, DTYPE))


def mask_figures(
    segmenter: Segmenter, count: int, size_px: int, log: Log = lambda _: None
) -> tuple[dict[str, object], list[tuple[Subject, Answers]]]:
    """Measure the segmenter on `count` subjects of each drawn set, with a side of `size_px`, and on the real photos.

    Returns the means of each set (`masks.means`), the figures of each photo's object and the calibration over all
    subjects; and the results of the held-out set and the photos, for the sheets.
    """
    figures: dict[str, object] = {}
    everything: list[Answers] = []
    kept: list[tuple[Subject, Answers]] = []
    for name, drawn in SETS.items():
        log(f"masks: {name}")
        figures[name], measured = set_figures(segmenter, drawn(count, size_px))
        everything += [answers for _, answers in measured]
        kept += measured if name == "held_out" else []
    log("masks: real photos")
    real = list(_measure_photos(segmenter, subjects.real_photos()))
    figures["photos"] = {
        subject.name: _rounded(answers.overlaps)
        | {"border_f": _rounded(answers.borders), "score_error": score_error([answers])}
        for subject, answers in real
    }
    figures["photos_mean"] = means([answers for _, answers in real])
    everything += [answers for _, answers in real]
    figures["calibration"] = calibration(everything)
    return figures, kept + real


def set_figures(
    segmenter: Segmenter, found: Iterable[Subject]
) -> tuple[dict[str, object], list[tuple[Subject, Answers]]]:
    """The means over some subjects (`masks.means`), and each result."""
    measured = [(subject, ask(segmenter, subject)) for subject in found]
    return means([answers for _, answers in measured]), measured


def _measure_photos(segmenter: Segmenter, photos: Iterable[Subject]) -> Iterable[tuple[Subject, Answers]]:
    """Measure the objects of the photos. Each photo is encoded only once."""
    name, seen = "", None
    for subject in photos:
        photo = subject.name.partition("/")[0]
        if photo != name:
            name, seen = photo, segmenter.encode(subject.image)
        yield subject, ask(segmenter, subject, seen)


def _rounded(overlaps: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in overlaps.items()}


def paint_figures(
    segmenter: Segmenter, painter: Painter, judge: SceneJudge | None, counts: Counts, log: Log
) -> dict[str, object]:
    """Measure the painter on drawn products. Without a judge, its readings are left out."""
    log("painter: shots")
    shots = drawn_shots(counts.shots, painter.width_px)
    pictures = painter.paint(shots)
    figures: dict[str, object] = {"shots": len(shots)}
    if judge:
        figures |= readings(judge, shots, pictures)
    log("painter: expansion and shadows")
    figures |= expansion(segmenter, shots, pictures)
    figures["shadow_painted"] = shadows(
        [(picture.locked, shot.product, shot.asked) for shot, picture in zip(shots, pictures, strict=True)]
    )
    figures["shadow_drawn"] = shadows([(shot.drawn, shot.product, shot.attributes) for shot in shots])
    log("painter: diversity")
    figures["diversity"] = diversity(painter, shots[: counts.prompts], counts.seeds, judge)
    return figures


def speed_figures(segmenter: Segmenter, painter: Painter, rounds: int) -> dict[str, float]:
    """Measure the speed, with `rounds` repeats."""
    return speed(segmenter, painter, drawn_shots(1, painter.width_px)[0], rounds)


def slice_figures(pack: Pack) -> dict[str, float]:
    """A few figures that a test repeats in seconds: the coffee photo, two renders, a 4-step picture."""
    segmenter, painter = open_segmenter(pack), Painter(pack, DTYPE)
    figures: dict[str, float] = {}
    coffee = [subject for subject in subjects.real_photos() if subject.name.startswith("coffee/cup")]
    seen = segmenter.encode(coffee[0].image)
    for subject in coffee:
        found = segmenter.segment(seen, box=box_of(subject.truth))[0].mask.pixels > 0
        figures[f"iou {subject.name} box"] = iou(found, subject.truth)
    for subject in subjects.held_out(2, encoder_px(pack)):
        found = segmenter.segment(segmenter.encode(subject.image), [deepest(subject.truth)])[0].mask.pixels > 0
        figures[f"iou {subject.name} click"] = iou(found, subject.truth)
    [picture] = painter.paint(drawn_shots(1, painter.width_px), steps=4)
    for channel, level in zip("rgb", picture.painted.reshape(-1, 3).mean(0) / 255, strict=True):
        figures[f"level {channel}"] = float(level)
    return _rounded(figures)


def encoder_px(pack: Pack) -> int:
    """The side of the segmenter's input in pixels, at which drawn subjects are made."""
    return int(pack.role("segmenter").config["image_size"])


def quiet_threads(threads: int) -> None:
    """Limit torch to `threads` threads and OpenCV to one."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(1)
