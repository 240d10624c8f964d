"""Every file, however broken, is a photo or a refusal: never another exception, a hang, or half a picture."""

import io
import random
import zlib
from collections.abc import Iterable, Iterator

import numpy as np
import psutil
import pytest
from PIL import Image
from pillow_heif import register_heif_opener

from packshot.errors import BadInput, UnsupportedMedia
from packshot.imaging.codec import read_png
from packshot.imaging.decoding.formats import sniff
from packshot.imaging.decoding.photo_decoder import PhotoDecoder
from tests import corpus

register_heif_opener()  # for writing HEIC
SEED = 20261121
LIMIT_S = 2.0  # of the worker's processor time, so that a busy machine fails no test


def run(files: list[tuple[str, bytes]], truncations: Iterable[tuple[str, bytes, bytes]] = ()) -> int:
    """Decode every file; returns how many became photos. One worker must outlive them all."""
    accepted = 0
    with PhotoDecoder() as decoder:
        decoder.normalise(small_picture("PNG"))
        pid = pid_of(decoder)
        worker = psutil.Process(pid)
        for name, data in files:
            before_s = sum(worker.cpu_times()[:2])
            try:
                photo = decoder.normalise(data)
                assert read_png(photo.png).shape == (photo.height, photo.width, 3), name
                accepted += 1
            except (BadInput, UnsupportedMedia):
                pass
            took_s = sum(worker.cpu_times()[:2]) - before_s  # raises when the worker is no more
            assert took_s <= LIMIT_S, name
        for name, data, whole in truncations:
            try:
                photo = decoder.normalise(data)
            except (BadInput, UnsupportedMedia):
                continue
            # accepted: then only what follows the picture was lost
            assert np.array_equal(read_png(photo.png), read_png(decoder.normalise(whole).png)), (
                f"{name} cut at {len(data)}"
            )
        assert pid_of(decoder) == pid
    return accepted


def pid_of(decoder: PhotoDecoder) -> int:
    worker = decoder._slots.queue[0]
    assert worker is not None
    return worker._process.pid


def small_picture(kind: str, mode: str = "RGB", seed: int = 0, **options: Image.Exif | int | str | bool) -> bytes:
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize((72, 56), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    image.convert(mode).save(out, kind, **options)
    return out.getvalue()


def seeds() -> list[tuple[str, bytes]]:
    exif = Image.Exif()
    exif[0x0112] = 6
    return [
        ("jpeg", small_picture("JPEG", exif=exif)),
        ("progressive", small_picture("JPEG", progressive=True)),
        ("cmyk", small_picture("JPEG", "CMYK")),
        ("png", small_picture("PNG")),
        ("palette", small_picture("PNG", "P", transparency=3)),
        ("grey-alpha", small_picture("PNG", "LA")),
        ("webp", small_picture("WEBP", quality=60)),
        ("lossless", small_picture("WEBP", "RGBA", lossless=True, exif=exif)),
        ("unmarked", small_picture("JPEG")[:-2]),
        ("restarts", small_picture("JPEG", restart_marker_blocks=3)),
        ("heic", small_picture("HEIF", exif=exif)),
        ("heic-alpha", small_picture("HEIF", "RGBA")),
        ("avif", small_picture("AVIF", exif=exif)),
        ("avif-alpha", small_picture("AVIF", "RGBA")),
        ("tiff", small_picture("TIFF", exif=exif)),
        ("tiff-lzw", small_picture("TIFF", compression="tiff_lzw")),
        ("tiff-jpeg", small_picture("TIFF", compression="jpeg")),
        ("tiff-fax", small_picture("TIFF", "1", compression="group4")),
        ("tiff-big", small_picture("TIFF", "CMYK", big_tiff=True)),
        ("gif", small_picture("GIF", transparency=3)),
    ]


def mended(data: bytes) -> bytes:
    """A PNG with its checksums put right again, so that a mutation gets past them."""
    if sniff(data) != "png":
        return data
    out, at = bytearray(data), 8
    while at + 12 <= len(out):
        length = int.from_bytes(out[at : at + 4], "big")
        if at + 12 + length > len(out):
            break
        out[at + 8 + length : at + 12 + length] = zlib.crc32(out[at + 4 : at + 8 + length]).to_bytes(4, "big")
        at += 12 + length
    return bytes(out)


def mutations(count: int) -> Iterator[tuple[str, bytes]]:
    """Seeded byte flips, cuts, repeats and splices of small sound files."""
    rng, sound = random.Random(SEED), seeds()
    for number in range(count):
        name, data = sound[number % len(sound)]
        mutant = bytearray(data)
        kind = rng.randrange(4)
        if kind == 0:
            for _ in range(rng.choice((1, 1, 3, 20))):
                mutant[rng.randrange(4, len(mutant))] = rng.randrange(256)
        elif kind == 1:  # most of the header's structure sits at the front
            for _ in range(rng.choice((1, 2, 4))):
                mutant[rng.randrange(4, min(len(mutant), 96))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind == 2:
            start = rng.randrange(4, len(mutant))
            del mutant[start : start + rng.randrange(1, 200)]
        else:
            start = rng.randrange(4, len(mutant))
            mutant[start:start] = mutant[rng.randrange(len(mutant)) :][: rng.randrange(1, 200)]
        yield f"{name}-{number}", mended(bytes(mutant)) if rng.random() < 0.7 else bytes(mutant)


def truncations(files: list[tuple[str, bytes]], cuts: int) -> Iterator[tuple[str, bytes, bytes]]:
    rng = random.Random(SEED)
    for name, data in files:
        for _ in range(cuts):
            yield name, data[: rng.randrange(1, len(data))], data


def fetched() -> list[tuple[str, bytes]]:
    if not corpus.archive().exists():
        pytest.skip(
            f"Pillow's source distribution is not at {corpus.archive()}: run `python -m tests.corpus` with an index"
        )
    return list(corpus.images().items())


def test_seeded_mutations() -> None:
    assert run(list(mutations(300)), truncations(seeds(), 12)) > 10


def test_a_sample_of_pillows_own_images() -> None:
    files = [(name, data) for name, data in fetched() if len(data) < 2_000_000]  # the soak takes the large ones too
    ours = [(name, data) for name, data in files if sniff(data)]
    others = [(name, data) for name, data in files if not sniff(data)]
    rng = random.Random(SEED)
    sample = rng.sample(ours, min(200, len(ours))) + rng.sample(others, 300 - min(200, len(ours)))
    small = [(name, data) for name, data in sample if sniff(data) and len(data) < 20_000][:40]
    assert run(sample, truncations(small, 2)) > 100


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_all_of_pillows_images_and_three_thousand_mutations() -> None:
    files = fetched()
    assert run(files, truncations([(name, data) for name, data in files if sniff(data)], 3)) > 300
    assert run(list(mutations(3_000)), truncations(seeds(), 100)) > 100


def many_scans(side_px: int, scans: int) -> bytes:
    """A progressive JPEG whose last scan is repeated: a few hundred bytes for each further scan."""
    out = io.BytesIO()
    Image.new("RGB", (side_px, side_px), (120, 130, 140)).save(out, "JPEG", progressive=True)
    data = out.getvalue()
    last = data[data.rfind(b"\xff\xda") : -2]
    return data[:-2] + last * (scans - data.count(b"\xff\xda")) + data[-2:]


@pytest.mark.parametrize(("side_px", "scans", "rule"), [(256, 32, ""), (256, 75, "most 32"), (1_600, 14, "most 12")])
def test_the_scans_of_a_jpeg_are_bounded_by_its_size(side_px: int, scans: int, rule: str) -> None:
    """libjpeg goes through every pixel once for each scan: 181 KB of 75 scans took 4.4 s."""
    with PhotoDecoder(max_photo_px=1_000_000) as decoder:  # a larger JPEG is read reduced; the scans are whole
        if not rule:
            assert decoder.normalise(many_scans(side_px, scans)).width == side_px
            return
        with pytest.raises(BadInput, match=rule) as refused:
            decoder.normalise(many_scans(side_px, scans))
    assert refused.value.code == "photo_too_many_scans"
    assert "baseline" in refused.value.detail
