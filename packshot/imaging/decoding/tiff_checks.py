"""Checks of an untrusted TIFF file before it is decoded: its pages, its strips, and whether it is a camera's raw file.

Raw files of most cameras are TIFF files whose first page is a thumbnail. This module runs in the worker process only.
It reads the directories, which are short, and never follows more of them than a photo may have.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from packshot.imaging.decoding.file_checks import Refused

MAX_PAGES = 4
MAX_ROWS = 4_096  # of a directory: about 20 are usual
MAX_STRIPS = 250_000  # a 50-megapixel photo in tiles of 16 x 16 px has 195,313
SUBFILE_TYPE, COMPRESSION, PHOTOMETRIC, MAKE, SUB_DIRECTORIES, DNG_VERSION = 254, 259, 262, 271, 330, 50706
STRIPS = ((273, 279), (324, 325))  # offsets and sizes of strips, and of tiles
SENSOR_PIXELS = (32803, 34892)  # photometric interpretations: colour filter array, linear raw
RAW_NAMES = (("nikon", "NEF"), ("sony", "ARW"), ("pentax", "PEF"), ("samsung", "SRW"), ("canon", "CR2"))


def check_tiff(data: bytes) -> int:
    """The number of pages of a TIFF file. Only the directories are read, and no more of them than pages are allowed.

    Raises Refused for a camera's raw file (photo_format), for too many pages (photo_animated) and for too many strips
    (photo_unreadable), and struct.error for a directory outside the file.
    """
    order = ">" if data.startswith(b"MM") else "<"
    big = data[2:4] in (b"+\0", b"\0+")
    word, head = ("Q", "Q") if big else ("I", "H")
    at, seen = struct.unpack_from(order + word, data, 8 if big else 4)[0], list[int]()
    while at and at not in seen:  # a directory that names an earlier one as its next ends the file
        if len(seen) == MAX_PAGES:
            raise Refused(
                "photo_animated",
                f"a TIFF may have at most {MAX_PAGES} pages, this one has more; export one page",
            )
        rows = struct.unpack_from(order + head, data, at)[0]
        if rows > MAX_ROWS:
            raise Refused("photo_unreadable", f"a TIFF directory may have {MAX_ROWS} rows, got {rows}; save it again")
        first, size = at + struct.calcsize(head), struct.calcsize(order + "HH" + word + word)
        if not seen:
            _check_first_page(data, order, [_row(data, order, word, first + size * row) for row in range(rows)])
        seen.append(at)
        at = struct.unpack_from(order + word, data, first + size * rows)[0]
    return len(seen)


def _row(data: bytes, order: str, word: str, at: int) -> tuple[int, int, int]:
    """(tag, number of values, the first value or where the values lie)."""
    tag, kind, count = struct.unpack_from(order + "HH" + word, data, at)
    short = kind == 3 and count == 1
    value = struct.unpack_from(order + ("H" if short else word), data, at + struct.calcsize(order + "HH" + word))[0]
    return tag, count, value


def _check_first_page(data: bytes, order: str, rows: list[tuple[int, int, int]]) -> None:
    counts = {tag: count for tag, count, _ in rows}
    values = {tag: value for tag, _, value in rows}
    strips = max(counts.get(tag, 0) for pair in STRIPS for tag in pair)
    if strips > MAX_STRIPS:
        detail = f"a TIFF may have at most {MAX_STRIPS} strips or tiles, got {strips}; save it again"
        raise Refused("photo_unreadable", detail)
    thumbnail = values.get(SUBFILE_TYPE, 0) & 1 and SUB_DIRECTORIES in counts
    if DNG_VERSION in counts or thumbnail or values.get(PHOTOMETRIC) in SENSOR_PIXELS:
        make = data[values.get(MAKE, 0) :][:16].lower() if MAKE in values else b""
        name = next((name for start, name in RAW_NAMES if make.startswith(start.encode())), "a camera's raw TIFF")
        raise Refused(
            "photo_format",
            "a photo must be JPEG, PNG, WebP, AVIF, HEIC, TIFF or GIF, got "
            f"RAW ({'DNG' if DNG_VERSION in counts else name}); develop it and export a JPEG or TIFF",
        )


def check_strips(tags: Mapping[int, Any], bytes_in_file: int) -> None:
    """Raise Refused (photo_unreadable) when a strip or tile lies outside the file, where libtiff may paint it grey.

    `tags` are the first page's tags, as Pillow read them.
    """
    for offsets, sizes in STRIPS:
        ends = map(sum, zip(tags.get(offsets, ()), tags.get(sizes, ()), strict=False))
        if any(end > bytes_in_file for end in ends):
            raise Refused(
                "photo_unreadable",
                "the file must be complete, but this TIFF ends inside its image data; upload it again",
            )
