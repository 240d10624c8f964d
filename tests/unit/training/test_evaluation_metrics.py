"""The evaluation's metrics, on small arrays whose right values are known by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from packshot.types import Flat
from training.mini.evaluation import ladder, stamps
from training.mini.evaluation.borders import border, border_error_px, boundary_f
from training.mini.evaluation.colour import GREEN, WHITE, delta_e, over
from training.mini.evaluation.controls import asking, brighter_left, levels_apart, yellowness
from training.mini.evaluation.cutout_sheet import tiles
from training.mini.evaluation.cutouts import (
    ExactCut,
    alpha_error,
    cut_at_place,
    depth_px,
    displaced,
    edge_errors,
    exact_cuts,
)
from training.mini.evaluation.masks import Answers, calibration, means
from training.mini.evaluation.painting import DrawnShot
from training.mini.evaluation.rendered import rendered_subjects
from training.mini.evaluation.rows import ROWS, Row
from training.mini.evaluation.subjects import Subject
from training.path_traced.assets import Cache
from training.path_traced.draw import shard
from training.path_traced.shards import COLUMNS
from training.scenes import render
from training.scenes.words import FIELDS, SURFACES, TINTS

Bits = NDArray[np.bool_]


def square(left: int = 20, top: int = 20, side: int = 20, page: int = 60) -> Bits:
    mask = np.zeros((page, page), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_a_border_is_one_pixel_wide_and_none_lies_on_the_frame() -> None:
    assert border(square()).sum() == 4 * 19
    assert border(square(left=0, top=0)).sum() == 19 + 20  # the two sides inside the picture
    assert not border(np.ones((5, 5), bool)).any()


@pytest.mark.parametrize(("moved_px", "f"), [(0, 1.0), (3, 1.0), (4, 44 / 76)])
def test_boundary_f_allows_three_pixels(moved_px: int, f: float) -> None:
    """Of a square's 76 border pixels, moved right by 4, 19 of the upper and of the lower side stay near, and 6 more."""
    assert boundary_f(square(left=20 + moved_px), square()) == pytest.approx(f)


def test_boundary_f_is_the_harmonic_mean_of_precision_and_recall() -> None:
    """Two equal squares of which one is true: half of the found border is right, all of the true border is found."""
    both = square(left=2, top=2) | square(left=38, top=38)
    assert boundary_f(both, square(left=2, top=2)) == pytest.approx(2 / 3)
    assert boundary_f(np.zeros_like(both), both) == 0
    assert boundary_f(np.zeros_like(both), np.zeros_like(both)) == 1


def test_the_border_error_is_the_mean_distance_both_ways() -> None:
    assert border_error_px(square(), square()) == 0
    grown = square(left=18, top=18, side=24)
    assert border_error_px(grown, square()) == pytest.approx(2, abs=0.05)  # corners are 2.8 px away
    assert border_error_px(np.zeros((60, 60), bool), square()) == pytest.approx(60 * 2**0.5)


def test_half_covered_red_on_white_is_pink_and_equal_colours_do_not_differ() -> None:
    alpha = np.array([[0.0, 0.5, 1.0]])
    red = np.array([[[0.0, 0, 0], [0.5, 0, 0], [1, 0, 0]]])
    assert over(red, alpha, WHITE).tolist() == [[[1, 1, 1], [1, 0.5, 0.5], [1, 0, 0]]]
    assert over(red, alpha, GREEN)[0, 0].tolist() == list(GREEN)
    assert delta_e(over(red, alpha, WHITE), over(red, alpha, WHITE)).max() == 0
    assert delta_e(np.zeros((1, 1, 3)), np.ones((1, 1, 3)))[0, 0] == pytest.approx(100, abs=0.1)


def test_the_alpha_error_is_taken_near_the_border_only() -> None:
    exact = square().astype(float)
    assert alpha_error(exact, exact) == 0
    wrong = exact.copy()
    wrong[:5, :5] = 1  # far from the border
    assert alpha_error(wrong, exact) == 0
    zone = np.abs(depth_px(square())) <= 4
    wrong = exact.copy()
    wrong[19, 20:40] = 1  # a row of 20 pixels next to it
    assert alpha_error(wrong, exact) == pytest.approx(20 / zone.sum())


def test_an_exact_cutout_has_no_error_and_old_background_shows() -> None:
    alpha = square().astype(float)
    alpha[20, 20:40] = 0.5
    blue = np.array([0.2, 0.4, 0.8])
    exact = ExactCut(np.full((60, 60, 3), 255, np.uint8), alpha, alpha[..., None] * blue)
    pixels = np.dstack([np.full((60, 60, 3), np.rint(blue * 255)), np.floor(alpha * 255 + 0.5)]).astype(np.uint8)
    errors = edge_errors(pixels, exact)
    assert errors == pytest.approx(dict.fromkeys(errors, 0), abs=0.25)  # rounded to bytes
    pixels[20, 20:40, :3] = 255  # the white wall's colour at the edge
    assert edge_errors(pixels, exact)["edge_on_green"] > 10
    assert edge_errors(pixels, exact)["alpha_mae"] == pytest.approx(errors["alpha_mae"])


def test_a_cutout_lies_at_its_place() -> None:
    photo = np.random.default_rng(0).integers(0, 255, (60, 60, 3), np.uint8)
    page = cut_at_place(photo, square())
    assert np.array_equal(page[24:36, 24:36, :3], photo[24:36, 24:36])
    assert (page[24:36, 24:36, 3] == 255).all()
    assert not cut_at_place(photo, np.zeros((60, 60), bool)).any()


def test_a_border_is_displaced_both_ways_and_at_most_as_far() -> None:
    truth = square(left=40, top=40, side=120, page=200)
    away = np.concatenate([depth_px(truth)[displaced(truth, 4, seed) != truth] for seed in range(4)])
    assert away.max() > 1
    assert away.min() < -1
    assert np.abs(away).max() <= 4
    assert displaced(truth, 0, seed=1) is truth


def test_the_product_of_a_scene_and_its_surroundings_add_up_to_the_picture() -> None:
    [exact] = exact_cuts(1, 64)
    inside, outside = exact.alpha == 1, exact.alpha == 0
    assert np.allclose(exact.colours[inside], exact.photo[inside] / 255, atol=0.003)
    assert not exact.colours[outside].any()
    assert ((exact.alpha > 0) & (exact.alpha < 1)).any()


def test_outlines_cover_their_exact_area_at_every_size() -> None:
    for width, height in ((400, 300), (800, 600)):
        covered = ladder.coverage(ladder.OBJECTS["bottle"][2], width, height)
        body, neck = 360 * 620 - (4 - np.pi) * 60**2, 160 * 220 - (4 - np.pi) / 2 * 12**2
        assert covered.sum() == pytest.approx((body + neck) * (width / 1600) ** 2, rel=0.005)
    opened = ladder.coverage(ladder.OBJECTS["mug"][2], 800, 600)
    assert opened[320, 550] == 0  # the handle's opening
    assert opened[320, 600] == 1  # the handle


def test_differences_of_pictures_are_levels_brightness_and_yellowness() -> None:
    grey = np.full((4, 8, 3), 100, np.uint8)
    lit = grey.copy()
    lit[:, :4] = 200
    everywhere, left = np.ones((4, 8), bool), np.zeros((4, 8), bool)
    left[:, :4] = True
    assert levels_apart(lit, grey) == 50
    assert brighter_left(lit, everywhere) == pytest.approx(-brighter_left(lit[:, ::-1], everywhere))
    assert brighter_left(lit, everywhere) > 30
    assert brighter_left(lit, left) == 0  # nothing to compare with
    assert yellowness(grey, everywhere) == pytest.approx(0, abs=0.1)
    yellow, blue = grey.copy(), grey.copy()
    yellow[..., 2], blue[..., 2] = 50, 150
    assert yellowness(yellow, everywhere) > 15 > -15 > yellowness(blue, everywhere)


def test_a_shot_asks_for_other_words_and_keeps_the_rest() -> None:
    asked = render(1, 16, seed=3).attributes[0].numpy()
    shot = DrawnShot(Flat(np.zeros((8, 8, 4), np.uint8)), "a prompt", 0, np.zeros((8, 8, 3), np.uint8), asked, asked)
    sand = asking(shot, surface=SURFACES.index("sand"), tint=TINTS.index("cool"), side=1)
    assert "sand" in sand.prompt
    assert "cool light from the right" in sand.prompt
    changed = [name for name, was, now in zip(FIELDS, asked, sand.asked, strict=True) if was != now]
    assert set(changed) <= {"surface", "tint", "side"}
    assert replace(sand, prompt="", asked=asked).flat is shot.flat


def test_scores_are_compared_with_the_iou_of_their_own_prompt() -> None:
    one = Answers("a", {"box": 0.9, "click": 0.5, "clicks3": 0.7, "automatic": 0.0}, {"box": 1.0})
    one.scores = {"box": 0.8, "click": 0.8, "clicks3": 0.7, "automatic": 1.0}
    found = means([one])
    assert found["score_error"] == pytest.approx((0.1 + 0.3 + 0) / 3, abs=0.001)
    assert found["border_f"] == {"box": 1.0}
    assert calibration([one])["mean_error"] == found["score_error"]


def test_a_stamp_lies_whole_in_its_photo_and_its_mask_is_its_own() -> None:
    pytest.importorskip("skimage")
    stamp = np.zeros((50, 80, 4), np.uint8)
    stamp[10:40, 10:70] = (250, 10, 10, 255)
    for kind in stamps.BACKGROUNDS:
        rng = np.random.default_rng(1)
        behind = stamps.background(kind, rng)
        assert behind.shape == (480, 640, 3)
        assert 0 <= behind.min() <= behind.max() <= 255
        photo = stamps.composed("stamps/red", stamp, behind, rng)
        scale = np.sqrt(photo.truth.sum() / (30 * 60))
        assert 220 <= 80 * scale <= 384
        assert photo.image[photo.truth].mean(0) == pytest.approx((250, 10, 10), abs=6)
        assert not photo.shown


def test_stamps_are_named_once_and_missing_ones_are_noticed(tmp_path: Path) -> None:
    assert len(set(stamps.NAMES)) == len(stamps.NAMES) == 60
    assert not stamps.available(Cache(tmp_path))


def test_no_held_out_shards_are_an_error_with_the_command(tmp_path: Path) -> None:
    (tmp_path / "train-00000.npz").touch()
    with pytest.raises(FileNotFoundError, match=r"python -m training\.path_traced render"):
        rendered_subjects(tmp_path, 1)


def test_every_second_fit_picture_of_held_out_shards_is_measured(tmp_path: Path) -> None:
    plan = shard("heldout", 0, 32, 1)
    arrays = {
        name: np.full((plan.pictures, *((32 // divisor,) * 2 if divisor else ()), *tail), 60, kind)
        for name, (kind, divisor, tail) in COLUMNS.items()
    }
    arrays["alpha"][:] = 0
    arrays["alpha"][:, 8:24, 8:24] = 255
    arrays["alpha"][2] = 0  # shows no product
    np.savez(tmp_path / f"{plan.stem}.npz", **arrays)  # type: ignore[arg-type]
    (tmp_path / f"{plan.stem}.json").write_text(plan.to_json())
    found = rendered_subjects(tmp_path, 100)
    assert [int(one.subject.name.rpartition("-")[2]) for one in found] == [0, *range(4, plan.pictures, 2)]
    assert all(one.subject.truth.sum() == 256 == one.alpha.sum() for one in found)


def test_cutouts_are_shown_on_white_green_and_black_at_twice_their_size() -> None:
    photo = np.full((60, 60, 3), 90, np.uint8)
    subject = Subject("a/b", photo, square())
    answers = Answers("a/b", {"box": 1.0}, {"box": 1.0}, masks={"box": square()})
    found = list(tiles(subject, answers))
    assert {tile.shape for tile in found} == {(88, 88, 3)}  # 20 px and 12 at each side, doubled
    assert [tuple(tile[-1, -1]) for tile in found] == [(255, 255, 255), (0, 177, 64), (0, 0, 0)]
    assert all(tuple(tile[44, 44]) == (90, 90, 90) for tile in found)


def test_rows_are_unique_and_targets_are_judged() -> None:
    assert len({(row.group, row.title, row.path) for row in ROWS}) == len(ROWS)
    most, least = Row("a", ("x",), at_most=1.2), Row("b", ("x",), 0.85)
    assert [most.verdict(value) for value in (1.2, 1.21, None)] == ["holds", "MISS", "not measured"]
    assert [least.verdict(value) for value in (0.85, 0.84)] == ["holds", "MISS"]
    assert (most.target, least.target) == ("≤ 1.2", "≥ 0.85")


def test_the_renderer_keeps_the_products_colours_of_each_scene() -> None:
    torch.set_num_threads(1)
    batch = render(2, 32, seed=5)
    assert batch.product.shape == (2, 32, 32, 3)
    assert not batch.product[batch.mask == 0].any()
