"""The cutout's edge: the lock is exact, alpha and colours are nearly the true ones, and odd masks stay whole."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from packshot.errors import BadInput
from packshot.imaging import matting
from packshot.imaging.canvas import cut, cutout_bbox
from packshot.imaging.guided import cut_guided, guided_alpha
from packshot.imaging.lock import lock_px_of, reach_px
from packshot.types import U8, Mask, Photo

BACKDROP, PRODUCT = (120, 140, 150), (200, 60, 40)


def disk_mask(
    width: int = 160, height: int = 120, radius: float = 40.3, centre: tuple[float, float] | None = None
) -> U8:
    x, y = centre or (width / 2, height / 2)
    rows, columns = np.ogrid[:height, :width]
    return ((columns - x) ** 2 + (rows - y) ** 2 <= radius**2).astype(np.uint8) * np.uint8(255)


def photograph(coverage: np.ndarray, noise: float = 1.5) -> Photo:
    """A product of the given coverage (HxW in 0..1) before a plain backdrop, with a sensor's noise."""
    grain = np.random.default_rng(1).normal(0, noise, (*coverage.shape, 3))
    mixed = coverage[..., None] * np.array(PRODUCT) + (1 - coverage[..., None]) * np.array(BACKDROP) + grain
    return Photo(mixed.round().clip(0, 255).astype(np.uint8))


def coverage_of(mask: U8, blur: float = 0.8) -> np.ndarray:
    return cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), blur)


def at_place(photo: Photo, mask: U8, lock_px: int = 2) -> U8:
    """The cutout at its place in the photo, HxWx4."""
    x0, y0, x1, y1 = cutout_bbox(Mask(mask), lock_px)
    cutout = cut(photo, Mask(mask), lock_px)
    assert (cutout.width, cutout.height) == (x1 - x0, y1 - y0)
    page = np.zeros((*mask.shape, 4), np.uint8)
    page[y0:y1, x0:x1] = cutout.pixels
    return page


@pytest.mark.parametrize(
    ("width", "height", "lock_px"), [(816, 612, 2), (816, 612, 4), (2000, 1500, 6), (4000, 3000, 12)]
)
def test_the_lock_is_exact_at_every_size_of_photo(width: int, height: int, lock_px: int) -> None:
    mask = disk_mask(width, height, 70.0)
    photo = Photo(np.random.default_rng(2).integers(0, 256, (height, width, 3), np.uint8))  # noise: the worst case
    rgba = at_place(photo, mask, lock_px)
    inside = cv2.erode(mask, matting.disk(lock_px)) > 0
    assert inside.sum() > 9_000
    assert (rgba[inside, 3] == 255).all()
    opaque = rgba[..., 3] == 255
    assert np.array_equal(rgba[opaque, :3], photo.pixels[opaque])
    assert not rgba[cv2.dilate(mask, matting.disk(reach_px(lock_px))) == 0, 3].any()


@pytest.mark.parametrize(("lock_px", "outside_px"), [(2, 3), (3, 3), (6, 6), (12, 12)])
def test_the_soft_edge_reaches_as_far_as_the_lock_but_at_least_3_px(lock_px: int, outside_px: int) -> None:
    assert reach_px(lock_px) == outside_px
    assert cutout_bbox(Mask(disk_mask(radius=20)), lock_px) == (
        60 - outside_px,
        40 - outside_px,
        101 + outside_px,
        81 + outside_px,
    )


@pytest.mark.parametrize(("off", "noise"), [((0, 0), 0), ((1, 0), 0), ((0, 0), 1.5)])
def test_alpha_and_colours_are_the_true_ones_though_the_mask_is_off(off: tuple[int, int], noise: float) -> None:
    exact = disk_mask()
    coverage = coverage_of(exact)
    rgba = at_place(photograph(coverage, noise), np.roll(exact, off, (1, 0)))
    zone = cv2.dilate(exact, matting.disk(4)) - cv2.erode(exact, matting.disk(4)) > 0
    assert np.abs(rgba[..., 3] / 255 - coverage)[zone].mean() < 0.04
    seen = (rgba[..., 3] > 40) & (rgba[..., 3] < 255)
    assert seen.sum() > 100
    assert np.abs(rgba[seen, :3].astype(int) - PRODUCT).mean() < 6  # nothing of the backdrop


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0)])
def test_where_the_photo_shows_no_edge_the_mask_is_the_edge(colour: tuple[int, int, int]) -> None:
    mask = disk_mask()
    rgba = at_place(Photo(np.broadcast_to(np.array(colour, np.uint8), (120, 160, 3)).copy()), mask)
    assert (rgba[cv2.dilate(mask, matting.disk(3)) > 0, :3] == colour).all()
    assert abs(float(rgba[..., 3].sum()) / 255 - (mask > 0).sum()) < 0.05 * (mask > 0).sum()
    assert ((rgba[..., 3] > 0) & (rgba[..., 3] < 255)).sum() > 200


def test_a_product_cut_by_the_frame_has_no_edge_there() -> None:
    mask = np.zeros((60, 60), np.uint8)
    mask[20:, 10:50] = 255
    rgba = at_place(photograph(coverage_of(mask)), mask)
    assert (rgba[-1, 13:47, 3] == 255).all()


def test_a_mask_of_the_whole_frame_has_no_edge_at_all() -> None:
    photo = photograph(np.ones((40, 50)))
    assert np.array_equal(
        at_place(photo, np.full((40, 50), 255, np.uint8)), np.dstack([photo.pixels, photo.pixels[..., :1] * 0 + 255])
    )


def test_a_found_mask_that_is_4_px_off_keeps_no_old_background() -> None:
    exact = disk_mask()
    coverage, off = coverage_of(exact), np.roll(exact, (0, 4), (0, 1))
    rgba = at_place(photograph(coverage), off, lock_px_of(160, 120))
    zone = cv2.dilate(exact, matting.disk(6)) - cv2.erode(exact, matting.disk(6)) > 0
    assert np.abs(rgba[..., 3] / 255 - coverage)[zone].mean() < 0.04
    assert rgba[coverage < 0.01, 3].max() < 26


def test_a_mask_is_corrected_only_in_the_band_and_only_where_alpha_is_clear() -> None:
    hard = (np.arange(40) < 20).astype(np.uint8)[None].repeat(40, 0)
    product, backdrop = (np.arange(40) < 10)[None].repeat(40, 0), (np.arange(40) >= 30)[None].repeat(40, 0)
    clear = np.array([0] * 16 + [255] * 24, np.uint8)[None].repeat(40, 0)
    assert (matting.corrected(hard, clear, product, backdrop)[0] == [1] * 10 + [0] * 6 + [1] * 14 + [0] * 10).all()
    assert (matting.corrected(hard, np.full_like(hard, 128), product, backdrop) == hard).all()


@pytest.mark.parametrize("lock_px", [2, 6])
@pytest.mark.parametrize("thick_px", [1, 2, 3, 5])
def test_a_strap_thinner_than_the_lock_stays_whole(thick_px: int, lock_px: int) -> None:
    mask = np.zeros((80, 120), np.uint8)
    cv2.rectangle(mask, (30, 40), (90, 70), 255, -1)
    cv2.ellipse(mask, (60, 40), (26, 26), 0, 180, 360, 255, thick_px)
    alpha = at_place(photograph(coverage_of(mask, 0.5)), mask, lock_px)[..., 3]
    middle = np.zeros_like(mask)
    cv2.ellipse(middle, (60, 40), (26, 26), 0, 190, 350, 255, 1)
    assert (alpha[(middle & mask) > 0] > 100).all()


def test_a_slit_thinner_than_the_soft_edge_stays_open() -> None:
    mask = np.zeros((60, 60), np.uint8)
    mask[10:50, 10:50] = 255
    mask[10:40, 29:32] = 0
    alpha = at_place(photograph(coverage_of(mask, 0.5)), mask)[..., 3]
    assert (alpha[12:36, 30] < 60).all()


@pytest.mark.parametrize("size_px", [1, 2, 3])
def test_the_smallest_masks_give_a_visible_product(size_px: int) -> None:
    mask = np.zeros((20, 24), np.uint8)
    mask[8 : 8 + size_px, 9 : 9 + size_px] = 255
    alpha = at_place(photograph(mask / 255), mask)[..., 3]
    assert alpha[8 + size_px // 2, 9 + size_px // 2] == 255
    assert (alpha > 0).sum() <= (size_px + 6) ** 2


def test_a_mask_with_soft_values_is_alpha_itself() -> None:
    coverage = coverage_of(disk_mask(), 2.5)
    mask = np.rint(coverage * 255).astype(np.uint8)
    rgba = at_place(photograph(coverage), mask)
    assert np.array_equal(rgba[..., 3], mask)
    soft = (mask > 60) & (mask < 255)
    assert np.abs(rgba[soft, :3].astype(int) - PRODUCT).mean() < 6


def test_a_soft_brush_inside_the_product_changes_no_colour() -> None:
    photo = photograph(np.ones((120, 160)))
    mask = np.rint(coverage_of(disk_mask(), 4) * 255).astype(np.uint8)
    rgba = at_place(photo, mask)
    assert np.array_equal(rgba[mask > 0, :3], photo.pixels[mask > 0])


def test_a_hard_border_beside_a_soft_one_is_still_matted() -> None:
    exact = disk_mask()
    coverage = coverage_of(exact)
    mask = exact.copy()
    mask[:, :60] = np.rint(coverage[:, :60] * 255)
    rgba = at_place(photograph(coverage), mask)
    assert np.array_equal(rgba[:, :57, 3], mask[:, :57])
    right = rgba[:, 90:, 3]
    assert ((right > 0) & (right < 255)).sum() > 60


def test_the_same_mask_gives_the_same_bytes() -> None:
    mask = disk_mask()
    photo = photograph(coverage_of(mask))
    assert np.array_equal(cut(photo, Mask(mask)).pixels, cut(photo, Mask(mask)).pixels)


def test_tiles_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = disk_mask(300, 300, 120)
    photo = photograph(coverage_of(mask))
    whole = cut(photo, Mask(mask), 4).pixels
    monkeypatch.setattr(matting, "TILE_PX", 64)
    assert np.abs(cut(photo, Mask(mask), 4).pixels[..., 3].astype(int) - whole[..., 3]).max() <= 3


@pytest.mark.parametrize(("limit", "value"), [("MAX_BAND_PX", 10), ("MAX_ITERATIONS", 1)])
def test_the_guided_filter_makes_the_edge_that_cannot_be_solved(
    monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    mask = disk_mask()
    photo = photograph(coverage_of(mask))
    monkeypatch.setattr(matting, limit, value)
    assert np.array_equal(at_place(photo, mask)[..., 3], guided_alpha(photo.pixels, mask // 255))


def test_the_guided_cutout_of_older_masks_does_not_change() -> None:
    mask = disk_mask(64, 48, 14.2)
    cutout = cut_guided(photograph(coverage_of(mask)), Mask(mask)).pixels
    assert cutout.shape == (31, 31, 4)
    assert [int(cutout[..., channel].astype(int).sum()) for channel in range(4)] == SUMS_OF_0_1_0


SUMS_OF_0_1_0 = [185380, 64466, 47945, 160727]


def test_cut_refuses_an_empty_mask_and_one_of_another_size() -> None:
    photo = photograph(np.ones((20, 20)))
    with pytest.raises(BadInput, match="mask_empty"):
        cut(photo, Mask(np.full((20, 20), 127, np.uint8)))
    with pytest.raises(BadInput, match="invalid_request"):
        cut(photo, Mask(np.full((10, 10), 255, np.uint8)))


def test_the_disk_is_the_documented_one() -> None:
    assert matting.disk(2).sum() == sum(1 for x in range(-2, 3) for y in range(-2, 3) if math.hypot(x, y) <= 2)
