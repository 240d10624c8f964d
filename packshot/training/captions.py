"""Captions of a dataset: a .txt file beside each picture, which people can edit before a training reads it.

The embedded pack's captioner joins what two of its networks read: the detector names the product, and the judge its
scene. Packs of real size have the role `captioner` (BLIP).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from packshot.errors import BadInput
from packshot.imaging.decoding.photo_decoder import PhotoDecoder
from packshot.models.detect.detector import MiniDetector, load_detector
from packshot.models.packs.pack import Pack
from packshot.models.segment.segmenter import SamEncoder, load_segmenter
from packshot.training.dataset import mask_of, named_faults, picture_files, read_product, with_tag
from packshot.training.progress import named_disk_errors
from packshot.types import U8, Photo

__all__ = ["BlipCaptioner", "Captioner", "MiniCaptioner", "load_captioner", "write_captions"]

SURE_LIGHT = 0.3
"""The judge's least probability of a light that is named; below it the caption is silent about it."""
COLOURS = {
    "white": (238, 238, 236),
    "black": (30, 30, 32),
    "grey": (140, 140, 142),
    "red": (190, 45, 45),
    "orange": (225, 125, 55),
    "yellow": (235, 200, 80),
    "green": (80, 140, 80),
    "blue": (70, 110, 190),
    "purple": (120, 80, 150),
    "pink": (230, 160, 175),
    "brown": (115, 75, 50),
    "beige": (215, 195, 165),
}
"""Names of colours, and an RGB of each. The nearest one in Lab names a product's colour."""
BACKDROP_WORDS = {
    "plain": "a plain wall",
    "brick": "a brick wall",
    "tile": "a tile wall",
    "room": "a room",
    "curtain": "a curtain",
}
"""How a backdrop's class stands in a sentence; other classes stand as they are."""
MOST_TOKENS = 30
BLIP_MEAN, BLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class Captioner(Protocol):
    """What writes a sentence about a picture (uint8 HxWx3 RGB). `mask` is its product (uint8 HxW), if known."""

    def caption(self, pixels: U8, mask: U8 | None) -> str: ...


class MiniCaptioner:
    """The embedded pack's: "a red mug on marble, in front of a plain wall, soft warm light"."""

    def __init__(self, encoder: SamEncoder, detector: MiniDetector, judge: Any) -> None:
        self._encoder, self._detector, self._judge = encoder, detector, judge

    def caption(self, pixels: U8, mask: U8 | None) -> str:
        name, box = self._detector.name(self._encoder.encode([Photo(pixels)])[0], _box_of(mask))
        if mask is None:
            x0, y0, x1, y1 = (round(side) for side in box)
            mask = np.zeros(pixels.shape[:2], np.uint8)
            mask[y0:y1, x0:x1] = 255
        found = self._judge.probabilities(pixels[None], mask[None])
        surface, backdrop, light = (self._said(head, found[head][0]) for head in ("surface", "backdrop", "light"))
        thing = f"{_colour_of(pixels, mask)} {name}".strip()
        sentence = f"{_article(thing)} {thing} on {surface}, in front of {BACKDROP_WORDS.get(backdrop, backdrop)}"
        return f"{sentence}, {light} light" if found["light"][0].max() >= SURE_LIGHT else sentence

    def _said(self, head: str, probabilities: Any) -> str:
        name: str = self._judge.classes[head][int(probabilities.argmax())]
        return name.replace("_", " ")


class BlipCaptioner:
    """BLIP (`BlipForConditionalGeneration` of transformers) with its BERT tokenizer. It decodes greedily."""

    def __init__(self, network: Any, tokenizer: Any, device: torch.device) -> None:
        self._network, self._tokenizer, self._device = network, tokenizer, device

    @torch.inference_mode()
    def caption(self, pixels: U8, mask: U8 | None) -> str:
        side = int(self._network.config.vision_config.image_size)
        picture = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
        resized = torch.nn.functional.interpolate(picture, (side, side), mode="bicubic", antialias=True)
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (BLIP_MEAN, BLIP_STD))
        dtype = next(self._network.parameters()).dtype
        given = ((resized.clamp(0, 1) - mean) / std).to(self._device, dtype)
        ids = self._network.generate(pixel_values=given, max_new_tokens=MOST_TOKENS, num_beams=1, do_sample=False)
        return str(self._tokenizer.decode(ids[0], skip_special_tokens=True)).strip()


def load_captioner(pack: Pack, device: torch.device, report: Callable[[str], None] = lambda _: None) -> Captioner:
    """Load the pack's captioner. `report` gets a line before each download.

    Raises BadInput (engine_cannot) when the pack has none, and PackRefused when its files are missing or altered.
    """
    if "captioner" in pack.manifest.roles:
        from transformers import PreTrainedTokenizerFast

        if pack.missing("captioner"):
            pack.fetch(report, role="captioner")
        file = next(path for name, path in pack.paths("captioner").items() if name.endswith("tokenizer.json"))
        tokens = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(file), **tokens)
        return BlipCaptioner(pack.load("captioner", device), tokenizer, device)
    detector = load_detector(pack, device) if {"judge", "segmenter"} <= set(pack.manifest.roles) else None
    if not isinstance(detector, MiniDetector):
        rule = "captions need a pack with a captioner, or with a judge and a detector of the embedded kind"
        raise BadInput("engine_cannot", f"{rule}; {pack.name!r} has neither, write them or use --pack mini")
    encoder, _ = load_segmenter(pack, device, torch.float32)
    return MiniCaptioner(encoder, detector, pack.load("judge", device))


def write_captions(folder: Path, captioner: Captioner, *, tag: str = "", replace: bool = False) -> list[Path]:
    """Write a caption beside each picture that has none, or beside all with `replace`. Returns the written files.

    Raises BadInput (dataset_refused) with the files that are no whole pictures, after the others were captioned, and
    StorageFull (storage_full).
    """
    written: list[Path] = []

    def caption(path: Path) -> None:
        text = path.with_suffix(".txt")
        if text.exists() and text.read_text("utf-8").strip() and not replace:
            return
        photo, mask = read_product(path, mask_of(path), decoder)
        with named_disk_errors(folder):
            text.write_text(with_tag(captioner.caption(photo, mask), tag) + "\n", "utf-8")
        written.append(text)

    with PhotoDecoder() as decoder:
        named_faults(picture_files(folder), caption)
    return written


def _box_of(mask: U8 | None) -> tuple[float, float, float, float] | None:
    if mask is None or not (mask >= 128).any():
        return None
    rows, columns = (np.flatnonzero((mask >= 128).any(axis=axis)) for axis in (1, 0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _colour_of(pixels: U8, mask: U8) -> str:
    """The name of the product's median colour."""
    import cv2

    inside = pixels[mask >= 128]
    if not len(inside):
        return ""
    colours = np.array([np.median(inside, axis=0), *COLOURS.values()], np.float32)[None] / 255
    lab = cv2.cvtColor(colours, cv2.COLOR_RGB2LAB)[0]
    return list(COLOURS)[int(np.linalg.norm(lab[1:] - lab[0], axis=1).argmin())]


def _article(words: str) -> str:
    return "an" if words[:1] in "aeiou" else "a"
