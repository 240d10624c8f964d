"""Paints shots of drawn products with the engine that serves the pack, and measures how well the pictures match.

A shot combines a held-out drawn product with the caption of another drawn scene. Each picture is measured in two forms:
`painted` is the engine's output, and `locked` has the product's own pixels put back, as it is delivered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from packshot.contract.shot_spec import Canvas
from packshot.imaging.composite import composite, enlarge, inpaint_mask, product_on_grey
from packshot.imaging.edges import canny
from packshot.models.engines.unet_controlnet import DiffusionEngine
from packshot.models.judge import SceneJudge
from packshot.models.packs.pack import Pack
from packshot.types import Brief, Flat, Scene
from training.mini.evaluation.masks import Segmenter
from training.mini.evaluation.pointing import box_of, spread
from training.mini.evaluation.subjects import CHUNK
from training.mini.judge import HEADS, labels_of, read
from training.scenes import render
from training.scenes.words import FIELDS, describe

U8 = NDArray[np.uint8]
Bits = NDArray[np.bool_]
SHOTS = 995_000
STEPS = 16
"""Steps of the measured pictures, for which the time target is stated."""


@dataclass(frozen=True)
class Shot:
    """A product on its canvas, and the prompt for its scene."""

    flat: Flat
    prompt: str
    seed: int

    @property
    def product(self) -> Bits:
        """The product's pixels, bool HxW."""
        return self.flat.alpha >= 128


@dataclass(frozen=True)
class DrawnShot(Shot):
    """A shot of a drawn product.

    `drawn` is the scene from which it comes (uint8 SxSx3), and `attributes` are those of that scene. `asked` are the
    attributes that the prompt describes. Both have the columns `words.FIELDS` (int64).
    """

    drawn: U8
    attributes: NDArray[np.int64]
    asked: NDArray[np.int64]


@dataclass(frozen=True)
class Picture:
    """A painted shot at its canvas's size, both uint8 HxWx3 RGB. `decoded_px` is the longer side that was painted."""

    painted: U8
    locked: U8
    decoded_px: int


class Painter:
    """A pack's engine with the pack's default brief. It paints at the native size, `batch` pictures at a time."""

    def __init__(self, pack: Pack, dtype: torch.dtype = torch.float32, batch: int = 4) -> None:
        self.engine = DiffusionEngine(pack, "cpu", dtype)
        self.width_px, self.height_px = self.engine.native
        kept = pack.manifest.defaults
        self.brief = Brief("", guidance_scale=kept.guidance_scale, control_scale=kept.control_scale, steps=kept.steps)
        self._batch = batch

    def paint(self, shots: Sequence[Shot], steps: int = STEPS, control_scale: float | None = None) -> list[Picture]:
        """Paint the shots with `steps` steps, and with the pack's control scale or another. Returns them in order."""
        control_scale = self.brief.control_scale if control_scale is None else control_scale
        pictures = []
        for at in range(0, len(shots), self._batch):
            some = shots[at : at + self._batch]
            rows = [self.engine.begin(self.scene(shot, steps, control_scale)) for shot in some]
            while not rows[0].done:
                self.engine.step(rows)
            for shot, done in zip(some, self.engine.decode(rows), strict=True):
                canvas = Canvas(*shot.flat.alpha.shape[::-1])
                painted = enlarge(done.pixels, canvas)
                pictures.append(Picture(painted, composite(shot.flat, painted), max(done.pixels.shape)))
        return pictures

    def scene(self, shot: Shot, steps: int, control_scale: float) -> Scene:
        """The engine's input for a shot, built as the director builds it."""
        brief = replace(self.brief, prompt=shot.prompt, seed=shot.seed, steps=steps, control_scale=control_scale)
        return Scene(product_on_grey(shot.flat), inpaint_mask(shot.flat), canny(shot.flat), brief)


def drawn_shots(count: int, size_px: int) -> list[DrawnShot]:
    """`count` shots of held-out products without clutter, each with the complete caption of another scene."""
    shots: list[DrawnShot] = []
    for chunk in range(-(-count // CHUNK)):
        batch = render(CHUNK, size_px, SHOTS + chunk, clutter=0.0)
        rng = np.random.default_rng([SHOTS, chunk])
        attributes = batch.attributes.numpy()
        for index in range(CHUNK):
            image, asked = batch.image[index].numpy(), attributes[(index + CHUNK // 2) % CHUNK]
            alpha = (batch.mask[index].numpy() * 255).round().astype(np.uint8)
            shots.append(
                DrawnShot(
                    flat=Flat(np.dstack([image, alpha])),
                    prompt=describe(dict(zip(FIELDS, asked.tolist(), strict=True)), rng, whole=True),
                    seed=len(shots),
                    drawn=image,
                    attributes=attributes[index],
                    asked=asked,
                )
            )
    return shots[:count]


def readings(judge: SceneJudge, shots: Sequence[DrawnShot], pictures: Sequence[Picture]) -> dict[str, float]:
    """The share of pictures in which the judge recognises the requested surface, backdrop and light (`painted_*`).

    `drawn_*` are the same shares for drawn scenes, which show the judge's own error.
    """
    masks = np.stack([shot.flat.alpha for shot in shots])
    figures: dict[str, float] = {}
    for name, seen, truth in (
        ("painted", [picture.locked for picture in pictures], [shot.asked for shot in shots]),
        ("drawn", [shot.drawn for shot in shots], [shot.attributes for shot in shots]),
    ):
        answers, labels = read(judge, np.stack(seen), masks), labels_of(np.stack(truth))
        figures |= {f"{name}_{head}": round(float((answers[head] == labels[head].numpy()).mean()), 3) for head in HEADS}
    return figures


def expansion(segmenter: Segmenter, shots: Sequence[DrawnShot], pictures: Sequence[Picture]) -> dict[str, float]:
    """The mean expansion of the product in `painted` pictures: re-segmented area outside the product, over its area.

    `expansion` prompts with the product's box, which limits the mask when masks are refined. `expansion_unbounded`
    prompts with three points. `drawn_*` are the same values for drawn scenes, which show the segmenter's own error.
    `expansion_added` is what painted pictures have more than drawn ones, by box: the painter's part.
    """
    grown: dict[str, list[float]] = {}
    for shot, picture in zip(shots, pictures, strict=True):
        truth = shot.product
        for name, image in (("", picture.painted), ("drawn_", shot.drawn)):
            seen = segmenter.encode(image)
            by_box, by_points = (
                segmenter.segment(seen, box=box_of(truth)),
                segmenter.segment(seen, spread(truth)),
            )
            for kind, candidates in (("expansion", by_box), ("expansion_unbounded", by_points)):
                outside = np.count_nonzero((candidates[0].mask.pixels > 0) & ~truth)
                grown.setdefault(name + kind, []).append(outside / np.count_nonzero(truth))
    figures = {name: round(float(np.mean(values)), 4) for name, values in grown.items()}
    return figures | {
        "expansion_median": round(float(np.median(grown["expansion"])), 4),
        "expansion_added": round(figures["expansion"] - figures["drawn_expansion"], 4),
    }
