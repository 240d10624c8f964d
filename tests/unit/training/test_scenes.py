"""Drawn scenes: what the painter, the VAE and the segmenter learn from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.scenes import render
from training.scenes.words import FIELDS, all_words, describe

SIZE = 48


@pytest.fixture(scope="module")
def batch():
    torch.set_num_threads(1)
    return render(4, SIZE, seed=3)


def test_a_scene_batch_holds_what_it_says(batch):
    assert batch.image.shape == (4, SIZE, SIZE, 3)
    assert batch.image.dtype == torch.uint8
    assert batch.mask.shape == (4, SIZE, SIZE)
    assert float(batch.mask.min()) == 0.0
    assert float(batch.mask.max()) == 1.0
    assert set(np.unique(batch.edges.numpy())) <= {0, 255}
    assert batch.attributes.shape == (4, len(FIELDS))


def test_the_same_seed_draws_the_same_scenes(batch):
    again = render(4, SIZE, seed=3)
    assert torch.equal(again.image, batch.image)
    assert torch.equal(again.mask, batch.mask)
    assert again.captions == batch.captions


def test_another_seed_draws_other_scenes(batch):
    assert not torch.equal(render(4, SIZE, seed=4).image, batch.image)


def test_boxes_are_tight_around_the_masks(batch):
    for mask, (left, top, right, bottom) in zip(batch.mask.numpy() >= 0.5, batch.boxes.tolist(), strict=True):
        assert mask[top:bottom, left:right].sum() == mask.sum() > 0
        assert mask[top].any()
        assert mask[bottom - 1].any()
        assert mask[:, left].any()
        assert mask[:, right - 1].any()


def test_captions_stay_inside_the_closed_vocabulary():
    rng, known = np.random.default_rng(0), set(all_words())
    for _ in range(300):
        attributes = dict(zip(FIELDS, (int(rng.integers(n)) for n in (12, 8, 2, 2, 3, 8, 8, 12, 9)), strict=True))
        assert set(describe(attributes, rng).replace(",", " ").split()) <= known
