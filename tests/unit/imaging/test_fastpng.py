"""Our PNG is a PNG to every reader, and what is not ours is left to another decoder."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from packshot.imaging import fastpng
from packshot.imaging.codec import read_png
from packshot.imaging.decoding import worker
from packshot.types import U8


def pixels(*shape: int) -> U8:
    return np.random.default_rng(5).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7, 3), (9, 1, 4), (33, 65), (130, 77, 3), (64, 64, 4)])
def test_every_reader_sees_the_same_pixels(shape: tuple[int, ...]) -> None:
    written = pixels(*shape)
    data = fastpng.encode(written)
    ours = fastpng.decode(data)
    assert ours is not None
    assert np.array_equal(ours, written)
    with Image.open(io.BytesIO(data)) as opened:
        assert np.array_equal(np.asarray(opened), written)
    opencv = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert opencv is not None
    if written.ndim == 3:
        opencv = cv2.cvtColor(opencv, cv2.COLOR_BGR2RGB if written.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
    assert np.array_equal(opencv, written)


@pytest.mark.parametrize("size", [(1, 1), (50, 63), (31, 64), (40, 65), (9, 200)])
def test_the_decode_worker_writes_what_is_read_fastest(size: tuple[int, int]) -> None:
    photo = pixels(size[1], size[0], 3)
    read = fastpng.decode(worker.encode(Image.fromarray(photo)))
    assert read is not None
    assert np.array_equal(read, photo)


def test_what_another_wrote_is_left_to_opencv() -> None:
    photo = pixels(20, 30, 3)
    for options in ({}, {"compress_level": 1}, {"optimize": True}):
        out = io.BytesIO()
        Image.fromarray(photo).save(out, "PNG", **options)
        assert fastpng.decode(out.getvalue()) is None
        assert np.array_equal(read_png(out.getvalue()), photo)


def test_no_broken_file_is_read() -> None:
    data = fastpng.encode(pixels(20, 30, 3))
    for at in range(len(data) - 12):
        broken = bytearray(data)
        broken[at] ^= 0x10
        assert fastpng.decode(bytes(broken)) is None, at
    for size in range(0, len(data), 7):
        assert fastpng.decode(data[:size]) is None
