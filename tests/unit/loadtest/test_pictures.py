"""What a picture must be: whole, the photo's own pixels where the product is, the lone picture's elsewhere."""

import io

import numpy as np
import pytest
from PIL import Image

from loadtest.checks.layout import place
from loadtest.checks.pictures import digest, eroded, origin, scene_wrong
from loadtest.checks.png import png_size
from loadtest.scenarios.photos import draw, draw_pool
from loadtest.scenarios.scenario import PhotoRow
from packshot.contract.shot_spec import Canvas
from packshot.imaging.canvas import cut, flatten
from packshot.imaging.codec import encode_png, read_photo
from packshot.types import Cutout, Layer, Layout, Mask, Photo


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_whole_png_tells_its_size(channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (37, 53, channels), np.uint8)
    assert png_size(encode_png(pixels.squeeze())) == (53, 37)


def test_a_png_that_is_not_whole_is_told() -> None:
    data = encode_png(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    taller = bytearray(data)
    taller[23] += 1  # the height in the header, whose checksum then no longer holds
    for broken in (b"", data[:-20], data[: len(data) // 2], bytes(flipped), bytes(taller), b"GIF89a" + data):
        with pytest.raises(ValueError, match=r"is not a PNG|ends inside|checksum|no IEND|inflate"):
            png_size(broken)


def test_a_photo_is_the_same_everywhere_and_a_comment_makes_it_new_bytes_of_the_same_pixels() -> None:
    photo = draw(3, 320, 240, seed=1)
    assert photo == draw(3, 320, 240, seed=1)
    assert photo.data != draw(4, 320, 240, seed=1).data
    one, other = photo.unique("a"), photo.unique("b")
    assert one != other
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(one))), np.asarray(Image.open(io.BytesIO(photo.data))))
    x0, y0, x1, y1 = photo.box_xyxy
    assert 0 <= x0 < x1 <= 320
    assert 0 <= y0 < y1 <= 240


def test_the_pool_has_every_size() -> None:
    sizes = [PhotoRow(width=64, height=64, share=9), PhotoRow(width=128, height=64, share=0.001)]
    assert {(photo.width, photo.height) for photo in draw_pool(sizes, 0)} == {(64, 64), (128, 64)}


def test_a_product_lies_where_the_library_puts_it() -> None:
    """layout.place repeats the pixel rules of docs/integrator.md: they must agree with the library."""
    rng = np.random.default_rng(2)
    for _ in range(20):
        width, height = (int(side) for side in rng.integers(20, 120, 2))
        placed = place("m", (width, height), 256)
        pixels = rng.integers(1, 255, (height, width, 4), np.uint8)
        pixels[..., 3] = 255
        fields = {name: value for name, value in placed.layer.items() if name != "mask_id"}
        flat = flatten(Layout(Canvas(256, 256), (Layer(Cutout(pixels), **fields),)))
        shown = flat.pixels[placed.top : placed.top + height, placed.left : placed.left + width]
        assert placed.one_to_one
        assert np.array_equal(shown, pixels)


@pytest.mark.parametrize("spur_px", [0, 1, 12])
def test_a_cutout_is_found_in_its_photo(spur_px: int) -> None:
    """Also when a part of the product is too thin for `lock_px`, as a strap or a spur of the mask."""
    photo = read_photo(draw(0, 160, 120).data).pixels
    mask = np.zeros((120, 160), np.uint8)
    mask[30:90, 50:110] = 255
    mask[30 - spur_px : 30, 70:72] = 255
    cutout = cut(Photo(photo), Mask(mask)).pixels
    found = origin(cutout, photo, mask)
    assert found is not None
    x, y = found
    assert 47 <= x <= 50
    assert 27 - spur_px <= y <= 30 - spur_px
    within = np.s_[10 + spur_px : 40 + spur_px]
    assert np.array_equal(cutout[within, 10:40, :3], photo[y + 10 + spur_px : y + 40 + spur_px, x + 10 : x + 40])
    assert origin(cutout, np.roll(photo, 5, axis=1), mask) is None


def test_a_product_that_does_not_fit_is_scaled() -> None:
    placed = place("m", (400, 300), 256)
    assert (placed.one_to_one, placed.layer["scale"]) == (False, 0.6)
    assert place("m", None, 256).layer["scale"] == 0.6


def test_a_scene_is_held_to_the_contracts_bound() -> None:
    same = np.zeros((100, 100, 3), np.int16)
    assert scene_wrong(same) == ""
    assert scene_wrong(same + 1) == ""  # fp32: 1/255 everywhere
    few = same.copy()
    few[0, :9] = 40  # 0.09 % of the pixels, as bf16 may
    assert scene_wrong(few) == ""
    few[0, :11] = 40
    assert "40/255" in scene_wrong(few)
    assert "2/255" in scene_wrong(same + 2)


def test_one_wrong_pixel_of_the_product_changes_its_checksum() -> None:
    mask = np.zeros((40, 40), np.uint8)
    mask[10:30, 10:30] = 255
    inside = eroded(mask)
    assert inside.sum() == 16 * 16
    pixels = np.full((40, 40, 3), 9, np.uint8)
    changed = pixels.copy()
    changed[11, 11] += 1  # within the 2 px that may differ
    assert digest(changed, inside) == digest(pixels, inside)
    changed[12, 12] += 1
    assert digest(changed, inside) != digest(pixels, inside)
