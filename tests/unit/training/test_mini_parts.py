"""The parts around the painter: the decoder trained on alone, and the judge of scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from packshot.models.judge import SceneJudge
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings
from packshot.training.progress import TrainingOptions
from training.mini import judge, vae
from training.mini.data import write_shards
from training.scenes import render
from training.scenes.words import BACKDROPS, FIELDS, QUALITIES, SURFACES, TINTS, describe

BRIEFLY = TrainingOptions(samples=16, batch=8)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("scenes")
    write_shards(folder, 32, 64, 5)
    return folder


def test_training_the_decoder_on_leaves_the_latents_as_they_are(tmp_path: Path, scenes: Path) -> None:
    vae.train(tmp_path / "vae", scenes, BRIEFLY)
    vae.train_decoder(tmp_path / "decoder", tmp_path / "vae", scenes, BRIEFLY)
    first, best = vae.load(tmp_path / "vae"), vae.load_best(tmp_path)
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    assert torch.equal(first.encode(x).latents, best.encode(x).latents)
    z = torch.randn(2, 8, 8, 8)
    assert not torch.equal(first.decode(z).sample, best.decode(z).sample)


def test_the_judge_trains_and_answers_every_head(tmp_path: Path, scenes: Path) -> None:
    judge.train(tmp_path / "judge", scenes, BRIEFLY)
    pictures = np.zeros((3, 128, 128, 3), np.uint8)
    trained = judge.load(tmp_path / "judge")
    assert trained.size_px == 64
    answers = judge.read(trained, pictures, pictures[..., 0])
    assert {name: len(found) for name, found in answers.items()} == dict.fromkeys(judge.HEADS, 3)
    assert all(0 <= found.min() <= found.max() < len(judge.HEADS[name]) for name, found in answers.items())


def test_the_packs_judge_is_the_trainings_and_prefers_the_true_caption() -> None:
    pack = find_pack("mini", Settings())
    assert pack.role("judge").config == judge.CONFIG
    shipped, count = pack.load("judge"), 4
    batch = render(count, judge.SIZE_PX, 99, clutter=0.0)
    masks, rng = (batch.mask.numpy() * 255).astype(np.uint8), np.random.default_rng(0)
    rows = [dict(zip(FIELDS, row, strict=True)) for row in batch.attributes.tolist()]
    captions = [describe(row, rng, whole=True) for row in rows]
    scores = np.stack([shipped.agreement(batch.image.numpy(), masks, caption) for caption in captions])
    assert scores.shape == (count, count)
    assert (scores.argmax(axis=1) == np.arange(count)).sum() >= 3
    assert (shipped.agreement(batch.image.numpy(), masks, "our new sneaker") == 1).all()


def test_every_caption_names_the_classes_of_its_scene() -> None:
    rng = np.random.default_rng(1)
    reader = SceneJudge(judge.HEADS)
    sizes = (len(SURFACES), len(BACKDROPS), 2, len(QUALITIES), len(TINTS), 8, 8, 17, 1000, 5)
    for _ in range(400):
        attributes = [int(rng.integers(size)) for size in sizes]
        caption = describe(dict(zip(FIELDS, attributes, strict=True)), rng, whole=True)
        labels = judge.labels_of(np.array([attributes]))
        assert reader.named(caption) == {head: int(label) for head, label in labels.items()}, caption


def test_labels_tell_every_light_apart() -> None:
    attributes = np.zeros((6, len(FIELDS)), np.int64)
    for row, (quality, tint) in enumerate((q, t) for q in range(len(QUALITIES)) for t in range(len(TINTS))):
        attributes[row, FIELDS.index("quality")], attributes[row, FIELDS.index("tint")] = quality, tint
    assert judge.labels_of(attributes)["light"].tolist() == list(range(6))


def test_a_whole_caption_leaves_nothing_out() -> None:
    rng = np.random.default_rng(0)
    attributes = dict.fromkeys(FIELDS, 0)
    for _ in range(50):
        said = describe(attributes, rng, whole=True)
        assert "wood" in said
        assert "white" in said
        assert "soft" in said
        assert "light" in said
