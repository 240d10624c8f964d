"""Crowds: the pictures of many objects that the segmenter learns from."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from packshot.models.segment.network import build_sam
from training.mini import segmenter
from training.mini.__main__ import main
from training.mini.crowd import Patch, Scene, crowd
from training.mini.material import Material, read_material
from training.mini.shards import Shards

RED = np.array([1.0, 0.0, 0.0], np.float32)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """One photograph, and one cut-out of a red disc."""
    folder = tmp_path_factory.mktemp("material")
    photo = np.random.default_rng(0).integers(0, 255, (80, 120, 3), np.uint8)
    disc = np.zeros((40, 40, 4), np.uint8)
    cv2.circle(disc, (20, 20), 18, (0, 0, 255, 255), -1)
    cv2.imwrite(str(folder / "noise.png"), photo)
    (folder / "cut").mkdir()
    cv2.imwrite(str(folder / "cut" / "disc_1.png"), disc)
    return read_material(folder, folder / "cut", None)


def test_material_is_read_as_rgb_and_grouped_by_source(material: Material) -> None:
    assert [photo.shape for photo in material.photos] == [(80, 120, 3)]
    [cutout] = material.cutouts["disc"]
    assert cutout.colours[20, 20].tolist() == [255, 0, 0]
    assert (cutout.alpha[20, 20], cutout.alpha[0, 0]) == (255, 0)


def test_a_pasted_object_is_labelled_where_it_is_seen() -> None:
    scene = Scene(np.random.default_rng(1), np.zeros((64, 64, 3), np.float32))
    square = Patch(
        np.broadcast_to(RED, (20, 20, 3)).copy(), np.ones((20, 20), np.float32), np.zeros((20, 20), np.uint8)
    )
    scene.paste(square, np.array([20.0, 32.0]), 20, 0)
    scene.paste(square, np.array([30.0, 32.0]), 20, 0)
    assert set(np.unique(scene.objects)) == {0, 1, 2}
    assert scene.objects[32, 12] == 1
    assert scene.objects[32, 25] == 2
    assert scene.objects[32, 50] == 0


def test_an_object_that_is_mostly_hidden_is_no_target() -> None:
    scene = Scene(np.random.default_rng(1), np.zeros((64, 64, 3), np.float32))
    square = Patch(
        np.broadcast_to(RED, (20, 20, 3)).copy(), np.ones((20, 20), np.float32), np.zeros((20, 20), np.uint8)
    )
    scene.paste(square, np.array([32.0, 32.0]), 20, 0)
    scene.paste(square, np.array([34.0, 32.0]), 30, 0)
    _, objects, _ = scene.finished()
    assert set(np.unique(objects)) == {0, 2}


def test_crowds_have_objects_and_parts_and_follow_their_seed(material: Material) -> None:
    drawn = [crowd(np.random.default_rng([7, index]), 96, material) for index in range(8)]
    again = crowd(np.random.default_rng([7, 3]), 96, material)
    assert all(np.array_equal(one, other) for one, other in zip(drawn[3], again, strict=True))
    counts = [len(np.unique(objects)) - 1 for _, objects, _ in drawn]
    assert max(counts) >= 4
    assert any(parts.any() for *_, parts in drawn)
    assert all(not parts[objects == 0].any() for _, objects, parts in drawn)


def test_every_object_of_a_picture_becomes_a_target() -> None:
    square = np.zeros((64, 64, 5), np.uint8)
    square[4:24, 4:24, 3], square[30:60, 30:60, 3] = 1, 2
    square[40:52, 40:52, 4] = 1
    areas = set()
    for seed in range(12):
        areas |= {
            int(np.count_nonzero(mask)) for mask in segmenter.draw_targets(np.random.default_rng(seed), square, 2)
        }
    assert areas == {400, 900, 144}
    assert segmenter.draw_targets(np.random.default_rng(0), square * 0, 2) == []


def test_a_second_editions_weights_start_the_third(tmp_path: Path) -> None:
    small = segmenter.CONFIG | {"image_size": 64, "encoder_depth": 1, "global_attn_indexes": [0]}
    before = build_sam(small | {"mask_stride": 2, "image_size": 128}).state_dict()
    torch.save({"ema": before, "counters": {}}, tmp_path / "checkpoint.pt")
    sam = build_sam(small)
    found = segmenter.warm_weights(sam, tmp_path)
    sam.load_state_dict(found)
    assert torch.equal(found["image_encoder.skips.0.weight"], before["image_encoder.skips.1.weight"])
    assert found["image_encoder.pos_embed"].shape == (1, 4, 4, 192)


def test_the_command_writes_shards_of_crowds(tmp_path: Path) -> None:
    main(["crowds", "--runs", str(tmp_path), "--images", "3", "--size", "48", "--path-traced", str(tmp_path)])
    picked = Shards([tmp_path / "shards/crowds"]).pick(np.random.default_rng(0))
    assert picked.shape == (48, 48, 5)
