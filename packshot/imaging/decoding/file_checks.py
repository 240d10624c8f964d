"""Checks of an untrusted file before it is decoded: is it complete, one picture, and of an allowed size?

Decoders accept files that end early and paint the missing part grey, black or not at all, so each format's structure is
followed here first. This module runs in the worker process only. It imports nothing of Packshot.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass

MIN_SIDE_PX = 16
ZERO_FILL_BYTES = 16  # a picture's own data may end in a few zeros
MAX_JPEG_SCANS = 32  # libjpeg reads the whole picture once for each; encoders write 1 to 20
JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # ends a scan: not a stuffed byte, fill byte or restart marker
SAMSUNG_BLOCK = re.compile(rb"\x00\x00[\x00-\xff]{2}([\x04-\x40])\x00\x00\x00([A-Za-z][A-Za-z0-9_]{3,63})")
"""The start of a block of Samsung's trailer: two zeros, a type, the length of its name (uint32), its name."""


class Refused(Exception):
    """Raised when an image cannot be accepted. `code` is a code of packshot.errors."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code, self.detail = code, detail


def _incomplete(found: str) -> Refused:
    return Refused("photo_unreadable", f"the file must be complete, but {found}; upload it again")


def check_size(width: int, height: int, max_px: int, max_side_px: int, *, remedy: str = "scale it down") -> None:
    """Raise Refused for a size outside the limits. It is called with the header's size, before pixels are decoded."""
    if width * height > max_px or max(width, height) > max_side_px:
        raise Refused(
            "photo_too_many_pixels",
            f"a photo may have at most {max_px} pixels and {max_side_px} px on a side, got {width}x{height} px "
            f"({width * height} pixels); {remedy}",
        )
    if min(width, height) < MIN_SIDE_PX:
        raise Refused(
            "photo_too_small",
            f"a photo must have at least {MIN_SIDE_PX} px on each side, got {width}x{height} px; upload a larger one",
        )


@dataclass(frozen=True)
class JpegEnd:
    """Where the picture of a JPEG file ends. `marked`: an end-of-image marker stands there.

    `last_scan` is where the data of its last scan begins. `scans` is how many it has.
    """

    at: int
    marked: bool
    last_scan: int
    scans: int


def check_jpeg_complete(data: bytes) -> JpegEnd:
    """Follow the segments to the end of the picture. libjpeg paints missing parts grey, and Pillow may not report it.

    A file without the end-of-image marker passes when every bit of every coefficient has its scan; whether the last
    scan is whole is for the caller to find. Raises Refused: photo_unreadable when the file ends early, and
    photo_too_many_scans.
    """
    at, scans, last_scan, trailer = 2, 0, 0, -1
    unfinished = {(-1, 0)}  # until a frame names its components
    while True:
        while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] == b"\xff":  # fill bytes
            at += 1
        if len(data) < at + 2 or data[at] != 0xFF:
            raise _incomplete("this JPEG ends or is corrupt before its end-of-image marker")
        marker = data[at + 1]
        if marker == 0xD9:
            return JpegEnd(at, marked=True, last_scan=last_scan, scans=scans)
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            at += 2
            continue
        if len(data) < at + 4:
            raise _incomplete("this JPEG ends inside a segment")
        body = data[at + 4 : at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")]
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in (0xC0, 0xC1, 0xC2) and len(body) >= 6:  # a frame: 64 coefficients for each component
            unfinished = {(component, band) for component in body[6 : 6 + 3 * body[5] : 3] for band in range(64)}
        if marker == 0xDA:
            scans, last_scan = scans + 1, at
            if scans > MAX_JPEG_SCANS:
                rule = f"a JPEG may have at most {MAX_JPEG_SCANS} scans, this one has more"
                raise Refused("photo_too_many_scans", f"{rule}; save it as a baseline JPEG")
            unfinished -= _finished_by(body)
            trailer = _samsung_trailer(data, at) if scans == 1 else trailer
            found = JPEG_MARKER.search(data, at, trailer)
            if found is not None:
                at = found.start()
            elif unfinished:
                raise _incomplete("this JPEG ends inside its image data")
            else:
                return JpegEnd(min(trailer, _end_of_scan(data)), marked=False, last_scan=last_scan, scans=scans)


def _finished_by(scan: bytes) -> set[tuple[int, int]]:
    """The (component, coefficient) pairs that a scan with this header completes."""
    if not scan or len(scan) < 4 + 2 * scan[0] or scan[3 + 2 * scan[0]] & 15:  # its lowest bits come later
        return set()
    bands = range(scan[1 + 2 * scan[0]], scan[2 + 2 * scan[0]] + 1)
    return {(component, band) for component in scan[1 : 1 + 2 * scan[0] : 2] for band in bands}


def _samsung_trailer(data: bytes, start: int) -> int:
    """Where Samsung's trailer begins, after `start`; without one, the end of the file.

    Some of its cameras write the trailer in place of the end marker.
    """
    if not data.endswith(b"SEFT"):
        return len(data)
    blocks = SAMSUNG_BLOCK.finditer(data, start)
    named = (block.start() for block in blocks if len(block[2]) >= block[1][0])  # the name's own bytes may follow it
    return next(named, data.rfind(b"SEFH", start) % len(data))


def _end_of_scan(data: bytes) -> int:
    """The end of image data that runs to the end of the file, without the zeros that fill up a block of a disk."""
    end = len(data.rstrip(b"\0"))
    if len(data) - end < ZERO_FILL_BYTES:
        end = len(data)
    if data[end - 1] != 0xFF:
        return end
    return end + 1 if end < len(data) else len(data.rstrip(b"\xff"))  # FF 00 belongs to the picture, FF alone does not


def check_png_complete(data: bytes, max_px: int, max_side_px: int) -> None:
    """Check the size in the header, the checksum of each chunk and the number of decompressed bytes, up to IEND.

    Pillow fills missing rows with black. Raises Refused for a wrong size or an incomplete file.
    """
    at, width, height, expected, got = 8, 0, 0, -1, 0
    inflate = zlib.decompressobj()
    while True:
        length = int.from_bytes(data[at : at + 4], "big")
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        if len(data) < at + 12 + length:
            raise _incomplete("this PNG ends before its IEND chunk")
        if zlib.crc32(body, zlib.crc32(kind)) != int.from_bytes(data[at + 8 + length : at + 12 + length], "big"):
            raise _incomplete("a chunk of this PNG has a wrong checksum")
        if kind == b"IHDR":
            width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", body)
            check_size(width, height, max_px, max_side_px)
            expected = _png_raw_bytes(width, height, depth, colour, interlace)
        elif kind == b"acTL" and int.from_bytes(body[:4], "big") > 1:
            return  # animated: it is refused as photo_animated, and IDAT holds only the first frame
        elif kind == b"IDAT" and got < expected:
            piece = inflate.decompress(body, expected - got)
            got += len(piece)
            while inflate.unconsumed_tail and got < expected:
                piece = inflate.decompress(inflate.unconsumed_tail, expected - got)
                got += len(piece)
        elif kind == b"IEND":
            if got < expected:
                raise _incomplete(f"this PNG holds {got} of {expected} bytes of image data")
            return
        at += 12 + length


def _png_raw_bytes(width: int, height: int, depth: int, colour: int, interlace: int) -> int:
    """The number of bytes of filtered rows that a PNG with this header must hold."""
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    passes = [(0, 0, 1, 1)]
    if interlace:  # Adam7: x start, y start, x step, y step
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    total = 0
    for x, y, dx, dy in passes:
        columns, rows = -((x - width) // dx), -((y - height) // dy)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * bits + 7) // 8)
    return total


def check_webp_complete(data: bytes) -> None:
    """Raise Refused (photo_unreadable) when the file is shorter than its RIFF header states."""
    if int.from_bytes(data[4:8], "little") + 8 > len(data):
        raise _incomplete("this WebP is shorter than its header states")


def check_gif_complete(data: bytes) -> None:
    """Follow the blocks to the trailer. Raises Refused when one is missing (photo_unreadable) or a second frame comes
    (photo_animated)."""
    at, frames = 13 + _palette_bytes(data[10:11]), 0
    while at < len(data) and data[at] != 0x3B:
        if data[at] == 0x2C:
            frames += 1
            if frames > 1:
                raise Refused(
                    "photo_animated", "a photo must have one frame, but this GIF is animated; export one frame"
                )
            at += 11 + _palette_bytes(data[at + 9 : at + 10])
        elif data[at] == 0x21:
            at += 2
        else:
            raise _incomplete("a block of this GIF is corrupt")
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
    if at >= len(data) or not frames:
        raise _incomplete("this GIF ends before its trailer")


def _palette_bytes(flags: bytes) -> int:
    return 3 << ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0
