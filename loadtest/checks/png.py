"""Checks that bytes are a complete PNG, and reads 16-bit ones. The check is cheap enough for every received picture."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
"""Samples per pixel by colour type. Palettes (3) are missing because the API does not send them."""


def png_size(data: bytes) -> tuple[int, int]:
    """The (width, height) of a complete PNG, pixels.

    Raises ValueError when the structure is incomplete, a checksum is wrong, or the pixel data does not inflate to
    exactly the size that the header states. The message is a predicate: the caller names the file.
    """
    size, _, _ = _read(data)
    return size


def png16(data: bytes) -> NDArray[np.uint16]:
    """The uint16 HxWx3 values of a 16-bit RGB PNG, for which Pillow has no mode. Meant for small files.

    Raises ValueError as `png_size` does, and for a PNG of another kind.
    """
    (width, height), kind, rows = _read(data)
    if kind != (16, 2):
        raise ValueError(f"must be a PNG of 16-bit RGB, got {kind[0]} bits and colour type {kind[1]}")
    reach = 6  # bytes from a sample to the same one of the pixel on its left
    above = bytearray(reach + width * reach)
    found = bytearray()
    for start in range(0, len(rows), 1 + width * reach):
        method, row = rows[start], bytearray(reach) + rows[start + 1 : start + 1 + width * reach]
        for place in range(reach, len(row)):
            left, up, corner = row[place - reach], above[place], above[place - reach]
            row[place] = (row[place] + _predicted(method, left, up, corner)) & 255
        found += row[reach:]
        above = row
    return np.frombuffer(bytes(found), ">u2").reshape(height, width, 3).astype(np.uint16)


def _predicted(method: int, left: int, up: int, corner: int) -> int:
    """What a row's filter method predicts of a byte (PNG, third edition, 9.2). Raises ValueError for an unknown one."""
    match method:
        case 0:
            return 0
        case 1:
            return left
        case 2:
            return up
        case 3:
            return (left + up) // 2
        case 4:
            guess = left + up - corner
            return min((left, up, corner), key=lambda near: abs(guess - near))
    raise ValueError(f"has the unknown filter method {method}")


def _read(data: bytes) -> tuple[tuple[int, int], tuple[int, int], bytes]:
    """The (width, height), the (bit depth, colour type) and the inflated rows of a complete PNG."""
    if not data.startswith(_SIGNATURE):
        raise ValueError(f"is not a PNG: it begins with {data[:8]!r}")
    place, packed, header, ended = len(_SIGNATURE), [], b"", False
    while place < len(data):
        if place + 12 > len(data):
            raise ValueError("ends inside a chunk")
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        if end > len(data):
            raise ValueError(f"ends inside its {kind!r} chunk")
        body = data[place + 8 : end - 4]
        if zlib.crc32(kind + body) != struct.unpack_from(">I", data, end - 4)[0]:
            raise ValueError(f"has a wrong checksum in its {kind!r} chunk")
        if kind == b"IHDR":
            header = body
        elif kind == b"IDAT":
            packed.append(body)
        elif kind == b"IEND":
            ended = True
            break
        place = end
    if not ended or len(header) != 13:
        raise ValueError("has no IHDR or no IEND chunk")
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    if colour not in _CHANNELS or interlaced:
        raise ValueError(f"must not be interlaced or use a palette, got colour type {colour}, interlace {interlaced}")
    try:
        rows = zlib.decompress(b"".join(packed))
    except zlib.error as error:
        raise ValueError(f"does not inflate: {error}") from None
    wanted = height * (1 + (width * depth * _CHANNELS[colour] + 7) // 8)
    if len(rows) != wanted:
        raise ValueError(f"inflates to {len(rows)} bytes, but {width} x {height} pixels take {wanted}")
    return (width, height), (depth, colour), rows
