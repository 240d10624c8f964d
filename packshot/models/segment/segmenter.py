"""The segmenter in two parts for two deployments: encode a photo once, then decode any number of clicks.

    Photo ─> SamEncoder ─> Embedding ──┐
    Prompts (points, boxes, mask) ─────┴─> SamDecoder ─> MaskCandidates, best first

The meaning of a request's prompts:
- Points and one box together describe one product.
- Several boxes are several parts of the product. Each box is decoded with the product points inside it and all
  background points. Product points in no box are decoded as one further part. The candidates of equal rank of all parts
  are united; the score of the union is the lowest score of its parts.
- With `clicks_in_turn` in the pack's config, several clicks are decoded one after another, and each gets the answer to
  those before it as a mask prompt. The network must have learned mask prompts.
- A mask is what the points and boxes correct: the previous answer, or one that the user brings. Each box gets the part
  of the mask inside it.
- Without points, boxes and mask, a grid of clicks is decoded, and the most product-like masks are kept (`automatic`).
  Where masks are refined, the best one is asked again with its own box, and the photo's colours choose between both.

The masks of a pack with `refine: grabcut` in its config are refined to the photo's edges (`refine`). A box then also
limits the mask. The scores of a small network rank its masks poorly, so they are corrected:

    score = a + b x predicted IoU x stability x IoU of the mask's box with the user's box
                  x sqrt(strength of the photo's edges along the mask's border)

The pack's `score_line` (a, b) and `expected_iou` (`calibration`) are fitted so that the score is the expected IoU.
Without `refine`, masks and scores are SAM's own.

The encoder runs in the dtype that it is given. The prompt encoder and the mask decoder always run in fp32, because a
click is cheap and scores stay comparable between machines. Prompt sets of different photos share a call of the mask
decoder only if they have the same number of tokens, so that sharing does not change the result.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from packshot.imaging.prompts import check_prompts
from packshot.models.segment.attention import attend_piecewise
from packshot.models.segment.automatic import grid_points, most_product_like, stability
from packshot.models.segment.calibration import Calibration, kind_of
from packshot.models.segment.candidates import (
    REFINERS,
    Draft,
    around,
    before_backdrop,
    drafted,
    exact_shape,
    favoured,
    finished,
    joined,
    mended,
    reconsidered,
)
from packshot.models.segment.guides import Guides
from packshot.models.segment.mask_prompt import SURE_LOGIT, mask_logits
from packshot.models.segment.network import DetailEncoder, build_sam
from packshot.models.segment.pieces import Click
from packshot.models.segment.prompt_set import BOX_FROM, BOX_TO, PAD, PromptSet
from packshot.models.segment.refine import DETAIL_PX, Box, Guide, Shape
from packshot.models.segment.scaling import fit_inside, resize, spread, thumbnail
from packshot.types import F32, Embedding, MaskCandidate, Photo, Prompts

if TYPE_CHECKING:
    from packshot.models.packs.pack import Pack
    from packshot.models.segment.sam_modules import Sam

__all__ = ["SamDecoder", "SamEncoder", "build_sam", "load_segmenter"]

DETAIL = ("half", "quarter", "eighth")
"""Names of the stem's maps in `Embedding.extras`, for a SAM that has a stem."""
THUMBNAIL = "thumbnail"
"""Name of the thumbnail in `Embedding.extras`."""
LARGE = "large"
"""Name of the larger thumbnail, whose longer side has up to DETAIL_PX pixels, for photos larger than the thumbnail."""
SETS_PER_CALL = 16
"""Largest number of prompt sets in one call of the mask decoder. It limits the memory (ViT-B: 40 MB for each set)."""


OF_DECODER = ("prompt_encoder.", "mask_decoder.", "shared_image_embedding.")
"""The tensors of a segmenter that are loaded in fp32, by the beginnings of their names."""


def load_segmenter(pack: Pack, device: torch.device, dtype: torch.dtype) -> tuple[SamEncoder, SamDecoder]:
    """Load both parts of the pack's segmenter. `dtype` is the encoder's; the decoder runs in fp32.

    Raises PackRefused when files are missing, corrupt or do not fit together.
    """
    sam: Any = pack.load("segmenter", device, dtype, fp32=OF_DECODER)
    if pack.role("segmenter").class_name == "Sam2Model":
        from packshot.models.segment.sam2 import Sam2

        sam = Sam2(sam)
    return SamEncoder(sam, device, dtype), SamDecoder(sam, device)


class SamEncoder:
    """SAM's image encoder on `device` in `dtype`: it encodes photos to embeddings."""

    def __init__(self, sam: Sam, device: torch.device, dtype: torch.dtype) -> None:
        keys = sam.packshot_config
        self._network = sam.image_encoder.to(device, dtype).eval()
        attend_piecewise(self._network)
        self._size = int(keys["image_size"])
        self._stretched = bool(keys.get("stretched"))
        self._thumbnail_px = int(keys["thumbnail_px"]) if keys["refine"] != "none" else 0
        self._mean, self._std = (torch.tensor(keys[key]).view(3, 1, 1) for key in ("pixel_mean", "pixel_std"))
        self._device, self._dtype = device, dtype

    @torch.inference_mode()
    def encode(self, photos: Sequence[Photo], *, small_copies: bool = True) -> list[Embedding]:
        """Encode all photos in one call. Returns one embedding for each photo, in order.

        `small_copies` adds the copies of the photo by which a mask decoder refines masks, where the pack has them.
        Features are float32 when the encoder runs in fp32, else float16.
        """
        if not photos:
            return []
        insides = [(self._size,) * 2 if self._stretched else fit_inside(photo, self._size) for photo in photos]
        resized = [resize(photo, inside) for photo, inside in zip(photos, insides, strict=True)]
        pixels = torch.stack([self._normalise(picture) for picture in resized]).to(self._device, self._dtype)
        if hasattr(self._network, "encode_with_maps"):
            features, maps = self._network.encode_with_maps(pixels)
        else:
            features, maps = self._network(pixels), ()
        stored_dtype = torch.float32 if self._dtype == torch.float32 else torch.float16
        stored = features.to("cpu", stored_dtype).numpy()
        maps_dtype = torch.float16 if isinstance(self._network, DetailEncoder) else stored_dtype
        details = {
            name: values.to("cpu", maps_dtype).numpy() for name, values in zip(DETAIL[-len(maps) :], maps, strict=False)
        }
        embeddings = []
        for index, (photo, (width, height)) in enumerate(zip(photos, insides, strict=True)):
            extras = {name: values[index].copy() for name, values in details.items()}
            if self._thumbnail_px and small_copies:
                large = thumbnail(photo, max(DETAIL_PX, self._thumbnail_px))
                extras[THUMBNAIL] = thumbnail(Photo(large), self._thumbnail_px)
                if large.shape != extras[THUMBNAIL].shape:
                    extras[LARGE] = large
            embeddings.append(Embedding(stored[index].copy(), photo.width, photo.height, width, height, extras))
        return embeddings

    def _normalise(self, picture: NDArray[np.uint8]) -> Tensor:
        """Convert uint8 hxwx3 to float32 (3, S, S), padded with the mean colour at the right and the bottom."""
        pixels = (torch.from_numpy(picture.copy()).permute(2, 0, 1) - self._mean) / self._std
        return functional.pad(pixels, (0, self._size - pixels.shape[2], 0, self._size - pixels.shape[1]))


@dataclass(frozen=True)
class _Answer:
    """The mask decoder's output for one prompt set. `logits` are float32 (4, h, w), and `scores` are float32 (4,).

    `clear` is True when the prompt was unambiguous.
    """

    logits: Tensor
    scores: Tensor
    box: Box | None
    clear: bool


@dataclass(frozen=True)
class _Part:
    """One mask of one prompt set. `logits` are float32 (h, w)."""

    logits: Tensor
    score: float
    box: Box | None = None


class SamDecoder:
    """SAM's prompt encoder and mask decoder on `device`: they decode embeddings and prompts to masks."""

    def __init__(self, sam: Sam, device: torch.device) -> None:
        keys = sam.packshot_config
        self._prompts = sam.prompt_encoder.to(device, torch.float32).eval()
        self._decoder = sam.mask_decoder.to(device, torch.float32).eval()
        self._size = int(keys["image_size"])
        self._mask_side = 4 * self._size // int(keys["patch_size"])
        self._refined = keys["refine"] == "grabcut"
        self._score_from, self._score_by = (float(value) for value in keys["score_line"])
        self._grid = int(keys["automatic_grid"])
        self._in_turn = bool(keys["clicks_in_turn"])
        self._padded_boxes = bool(keys.get("padded_boxes"))
        self._device = device
        self._guides = Guides()
        self.calibration = Calibration(keys["expected_iou"])
        with torch.inference_mode():
            self._positions: Tensor = self._prompts.get_dense_pe()  # the same for every click

    @torch.inference_mode()
    def decode(self, requests: Sequence[tuple[Embedding, Prompts]]) -> list[list[MaskCandidate]]:
        """Decode the prompts of each request. Returns each request's candidates, best first.

        A request has at most 3 candidates with `multimask`, no two nearly equal, else 1. Masks have the photo's size.
        An empty mask has the score 0 and comes last. Raises BadInput (point_outside or box_invalid) when a point
        or a box lies outside its photo.
        """
        sets: list[PromptSet] = []
        for index, (embedding, prompts) in enumerate(requests):
            check_prompts(prompts, embedding.photo_width, embedding.photo_height)
            sets += self._sets(index, embedding, prompts)
        guides = [REFINERS.submit(self._guide, embedding) for embedding, _ in requests]  # while the network runs
        answers = self._answers(sets, requests)
        results = []
        for (embedding, prompts), own_answers, looked in zip(requests, answers, guides, strict=True):
            seen, photo = looked.result(), (embedding.photo_height, embedding.photo_width)
            most = 3 if prompts.multimask else 1
            if prompts.points or prompts.boxes or prompts.mask:
                parts = [self._ranked(answer, multimask=prompts.multimask) for answer in own_answers]
                ranks = [[part[rank] for part in parts] for rank in range(len(parts[0]))]
                drafts = self._joined(embedding, ranks, seen, prompts.points)
                if seen is not None and prompts.mask is not None and prompts.points:
                    drafts = mended(drafts, prompts, photo)
                if self._refined and all(answer.clear for answer in own_answers):
                    drafts[0] = favoured(drafts)
            else:
                drafts = self._automatic(embedding, own_answers, most, seen)
            results.append(finished(drafts, most, photo, seen, self.calibration.of(kind_of(prompts))))
        return results

    # From prompts to tokens

    def _sets(self, index: int, embedding: Embedding, prompts: Prompts) -> list[PromptSet]:
        scale = np.array(
            [embedding.input_width / embedding.photo_width, embedding.input_height / embedding.photo_height], np.float64
        )

        def make(points: Sequence[tuple[float, float, int]], box: Box | None) -> PromptSet:
            coords = [point[:2] for point in points] + ([box[:2], box[2:]] if box else [])
            labels = [point[2] for point in points] + ([BOX_FROM, BOX_TO] if box else [])
            if box is None or self._padded_boxes:
                coords, labels = [*coords, (0.0, 0.0)], [*labels, PAD]
            mask = None
            if prompts.mask is not None:
                mask = mask_logits(prompts.mask.pixels, embedding, self._size, self._mask_side, box)
            return PromptSet(index, (np.array(coords) * scale).astype(np.float32), tuple(labels), box, mask)

        if not prompts.points and not prompts.boxes and not prompts.mask:
            grid = grid_points(embedding.photo_width, embedding.photo_height, self._grid)
            return [make([(x, y, 1)], None) for x, y in grid]
        if len(prompts.boxes) <= 1:
            return [make(prompts.points, prompts.boxes[0] if prompts.boxes else None)]
        product = [point for point in prompts.points if point[2] == 1]
        background = [point for point in prompts.points if point[2] != 1]
        inside = [[p for p in product if b[0] <= p[0] < b[2] and b[1] <= p[1] < b[3]] for b in prompts.boxes]
        outside = [p for p in product if not any(p in points for points in inside)]
        sets = [make(points + background, box) for points, box in zip(inside, prompts.boxes, strict=True)]
        return [*sets, make(outside + background, None)] if outside else sets

    def _tokens(self, sets: Sequence[PromptSet]) -> Tensor:
        """The tokens (B, N, C) of prompt sets with equal numbers of tokens."""
        coords = torch.from_numpy(np.stack([prompt_set.coords for prompt_set in sets])).to(self._device)
        labels = torch.tensor([prompt_set.labels for prompt_set in sets], device=self._device)
        kinds = [self._prompts.not_a_point_embed, *self._prompts.point_embeddings]
        table = torch.cat([kind.weight for kind in kinds])  # row = label + 1
        positions: Tensor = self._prompts.pe_layer.forward_with_coords(coords + 0.5, self._prompts.input_image_size)
        return torch.where(labels[..., None] == PAD, 0.0, positions) + table[labels + 1]

    # The network

    def _answers(self, sets: Sequence[PromptSet], requests: Sequence[tuple[Embedding, Prompts]]) -> list[list[_Answer]]:
        """The answers to the sets of each request, in order."""
        sets = list(sets)
        if self._in_turn:
            before: dict[int, F32] = {}
            for left in range(max(prompt_set.turns for prompt_set in sets), 0, -1):
                due = [index for index, prompt_set in enumerate(sets) if prompt_set.turns >= left]
                earlier = [replace(sets[index].without_last(left), mask=before.get(index)) for index in due]
                for index, answer in zip(due, self._decoded(earlier, requests), strict=True):
                    best = self._ranked(answer, multimask=True)[0].logits
                    before[index] = torch.where(best > 0, SURE_LOGIT, -SURE_LOGIT).numpy()
            sets = [replace(one, mask=before[index]) if index in before else one for index, one in enumerate(sets)]
        grouped: list[list[_Answer]] = [[] for _ in requests]
        for prompt_set, answer in zip(sets, self._decoded(sets, requests), strict=True):
            grouped[prompt_set.request].append(answer)
        return grouped

    def _decoded(self, sets: Sequence[PromptSet], requests: Sequence[tuple[Embedding, Prompts]]) -> list[_Answer]:
        """The answer to each set. Sets with equal numbers of tokens share calls."""
        by_length: dict[int, list[int]] = defaultdict(list)
        for index, prompt_set in enumerate(sets):
            by_length[len(prompt_set.labels)].append(index)
        answers: dict[int, _Answer] = {}
        for indices in by_length.values():
            for start in range(0, len(indices), SETS_PER_CALL):
                chunk = indices[start : start + SETS_PER_CALL]
                logits, scores = self._call([sets[index] for index in chunk], requests)
                for row, index in enumerate(chunk):
                    answers[index] = _Answer(logits[row], scores[row], sets[index].box, sets[index].clear)
        return [answers[index] for index in range(len(sets))]

    def _call(self, sets: Sequence[PromptSet], requests: Sequence[tuple[Embedding, Prompts]]) -> tuple[Tensor, Tensor]:
        """Logits (B, 4, h, w) and predicted IoU (B, 4) on the CPU."""
        embeddings = [requests[prompt_set.request][0] for prompt_set in sets]
        features = self._stack([embedding.features for embedding in embeddings])
        maps = [self._stack([e.extras[name] for e in embeddings]) for name in DETAIL if name in embeddings[0].extras]
        masks = self._embedded_masks([prompt_set.mask for prompt_set in sets])
        logits, scores = self._decoder.decode(features, self._positions, self._tokens(sets), masks, maps)
        return logits.float().cpu(), scores.float().cpu()

    def _embedded_masks(self, masks: Sequence[F32 | None]) -> Tensor:
        """The embedded mask prompts (B, C, s, s); (1, C, 1, 1) if there is none."""
        missing: Tensor = self._prompts.no_mask_embed.weight[..., None, None]
        given = [index for index, mask in enumerate(masks) if mask is not None]
        if not given:
            return missing
        stacked = np.stack([mask for mask in masks if mask is not None])[:, None]
        embedded = self._prompts.mask_downscaling(torch.from_numpy(stacked).to(self._device))
        every = missing.expand(len(masks), *embedded.shape[1:]).clone()
        every[given] = embedded
        return every

    def _stack(self, arrays: Sequence[NDArray[Any]]) -> Tensor:
        """Stack arrays of the same shape to one fp32 tensor. If all are the same array, it is copied only once."""
        distinct = {id(array): array for array in arrays}
        if len(distinct) == 1:
            tensor = torch.from_numpy(np.array(arrays[0])).to(self._device, torch.float32)
            return tensor.expand(len(arrays), *tensor.shape)
        return torch.from_numpy(np.stack(arrays)).to(self._device, torch.float32)

    # From logits to masks

    def _ranked(self, answer: _Answer, *, multimask: bool) -> list[_Part]:
        """The masks of an answer, best first: masks 1 to 3 with `multimask`, else mask 0.

        A small network is trained to give its best answer to an unambiguous prompt as mask 0. For such a prompt mask 0
        comes first, followed by two of the others.
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
        self, embedding: Embedding, answers: Sequence[_Answer], most: int, seen: Guide | None
    ) -> list[Draft]:
        """Drafts from the answers to a grid of clicks, `most` of them, and from a plain backdrop."""
        logits = torch.cat([answer.logits[1:] for answer in answers])
        scores = torch.cat([answer.scores[1:] for answer in answers])
        per_px = logits.shape[-1] / self._size
        width, height = (max(1, round(n * per_px)) for n in (embedding.input_width, embedding.input_height))
        kept = most_product_like(logits[:, :height, :width].numpy(), scores.numpy(), most)
        drafts = self._joined(embedding, [[_Part(logits[row], score)] for row, score in kept], seen)
        return drafts if seen is None else self._asked_again(embedding, [*drafts, *before_backdrop(seen)], seen)

    def _asked_again(self, embedding: Embedding, drafts: list[Draft], seen: Guide) -> list[Draft]:
        """The drafts. The best one is asked again with its own box, which is clearer than the grid's click."""
        number = int(np.argmax([draft.score for draft in drafts]))
        photo = (embedding.photo_height, embedding.photo_width)
        first = replace(drafts[number], shape=exact_shape(drafts[number]), exact=None)
        if first.shape.mask.any():
            prompts = Prompts(boxes=(around(first.shape.bbox_xyxy(photo), photo),))
            [answer] = self._decoded(self._sets(0, embedding, prompts), [(embedding, prompts)])
            [again] = self._joined(embedding, [self._ranked(answer, multimask=False)], seen)
            drafts[number] = reconsidered(first, again, seen)
        return drafts

    def _guide(self, embedding: Embedding) -> Guide | None:
        """What the photo shows about borders; None when masks are not refined."""
        return self._guides.guide(embedding.extras[THUMBNAIL], embedding.extras.get(LARGE)) if self._refined else None

    def _joined(
        self,
        embedding: Embedding,
        groups: Sequence[Sequence[_Part]],
        seen: Guide | None,
        points: Sequence[Click] = (),
    ) -> list[Draft]:
        """One draft for each group of parts: the union of the parts' shapes, with the lowest of their scores."""
        photo = (embedding.photo_height, embedding.photo_width)
        size = seen.thumbnail.shape[:2] if seen else photo
        parts = [part for group in groups for part in group]
        logits = [spread(part.logits, embedding, self._size, size) for part in parts]
        if seen is None:
            drafts = iter(
                [Draft(Shape((one > 0).numpy()), part.score) for one, part in zip(logits, parts, strict=True)]
            )
        else:
            probability = [one.sigmoid().numpy() for one in logits]
            scores, boxes = [part.score for part in parts], [part.box for part in parts]
            drafts = REFINERS.map(partial(drafted, photo=photo, seen=seen, points=points), probability, scores, boxes)
        return [self._calibrated(joined([next(drafts) for _ in group])) for group in groups]

    def _calibrated(self, draft: Draft) -> Draft:
        score = min(1.0, max(0.0, self._score_from + self._score_by * draft.score))
        return replace(draft, score=score if draft.shape.mask.any() else 0.0)
