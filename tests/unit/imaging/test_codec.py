"""The door for untrusted images: what comes in becomes clean pixels, or a 4xx with a stable code."""

import io
import os
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from packshot.errors import BadInput, Unavailable, UnsupportedMedia
from packshot.imaging import codec
from packshot.imaging.codec import read_png
from packshot.imaging.decoding.photo_decoder import PhotoDecoder
from tests.waiting import WAIT_S


@pytest.fixture(scope="module")
def decoder() -> Iterator[PhotoDecoder]:
    with PhotoDecoder() as made:
        yield made


def picture(width: int = 40, height: int = 30, seed: int = 0) -> Image.Image:
    """Smooth colours with an unmistakable top-left corner."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (4, 5, 3), np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    pixels = np.array(small)
    pixels[: height // 4, : width // 4] = (250, 10, 10)
    return Image.fromarray(pixels)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def lying_png(width: int, height: int, rows: int) -> bytes:
    """A PNG with sound checksums whose header promises `height` rows and whose picture holds `rows`."""
    raw = b"".join(b"\0" + b"\xc8" * 3 * width for _ in range(rows))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(raw))
        + png_chunk(b"IEND", b"")
    )


def code_of(decoder: PhotoDecoder, data: bytes, claim: str | None = None) -> str:
    with pytest.raises((BadInput, UnsupportedMedia)) as refused:
        decoder.normalise(data, claim)
    return refused.value.code


def test_png_comes_through_with_every_pixel(decoder: PhotoDecoder) -> None:
    image = picture()
    photo = decoder.normalise(encoded(image), "image/png")
    assert (photo.width, photo.height, photo.format, photo.notes) == (40, 30, "png", ())
    assert np.array_equal(read_png(photo.png), np.asarray(image))


@pytest.mark.parametrize(("kind", "claim"), [("JPEG", "image/jpeg"), ("WEBP", "image/webp"), ("PNG", None)])
def test_formats_and_their_facts(decoder: PhotoDecoder, kind: str, claim: str | None) -> None:
    data = encoded(picture(), kind)
    photo = decoder.normalise(data, claim)
    assert photo.format == kind.lower()
    assert photo.bytes == len(data)
    assert len(photo.sha256) == 64
    assert np.abs(read_png(photo.png).astype(int) - np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(decoder: PhotoDecoder, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = picture().transpose(Image.Transpose.ROTATE_90) if orientation >= 5 else picture()
    upright = read_png(decoder.normalise(encoded(turned, exif=exif)).png)
    reference = Image.open(io.BytesIO(encoded(turned, exif=exif)))
    from PIL import ImageOps

    assert np.array_equal(upright, np.asarray(ImageOps.exif_transpose(reference)))


def test_no_metadata_survives(decoder: PhotoDecoder) -> None:
    exif = Image.Exif()
    exif[0x010E] = "SECRET-DESCRIPTION"
    data = encoded(picture(), "JPEG", exif=exif, comment=b"SECRET-COMMENT", xmp=b"<x>SECRET-XMP</x>")
    assert b"SECRET" in data
    png = decoder.normalise(data).png
    assert b"SECRET" not in png
    assert Image.open(io.BytesIO(png)).info == {}


GREY = np.linspace(0, 255, 40 * 30).reshape(30, 40).astype(np.uint8)
ALPHA = np.full((30, 40), 255, np.uint8)
ALPHA[:, :20] = 0


def modes() -> dict[str, tuple[Image.Image, dict[str, Any], np.ndarray]]:
    rgb, grey = picture(), Image.fromarray(GREY)
    over_white = np.where(ALPHA[..., None] == 255, np.asarray(rgb), 255)
    grey_over_white = np.where(ALPHA == 255, GREY, 255)
    grey16 = np.maximum(GREY.astype(np.uint16) * 257, 3) - 3
    palette = rgb.quantize(64)
    clear = palette.copy()
    clear.info["transparency"] = int(np.asarray(palette)[-1, -1])
    hidden = (np.asarray(palette) == clear.info["transparency"])[..., None]
    rgba, la = rgb.copy(), grey.copy()
    rgba.putalpha(Image.fromarray(ALPHA))
    la.putalpha(Image.fromarray(ALPHA))
    grey_rgb = np.dstack([GREY] * 3)
    return {
        "L": (grey, {}, grey_rgb),
        "1": (grey.convert("1"), {}, np.asarray(grey.convert("1").convert("RGB"))),
        "I;16": (Image.fromarray(grey16), {}, grey_rgb),
        "P": (palette, {}, np.asarray(palette.convert("RGB"))),
        "P with a clear colour": (clear, {}, np.where(hidden, 255, np.asarray(palette.convert("RGB")))),
        "RGBA": (rgba, {}, over_white),
        "LA": (la, {}, np.dstack([grey_over_white] * 3)),
        "L with a clear grey": (grey, {"transparency": 0}, np.where(GREY[..., None] == 0, 255, grey_rgb)),
        "RGB with a clear colour": (
            rgb,
            {"transparency": (250, 10, 10)},
            np.where((np.asarray(rgb) == (250, 10, 10)).all(-1)[..., None], 255, np.asarray(rgb)),
        ),
    }


@pytest.mark.parametrize("mode", modes())
def test_every_mode_becomes_8_bit_rgb_over_white(decoder: PhotoDecoder, mode: str) -> None:
    image, options, expected = modes()[mode]
    pixels = read_png(decoder.normalise(encoded(image, **options)).png)
    assert pixels.shape == (30, 40, 3)
    assert np.abs(pixels.astype(int) - expected).max() <= 1


def test_16_bit_rgb_becomes_8_bit(decoder: PhotoDecoder) -> None:
    wide = np.asarray(picture()).astype(">u2") * 257
    raw = b"".join(b"\0" + row.tobytes() for row in wide)
    header = struct.pack(">IIBBBBB", 40, 30, 16, 2, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(raw)) + png_chunk(b"IEND", b"")
    pixels = read_png(decoder.normalise(b"\x89PNG\r\n\x1a\n" + body).png)
    assert np.abs(pixels.astype(int) - np.asarray(picture())).max() <= 1


def test_cmyk_jpeg_becomes_rgb(decoder: PhotoDecoder) -> None:
    data = encoded(picture().convert("CMYK"), "JPEG", quality=95)
    pixels = read_png(decoder.normalise(data).png)
    assert np.abs(pixels.astype(int) - np.asarray(picture())).mean() < 4


def test_icc_profile_is_converted_to_srgb(decoder: PhotoDecoder) -> None:
    """A linear-gamma profile: the same numbers mean lighter colours in sRGB."""
    xyz = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain = read_png(decoder.normalise(encoded(picture(), icc_profile=xyz)).png)
    assert np.abs(plain.astype(int) - np.asarray(picture())).max() <= 1
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    misfit = decoder.normalise(encoded(picture(), icc_profile=lab))
    assert [note.code for note in misfit.notes] == ["profile_assumed"]
    assert np.array_equal(read_png(misfit.png), np.asarray(picture()))


def test_a_broken_icc_profile_is_said_and_taken_as_srgb(decoder: PhotoDecoder) -> None:
    photo = decoder.normalise(encoded(picture(), icc_profile=b"\0\0\0\x90not a profile" * 9))
    assert np.array_equal(read_png(photo.png), np.asarray(picture()))
    assert [note.code for note in photo.notes] == ["profile_assumed"]


def test_a_phone_jpeg_of_several_pictures_gives_its_first(decoder: PhotoDecoder) -> None:
    data = encoded(picture(seed=1), "MPO", save_all=True, append_images=[picture(seed=2)])
    photo = decoder.normalise(data, "image/jpeg")
    first = np.asarray(Image.open(io.BytesIO(encoded(picture(seed=1), "JPEG"))))
    assert np.abs(read_png(photo.png).astype(int) - first).max() <= 1
    assert [note.code for note in photo.notes] == ["first_picture"]


def test_codes_of_what_is_refused(decoder: PhotoDecoder) -> None:
    image = picture()
    still = {"duration": 50, "save_all": True, "append_images": [image.rotate(90)]}
    assert code_of(decoder, b"") == "photo_empty"
    assert code_of(decoder, encoded(image, "BMP")) == "photo_format"
    assert code_of(decoder, encoded(image, "BMP"), "image/png") == "photo_format"
    assert code_of(decoder, encoded(image, "WEBP", **still)) == "photo_animated"
    assert code_of(decoder, encoded(image, "PNG", **still)) == "photo_animated"
    assert code_of(decoder, encoded(picture(15, 100))) == "photo_too_small"
    assert code_of(decoder, encoded(Image.new("1", (10_001, 16)))) == "photo_too_many_pixels"
    assert code_of(decoder, b"\xff\xd8\xff") == "photo_unreadable"


def test_a_51_megapixel_photo_is_refused_by_its_header(decoder: PhotoDecoder) -> None:
    bomb = encoded(Image.new("1", (7_200, 7_200)))
    decoder.normalise(encoded(picture()))  # the worker is up
    started = time.monotonic()
    assert code_of(decoder, bomb) == "photo_too_many_pixels"
    assert time.monotonic() - started < WAIT_S


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_no_truncated_file_is_accepted(decoder: PhotoDecoder, kind: str) -> None:
    """At any cut but one that leaves the whole picture and loses only what came after it: a JPEG's end marker."""
    options = {"progressive": True} if kind == "JPEG" else {}
    data = encoded(picture(64, 48), kind, **options)
    whole = len(data) - (2 if kind == "JPEG" else 0)
    for end in sorted({*range(4, whole, max(1, whole // 60)), *range(whole - 20, whole)}):
        code = code_of(decoder, data[:end])
        assert code == "photo_unreadable" or (end < 12 and code == "photo_format")


def test_a_truncated_jpeg_with_a_whole_thumbnail_is_refused(decoder: PhotoDecoder) -> None:
    exif = Image.Exif()
    exif[0x010E] = encoded(picture(16, 16), "JPEG").decode("latin-1")
    data = encoded(picture(64, 48), "JPEG", exif=exif)
    assert data.count(b"\xff\xd9") >= 1
    assert code_of(decoder, data[:-3]) == "photo_unreadable"


@pytest.mark.parametrize("rows", [0, 1, 32, 63])
def test_a_png_that_holds_fewer_rows_than_it_says_is_refused(decoder: PhotoDecoder, rows: int) -> None:
    assert code_of(decoder, lying_png(64, 64, rows)) == "photo_unreadable"


@pytest.mark.parametrize("interlaced_depth", [(1, "1"), (8, "L"), (8, "RGB")])
def test_interlaced_png_is_measured_right(interlaced_depth: tuple[int, str]) -> None:
    from packshot.imaging.decoding.file_checks import _png_raw_bytes

    depth, mode = interlaced_depth
    colour = 2 if mode == "RGB" else 0
    bits = depth * (3 if mode == "RGB" else 1)
    for width, height in ((1, 1), (5, 3), (17, 33), (40, 30)):
        # by counting pixels of each Adam7 pass on the 8x8 pattern
        pattern = np.array(
            [[1, 6, 4, 6, 2, 6, 4, 6], [7] * 8, [5, 6] * 4, [7] * 8, [3, 6, 4, 6] * 2, [7] * 8, [5, 6] * 4, [7] * 8]
        )
        tiled = np.tile(pattern, (height // 8 + 1, width // 8 + 1))[:height, :width]
        expected = 0
        for number in range(1, 8):
            rows, columns = np.nonzero(tiled == number)
            if rows.size:
                expected += len(set(rows)) * (1 + (len(set(columns)) * bits + 7) // 8)
        assert _png_raw_bytes(width, height, depth, colour, 1) == expected


def test_a_late_worker_is_killed_and_replaced() -> None:
    with PhotoDecoder(timeout_s=0.02) as decoder:
        big = encoded(Image.effect_noise((2_000, 2_000), 90).convert("RGB"))
        started = time.monotonic()
        assert code_of(decoder, big) == "photo_timeout"
        assert time.monotonic() - started < WAIT_S
    with PhotoDecoder(timeout_s=60) as decoder:
        assert decoder.normalise(encoded(picture())).width == 40


def test_a_worker_that_dies_is_replaced() -> None:
    with PhotoDecoder() as decoder:
        decoder.normalise(encoded(picture()))
        worker = decoder._slots.queue[0]
        assert worker is not None
        os.kill(worker._process.pid, signal.SIGKILL)
        worker._process.wait()
        assert decoder.normalise(encoded(picture())).width == 40
        assert decoder._slots.queue[0] is not worker


def test_memory_over_the_budget_is_a_refusal_not_a_crash() -> None:
    """The header's size passes, the decoder's own appetite does not."""
    with PhotoDecoder(max_photo_px=6_000_000) as decoder:
        decoder.normalise(encoded(picture()))
        worker = decoder._slots.queue[0]
        assert worker is not None
        process = worker._process
        import resource

        now = int(Path(f"/proc/{process.pid}/statm").read_text().split()[0]) * resource.getpagesize()
        resource.prlimit(process.pid, resource.RLIMIT_AS, (now + 4_000_000, now + 4_000_000))
        assert code_of(decoder, encoded(Image.new("RGB", (2_400, 2_400)), "JPEG")) == "photo_too_many_pixels"
        assert process.poll() is not None
        assert decoder.normalise(encoded(picture())).width == 40


def test_threads_share_the_workers() -> None:
    results = []
    with PhotoDecoder(workers=2) as decoder:

        def run(seed: int) -> None:
            results.append((seed, read_png(decoder.normalise(encoded(picture(seed=seed))).png)))

        threads = [threading.Thread(target=run, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(results) == 8
    assert all(np.array_equal(pixels, np.asarray(picture(seed=seed))) for seed, pixels in results)


def test_closed_decoder_says_so() -> None:
    decoder = PhotoDecoder()
    decoder.close()
    with pytest.raises(Unavailable):
        decoder.normalise(encoded(picture()))


def test_works_from_a_script_without_a_main_guard(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    (tmp_path / "photo.png").write_bytes(encoded(picture()))
    script.write_text(
        "from packshot.imaging.decoding.photo_decoder import PhotoDecoder\n"
        f"print(PhotoDecoder().normalise(open({str(tmp_path / 'photo.png')!r}, 'rb').read()).width)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=200, check=True)
    assert done.stdout.strip() == "40"


@pytest.mark.parametrize("channels", [0, 3, 4])
@pytest.mark.parametrize("level", [1, 6])
def test_own_png_round_trip(channels: int, level: int) -> None:
    shape = (13, 21, channels) if channels else (13, 21)
    pixels = np.random.default_rng(3).integers(0, 256, shape, np.uint8)
    png = codec.encode_png(pixels, level=level)
    assert np.array_equal(read_png(png), pixels)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), pixels)


def test_own_mask_round_trip_in_one_bit() -> None:
    mask = np.zeros((13, 21), np.uint8)
    mask[3:9, 5:17] = 255
    png = codec.encode_bilevel_png(mask)
    assert Image.open(io.BytesIO(png)).mode == "1"
    assert np.array_equal(codec.read_mask(png).pixels, mask)
    assert np.array_equal(codec.read_mask(codec.encode_png(mask)).pixels, mask)
    with pytest.raises(TypeError):
        codec.encode_png(mask.astype(np.float32))
    with pytest.raises(ValueError, match="8-bit PNG"):
        read_png(b"no")


def soft_disk(width: int = 96, height: int = 80) -> np.ndarray:
    """A disk with a soft rim and a half-transparent stripe, uint8 HxW."""
    y, x = np.mgrid[:height, :width]
    alpha = np.clip((30 - np.hypot(x - width / 2, y - height / 2)) * 40 + 127, 0, 255).astype(np.uint8)
    alpha[38:42, 40:56] = 90
    return alpha


def with_alpha(alpha: np.ndarray, colour: tuple[int, int, int] = (200, 90, 30)) -> Image.Image:
    image = Image.new("RGB", (alpha.shape[1], alpha.shape[0]), colour)
    image.putalpha(Image.fromarray(alpha))
    return image


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_the_alpha_of_an_upload_is_kept_with_its_straight_colours(decoder: PhotoDecoder, kind: str) -> None:
    alpha = soft_disk()
    photo = decoder.normalise(encoded(with_alpha(alpha), kind, **({"lossless": True} if kind == "WEBP" else {})))
    own = photo.own_alpha
    assert own is not None
    assert np.array_equal(read_png(own.mask_png), alpha)
    rgba = read_png(own.rgba_png)
    assert np.array_equal(rgba[..., 3], alpha)
    assert (rgba[alpha > 0][:, :3] == (200, 90, 30)).all()
    assert (rgba[alpha == 0][:, :3] == 255).all()
    ys, xs = np.nonzero(alpha >= 128)
    assert own.area_px == len(ys)
    assert own.bbox_xyxy == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
    shown = read_png(photo.png)[40, 48]
    assert np.abs(shown - (np.array([200, 90, 30]) * 90 / 255 + 255 * 165 / 255)).max() <= 1


def test_the_alpha_turns_with_the_photo(decoder: PhotoDecoder) -> None:
    alpha, exif = soft_disk(), Image.Exif()
    exif[0x0112] = 6
    own = decoder.normalise(encoded(with_alpha(alpha), exif=exif)).own_alpha
    assert own is not None
    assert np.array_equal(read_png(own.mask_png), np.rot90(alpha, -1))


def test_a_premultiplied_file_is_divided_by_its_alpha(decoder: PhotoDecoder) -> None:
    alpha = soft_disk()
    straight = np.asarray(with_alpha(alpha))
    multiplied = np.dstack([np.rint(straight[..., :3] * (alpha[..., None] / 255)).astype(np.uint8), alpha])
    photo = decoder.normalise(encoded(Image.fromarray(multiplied)))
    assert any(note.code == "premultiplied" for note in photo.notes)
    assert photo.own_alpha is not None
    rgba = read_png(photo.own_alpha.rgba_png).astype(int)
    assert np.abs(rgba[alpha > 60][:, :3] - (200, 90, 30)).max() <= 3


@pytest.mark.parametrize("colour", [(0, 0, 0), (12, 10, 8), (255, 255, 255)])
def test_dark_and_white_straight_colours_are_not_divided(decoder: PhotoDecoder, colour: tuple[int, int, int]) -> None:
    photo = decoder.normalise(encoded(with_alpha(soft_disk(), colour)))
    assert not any(note.code == "premultiplied" for note in photo.notes)


def one_pixel(value: int, others: int) -> np.ndarray:
    alpha = np.full((80, 96), others, np.uint8)
    alpha[40, 48] = value
    return alpha


@pytest.mark.parametrize(
    "alpha",
    [one_pixel(255, 0), one_pixel(0, 255), one_pixel(255, 90)],
    ids=["one visible pixel", "one clear pixel", "nothing half opaque"],
)
def test_an_alpha_that_shows_no_product_is_no_candidate(decoder: PhotoDecoder, alpha: np.ndarray) -> None:
    assert decoder.normalise(encoded(with_alpha(alpha))).own_alpha is None


def test_an_empty_alpha_is_refused_and_a_full_one_is_dropped(decoder: PhotoDecoder) -> None:
    assert code_of(decoder, encoded(with_alpha(np.zeros((80, 96), np.uint8)))) == "photo_empty"
    photo = decoder.normalise(encoded(with_alpha(np.full((80, 96), 255, np.uint8))))
    assert (photo.own_alpha, photo.notes) == (None, ())
