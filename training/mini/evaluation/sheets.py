"""Sheets of examples: masks outlined on photos and renders, and real products painted into scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from packshot.contract.shot_spec import Canvas
from packshot.imaging.canvas import cut, fit_to, flatten
from packshot.types import Layer, Layout, Mask, Photo
from training.mini.evaluation.masks import Answers
from training.mini.evaluation.painting import Painter, Shot, drawn_shots
from training.mini.evaluation.pointing import box_of
from training.mini.evaluation.subjects import Subject, real_photos
from training.mini.sheet import PROMPTS

U8 = NDArray[np.uint8]
TILE_PX, MARGIN, COLUMNS = 224, 0.35, 8
SHOWN = 64
PROMPTED = ("box", "click", "clicks3", "automatic")
FOUND, TRUTH, POINTED = (0, 255, 0), (255, 255, 255), (255, 230, 0)
PAINTED = (
    "coffee/cup_saucer_spoon",
    "coffee/cup",
    "rocket/rocket",
    "coins/coin_3_6",
    "astronaut/patch",
    "camera/camcorder",
)
SCENES, CARD_PX = "painted.png", 1600
DRAWN = 2
"""The sheet of scenes shows the real products PAINTED and this many drawn ones."""


def _tile(subject: Subject, answers: Answers, prompt: str) -> U8:
    """The surroundings of an object, with its true border (white), the found mask (green) and the prompt (yellow)."""
    x0, y0, x1, y1 = box_of(subject.truth)
    half = (0.5 + MARGIN) * max(x1 - x0, y1 - y0)
    matrix = cv2.getRotationMatrix2D(((x0 + x1) / 2, (y0 + y1) / 2), 0, TILE_PX / (2 * half))
    matrix[:, 2] += TILE_PX / 2 - np.array([x0 + x1, y0 + y1]) / 2
    shown: U8 = cv2.warpAffine(subject.image, matrix, (TILE_PX, TILE_PX), flags=cv2.INTER_AREA)
    for mask, ink in ((subject.truth, TRUTH), (answers.masks[prompt], FOUND)):
        moved = cv2.warpAffine(mask.astype(np.uint8) * 255, matrix, (TILE_PX, TILE_PX))
        borders, _ = cv2.findContours((moved > 127).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(shown, borders, -1, ink, 1)

    def place(x: float, y: float) -> tuple[int, int]:
        u, v = matrix @ (x, y, 1.0)
        return round(float(u)), round(float(v))

    if prompt == "box":
        cv2.rectangle(shown, place(x0, y0), place(x1, y1), POINTED, 1)
    for number, (x, y, label) in enumerate(answers.points[: {"click": 1, "clicks3": 3}.get(prompt, 0)]):
        cv2.drawMarker(shown, place(x, y), POINTED if label else (255, 0, 0), cv2.MARKER_CROSS, 9 - 2 * number, 2)
    text = f"{subject.name.rpartition('/')[2]} {prompt} {answers.overlaps[prompt]:.2f}"
    cv2.rectangle(shown, (0, 0), (TILE_PX, 17), (0, 0, 0), -1)
    cv2.putText(shown, text, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
    return shown


def mask_sheets(measured: Mapping[str, Sequence[tuple[Subject, Answers]]], out: Path) -> list[Path]:
    """Write `NAME.png` for each set that was measured.

    Photos have a column for each prompt; renders and stamps are prompted by box. Photos whose licence does not allow it
    are not shown. Stamps are written because nothing of `out` is committed.
    """
    written = []
    for name, pairs in measured.items():
        if name == "photos":
            shown = [[_tile(*pair, prompt) for prompt in PROMPTED] for pair in pairs if pair[0].shown]
            tiles = [tile for row in shown for tile in row]
        else:
            tiles = [_tile(*pair, "box") for pair in pairs[:SHOWN]]
        if tiles:
            written.append(
                write_sheet(out / f"{name}.png", [tiles[at : at + COLUMNS] for at in range(0, len(tiles), COLUMNS)])
            )
    return written


def real_shot(subject: Subject, width_px: int, height_px: int, prompt: str, seed: int) -> Shot:
    """A shot of a real product: cut out by its hand-drawn mask, and placed low in the middle of the engine's canvas."""
    cutout = cut(Photo(subject.image), Mask(subject.truth.astype(np.uint8) * 255))
    flat = flatten(Layout(Canvas(2 * width_px, 2 * height_px), (Layer(cutout, y=0.56, scale=0.6),)))
    return Shot(fit_to(flat, width_px, height_px), prompt, seed)


def painted_sheet(painter: Painter, out: Path, prompts: Sequence[str] = PROMPTS) -> Path:
    """Write SCENES: a row for each product, with its photo and then its locked pictures of `prompts`.

    The products are PAINTED and DRAWN held-out drawn ones.
    """
    size = (painter.width_px, painter.height_px)
    subjects = {subject.name: subject for subject in real_photos()}
    rows = []
    for seed, name in enumerate(PAINTED):
        shots = [real_shot(subjects[name], *size, prompt, seed) for prompt in prompts]
        rows.append([_square(subjects[name].image, *size), *_locked(painter, shots)])
    for shot in drawn_shots(DRAWN, painter.width_px):
        shots = [Shot(shot.flat, prompt, shot.seed) for prompt in prompts]
        rows.append([_square(shot.drawn, *size), *_locked(painter, shots)])
    return write_sheet(out / SCENES, rows)


def card_picture(sheet: Path, path: Path) -> None:
    """Write a sheet as the JPEG that the model card shows, CARD_PX wide."""
    page = np.asarray(cv2.imread(str(sheet)), np.uint8)
    size = (CARD_PX, round(page.shape[0] * CARD_PX / page.shape[1]))
    cv2.imwrite(str(path), cv2.resize(page, size, interpolation=cv2.INTER_AREA), [cv2.IMWRITE_JPEG_QUALITY, 84])


def _locked(painter: Painter, shots: Sequence[Shot]) -> list[U8]:
    return [picture.locked for picture in painter.paint(shots, painter.brief.steps)]


def _square(image: U8, width: int, height: int) -> U8:
    scale = min(width / image.shape[1], height / image.shape[0])
    fit = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    page = np.full((height, width, 3), 255, np.uint8)
    page[: fit[1], : fit[0]] = cv2.resize(image, fit, interpolation=cv2.INTER_AREA)
    return page


def write_sheet(path: Path, rows: Sequence[Sequence[U8]]) -> Path:
    """Write rows of pictures (uint8 HxWx3 of one height a row) as one picture, white where a row is shorter."""
    widest = max(sum(tile.shape[1] for tile in row) for row in rows)
    lines = [np.concatenate(row, 1) for row in rows]
    page = [np.pad(line, ((0, 0), (0, widest - line.shape[1]), (0, 0)), constant_values=255) for line in lines]
    cv2.imwrite(str(path), cv2.cvtColor(np.concatenate(page), cv2.COLOR_RGB2BGR))
    return path
