"""The detector: words to boxes.

    Photo ─> SamEncoder ─> Embedding ─┐                     (mini: a head on the segmenter's features)
    Photo ────────────────────────────┴─> Detector(+ words) ─> Detections, best first

A detector states what it reads, so that its deployment passes a photo's embedding where one exists. A photo in which
nothing fits the words has no detections.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np
import torch
from torch.nn import functional

from packshot.errors import PackRefused
from packshot.models.detect.network import NameFinder
from packshot.models.detect.phrases import Phrases, only_file
from packshot.models.engines.word_tokenizer import UNK, WordTokenizer
from packshot.types import F32, Detection, Embedding, Found, Photo, Words

if TYPE_CHECKING:
    from packshot.models.packs.pack import Pack

log = logging.getLogger(__name__)

MOST = 8
"""The largest number of detections of a photo."""
SAME_IOU = 0.5
"""Boxes of one photo that overlap more are one product."""
PROPOSALS, SAME_PROPOSAL = 12, 0.6
"""The largest number of boxes of a photo that are compared with words, and the overlap that makes two of them one."""
PATCH_PX = 16
"""Pixels of the segmenter's input for each place of its features."""
EIGHTH = "eighth"
"""The stem's map in `Embedding.extras` that the head reads (`packshot.models.segment.segmenter.DETAIL`)."""


Corners = tuple[float, float, float, float]
"""A box, XYXY in photo pixels."""


class Detector(Protocol):
    """Finds what words name. `reads` says which of a photo's forms it takes (`PackManifest.detector_reads`)."""

    reads: ClassVar[Literal["photo", "embedding"]]

    def read(self, words: str) -> tuple[list[str], list[str]]:
        """The words that are looked for, and those that are ignored. Words of which none is known find nothing."""
        ...

    def find(self, asked: Sequence[tuple[Photo | Embedding, str]]) -> list[list[Detection]]:
        """The detections of each photo and its words, best first, at most MOST."""
        ...


def kept(boxes: F32, scores: F32, threshold: float) -> list[Detection]:
    """Detections from boxes (N, 4) XYXY and scores (N): those from `threshold` on, without overlaps, best first."""
    found: list[Detection] = []
    for index in np.argsort(-scores, kind="stable"):
        if scores[index] < threshold or len(found) == MOST:
            break
        x0, y0, x1, y1 = (float(value) for value in boxes[index])
        box = (x0, y0, x1, y1)
        if x1 - x0 >= 1 and y1 - y0 >= 1 and all(_iou(box, other.box_xyxy) <= SAME_IOU for other in found):
            found.append(Detection(box, float(scores[index])))
    return found


def find_named(detector: Detector, asked: Sequence[tuple[Photo | Embedding, Words]]) -> list[Found]:
    """What the words of each photo name, in one call of the detector.

    A box that fits `not_text` at least as well as `text` is none.
    """
    texts = [(seen, words.text) for seen, words in asked]
    not_texts = [(seen, words.not_text) for seen, words in asked if words.not_text]
    answers = detector.find([*texts, *not_texts])
    others = iter(answers[len(texts) :])
    found = []
    for (_, words), fit in zip(asked, answers, strict=False):
        unlike = next(others) if words.not_text else []
        left = tuple(one for one in fit if not any(_is_rather(one, other) for other in unlike))
        known, unknown = detector.read(words.text)
        unknown += detector.read(words.not_text)[1] if words.not_text else []
        found.append(Found(left, tuple(known), tuple(unknown)))
    return found


def _is_rather(one: Detection, other: Detection) -> bool:
    """Whether the box shows what the other detection found."""
    return other.score >= one.score and _iou(one.box_xyxy, other.box_xyxy) > SAME_IOU


def _iou(a: Sequence[float], b: Sequence[float]) -> float:
    width, height = (max(0.0, min(a[k + 2], b[k + 2]) - max(a[k], b[k])) for k in (0, 1))
    both = width * height
    areas = ((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return both / max(sum(areas) - both, 1e-9)


@dataclass(frozen=True)
class MiniDetector:
    """The mini pack's detector: `NameFinder` on the segmenter's embeddings."""

    reads: ClassVar[Literal["photo", "embedding"]] = "embedding"

    network: NameFinder
    tokenizer: WordTokenizer
    device: torch.device

    @cached_property
    def _phrases(self) -> Phrases:
        return Phrases(self.tokenizer, self.network.phrases.round().long().tolist())

    def read(self, words: str) -> tuple[list[str], list[str]]:
        return self._phrases.read(words)

    @torch.inference_mode()
    def find(self, asked: Sequence[tuple[Photo | Embedding, str]]) -> list[list[Detection]]:
        if not asked:
            return []
        embeddings = [one for one, _ in asked if isinstance(one, Embedding)]
        if len(embeddings) < len(asked):
            raise TypeError("this detector reads embeddings, got a photo; encode it with the segmenter first")
        joined = self.network.joined(
            self._stacked([one.features for one in embeddings]),
            self._stacked([one.extras[EIGHTH] for one in embeddings]),
        )
        ids = torch.from_numpy(self.tokenizer([words for _, words in asked])).to(self.device)
        products, boxes = self.network.proposed(joined)
        chosen = [_spread(own.sigmoid(), at) for own, at in zip(products, boxes, strict=True)]
        rows = torch.repeat_interleave(torch.arange(len(chosen)), torch.tensor([len(part) for part in chosen]))
        rows = rows.to(self.device)
        mended = self.network.mended(joined, torch.cat(chosen), rows)
        fits = self.network.scores(self.network.numbers(joined, mended, rows), self.network.chosen(ids))
        places, scores, rows = mended.cpu().numpy(), fits.cpu().numpy(), rows.cpu()
        found: list[list[Detection]] = []
        for row, embedding in enumerate(embeddings):
            mine = (rows == row).numpy()
            input_px = joined.shape[-1] * PATCH_PX
            limits = np.array([embedding.input_width, embedding.input_height] * 2, np.float32)
            photo = np.array([embedding.photo_width, embedding.photo_height] * 2, np.float32)
            in_photo = np.clip(places[mine] * input_px / limits, 0, 1) * photo
            found.append(kept(in_photo, scores[mine, row], self.network.threshold))
        return found

    @torch.inference_mode()
    def name(self, embedding: Embedding, box: Corners | None = None) -> tuple[str, Corners]:
        """What a product is called, and its box, XYXY in photo pixels.

        `box` says where it is; None = the detector finds the one whose name is surest. The name is one of the phrases
        that the network knows.
        """
        joined = self.network.joined(self._stacked([embedding.features]), self._stacked([embedding.extras[EIGHTH]]))
        limits = np.array([embedding.input_width, embedding.input_height] * 2, np.float32)
        photo = np.array([embedding.photo_width, embedding.photo_height] * 2, np.float32)
        scale = limits / photo / (joined.shape[-1] * PATCH_PX)  # of photo pixels to shares of the input
        if box is None:
            products, at = self.network.proposed(joined)
            places = _spread(products[0].sigmoid(), at[0])
            places = self.network.mended(joined, places, torch.zeros(len(places), dtype=torch.long, device=self.device))
        else:
            places = torch.from_numpy(np.array(box, np.float32) * scale)[None].to(self.device)
        rows = torch.zeros(len(places), dtype=torch.long, device=self.device)
        fits = self.network.fits(self.network.standard(self.network.numbers(joined, places, rows)))
        row, phrase = divmod(int(fits.argmax()), fits.shape[1])
        words = {index: word for word, index in self.tokenizer.vocab.items()}
        ids = self.network.phrases[phrase].round().long().tolist()
        x0, y0, x1, y1 = (float(side) for side in np.clip(places[row].cpu().numpy() / scale, 0, photo))
        return " ".join(words[index] for index in ids if index > UNK), (x0, y0, x1, y1)

    def _stacked(self, arrays: Sequence[np.ndarray[Any, Any]]) -> torch.Tensor:
        return torch.from_numpy(np.stack(arrays)).to(self.device, torch.float32)


def _spread(products: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """The boxes (R, 4) of the likeliest places of a picture, without overlaps: at most PROPOSALS.

    `products` (s, s) are probabilities that a place is a product's, and `boxes` (s, s, 4) the products' boxes.
    """
    flat, places = products.flatten(), boxes.flatten(0, 1)
    order = flat.argsort(descending=True, stable=True)[: 8 * PROPOSALS].tolist()
    corners = places.tolist()
    chosen: list[int] = []
    for index in order:
        if all(_iou(corners[index], corners[other]) <= SAME_PROPOSAL for other in chosen):
            chosen.append(index)
        if len(chosen) == PROPOSALS:
            break
    return places[chosen]


MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SHORTER_PX, LONGER_PX = 800, 1333
"""GroundingDINO's input: the shorter side has SHORTER_PX, unless the longer one would exceed LONGER_PX."""
BOX_THRESHOLD = 0.35
"""GroundingDINO's own threshold of a box's best token."""


@dataclass(frozen=True)
class GroundingDetector:
    """A `GroundingDinoForObjectDetection` of transformers with its BERT tokenizer."""

    reads: ClassVar[Literal["photo", "embedding"]] = "photo"

    network: Any
    tokenizer: Any
    device: torch.device
    shorter_px: int = SHORTER_PX
    threshold: float = BOX_THRESHOLD

    def read(self, words: str) -> tuple[list[str], list[str]]:
        """All words are known, because word pieces encode any text."""
        return words.split(), []

    @torch.inference_mode()
    def find(self, asked: Sequence[tuple[Photo | Embedding, str]]) -> list[list[Detection]]:
        return [self._find(one, words) for one, words in asked]

    def _find(self, photo: Photo | Embedding, words: str) -> list[Detection]:
        if isinstance(photo, Embedding):
            raise TypeError("this detector reads photos, got an embedding; pass the photo")
        phrase = words.lower().strip().rstrip(".")
        if not phrase:
            return []
        tokens = self.tokenizer(f"{phrase}.", return_tensors="pt", truncation=True, max_length=256).to(self.device)
        answer = self.network(pixel_values=self._pixels(photo), **tokens)
        scores = answer.logits[0].float().sigmoid().amax(-1).cpu().numpy()
        x, y, width, height = answer.pred_boxes[0].float().cpu().numpy().T
        edges = np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1)
        photo_px = np.array([photo.width, photo.height] * 2, np.float32)
        return kept((np.clip(edges, 0, 1) * photo_px).astype(np.float32), scores, self.threshold)

    def _pixels(self, photo: Photo) -> torch.Tensor:
        """The network's input (1, 3, h, w)."""
        scale = min(
            self.shorter_px / min(photo.width, photo.height),
            LONGER_PX / SHORTER_PX * self.shorter_px / max(photo.width, photo.height),
        )
        size = (max(1, round(photo.height * scale)), max(1, round(photo.width * scale)))
        pixels = torch.from_numpy(np.array(photo.pixels)).to(self.device).permute(2, 0, 1)[None].float() / 255
        resized = functional.interpolate(pixels, size, mode="bilinear", antialias=True, align_corners=False)
        mean, std = (torch.tensor(values, device=self.device).view(3, 1, 1) for values in (MEAN, STD))
        dtype = next(self.network.parameters()).dtype
        normalised: torch.Tensor = ((resized - mean) / std).to(dtype)
        return normalised


def load_detector(pack: Pack, device: torch.device, dtype: torch.dtype = torch.float32) -> Detector | None:
    """Load the pack's detector; None when the pack has no such role, or its files are not here.

    The mini detector runs in fp32. The role is optional, so missing files are a warning. Raises PackRefused when files
    are corrupt or do not fit together.
    """
    if "detector" not in pack.manifest.roles:
        return None
    if pack.settings.offline and pack.missing("detector"):
        remedy = f"packshot packs fetch {pack.name} downloads its files"
        log.warning("pack %s: the detector is missing, so words find nothing; %s", pack.name, remedy)
        return None
    spec = pack.role("detector")
    if spec.class_name == "NameFinder":
        words = WordTokenizer.from_files(only_file(pack, ".json"))
        if words.vocab_size != spec.config.get("vocabulary"):
            raise PackRefused(
                "pack_mismatch",
                f"detector.vocabulary of pack {pack.name!r} must be {words.vocab_size}, the number of its words, "
                f"got {spec.config.get('vocabulary')}; correct the manifest",
            )
        return MiniDetector(pack.load("detector", device), words, device)
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(only_file(pack, "tokenizer.json")))
    return GroundingDetector(pack.load("detector", device, dtype), tokenizer, device)


__all__ = ["Detector", "GroundingDetector", "MiniDetector", "find_named", "kept", "load_detector"]
