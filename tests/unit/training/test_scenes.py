"""Drawn scenes: what the painter, the VAE and the segmenter learn from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.scenes import SceneBatch, render
from training.scenes.words import FAMILIES, FIELDS, MATERIALS, UNSEEN_FAMILIES, UNSEEN_MATERIALS, all_words, describe

SIZE = 48


@pytest.fixture(scope="module")
def batch() -> SceneBatch:
    torch.set_num_threads(1)
    return render(4, SIZE, seed=3)


def test_a_scene_batch_holds_what_it_says(batch: SceneBatch) -> None:
    assert batch.image.shape == (4, SIZE, SIZE, 3)
    assert batch.image.dtype == torch.uint8
    assert batch.mask.shape == (4, SIZE, SIZE)
    assert float(batch.mask.min()) == 0.0
    assert float(batch.mask.max()) == 1.0
    assert set(np.unique(batch.edges.numpy())) <= {0, 255}
    assert batch.attributes.shape == (4, len(FIELDS))


def test_the_same_seed_draws_the_same_scenes(batch: SceneBatch) -> None:
    again = render(4, SIZE, seed=3)
    assert torch.equal(again.image, batch.image)
    assert torch.equal(again.mask, batch.mask)
    assert again.captions == batch.captions


def test_another_seed_draws_other_scenes(batch: SceneBatch) -> None:
    assert not torch.equal(render(4, SIZE, seed=4).image, batch.image)


def test_boxes_are_tight_around_the_masks(batch: SceneBatch) -> None:
    for mask, (left, top, right, bottom) in zip(batch.mask.numpy() >= 0.5, batch.boxes.tolist(), strict=True):
        assert mask[top:bottom, left:right].sum() == mask.sum() > 0
        assert mask[top].any()
        assert mask[bottom - 1].any()
        assert mask[:, left].any()
        assert mask[:, right - 1].any()


def test_captions_stay_inside_the_closed_vocabulary() -> None:
    rng, known = np.random.default_rng(0), set(all_words())
    for _ in range(300):
        attributes = dict(zip(FIELDS, (int(rng.integers(n)) for n in (12, 8, 2, 2, 3, 8, 8, 17, 9, 5)), strict=True))
        assert set(describe(attributes, rng).replace(",", " ").split()) <= known


def test_training_never_draws_what_is_kept_for_evaluation() -> None:
    rows = render(24, 16, seed=5, clutter=0.0).attributes.numpy()
    assert not {FAMILIES[k] for k in rows[:, FIELDS.index("family")]} & set(UNSEEN_FAMILIES)
    assert not {MATERIALS[k] for k in rows[:, FIELDS.index("material")]} & set(UNSEEN_MATERIALS)


def test_families_and_materials_can_be_asked_for() -> None:
    rows = render(6, 16, seed=5, families=["shoe"], materials=["translucent"]).attributes.numpy()
    assert {FAMILIES[k] for k in rows[:, FIELDS.index("family")]} == {"shoe"}
    assert {MATERIALS[k] for k in rows[:, FIELDS.index("material")]} == {"translucent"}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_in_every_material_is_a_product_that_stands_in_the_picture(family: str) -> None:
    batch = render(len(MATERIALS), 32, seed=11, families=[family], materials=MATERIALS, clutter=0.0)
    share = batch.mask.mean((1, 2))
    assert float(share.min()) > 0.01
    assert float(share.max()) < 0.75


def test_normals_are_unit_and_look_up_from_the_floor(batch: SceneBatch) -> None:
    length = batch.normals.norm(dim=3)
    assert set(np.unique(length.round().numpy())) <= {0.0, 1.0}
    bare = (batch.mask == 0) & torch.isfinite(batch.depth) & (batch.part == 0)
    assert float(batch.normals[..., 1][bare].median()) == pytest.approx(1.0, abs=1e-3)


def test_the_product_stands_nearer_than_the_floor_behind_it(batch: SceneBatch) -> None:
    for depth, mask, (x, y) in zip(batch.depth, batch.mask, batch.points.tolist(), strict=True):
        assert mask[y, x] == 1.0
        assert depth[y, x] < depth[mask == 0].max()


def test_a_cup_may_be_meant_without_its_saucer() -> None:
    batch = render(3, SIZE, seed=2, families=["cup"], clutter=0.0)
    assert bool(((batch.part > 0) <= (batch.mask > 0)).all())
    assert bool((batch.part.sum((1, 2)) < 0.95 * batch.mask.sum((1, 2))).all())


def test_mixed_light_changes_the_product_and_not_its_shape() -> None:
    one, other = (render(4, SIZE, seed=9, mixed_light=chance) for chance in (0.0, 1.0))
    assert one.texts == other.texts
    assert not torch.equal(one.image, other.image)
