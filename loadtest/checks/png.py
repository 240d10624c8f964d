"""Checks that bytes are a complete PNG. Standard library only; cheap enough to check every received picture."""

from __future__ import annotations

import struct
import zlib

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
"""Samples per pixel by colour type. Palettes (3) are missing because the API does not send them."""


def png_size(data: bytes) -> tuple[int, int]:
    """The (width, height) of a complete PNG, pixels.

    Raises ValueError when the structure is incomplete, a checksum is wrong, or the pixel data does not inflate to
    exactly the size that the header states. The message is a predicate: the caller names the file.
    """
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
        inflated = len(zlib.decompress(b"".join(packed)))
    except zlib.error as error:
        raise ValueError(f"does not inflate: {error}") from None
    wanted = height * (1 + (width * depth * _CHANNELS[colour] + 7) // 8)
    if inflated != wanted:
        raise ValueError(f"inflates to {inflated} bytes, but {width} x {height} pixels take {wanted}")
    return width, height
