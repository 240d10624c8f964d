"""Open an untrusted picture with the one plugin of its format, after checks that it is whole and of an allowed size.

Untrusted bytes reach this module in the worker process only. Its notes are (code, detail) pairs for the person who
uploaded the file.
"""

from __future__ import annotations

import hashlib
import io
import re

from PIL import AvifImagePlugin, GifImagePlugin, Image, ImageFile, TiffImagePlugin
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from packshot.imaging.decoding.file_checks import (
    JpegEnd,
    Refused,
    check_gif_complete,
    check_jpeg_complete,
    check_png_complete,
    check_size,
    check_webp_complete,
)
from packshot.imaging.decoding.tiff_checks import check_strips, check_tiff

Note = tuple[str, str]
"""(code, detail): what the decoder assumed, dropped or changed. The code is stable, the detail is a sentence."""

BYTES_PER_PX = 12  # measured peak memory of open + transpose + convert (docs/measurements.md)
REDUCIBLE = (
    4  # a JPEG may have this many times the allowed pixels; it is then decoded at a half, a quarter or an eighth
)
MAX_SCANS_AT_MOST_PX = 32  # scans of a JPEG with as many pixels as are allowed; larger ones may have fewer
BAND_ROWS = 256
END_OF_IMAGE = b"\xff\xd9"
PADDING = bytes(
    (170 + 101 * n + 37 * n * n) % 255 for n in range(64)
)  # no marker; its first bit is 1, the decoder's is 0
TIFF_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "I;16", "I;16B", "I;16L"}


def open_whole(data: bytes, kind: str, max_px: int, max_side_px: int, notes: list[Note]) -> Image.Image:
    """Open a picture of the format `kind` without decoding it. `notes` gets what was assumed.

    Raises Refused, or any error of Pillow, for a file that is incomplete, too large or of several frames.
    """
    if kind == "jpeg":
        return _open_jpeg(data, max_px, max_side_px, notes)
    pages = check_tiff(data) if kind == "tiff" else 1
    opened = _plugin(kind)(io.BytesIO(data))  # only the detected format's parser reads the bytes
    remedy = f"save it as JPEG, which is read at a reduced size up to {REDUCIBLE * max_px} pixels, or scale it down"
    check_size(*opened.size, max_px, max_side_px, remedy=remedy)
    if kind == "png":
        check_png_complete(data, max_px, max_side_px)
    elif kind == "webp":
        check_webp_complete(data)
    elif kind == "gif":
        check_gif_complete(data)
    elif isinstance(opened, TiffImagePlugin.TiffImageFile):
        check_strips(opened.tag_v2, len(data))
        if opened.mode not in TIFF_MODES:
            raise Refused(
                "photo_format",
                f"a TIFF must have 8 or 16 bits of grey, RGB or CMYK, got Pillow's mode {opened.mode}; export it so",
            )
    elif kind == "heif":
        pages = getattr(opened, "n_frames", 1)
    if kind in ("png", "webp", "avif") and getattr(opened, "is_animated", False):  # set from the header
        raise Refused("photo_animated", "a photo must have one frame, but this file is animated; export one frame")
    if pages > 1:
        which = "primary" if kind == "heif" else "first"
        notes.append(("first_picture", f"the file holds {pages} pictures; the {which} one was used"))
    return opened


def _plugin(kind: str) -> type[ImageFile.ImageFile]:
    if kind == "heif":
        from pillow_heif import HeifImageFile, options  # 26 MB of libraries: loaded by the workers that need them

        options.DECODE_THREADS = 1
        options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False
        return HeifImageFile
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # the memory of more threads would count against the limit
    return {
        "png": PngImageFile,
        "webp": WebPImageFile,
        "avif": AvifImagePlugin.AvifImageFile,
        "tiff": TiffImagePlugin.TiffImageFile,
        "gif": GifImagePlugin.GifImageFile,
    }[kind]


def _open_jpeg(data: bytes, max_px: int, max_side_px: int, notes: list[Note]) -> Image.Image:
    """A whole JPEG, opened at a scale at which it is within the limits. Its end-of-image marker may be missing."""
    opened = JpegImageFile(io.BytesIO(data))
    scale = _scale(opened, max_px, max_side_px)
    if b"MPF\x00" in data[:65536]:
        notes.append(("first_picture", "the file holds several pictures (MPF); the first, primary one was used"))
    end = check_jpeg_complete(data)
    _check_scans(end.scans, opened, MAX_SCANS_AT_MOST_PX * max_px)
    if not end.marked:
        _check_last_scan(data, end, scale)
        opened = JpegImageFile(io.BytesIO(data[: end.at] + END_OF_IMAGE))
        detail = "the JPEG has no end marker; every scan line is there, and what follows them was ignored"
        notes.append(("end_marker_missing", detail))
    if scale > 1:
        before = opened.size
        _reduce(opened, scale)
        detail = (
            f"beyond {max_px} pixels or {max_side_px} px on a side a JPEG is read at 1/{scale} of its size: "
            f"{before[0]}x{before[1]} px became {opened.width}x{opened.height} px"
        )
        notes.append(("reduced", detail))
    check_size(*opened.size, max_px, max_side_px)
    return opened


def _scale(opened: JpegImageFile, max_px: int, max_side_px: int) -> int:
    """1, 2, 4 or 8: the JPEG is decoded at one part in this many of its width and height."""
    width, height = opened.size
    if width * height > REDUCIBLE * max_px:
        detail = (
            f"a JPEG may have at most {REDUCIBLE * max_px} pixels, got {width}x{height} px ({width * height} pixels); "
            "scale it down"
        )
        raise Refused("photo_too_many_pixels", detail)
    scale = 1
    while -(-width // scale) * -(-height // scale) > max_px or max(width, height) > scale * max_side_px:
        scale *= 2
    if opened.info.get("progressive"):  # libjpeg keeps all of its coefficients, of 2 bytes each
        most = max(layer[1] * layer[2] for layer in opened.layer)
        samples = sum(layer[1] * layer[2] for layer in opened.layer) / most
        needed, allowed = 2 * samples * width * height + 4 * width * height / scale**2, BYTES_PER_PX * max_px
        if needed > allowed:
            detail = (
                f"decoding may use at most {allowed >> 20} MiB, this progressive JPEG of {width}x{height} px needs "
                f"{int(needed) >> 20}; save it as a baseline JPEG, or scale it down"
            )
            raise Refused("photo_too_many_pixels", detail)
    return scale


def _check_scans(scans: int, opened: JpegImageFile, allowed: int) -> None:
    """Raise Refused when there are too many for the size: libjpeg goes through all pixels for each, also if reduced."""
    pixels = opened.width * opened.height
    if scans * pixels > allowed:
        detail = (
            f"a JPEG of {opened.width}x{opened.height} px may have at most {allowed // pixels} scans, this one has "
            f"{scans}; save it as a baseline JPEG, or scale it down"
        )
        raise Refused("photo_too_many_scans", detail)


def _reduce(opened: JpegImageFile, scale: int) -> None:
    opened.draft(None, (max(1, opened.width // scale), max(1, opened.height // scale)))


def _check_last_scan(data: bytes, end: JpegEnd, scale: int) -> None:
    """Raise Refused (photo_unreadable) unless the last scan of a JPEG without an end marker is whole.

    It is whole when no pixel depends on the bits that follow it. The restart marker lets the decoder read bits also
    where an interval of the scan has just ended.
    """
    restarts = len(re.findall(rb"\xff[\xd0-\xd7]", data[end.last_scan : end.at]))
    other_bits = PADDING + bytes((0xFF, 0xD0 + restarts % 8)) + PADDING
    if _digest(data[: end.at] + END_OF_IMAGE, scale) != _digest(data[: end.at] + other_bits + END_OF_IMAGE, scale):
        raise Refused(
            "photo_unreadable",
            "the file must be complete, but this JPEG ends inside its image data; upload it again",
        )


def _digest(jpeg: bytes, scale: int) -> bytes:
    """A hash of a JPEG's pixels at a scale."""
    opened = JpegImageFile(io.BytesIO(jpeg))
    if scale > 1:
        _reduce(opened, scale)
    opened.load()
    digest = hashlib.blake2b()
    for top in range(0, opened.height, BAND_ROWS):
        digest.update(opened.crop((0, top, opened.width, min(top + BAND_ROWS, opened.height))).tobytes())
    return digest.digest()
