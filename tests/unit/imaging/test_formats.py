"""Photos as they come: the bytes decide, every common format is read, and a refusal names the format and the remedy."""

import io
import struct
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pillow_heif
import psutil
import pytest
from PIL import Image, ImageDraw, ImageOps

from packshot.errors import BadInput, PackshotError, UnsupportedMedia
from packshot.imaging.codec import read_png
from packshot.imaging.decoding.formats import FORMATS, claim_of, refusal_of, sniff
from packshot.imaging.decoding.photo_decoder import PhotoDecoder
from packshot.imaging.decoding.results import NormalisedPhoto
from tests.waiting import WAIT_S

pillow_heif.register_heif_opener()  # for writing HEIC; the decoder's process has its own

END = b"\xff\xd9"
TRAILER = (  # as some of Samsung's cameras write it, in place of the end marker
    b"\0\0\1\x0a\x0e\0\0\0Image_UTC_Data1400000000000"
    + np.random.default_rng(0).integers(0, 256, 20_000, dtype=np.uint8).tobytes()
    + b"SEFH"
    + bytes(40)
    + b"SEFT"
)


@pytest.fixture(scope="module")
def decoder() -> Iterator[PhotoDecoder]:
    with PhotoDecoder() as made:
        yield made


def picture(width: int = 120, height: int = 80) -> Image.Image:
    image = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    ImageDraw.Draw(image).ellipse((width // 5, height // 10, width * 4 // 5, height * 9 // 10), fill=(220, 220, 200))
    return image


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    fast: dict[str, Any] = {"HEIF": {"enc_params": {"preset": "ultrafast"}}, "AVIF": {"speed": 10}}
    out = io.BytesIO()
    image.save(out, kind, **{**fast.get(kind, {}), **options})
    return out.getvalue()


def refused(decoder: PhotoDecoder, data: bytes) -> PackshotError:
    with pytest.raises((BadInput, UnsupportedMedia)) as refusal:
        decoder.normalise(data)
    return refusal.value


def codes(photo: NormalisedPhoto) -> list[str]:
    return [note.code for note in photo.notes]


def difference(photo: NormalisedPhoto, data: bytes) -> float:
    """The largest difference to the pixels that Pillow reads, each turned upright."""
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert (photo.width, photo.height) == expected.size
    return float(np.abs(read_png(photo.png).astype(int) - np.asarray(expected)).max())


WRITTEN: dict[str, tuple[str, dict[str, Any]]] = {
    "heif": ("HEIF", {}),
    "avif": ("AVIF", {}),
    "gif": ("GIF", {}),
    "tiff": ("TIFF", {}),
    "tiff, LZW": ("TIFF", {"compression": "tiff_lzw"}),
    "tiff, deflate": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    "tiff, JPEG": ("TIFF", {"compression": "jpeg"}),
    "tiff, big": ("TIFF", {"big_tiff": True}),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_each_format_is_read(decoder: PhotoDecoder, name: str) -> None:
    kind, options = WRITTEN[name]
    data = encoded(picture(), kind, **options)
    photo = decoder.normalise(data)
    assert photo.format == name.split(",")[0] == sniff(data)
    assert (difference(photo, data), photo.notes) == (0, ())


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_each_mode_of_a_tiff_is_read(decoder: PhotoDecoder, mode: str) -> None:
    grey = picture().convert("L")
    image = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257) if mode == "I;16" else picture().convert(mode)
    photo = decoder.normalise(encoded(image, "TIFF"))
    expected = grey if mode == "I;16" else image
    assert np.abs(read_png(photo.png).astype(int) - np.asarray(expected.convert("RGB"))).max() <= 1


@pytest.mark.parametrize("mode", ["F", "LAB"])
def test_a_tiff_of_other_pixels_is_refused_by_name(decoder: PhotoDecoder, mode: str) -> None:
    refusal = refused(decoder, encoded(Image.new(mode, (40, 40)), "TIFF"))
    assert (refusal.code, f"mode {mode}" in refusal.detail) == ("photo_format", True)


@pytest.mark.parametrize("kind", ["TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_once(decoder: PhotoDecoder, kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(), kind, exif=exif)
    assert difference(decoder.normalise(data), data) == 0


def test_a_rotated_heic_stands_upright_and_its_exif_turns_it_no_further(decoder: PhotoDecoder) -> None:
    turned = picture()
    turned.getexif()[0x0112] = 6
    data = encoded(turned, "HEIF")  # pillow-heif writes the rotation as a property of the image
    photo = decoder.normalise(data)
    assert (photo.width, photo.height) == (80, 120)
    assert difference(photo, data) == 0


def test_transparency_of_heic_and_avif_is_kept(decoder: PhotoDecoder) -> None:
    clear = picture().convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    for kind in ("HEIF", "AVIF"):
        photo = decoder.normalise(encoded(clear, kind, quality=100))
        assert codes(photo) == ["alpha_flattened", "alpha_kept"]
        assert read_png(photo.png)[0].min() >= 250


def test_no_metadata_of_a_heic_or_tiff_survives(decoder: PhotoDecoder) -> None:
    exif = Image.Exif()
    exif[0x010E] = "SECRET-DESCRIPTION"
    for kind in ("HEIF", "AVIF", "TIFF"):
        data = encoded(picture(), kind, exif=exif, xmp=b"<x>SECRET-XMP</x>")
        assert b"SECRET" in data
        assert b"SECRET" not in decoder.normalise(data).png


@pytest.mark.parametrize(
    ("kind", "claim", "noted"),
    [
        ("WEBP", "image/jpeg", True),
        ("PNG", "text/html", True),
        ("HEIF", "image/heic", False),
        ("HEIF", "image/jpeg", True),
        ("JPEG", "image/pjpeg", False),
        ("JPEG", None, False),
    ],
)
def test_the_bytes_decide_and_a_wrong_claim_is_noted(
    decoder: PhotoDecoder, kind: str, claim: str | None, noted: bool
) -> None:
    photo = decoder.normalise(encoded(picture(), kind), claim)
    assert photo.format == kind.lower()
    assert codes(photo) == (["type_by_bytes"] if noted else [])
    assert all(FORMATS[photo.format].label in note.detail for note in photo.notes)


def test_a_name_is_the_claim_of_an_upload_without_a_type() -> None:
    assert claim_of("image/PNG; q=1", "a.jpg") == "image/png"
    assert claim_of("application/octet-stream", "IMG_1.HEIC") == "image/heic"
    assert claim_of(None, "archive") is None
    assert claim_of("", "../../etc/passwd.jpg/") is None


FOREIGN: dict[str, bytes] = {
    "SVG": b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- a --><svg xmlns="http://www.w3.org/2000/svg"/>',
    "PDF": b"%PDF-1.7\n",
    "PSD": b"8BPS\0\1" + bytes(20),
    "BMP": encoded(picture(), "BMP"),
    "MP4/MOV": b"\0\0\0\x14ftypqt  \0\0\0\0qt  ",
    "JPEG XL": b"\xff\x0a" + bytes(20),
    "JPEG 2000": encoded(picture(), "JPEG2000"),
    "RAW (CR2)": b"II*\0\x10\0\0\0CR\2\0" + bytes(20),
    "RAW (CR3)": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom",
    "RAW (RAF)": b"FUJIFILMCCD-RAW 0201",
    "ZIP": b"PK\x03\x04" + bytes(20),
    "68 65 6c 6c": b"hello, I am a photo",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_refusal_names_the_format_and_the_remedy(decoder: PhotoDecoder, name: str) -> None:
    refusal = refused(decoder, FOREIGN[name])
    assert isinstance(refusal, UnsupportedMedia)
    assert all(one.label in refusal.detail for one in FORMATS.values())
    got = refusal.detail.partition(", got ")[2]
    assert name in got
    assert got.endswith(refusal_of(FOREIGN[name])[1])


@pytest.mark.parametrize(("make", "name"), [("NIKON CORPORATION", "NEF"), ("SONY", "ARW"), ("Leica", "DNG")])
def test_a_camera_raw_file_is_not_taken_for_its_thumbnail(decoder: PhotoDecoder, make: str, name: str) -> None:
    tags = Image.Exif()
    tags[254], tags[271] = 1, make  # a reduced picture; the full one lies in a directory below
    data = bytearray(encoded(picture(64, 48), "TIFF", exif=tags, tiffinfo={254: 1, 271: make, 700: b"x" * 4}))
    at = data.index(struct.pack("<HH", 700, 7)) if struct.pack("<HH", 700, 7) in data else data.index(b"\xbc\x02")
    data[at : at + 2] = struct.pack("<H", 50706 if name == "DNG" else 330)
    refusal = refused(decoder, bytes(data))
    assert (refusal.code, f"RAW ({name})" in refusal.detail) == ("photo_format", True)


def tiff_of(pages: int) -> bytes:
    """A TIFF whose directories, after the first, are copies of it."""
    data = bytearray(encoded(picture(32, 24), "TIFF"))
    start = struct.unpack_from("<I", data, 4)[0]
    size = 2 + 12 * struct.unpack_from("<H", data, start)[0]
    directory, link = bytes(data[start : start + size]), start + size
    for _ in range(pages - 1):
        struct.pack_into("<I", data, link, len(data))
        link = len(data) + size
        data += directory + bytes(4)
    return bytes(data)


def test_a_tiff_gives_its_first_page_of_at_most_four(decoder: PhotoDecoder) -> None:
    assert codes(decoder.normalise(tiff_of(1))) == []
    (note,) = decoder.normalise(tiff_of(4)).notes
    assert (note.code, "4 pictures" in note.detail) == ("first_picture", True)
    for pages in (5, 10_000):
        started = time.monotonic()
        refusal = refused(decoder, tiff_of(pages))
        assert (refusal.code, "at most 4 pages" in refusal.detail) == ("photo_animated", True)
        assert time.monotonic() - started < WAIT_S


def test_a_tiff_whose_directories_form_a_ring_ends(decoder: PhotoDecoder) -> None:
    data = bytearray(tiff_of(2))
    struct.pack_into("<I", data, len(data) - 4, struct.unpack_from("<I", data, 4)[0])
    assert codes(decoder.normalise(bytes(data))) == ["first_picture"]


def test_moving_pictures_are_refused(decoder: PhotoDecoder) -> None:
    more = {"save_all": True, "append_images": [picture().rotate(90)]}
    for kind in ("GIF", "AVIF"):
        assert refused(decoder, encoded(picture(), kind, **more)).code == "photo_animated"
    assert codes(decoder.normalise(encoded(picture(), "HEIF", **more))) == ["first_picture"]  # a burst: its primary one


PICTURES: dict[str, dict[str, Any]] = {
    "baseline": {"quality": 95},
    "progressive": {"quality": 90, "progressive": True},
    "restarts": {"quality": 80, "restart_marker_blocks": 7},
    "grey": {"quality": 75},
}


@pytest.mark.parametrize("trailer", [b"", TRAILER, bytes(4_096)], ids=["nothing", "samsung", "zeros"])
@pytest.mark.parametrize("name", PICTURES)
def test_a_jpeg_without_its_end_marker_is_read(decoder: PhotoDecoder, name: str, trailer: bytes) -> None:
    marked = encoded(picture().convert("L" if name == "grey" else "RGB"), "JPEG", **PICTURES[name])
    photo = decoder.normalise(marked.removesuffix(END) + trailer)
    assert codes(photo) == ["end_marker_missing"]
    assert difference(photo, marked) == 0
    assert codes(decoder.normalise(marked + trailer)) == []


@pytest.mark.parametrize("trailer", [b"", TRAILER, bytes(4_096)], ids=["nothing", "samsung", "zeros"])
@pytest.mark.parametrize("name", PICTURES)
def test_a_jpeg_that_is_cut_is_refused_with_any_trailer(decoder: PhotoDecoder, name: str, trailer: bytes) -> None:
    """Unless no pixel depends on the bits that are missing, as in the last byte or two of some pictures."""
    data = encoded(picture(96, 72).convert("L" if name == "grey" else "RGB"), "JPEG", **PICTURES[name])
    whole = data.removesuffix(END)
    restarts = [at for at in range(len(whole) - 1) if whole[at] == 0xFF and 0xD0 <= whole[at + 1] <= 0xD7]
    for end in {len(data) // 2, *range(len(whole) - 12, len(whole) - 2), *restarts[:3], *restarts[-3:]}:
        assert refused(decoder, whole[:end] + trailer).code == "photo_unreadable", end
    for end in (len(whole) - 2, len(whole) - 1):
        try:
            photo = decoder.normalise(whole[:end] + trailer)
        except BadInput:
            continue
        assert difference(photo, data) == 0


@pytest.mark.parametrize("kind", ["HEIF", "AVIF", "GIF", "TIFF"])
def test_no_truncated_file_is_accepted(decoder: PhotoDecoder, kind: str) -> None:
    data = encoded(picture(64, 48), kind)
    for end in sorted({*range(12, len(data), max(1, len(data) // 40)), *range(len(data) - 10, len(data))}):
        refused(decoder, data[:end])


def test_a_gif_that_ends_inside_its_frame_is_refused(decoder: PhotoDecoder) -> None:
    """Its blocks are whole, and its LZW codes stop early."""
    data = encoded(picture(64, 48), "GIF")
    frame = data.index(b",\0\0\0\0")
    taller = data[:8] + struct.pack("<H", 200) + data[10 : frame + 7] + struct.pack("<H", 200) + data[frame + 9 :]
    assert refused(decoder, taller).code == "photo_unreadable"


@pytest.mark.parametrize(
    ("size", "reduced"),
    [((12_000, 9_000), (6_000, 4_500)), ((16_384, 1_024), (8_192, 512)), ((10_000, 400), (10_000, 400))],
    ids=["108 megapixels", "panorama", "within the limits"],
)
def test_a_large_jpeg_is_read_at_a_reduced_size(
    decoder: PhotoDecoder, size: tuple[int, int], reduced: tuple[int, int]
) -> None:
    image = Image.new("L", size, 40)  # grey is quick to write
    image.paste(200, (0, 0, size[0] // 2, size[1]))
    photo = decoder.normalise(encoded(image, "JPEG"))
    assert (photo.width, photo.height) == reduced
    assert codes(photo) == (["reduced"] if reduced != size else [])
    assert all(f"{size[0]}x{size[1]} px became {reduced[0]}x{reduced[1]} px" in note.detail for note in photo.notes)
    pixels = read_png(photo.png)
    assert np.abs(pixels[0, 0].astype(int) - 200).max() <= 2
    assert np.abs(pixels[-1, -1].astype(int) - 40).max() <= 2


def test_a_large_jpeg_turns_and_needs_no_end_marker(decoder: PhotoDecoder) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = decoder.normalise(encoded(Image.new("RGB", (10_016, 64)), "JPEG", exif=exif).removesuffix(END))
    assert (photo.width, photo.height) == (32, 5_008)
    assert codes(photo) == ["end_marker_missing", "reduced"]


def test_a_jpeg_of_too_many_scans_is_refused(decoder: PhotoDecoder) -> None:
    """Each scan makes libjpeg read the whole picture again."""
    data = encoded(picture(), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    refusal = refused(decoder, data[:last] + data[last:].removesuffix(END) * 40 + END)
    assert (refusal.code, "at most 32 scans" in refusal.detail) == ("photo_too_many_scans", True)


def declaring(data: bytes, width: int, height: int) -> bytes:
    """A JPEG whose frame header states another size."""
    at = next(at for at in range(len(data)) if data[at : at + 2] in (b"\xff\xc0", b"\xff\xc2"))
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def test_what_is_larger_than_that_is_refused_with_the_remedy(decoder: PhotoDecoder) -> None:
    small = encoded(picture(), "JPEG")
    refusal = refused(decoder, declaring(small, 16_400, 12_300))
    assert (refusal.code, "at most 200000000 pixels" in refusal.detail) == ("photo_too_many_pixels", True)
    progressive = declaring(encoded(picture(), "JPEG", progressive=True, subsampling=0), 12_000, 9_000)
    refusal = refused(decoder, progressive)
    assert (refusal.code, "baseline JPEG" in refusal.detail) == ("photo_too_many_pixels", True)
    for kind, size in (("PNG", (7_750, 7_750)), ("GIF", (10_001, 16)), ("TIFF", (16, 10_001)), ("WEBP", (16, 10_001))):
        refusal = refused(decoder, encoded(Image.new("RGB" if kind == "WEBP" else "1", size), kind))
        assert (refusal.code, "save it as JPEG" in refusal.detail) == ("photo_too_many_pixels", True)


def lying(data: bytes, width: int, height: int) -> bytes:
    """An HEIC or AVIF whose container states another size than its picture has."""
    out, at = bytearray(data), 0
    while (at := out.find(b"ispe", at)) >= 0:
        struct.pack_into(">II", out, at + 8, width, height)
        at += 4
    return bytes(out)


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
def test_bombs_are_refused_by_their_headers_or_their_pixels(kind: str) -> None:
    small = encoded(Image.new("RGB", (64, 64)), kind)
    with PhotoDecoder(max_photo_px=100_000) as decoder:
        decoder.normalise(small)  # the worker is up, and its libraries are loaded
        worker = decoder._slots.queue[0]
        assert worker is not None
        process = psutil.Process(worker._process.pid)
        before_s, before = sum(process.cpu_times()[:2]), process.memory_info().rss
        bomb = encoded(Image.new("RGB", (1_024, 1_024)), kind)
        assert refused(decoder, lying(small, 12_000, 12_000)).code == "photo_too_many_pixels"
        assert refused(decoder, bomb).code == "photo_too_many_pixels"
        hidden = lying(bomb, 300, 200)  # its header passes
        if kind == "HEIF":
            assert refused(decoder, hidden).code == "photo_unreadable"
        else:  # libavif scales the pixels to what the header says
            assert decoder.normalise(hidden).width == 300
        assert sum(process.cpu_times()[:2]) - before_s < 1
        assert process.memory_info().rss - before < 64 << 20
