"""A fast PNG encoder and decoder. Every row has the filter Up, and ISA-L compresses all rows into one IDAT chunk.

Encoding takes a third of the processor time of OpenCV's fastest setting, for files of equal size. Decoding takes a
quarter of OpenCV's time, because undoing the filter Up is one running sum. Any PNG reader can read these files.
"""

from __future__ import annotations

import struct
from itertools import pairwise

import numpy as np
from isal import isal_zlib

from packshot.types import U8

__all__ = ["decode", "encode"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
UP = 2  # the number of the filter Up in the PNG specification
CHANNELS = {0: 1, 2: 3, 6: 4}  # channels of the colour types grey, RGB and RGBA
COLOUR_TYPES = {channels: colour_type for colour_type, channels in CHANNELS.items()}
HEADER = ">IIBBBBB"  # width, height, bits, colour type, compression, filter method, interlace
LEVEL = 1  # ISA-L's level: 0 is no faster and its files are 30 % larger; 2 and 3 make files hardly smaller


def encode(pixels: U8) -> bytes:
    """A PNG file of uint8 HxW (grey), HxWx3 (RGB) or HxWx4 (straight RGBA) pixels."""
    height, width = pixels.shape[:2]
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    values = np.ascontiguousarray(pixels).reshape(height, width * channels)
    rows = np.empty((height, 1 + width * channels), np.uint8)
    rows[:, 0] = UP
    rows[0, 1:] = values[0]
    np.subtract(values[1:], values[:-1], out=rows[1:, 1:])
    header = struct.pack(HEADER, width, height, 8, COLOUR_TYPES[channels], 0, 0, 0)
    deflated = isal_zlib.compress(rows, LEVEL)
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", deflated) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = isal_zlib.crc32(data, isal_zlib.crc32(kind))
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def decode(data: bytes) -> U8 | None:
    """The pixels of a PNG that `encode` wrote: uint8 HxW, HxWx3 or HxWx4. None for any other file."""
    view = memoryview(data)
    if data[:16] != SIGNATURE + b"\0\0\0\x0dIHDR" or data[37:41] != b"IDAT" or data[-8:-4] != b"IEND":
        return None
    width, height, bits, colour_type, _, _, interlace = struct.unpack(HEADER, data[16:29])
    size = int.from_bytes(data[33:37], "big")
    if bits != 8 or interlace or colour_type not in CHANNELS or len(data) != 41 + size + 4 + 12:
        return None
    for start, stop in ((12, 29), (37, 41 + size)):
        if isal_zlib.crc32(view[start:stop]).to_bytes(4, "big") != data[stop : stop + 4]:
            return None
    row_bytes = 1 + width * CHANNELS[colour_type]
    try:
        inflated = isal_zlib.decompress(view[41 : 41 + size], bufsize=height * row_bytes)
    except isal_zlib.error:  # type: ignore[misc]  # isal's stub declares an instance
        return None
    if len(inflated) != height * row_bytes:
        return None
    rows = np.frombuffer(inflated, np.uint8).reshape(height, row_bytes)
    if (rows[:, 0] != UP).any():
        return None
    values = rows[:, 1:].copy()
    for above, row in pairwise(values):  # np.add.accumulate sums one column after the other: sixty times slower
        np.add(above, row, out=row)
    return values.reshape((height, width) if colour_type == 0 else (height, width, CHANNELS[colour_type]))
