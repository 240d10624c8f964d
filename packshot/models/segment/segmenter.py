"""The segmenter in two halves that live in two deployments: encode a photo once, then decode any number of clicks.

    Photo ─> SamEncoder ─> Embedding ──┐
    Prompts (points, boxes) ───────────┴─> SamDecoder ─> MaskCandidates, best first

What a set of prompts means:
- Points and one box together describe one product.
- Several boxes are several parts of the wanted product: each is decoded with the product points inside it and all
  background points, product points in no box are decoded on their own, and the masks are joined, best with best; the
  joint score is the weakest part's.
- Neither points nor boxes: a grid of clicks is decoded and the most product-like answers are kept (`automatic`).

A pack whose config says `refine: grabcut` has its masks laid on the photo's edges (`refine`); there a box also bounds
the mask, and a small network's own scores, which rank its answers poorly, are set right:

    score = a + b x predicted IoU x stability x how well the mask fills its box
                  x sqrt(steepness of the photo along its border)

with the pack's `score_line` (a, b), fitted so that a score is the IoU to expect.
Without it masks and scores are SAM's own.

The encoder runs in the dtype that it is given; prompts and mask decoder always in fp32 (a click is cheap, and scores
stay comparable between machines). Clicks on different photos share one call of the mask decoder when they have equally
many tokens, so sharing changes no answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from packshot.imaging.prompts import check_prompts
from packshot.models.segment.attention import attend_piecewise
from packshot.models.segment.automatic import grid_points, most_product_like, off_plain_backdrop, stability
from packshot.models.segment.network import DetailEncoder, build_sam
from packshot.models.segment.refine import Box, box_fit, edge_steepness, edge_support, refine, within_box
from packshot.types import F32, U8, Embedding, Mask, MaskCandidate, Photo, Prompts

if TYPE_CHECKING:
    from packshot.models.packs.pack import Pack
    from packshot.models.segment.sam_modules import Sam

__all__ = ["SamDecoder", "SamEncoder", "build_sam", "load_segmenter"]

DETAIL = ("half", "quarter", "eighth")
"""Names in `Embedding.extras` of the stem's maps, for a SAM that has them."""
THUMBNAIL = "thumbnail"
PAD, BOX_FROM, BOX_TO = -1, 2, 3
"""SAM's labels of a token that is no click: padding, a box's upper left and lower right corner."""
SETS_PER_CALL = 16
"""Prompt sets of one call of the mask decoder, so that memory stays bounded (ViT-B: 40 MB each)."""
_REFINERS = ThreadPoolExecutor(3, thread_name_prefix="refine")
"""A click's candidates are laid on the photo's edges side by side: OpenCV lets go of the interpreter.
They run no torch kernels."""


def load_segmenter(pack: Pack, device: torch.device, dtype: torch.dtype) -> tuple[SamEncoder, SamDecoder]:
    """Both halves of the pack's segmenter. Raises PackRefused when its files are missing or do not fit."""
    sam: Any = pack.load("segmenter", device, torch.float32)
    return SamEncoder(sam, device, dtype), SamDecoder(sam, device)


class SamEncoder:
    """Photos to embeddings."""

    def __init__(self, sam: Sam, device: torch.device, dtype: torch.dtype) -> None:
        keys = sam.packshot_config
        self._network = sam.image_encoder.to(device, dtype).eval()
        attend_piecewise(self._network)
        self._size = int(keys["image_size"])
        self._thumbnail_px = int(keys["thumbnail_px"]) if keys["refine"] != "none" else 0
        self._mean, self._std = (torch.tensor(keys[key]).view(3, 1, 1) for key in ("pixel_mean", "pixel_std"))
        self._device, self._dtype = device, dtype

    @torch.inference_mode()
    def encode(self, photos: Sequence[Photo]) -> list[Embedding]:
        """One embedding a photo, all in one call. Features are fp32 when the encoder runs in fp32, else fp16."""
        if not photos:
            return []
        insides = [_fit(photo, self._size) for photo in photos]
        resized = [_resize(photo, inside) for photo, inside in zip(photos, insides, strict=True)]
        pixels = torch.stack([self._normalise(picture) for picture in resized]).to(self._device, self._dtype)
        if isinstance(self._network, DetailEncoder):
            features, maps = self._network.look(pixels)
        else:
            features, maps = self._network(pixels), ()
        keep = torch.float32 if self._dtype == torch.float32 else torch.float16
        kept = features.to("cpu", keep).numpy()
        extras = {name: seen.to("cpu", torch.float16).numpy() for name, seen in zip(DETAIL, maps, strict=False)}
        embeddings = []
        for index, (photo, (width, height)) in enumerate(zip(photos, insides, strict=True)):
            own = {name: seen[index].copy() for name, seen in extras.items()}
            if self._thumbnail_px:
                own[THUMBNAIL] = _thumbnail(photo, self._thumbnail_px)
            embeddings.append(Embedding(kept[index].copy(), photo.width, photo.height, width, height, own))
        return embeddings

    def _normalise(self, picture: NDArray[np.uint8]) -> Tensor:
        """uint8 hxwx3 to float (3, S, S), padded right and bottom with the mean."""
        pixels = (torch.from_numpy(picture.copy()).permute(2, 0, 1) - self._mean) / self._std
        return functional.pad(pixels, (0, self._size - pixels.shape[2], 0, self._size - pixels.shape[1]))


def _fit(photo: Photo, longest_px: int) -> tuple[int, int]:
    """(width, height) of the photo when its longest side has `longest_px`."""
    scale = longest_px / max(photo.width, photo.height)
    return max(1, int(photo.width * scale + 0.5)), max(1, int(photo.height * scale + 0.5))


def _resize(photo: Photo, size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(photo.pixels).resize(size, Image.Resampling.BILINEAR))


def _thumbnail(photo: Photo, longest_px: int) -> NDArray[np.uint8]:
    """The photo at `longest_px`, never enlarged."""
    if max(photo.width, photo.height) <= longest_px:
        return photo.pixels.copy()
    return np.asarray(cv2.resize(photo.pixels, _fit(photo, longest_px), interpolation=cv2.INTER_AREA), np.uint8)


@dataclass(frozen=True)
class _Answer:
    """The mask decoder's answer to one prompt set. `logits`: float32 (4, h, w); `scores`: float32 (4,).

    `clear`: a box, or more than one click: it can hardly mean three things.
    """

    logits: Tensor
    scores: Tensor
    box: Box | None
    clear: bool


@dataclass(frozen=True)
class _Set:
    """One prompt set in the encoder's pixels. `coords`: float32 Nx2; `labels`: SAM's, N. `box`: in photo pixels."""

    request: int
    coords: F32
    labels: tuple[int, ...]
    box: Box | None


@dataclass(frozen=True)
class _Part:
    """One mask of one prompt set. `logits`: float32 (h, w)."""

    logits: Tensor
    score: float
    box: Box | None = None


class SamDecoder:
    """Embeddings and prompts to masks."""

    def __init__(self, sam: Sam, device: torch.device) -> None:
        keys = sam.packshot_config
        self._prompts = sam.prompt_encoder.to(device, torch.float32).eval()
        self._decoder = sam.mask_decoder.to(device, torch.float32).eval()
        self._size = int(keys["image_size"])
        self._refined = keys["refine"] == "grabcut"
        self._score_from, self._score_by = (float(value) for value in keys["score_line"])
        self._grid = int(keys["automatic_grid"])
        self._device = device

    @torch.inference_mode()
    def decode(self, requests: Sequence[tuple[Embedding, Prompts]]) -> list[list[MaskCandidate]]:
        """Per request its candidates, best first: 3 for `multimask` (automatic: up to 3), else 1.
        Masks are photo-sized.

        An empty mask scores 0 and comes last. Raises BadInput (point_outside, box_invalid).
        """
        sets: list[_Set] = []
        for index, (embedding, prompts) in enumerate(requests):
            check_prompts(prompts, embedding.photo_width, embedding.photo_height)
            sets += self._sets(index, embedding, prompts)
        edges = [_REFINERS.submit(self._steepness, embedding) for embedding, _ in requests]  # beside the network
        answers = self._answers(sets, requests)
        found = []
        for (embedding, prompts), mine, edge in zip(requests, answers, edges, strict=True):
            steepness = edge.result()
            if prompts.points or prompts.boxes:
                parts = [self._ranked(answer, multimask=prompts.multimask) for answer in mine]
                ranks = [[part[rank] for part in parts] for rank in range(len(parts[0]))]
                candidates = self._joined(embedding, ranks, steepness)
                if self._refined and all(answer.clear for answer in mine):
                    best = max(candidate.score for candidate in candidates)
                    candidates[0] = replace(candidates[0], score=best if candidates[0].score else 0.0)
            else:
                candidates = self._automatic(embedding, mine, 3 if prompts.multimask else 1, steepness)
            found.append(sorted(candidates, key=lambda candidate: -candidate.score))
        return found

    # From prompts to tokens

    def _sets(self, index: int, embedding: Embedding, prompts: Prompts) -> list[_Set]:
        scale = np.array(
            [embedding.input_width / embedding.photo_width, embedding.input_height / embedding.photo_height], np.float64
        )

        def make(points: Sequence[tuple[float, float, int]], box: Box | None) -> _Set:
            coords = [point[:2] for point in points] + ([box[:2], box[2:]] if box else [(0.0, 0.0)])
            labels = [point[2] for point in points] + ([BOX_FROM, BOX_TO] if box else [PAD])
            return _Set(index, (np.array(coords) * scale).astype(np.float32), tuple(labels), box)

        if not prompts.points and not prompts.boxes:
            grid = grid_points(embedding.photo_width, embedding.photo_height, self._grid)
            return [make([(x, y, 1)], None) for x, y in grid]
        if len(prompts.boxes) <= 1:
            return [make(prompts.points, prompts.boxes[0] if prompts.boxes else None)]
        product = [point for point in prompts.points if point[2] == 1]
        background = [point for point in prompts.points if point[2] != 1]
        inside = [[p for p in product if b[0] <= p[0] < b[2] and b[1] <= p[1] < b[3]] for b in prompts.boxes]
        loose = [p for p in product if not any(p in points for points in inside)]
        sets = [make(points + background, box) for points, box in zip(inside, prompts.boxes, strict=True)]
        return [*sets, make(loose + background, None)] if loose else sets

    def _tokens(self, sets: Sequence[_Set]) -> Tensor:
        """Equally long prompt sets as tokens (B, N, C)."""
        coords = torch.from_numpy(np.stack([one.coords for one in sets])).to(self._device)
        labels = torch.tensor([one.labels for one in sets], device=self._device)
        kinds = [self._prompts.not_a_point_embed, *self._prompts.point_embeddings]
        table = torch.cat([kind.weight for kind in kinds])  # row = label + 1
        places: Tensor = self._prompts.pe_layer.forward_with_coords(coords + 0.5, self._prompts.input_image_size)
        return torch.where(labels[..., None] == PAD, 0.0, places) + table[labels + 1]

    # The network

    def _answers(self, sets: Sequence[_Set], requests: Sequence[tuple[Embedding, Prompts]]) -> list[list[_Answer]]:
        """Per request the answers to its sets, in order. Equally long sets share calls."""
        by_length: dict[int, list[int]] = defaultdict(list)
        for place, one in enumerate(sets):
            by_length[len(one.labels)].append(place)
        answers: dict[int, _Answer] = {}
        for places in by_length.values():
            for start in range(0, len(places), SETS_PER_CALL):
                chunk = places[start : start + SETS_PER_CALL]
                logits, scores = self._call([sets[place] for place in chunk], requests)
                for row, place in enumerate(chunk):
                    clear = sum(label != PAD for label in sets[place].labels) > 1
                    answers[place] = _Answer(logits[row], scores[row], sets[place].box, clear)
        grouped: list[list[_Answer]] = [[] for _ in requests]
        for place, one in enumerate(sets):
            grouped[one.request].append(answers[place])
        return grouped

    def _call(self, sets: Sequence[_Set], requests: Sequence[tuple[Embedding, Prompts]]) -> tuple[Tensor, Tensor]:
        """Logits (B, 4, h, w) and predicted IoU (B, 4) on the CPU."""
        embeddings = [requests[one.request][0] for one in sets]
        features = self._stack([embedding.features for embedding in embeddings])
        maps = [self._stack([e.extras[name] for e in embeddings]) for name in DETAIL if name in embeddings[0].extras]
        no_mask = self._prompts.no_mask_embed.weight[..., None, None]
        logits, scores = self._decoder.decode(features, self._prompts.get_dense_pe(), self._tokens(sets), no_mask, maps)
        return logits.float().cpu(), scores.float().cpu()

    def _stack(self, arrays: Sequence[NDArray[Any]]) -> Tensor:
        """Arrays of the same shape, read-only or not, as one fp32 tensor; an array that repeats crosses only once."""
        distinct = {id(array): array for array in arrays}
        if len(distinct) == 1:
            one = torch.from_numpy(np.array(arrays[0])).to(self._device, torch.float32)
            return one.expand(len(arrays), *one.shape)
        return torch.from_numpy(np.stack(arrays)).to(self._device, torch.float32)

    # From logits to masks

    def _ranked(self, answer: _Answer, *, multimask: bool) -> list[_Part]:
        """Best first: rows 1-3 when the prompt may mean several things, else row 0.

        A small network's row 0, taught to answer alone, is its best answer to a clear prompt:
        there it leads two of the others.
        """
        scores = answer.scores.numpy()
        if self._refined:
            scores = scores * stability(answer.logits.numpy())
        rows = [1 + int(row) for row in np.argsort(-scores[1:], kind="stable")]
        if not multimask:
            rows = [0]
        elif self._refined and answer.clear:
            rows = [0, *rows[:2]]
        return [_Part(answer.logits[row], float(scores[row]), answer.box) for row in rows]

    def _automatic(
        self, embedding: Embedding, answers: Sequence[_Answer], most: int, steepness: F32 | None
    ) -> list[MaskCandidate]:
        logits = torch.cat([answer.logits[1:] for answer in answers])
        scores = torch.cat([answer.scores[1:] for answer in answers])
        per_px = logits.shape[-1] / self._size
        width, height = (max(1, round(n * per_px)) for n in (embedding.input_width, embedding.input_height))
        kept = most_product_like(logits[:, :height, :width].numpy(), scores.numpy(), most)
        candidates = self._joined(embedding, [[_Part(logits[row], score)] for row, score in kept], steepness)
        if steepness is not None and (found := off_plain_backdrop(embedding.extras[THUMBNAIL])) is not None:
            product, plain = found
            pixels = refine(embedding.extras[THUMBNAIL], product, (embedding.photo_height, embedding.photo_width))
            candidates.append(MaskCandidate(Mask(pixels), plain * edge_support(steepness, pixels) ** 0.5))
        return sorted(candidates, key=lambda candidate: -candidate.score)[:most]

    def _steepness(self, embedding: Embedding) -> F32 | None:
        """Where the photo has edges, hxw of its thumbnail; None when masks are not refined."""
        return edge_steepness(embedding.extras[THUMBNAIL]) if self._refined else None

    def _joined(
        self, embedding: Embedding, wanted: Sequence[Sequence[_Part]], steepness: F32 | None
    ) -> list[MaskCandidate]:
        """A candidate for each of `wanted`: the union of its parts' masks, the weakest part's score."""
        photo = (embedding.photo_height, embedding.photo_width)
        parts = [part for own in wanted for part in own]
        finished: Iterator[tuple[U8, float]]
        if steepness is None:
            masks = [(self._spread(embedding, p.logits, photo) > 0).numpy().astype(np.uint8) * 255 for p in parts]
            finished = iter([(mask, part.score) for mask, part in zip(masks, parts, strict=True)])
        else:
            spread = [self._spread(embedding, part.logits, steepness.shape).sigmoid().numpy() for part in parts]
            thumbnail = embedding.extras[THUMBNAIL]
            finished = _REFINERS.map(lambda p, chance: _refined(p, chance, thumbnail, steepness, photo), parts, spread)
        return [self._candidate([next(finished) for _ in own]) for own in wanted]

    def _candidate(self, finished: Sequence[tuple[U8, float]]) -> MaskCandidate:
        masks, scores = zip(*finished, strict=True)
        pixels = np.bitwise_or.reduce(masks)
        score = self._score_from + self._score_by * min(scores)
        return MaskCandidate(Mask(pixels), min(1.0, max(0.0, score)) if pixels.any() else 0.0)

    def _spread(self, embedding: Embedding, logits: Tensor, size: tuple[int, ...]) -> Tensor:
        """Logits over the encoder's square, cut to the photo and enlarged to `size` (height, width)."""
        square = functional.interpolate(logits[None, None], (self._size, self._size), mode="bilinear")
        inside = square[..., : embedding.input_height, : embedding.input_width]
        return functional.interpolate(inside, size, mode="bilinear")[0, 0]


def _refined(part: _Part, probability: F32, thumbnail: U8, steepness: F32, photo: tuple[int, int]) -> tuple[U8, float]:
    """The part's mask of the photo, uint8 HxW of 0 and 255, and its score. `probability` hxw of the thumbnail."""
    if part.box is not None:
        probability = within_box(probability, part.box, photo)
    pixels = refine(thumbnail, probability, photo)
    fit = box_fit(Mask(pixels).bbox_xyxy, part.box) if part.box is not None else 1.0
    return pixels, part.score * fit * edge_support(steepness, pixels) ** 0.5
