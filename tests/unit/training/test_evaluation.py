"""The evaluation of the mini pack: prompts, measures, the table,
and that a slice of the committed one is reproduced."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from packshot.models.judge import SceneJudge
from training.mini import judge
from training.mini.evaluation import measure
from training.mini.evaluation.diversity import perceptual
from training.mini.evaluation.pointing import Bits, box_of, correction, deepest, spread
from training.mini.evaluation.rows import ROWS
from training.mini.evaluation.shadow import contrast
from training.mini.evaluation.subjects import real_photos
from training.mini.evaluation.table import hashes, in_card, markdown, table

PACK = Path(measure.__file__).parents[3] / "packshot/packs/mini"
TOLERANCE = 0.02
"""Of a slice's figure (IoU, mean level), absolute: what another processor's arithmetic may move."""


@pytest.fixture
def square() -> Bits:
    mask = np.zeros((40, 60), bool)
    mask[10:30, 20:50] = True
    return mask


def test_a_box_is_tight_and_points_lie_inside(square: Bits) -> None:
    assert box_of(square) == (20, 10, 50, 30)
    points = spread(square)
    assert points[0] == deepest(square)
    assert len(set(points)) == 3
    assert all(square[int(y), int(x)] and label == 1 for x, y, label in points)


def test_a_correction_clicks_into_the_largest_wrong_region(square: Bits) -> None:
    missed, leaked = square.copy(), square.copy()
    missed[10:30, 40:50] = False
    leaked[32:40, :] = True
    leaked[10, 20] = False
    click = correction(missed, square)
    assert click is not None
    x, y, label = click
    assert label == 1
    assert square[int(y), int(x)] > missed[int(y), int(x)]
    click = correction(leaked, square)
    assert click is not None
    x, y, label = click
    assert label == 0
    assert y >= 32
    assert correction(square, square) is None


def test_every_photos_mask_lies_in_its_photo() -> None:
    found = real_photos()
    assert len(found) >= 8
    assert len({subject.name.partition("/")[0] for subject in found}) >= 5
    for subject in found:
        assert subject.truth.shape == subject.image.shape[:2]
        assert 0.001 < subject.truth.mean() < 0.6


def test_a_shadow_is_seen_and_a_plain_surface_has_none() -> None:
    product = np.zeros((128, 128), bool)
    product[40:100, 50:80] = True
    plain = np.full((128, 128, 3), 200, np.uint8)
    assert contrast(plain, product) == pytest.approx(1)
    shaded = plain.copy()
    shaded[96:106, 46:84] = 120
    seen = contrast(shaded, product)
    assert seen is not None
    assert seen < 0.85


def test_equal_pictures_are_no_distance_apart() -> None:
    torch.manual_seed(0)
    net = SceneJudge(judge.HEADS, size_px=64).eval()
    pictures = np.random.default_rng(0).integers(0, 255, (3, 96, 96, 3), np.uint8)
    pictures[1] = pictures[0]
    same, other, again = perceptual(net, pictures, np.zeros((3, 96, 96), np.uint8))
    assert same == pytest.approx(0, abs=1e-5)
    assert other == pytest.approx(again, abs=1e-5)
    assert other > 0.01


def test_a_table_says_miss_when_a_target_is_missed() -> None:
    row = next(row for row in ROWS if row.path == ("masks", "held_out", "box"))
    pack = measure.open_pack(PACK)
    rows = table(pack, {"masks": {"held_out": {"box": 0.5}}}, {}, {})["rows"]
    assert [found["verdict"] for found in rows if found["title"] == row.title] == ["MISS"]
    assert "not measured" in {found["verdict"] for found in rows}
    shown = markdown({"pack": {"name": "mini"}, "made": {}, "rows": rows, "figures": {}})
    assert "| 0.5 | ≥ 0.93 | MISS |" in shown


def test_a_table_names_the_groups_that_were_not_measured() -> None:
    """Stamps and shards that are absent are not left out in silence."""
    rows = table(measure.open_pack(PACK), {"stamps": {"box": 0.5}}, {}, {})["rows"]
    shown = markdown({"pack": {"name": "mini"}, "made": {}, "rows": rows, "figures": {}})
    measured, _, missing = shown.partition("Not measured: ")
    assert "| stamps: box | 0.5 |" in measured
    assert "path-traced" in missing
    assert "stamps" not in missing


def test_the_card_shows_the_committed_table() -> None:
    card, kept = (PACK / "README.md").read_text("utf-8"), json.loads((PACK / "evaluation.json").read_text("utf-8"))
    assert in_card(card, markdown(kept)) == card
    with pytest.raises(ValueError, match="no place for the table"):
        in_card("# A card", markdown(kept))


def test_a_slice_of_the_committed_table_is_reproduced() -> None:
    """Only a table that was made of these very weights can be."""
    torch.set_num_threads(1)
    pack = measure.open_pack(PACK)
    figures = measure.slice_figures(pack)
    assert figures["iou coffee/cup_saucer_spoon box"] > 0.5
    kept = json.loads((PACK / "evaluation.json").read_text("utf-8"))
    assert kept["pack"]["files"] == hashes(pack), "new weights: measure them, make eval-mini EVAL=--commit"
    assert figures == pytest.approx(kept["slice"], abs=TOLERANCE)
