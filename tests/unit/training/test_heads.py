"""What the geometry head and the name finder are trained on, and how they are measured."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from packshot.types import Detection, Embedding, Geometry, Photo
from training.mini import detector, head_features, names
from training.mini.evaluation import groups, heads
from training.mini.geometry import geometry_loss
from training.mini.head_features import Labelled, labels
from training.path_traced import catalogue, clouds, draw
from training.path_traced.scene_plan import ProductPlan
from training.path_traced.splat import splat

# Names


@pytest.mark.parametrize(
    ("phrase", "name", "found"),
    [
        ("coffee cup", "coffee cup", True),
        ("cup", "coffee cup", True),
        ("mug", "coffee cup", True),
        ("coffee", "coffee cup", False),
        ("cup", "cup cake", False),
        ("table", "table fan", False),
        ("bottle", "perfume", True),
        ("red cup", "coffee cup", False),
        ("bowl", "bowl with fruits", True),
    ],
)
def test_a_phrase_finds_what_its_last_word_is(phrase: str, name: str, found: bool) -> None:
    assert names.finds(phrase, name) is found


def test_every_training_name_is_found_by_a_phrase_and_every_word_has_an_id() -> None:
    for name in names.known_names():
        assert any(names.finds(phrase, name) for phrase in names.phrases()), name
    words = names.tokenizer()
    assert all(not words.unknown(phrase) and not words.overflow(phrase) for phrase in names.phrases())


# Pictures without a path tracer


def ball(side: float = 1.0) -> tuple[ProductPlan, clouds.Cloud]:
    """A sphere of points on the ground."""
    rng = np.random.default_rng(0)
    out = rng.normal(size=(40_000, 3))
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    points = (out / 2 + (0, 0, 0.5)).astype(np.float32)
    plan = ProductPlan("made/soap/000", "soap", "soap", "", "", (), (side, side, side), (0.0, 0.0), 0.0, -1)
    colours = np.full((len(points), 3), 200, np.uint8)
    return plan, clouds.Cloud(points, out.astype(np.float32), colours, np.ones(len(points), np.uint8))


def test_a_ball_has_the_normals_and_the_depth_of_a_ball() -> None:
    view = draw.quick_views("train", 0, made_only=True)[0]
    plan, cloud = ball()
    view = dataclasses.replace(view, main=plan, neighbours=())
    found = splat(view, [cloud], np.random.default_rng(1), 128)
    on = found["index"] == 1
    rows, columns = np.nonzero(on)
    normals = found["normals"].astype(float)[on] / 127
    assert (normals[:, 2] > -0.3).all()  # towards the camera, but for perspective
    across = (columns - columns.mean()) / np.ptp(columns) * 2
    down = (rows - rows.mean()) / np.ptp(rows) * 2
    assert np.corrcoef(across, normals[:, 0])[0, 1] > 0.97
    assert np.corrcoef(down, -normals[:, 1])[0, 1] > 0.97
    depth, faces = found["depth"].astype(float)[on], normals[:, 2] > 0.5
    assert np.corrcoef(depth[faces], normals[faces, 2])[0, 1] < -0.95  # what faces the camera is near
    assert np.isinf(found["depth"][~on].astype(float)).all()


def test_a_plan_shows_objects_of_its_split_alone() -> None:
    held = {thing.object_id for thing in catalogue.read_table() if thing.held_out}
    for view in draw.groups("known", 0).views:
        assert not {plan.object_id for plan in (view.main, *view.neighbours)} & held
    for view in draw.groups("heldout", 0).views:
        things = {plan.object_id for plan in (view.main, *view.neighbours) if plan.archive}
        assert things <= held
        assert len(view.takes) == 1
    assert draw.quick_views("train", 3) == draw.quick_views("train", 3)


OBJ = """mtllib box.mtl
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
vt 0 0
usemtl red
f 1/1 2/1 3/1 4/1
usemtl blue
f -1//1 -2//1 -4//1
"""


def test_a_model_becomes_coloured_points(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "things.sh3f", "w") as archive:
        archive.writestr("box/box.obj", OBJ)
        archive.writestr("box/box.mtl", "newmtl red\nKd 1 0 0\nnewmtl blue\nKd 0 0 1\n")
    plan = ProductPlan("things/box", "box", "", "things.sh3f", "box/box.obj", (), (1.0, 1.0, 1.0), (0.0, 0.0), 0.0, -1)
    made = clouds.cloud(plan, tmp_path, tmp_path / "cache")
    again = clouds.cloud(plan, tmp_path, tmp_path / "cache")
    np.testing.assert_array_equal(made.points, again.points)
    assert {tuple(colour) for colour in made.colours.tolist()} == {(255, 0, 0), (0, 0, 255)}
    assert np.abs(made.normals[:, 1]).min() > 0.99  # OBJ's z is -y here
    assert made.points[:, 2].max() <= 1
    assert (made.colours[:, 0] == 255).mean() == pytest.approx(2 / 3, abs=0.05)


# Features


class Stub:
    """An encoder that sees nothing, and counts what it is shown."""

    seen = 0

    def encode(self, photos: list[Photo]) -> list[Embedding]:
        self.seen += len(photos)
        extras = {"quarter": np.zeros((32, 96, 96), np.float32), "eighth": np.zeros((64, 48, 48), np.float32)}
        return [Embedding(np.zeros((128, 24, 24), np.float32), 320, 320, 384, 384, extras) for _ in photos]


def bar() -> Labelled:
    """A product whose left half looks left and is near."""
    index = np.zeros((128, 128), np.uint8)
    index[40:90, 20:100] = 1
    normals = np.zeros((128, 128, 3), np.int8)
    normals[40:90, 20:60, 0], normals[40:90, 60:100, 2] = -127, 127
    depth = np.where(np.arange(128) < 60, 1, 2).astype(np.float16) * np.ones((128, 1), np.float16)
    return Labelled(np.full((128, 128, 3), 90, np.uint8), index, depth, normals, ("box",))


def test_features_for_the_geometry_alone_show_a_product_and_its_mirror_image(tmp_path: Path) -> None:
    """The detector's columns are left out, and only the geometry's training reads the shard."""
    path = tmp_path / head_features.GEOMETRY_FOLDER / "quick-00-0000.npz"
    encoder = Stub()
    head_features.write(path, [bar()], encoder, np.random.default_rng(0), geometry_only=True)  # type: ignore[arg-type]
    assert encoder.seen == 2
    with np.load(path) as shard:
        assert set(shard.files) == set(head_features.GEOMETRY)
        one, other = (shard["cut_normals"][row].astype(float) / 127 for row in (0, 1))
    assert np.abs(one[:, ::-1, 2] - other[..., 2]).mean() < 0.03  # a pixel beside, where the map is reduced
    assert one[..., 0].sum() == pytest.approx(-other[..., 0].sum(), rel=0.1)
    assert len(head_features.Rows(tmp_path, head_features.GEOMETRY)) == 2
    with pytest.raises(FileNotFoundError):
        head_features.Rows(tmp_path, head_features.DETECTOR)


# Losses


def test_a_true_geometry_has_no_loss() -> None:
    normals = torch.nn.functional.normalize(torch.randn(2, 3, 8, 8), dim=1)
    normals[:, :, :, :3] = 0
    depth = torch.rand(2, 1, 8, 8)
    angle, away = geometry_loss(normals, depth, normals, depth)
    assert float(angle) == pytest.approx(0, abs=1e-5)
    assert float(away) == 0
    beside = depth.clone()
    beside[:, :, :, :3] += 5  # not on the product
    assert float(geometry_loss(normals, beside, normals, depth)[1]) == 0


def test_boxes_to_look_at_have_the_name_of_what_they_show() -> None:
    boxes = np.zeros((2, 8, 4), np.float32)
    boxes[0, 0], boxes[1, 1] = (0.1, 0.1, 0.4, 0.5), (0.5, 0.5, 0.9, 0.9)
    called = np.full((2, 8), "", "U40")
    called[0, 0], called[1, 1] = "jar", "can"
    near, rows, true, found = detector.drawn_boxes(np.random.default_rng(0), boxes, called)
    overlaps = detector.overlap(torch.from_numpy(near), torch.from_numpy(true))
    for overlap, row, name in zip(overlaps.tolist(), rows, found, strict=True):
        assert name in ("", {0: "jar", 1: "can"}[int(row)])
        assert overlap > 0.3 if name else overlap <= detector.FREE_IOU
    assert {"jar", "can"} <= set(found)


def test_places_of_a_product_learn_its_box() -> None:
    cells = torch.zeros(1, 4, 4, dtype=torch.uint8)
    cells[0, 1, 2] = 1
    boxes = torch.zeros(1, 8, 4)
    boxes[0, 0] = torch.tensor([0.25, 0.0, 1.0, 0.75])
    right = boxes[:, :1, None].expand(1, 4, 4, 4)
    sure = torch.where(cells > 0, 20.0, -20.0)
    place, apart = detector.place_loss(sure, right, boxes, cells)
    assert float(place) < 1e-6
    assert float(apart) < 0.01
    wrong = detector.place_loss(-sure, right * 0.5, boxes, cells)
    assert float(wrong[0]) > 5
    assert float(wrong[1]) > 0.5


# The evaluation


def test_the_committed_groups_are_small_and_of_two_splits() -> None:
    assert groups.PATH.stat().st_size < 1_000_000
    found = groups.read_groups()
    assert {one.split for one in found} == set(groups.SPLITS)
    one = found[0]
    assert one.image.shape[:2] == one.index.shape == one.depth.shape
    lengths = np.linalg.norm(one.normals, axis=2)
    np.testing.assert_allclose(lengths[one.index > 0], 1, atol=0.02)
    assert not one.normals[one.index == 0].any()


def test_the_truth_has_no_error_and_a_turned_one_has() -> None:
    group = groups.read_groups()[0]
    mask = (group.index == 1).astype(np.uint8) * 255
    truth = np.dstack([group.normals, group.depth]) * (mask > 0)[..., None]
    exact = Geometry(np.round(truth[..., :3] * 127).astype(np.int8), np.ascontiguousarray(truth[..., 3]), mask)
    figures = heads.compared(exact, truth, np.random.default_rng(0))
    assert figures["angle"] < 2.5  # eight bits
    assert figures["depth_error"] < 0.01
    assert figures["depth_order"] > 0.99
    away = Geometry(-exact.normals, (1 - exact.depth) * (mask > 0), mask)
    figures = heads.compared(away, truth, np.random.default_rng(0))
    assert figures["angle"] > 170
    assert figures["depth_order"] < 0.01


class Oracle:
    """Answers with the true box of what is named, or always with the first product's."""

    reads = "photo"

    def __init__(self, group: groups.Group, *, blind: bool = False) -> None:
        self.group, self.blind = group, blind

    def unknown(self, words: str) -> list[str]:
        return []

    def find(self, asked: list[tuple[object, str]]) -> list[list[Detection]]:
        [(_, phrase)] = asked
        fit = [n for n, name in enumerate(self.group.names, 1) if name and names.finds(phrase, name)]
        numbers = [1] if self.blind else fit
        return [[Detection(tuple(map(float, self.group.box(number))), 1.0) for number in numbers]]  # type: ignore[arg-type]


def test_names_count_as_found_only_at_their_own_product() -> None:
    group = groups.read_groups()[0]
    assert len(heads.asked(group)) == 2
    right = heads.name_figures(Oracle(group), None, [group])  # type: ignore[arg-type]
    assert (right["found"], right["none"]) == (1, 1)
    blind = heads.name_figures(Oracle(group, blind=True), None, [group])  # type: ignore[arg-type]
    assert (blind["found"], blind["none"]) == (0.5, 0)


def test_labels_are_of_one_product_near_to_far() -> None:
    index = np.zeros((6, 6), np.uint8)
    index[1:5, 1:5] = 1
    depth = np.full((6, 6), np.inf, np.float16)
    depth[1:5, 1:5] = np.linspace(2, 3, 4)[None, :]
    normals = np.zeros((6, 6, 3), np.int8)
    normals[..., 2] = 127
    picture = Labelled(np.zeros((6, 6, 3), np.uint8), index, depth, normals, ("jar",))
    found, near = labels(picture, 1)
    assert near[2, 1] == pytest.approx(1, abs=0.02)
    assert near[2, 4] == pytest.approx(0, abs=0.02)
    assert not found[0].any()
    assert labels(picture.mirrored(), 1)[1][2, 1] == pytest.approx(0, abs=0.02)


def test_names_are_learnt_from_what_boxes_show(tmp_path: Path) -> None:
    """Two things that look different, in ten shards; the regression tells them apart, and an absent name is low."""
    rng = np.random.default_rng(0)
    looks = {"jar": 1.0, "can": -1.0}
    for shard in range(10):
        features = rng.normal(0, 0.1, (6, 128, 24, 24)).astype(np.float16)
        boxes, called = np.zeros((6, 8, 4), np.float32), np.full((6, 8), "", "U40")
        for row, name in enumerate(["jar", "can"] * 3):
            boxes[row, 0], called[row, 0] = (0.25, 0.25, 0.75, 0.75), name
            features[row, :, 6:18, 6:18] += looks[name]
        cells, eighth = np.zeros((6, 24, 24), np.uint8), np.zeros((6, 64, 48, 48), np.float16)
        columns = {"features": features, "eighth": eighth, "cells": cells, "boxes": boxes, "names": called}
        np.savez(tmp_path / f"quick-{shard}.npz", **columns)  # type: ignore[arg-type]
    net = detector.build().eval()
    said = detector.learn_names(net, tmp_path)
    assert said["balanced"] > 0.9
    joined = torch.zeros(1, 384, 24, 24)
    joined[:, :128, 6:18, 6:18] = looks["can"]
    numbers = net.numbers(joined, torch.tensor([[0.25, 0.25, 0.75, 0.75]]), torch.tensor([0]))
    words = torch.from_numpy(names.tokenizer()(["can", "jar", "hammer"]))
    can, jar, hammer = net.scores(numbers, net.chosen(words))[0].tolist()
    assert can > 0.5 > max(jar, hammer)
