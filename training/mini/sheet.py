"""A sheet of pictures that a pack paints with the engine that serves it: a row per product, a column per prompt."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from packshot.models.packs.manifest import read_manifest
from packshot.models.packs.pack import Pack
from packshot.settings import Settings
from training.mini.evaluation.painting import Painter, Shot, drawn_shots

PROMPTS = (
    "product on a wooden table, green garden, warm light from the left",
    "white marble table, tile wall, soft light from the right",
    "on sand, night city lights",
    "on slate, red brick wall, hard light from the left",
    "on pink paper, pink studio backdrop, soft light",
    "on linen, bright room with a window, cool light",
    "on white paper, plain white backdrop, soft neutral light",
    "dark walnut table, blue sea and sky, golden light from the right",
)


def sheet(pack_folder: Path, out: Path, rows: int = 4, locked: bool = True) -> None:
    """Paint PROMPTS around `rows` products that training does not use, and write the sheet to `out`.

    `locked` puts the product's own pixels back.
    """
    painter = Painter(Pack(read_manifest(pack_folder / "manifest.yaml"), pack_folder, Settings()))
    lines = []
    for shot in drawn_shots(rows, painter.width_px):
        pictures = painter.paint([Shot(shot.flat, prompt, shot.seed) for prompt in PROMPTS], painter.brief.steps)
        painted = [picture.locked if locked else picture.painted for picture in pictures]
        lines.append(np.concatenate([shot.drawn, *painted], 1))
    cv2.imwrite(str(out), cv2.cvtColor(np.concatenate(lines), cv2.COLOR_RGB2BGR))
