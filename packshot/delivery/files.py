"""Write a channel's file with its metadata, and read a written file back as a channel does."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

from packshot.delivery.metadata import XMP_KEY, source_type_of
from packshot.delivery.presets import Format
from packshot.imaging.decoding.formats import sniff
from packshot.imaging.decoding.open_upload import open_whole
from packshot.types import U8

__all__ = ["MEDIA", "WrittenFile", "read_file", "write_file"]

MEDIA: dict[Format, tuple[str, str]] = {
    "jpeg": ("image/jpeg", "jpg"),
    "png": ("image/png", "png"),
    "webp": ("image/webp", "webp"),
}
"""The media type and the extension of each format."""

_UNBOUNDED_PX = 2**31


@dataclass(frozen=True)
class WrittenFile:
    """A file as it was read back. `format` is what its bytes announce, and `pixels` is uint8 HxWx3 RGB or HxWx4 RGBA.

    `source_type` is the IPTC digital source type of its metadata, or None.
    """

    data: bytes
    format: str
    pixels: U8
    source_type: str | None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return int(self.pixels.shape[1]), int(self.pixels.shape[0])


def write_file(pixels: U8, kind: Format, quality: int | None, xmp: bytes) -> bytes:
    """Encode uint8 HxWx3 RGB or HxWx4 straight RGBA, with an sRGB profile and an XMP packet; empty = none.

    `quality` is that of a lossy file, 0..100; None = lossless, which a PNG always is. Raises ValueError for a lossless
    JPEG.
    """
    out, image = io.BytesIO(), Image.fromarray(np.ascontiguousarray(pixels))
    if kind == "png":
        info = PngImagePlugin.PngInfo()
        if xmp:
            info.add_itxt(XMP_KEY, xmp.decode())
        image.save(out, "PNG", icc_profile=_srgb(), pnginfo=info, compress_level=6)
    elif kind == "webp":
        exact = quality is None
        image.save(out, "WEBP", lossless=exact, quality=quality or 80, method=4, icc_profile=_srgb(), xmp=xmp)
    elif quality is None:
        raise ValueError("a JPEG must have a quality of 0 to 100, got None")
    else:
        image.save(out, "JPEG", quality=quality, subsampling=0, icc_profile=_srgb(), xmp=xmp)
    return out.getvalue()


def read_file(data: bytes) -> WrittenFile:
    """Decode a file that `write_file` made, by the checks and plugins of an upload.

    Raises the decoder's Refused when the file is not whole.
    """
    kind = sniff(data) or "unknown"
    opened = open_whole(data, kind, _UNBOUNDED_PX, _UNBOUNDED_PX, [])
    opened.load()
    pixels = np.asarray(opened if opened.mode in ("RGB", "RGBA") else opened.convert("RGB"))
    return WrittenFile(data, kind, pixels, source_type_of(opened))


@cache
def _srgb() -> bytes:
    """An sRGB profile with a fixed creation date, so that the same picture always gives the same file."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes((7, 208, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0))  # 2000-01-01
    return bytes(profile)
