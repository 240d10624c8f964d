"""Masks as prompts: against segment_anything's own predictor, on a tiny random SAM."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor

from packshot.models.segment.mask_prompt import SURE_LOGIT, mask_logits
from packshot.models.segment.network import build_sam
from packshot.models.segment.segmenter import SamDecoder, SamEncoder
from packshot.types import Embedding, Mask, Photo, Prompts

TINY = {
    "image_size": 64,
    "patch_size": 8,
    "encoder_embed_dim": 32,
    "encoder_depth": 1,
    "encoder_heads": 2,
    "window_size": 3,
    "global_attn_indexes": (0,),
    "out_chans": 16,
    "mask_in_chans": 16,
    "decoder_mlp_dim": 32,
    "decoder_heads": 2,
    "iou_hidden_dim": 16,
}
CPU = torch.device("cpu")
CLICK = ((50.0, 30.0, 1),)


@pytest.fixture(scope="module")
def parts() -> tuple[SamPredictor, SamDecoder, Embedding, Photo]:
    """The published predictor, our decoder with the same weights, and a photo of 100x60 pixels, encoded."""
    torch.set_num_threads(1)
    torch.manual_seed(3)
    sam = build_sam(TINY)
    with torch.no_grad():
        for weight in sam.parameters():
            if weight.ndim > 1:
                weight.normal_(0, 0.35)
    photo = Photo(np.random.default_rng(0).integers(0, 256, (60, 100, 3), dtype=np.uint8))
    predictor = SamPredictor(copy.deepcopy(sam))
    predictor.set_image(photo.pixels)
    [embedding] = SamEncoder(copy.deepcopy(sam), CPU, torch.float32).encode([photo])
    return predictor, SamDecoder(sam, CPU), embedding, photo


def half() -> Mask:
    """The left half of the photo."""
    pixels = np.zeros((60, 100), np.uint8)
    pixels[:, :50] = 255
    return Mask(pixels)


def test_a_mask_becomes_logits_over_the_padded_square(parts: tuple[SamPredictor, SamDecoder, Embedding, Photo]) -> None:
    logits = mask_logits(half().pixels, parts[2], 64, 32)
    assert logits.shape == (32, 32)
    assert (logits[:19, :16] == SURE_LOGIT).all()
    assert (logits[:, 16:] == -SURE_LOGIT).all()
    assert (logits[19:] == -SURE_LOGIT).all()


def test_outside_of_its_box_a_mask_has_no_product(parts: tuple[SamPredictor, SamDecoder, Embedding, Photo]) -> None:
    logits = mask_logits(half().pixels, parts[2], 64, 32, (0.0, 0.0, 25.0, 60.0))
    assert (logits[:19, :8] == SURE_LOGIT).all()
    assert (logits[:, 8:] == -SURE_LOGIT).all()


@pytest.mark.parametrize("points", [CLICK, (*CLICK, (5.0, 5.0, 0))])
def test_a_mask_prompt_is_what_the_published_predictor_takes(
    parts: tuple[SamPredictor, SamDecoder, Embedding, Photo], points: tuple[tuple[float, float, int], ...]
) -> None:
    predictor, decoder, embedding, _ = parts
    logits = mask_logits(half().pixels, embedding, 64, 32)
    masks, scores, _ = predictor.predict(
        np.array([point[:2] for point in points]), np.array([point[2] for point in points]), mask_input=logits[None]
    )
    [found] = decoder.decode([(embedding, Prompts(points, mask=half()))])
    order = np.argsort(-scores)
    assert np.allclose([candidate.score for candidate in found], scores[order].clip(0, 1), atol=1e-4)
    ours = np.stack([candidate.mask.pixels > 0 for candidate in found])
    assert (ours != masks[order]).mean() < 0.01


def test_a_mask_changes_the_answer_and_needs_no_click(
    parts: tuple[SamPredictor, SamDecoder, Embedding, Photo],
) -> None:
    _, decoder, embedding, _ = parts
    with_mask, without, alone = decoder.decode(
        [(embedding, Prompts(CLICK, mask=half())), (embedding, Prompts(CLICK)), (embedding, Prompts(mask=half()))]
    )
    assert not np.array_equal(with_mask[0].mask.pixels, without[0].mask.pixels)
    assert len(alone) == 3
