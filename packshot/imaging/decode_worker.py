"""A process that decodes one untrusted image at a time and returns its pixels as a plain PNG.

`packshot.imaging.codec` starts this file as a script (`python -I decode_worker.py`), so it imports Pillow and ISA-L but
no module of Packshot. A request on stdin is `>II` (header length, image length), a JSON header `{"format"}` and the
image. The answer on stdout has the same framing: a JSON header, then the PNG. The PNG of a file with alpha is followed
by two more: the straight RGBA pixels and the alpha. `sizes` in the header holds the bytes of each. Before it decodes,
the worker checks that the file is complete, because decoders accept truncated files. It never decodes an image again
after a failure, because Pillow would then return partial pixels.
"""

from __future__ import annotations

import io
import json
import os
import re
import resource
import signal
import struct
import sys
import warnings
import zlib
from typing import Any, BinaryIO

from isal import isal_zlib
from PIL import Image, ImageChops, ImageCms, ImageFile, ImageStat
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

PLUGINS: dict[str, type[ImageFile.ImageFile]] = {"jpeg": JpegImageFile, "png": PngImageFile, "webp": WebPImageFile}
BYTES_PER_PX = 12  # measured peak memory of open + transpose + convert (docs/measurements.md)
SLACK_BYTES = 192 * 1024 * 1024  # for the upload, the answer, the allocator and colour tables
MIN_SIDE_PX = 16
MIN_PRODUCT_PX = 16  # shortest longer side of a product that can be placed (packshot.api.accept)
MAX_SHARE = 0.999  # an alpha that covers more of the photo cuts nothing out
FEW_PX = 32  # fewer half-transparent pixels do not show whether a file is premultiplied
COLOUR_TYPES = {"L": 0, "RGB": 2, "RGBA": 6}
WHITE = (255, 255, 255)
BAND_ROWS = 64  # rows of the photo that are compressed at a time
EXIF_ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # ends a scan: not a stuffed byte, fill byte or restart marker


class Refused(Exception):
    """Raised when an image cannot be accepted. `code` is a code of packshot.errors."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code, self.detail = code, detail


def _incomplete(found: str) -> Refused:
    return Refused("photo_unreadable", f"the file must be complete, but {found}; upload it again")


def check_jpeg_complete(data: bytes) -> None:
    """Follow the segments to the end-of-image marker. libjpeg paints missing parts grey, and Pillow may not report it.

    Raises Refused (photo_unreadable) when the file ends early.
    """
    at = 2
    while True:
        while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] == b"\xff":  # fill bytes
            at += 1
        if len(data) < at + 2 or data[at] != 0xFF:
            raise _incomplete("this JPEG ends or is corrupt before its end-of-image marker")
        marker = data[at + 1]
        if marker == 0xD9:
            return
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            at += 2
            continue
        if len(data) < at + 4:
            raise _incomplete("this JPEG ends inside a segment")
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xDA:
            found = JPEG_MARKER.search(data, at)
            if found is None:
                raise _incomplete("this JPEG ends inside its image data")
            at = found.start()


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
            return  # animated: `rebuild` refuses it as photo_animated, and IDAT holds only the first frame
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


def check_size(width: int, height: int, max_px: int, max_side_px: int) -> None:
    """Raise Refused for a size outside the limits. It is called with the header's size, before pixels are decoded."""
    if width * height > max_px or max(width, height) > max_side_px:
        raise Refused(
            "photo_too_many_pixels",
            f"a photo may have at most {max_px} pixels and {max_side_px} px on a side, got {width}x{height} px "
            f"({width * height} pixels); scale it down",
        )
    if min(width, height) < MIN_SIDE_PX:
        raise Refused(
            "photo_too_small",
            f"a photo must have at least {MIN_SIDE_PX} px on each side, got {width}x{height} px; upload a larger one",
        )


def rebuild(data: bytes, kind: str, max_px: int, max_side_px: int) -> tuple[Image.Image, Image.Image | None, list[str]]:
    """Decode an image once. Return its upright pixels without metadata, and notes about assumptions.

    The pixels are straight 8-bit sRGB colours (mode RGB), and the alpha (mode L) or None for an opaque image. Raises
    Refused, or any error of Pillow.
    """
    notes: list[str] = []
    opened = PLUGINS[kind](io.BytesIO(data))  # only the detected format's parser reads the bytes
    check_size(*opened.size, max_px, max_side_px)
    if getattr(opened, "is_animated", False):  # set from the header; n_frames would read the whole file
        raise Refused("photo_animated", "a photo must have one frame, but this file is animated; export one frame")
    if kind == "jpeg" and b"MPF\x00" in data[:65536]:
        notes.append("the file holds several pictures (MPF); the first, primary one was used")
    if kind == "jpeg":
        check_jpeg_complete(data)
    elif kind == "png":
        check_png_complete(data, max_px, max_side_px)
    else:
        check_webp_complete(data)
    opened.load()
    profile, orientation = opened.info.get("icc_profile"), _orientation(opened, notes)
    colours, alpha = _split(opened, notes)
    del opened
    rgb = _to_srgb(colours, profile, notes)
    del colours
    if alpha is not None and alpha.getextrema() == (0, 0):
        raise Refused(
            "photo_empty",
            "a photo must have a visible pixel, but every pixel of this one is transparent; export it again",
        )
    if orientation in UPRIGHT:
        rgb = rgb.transpose(UPRIGHT[orientation])
        alpha = alpha and alpha.transpose(UPRIGHT[orientation])
    rgb.info.clear()
    return rgb, alpha, notes


def _orientation(opened: Image.Image, notes: list[str]) -> int:
    try:
        found = opened.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - a corrupt EXIF block may raise any error; the pixels are still valid
        notes.append("the EXIF block is corrupt; the photo was assumed to be upright")
        return 1
    return found if isinstance(found, int) else 1


def _split(opened: Image.Image, notes: list[str]) -> tuple[Image.Image, Image.Image | None]:
    """(colours in mode L, RGB or CMYK, alpha in mode L or None), both with 8 bits per channel."""
    mode = opened.mode
    if mode.startswith("I"):  # 16-bit grey, in mode I;16 or I: white is 65535
        notes.append("16-bit grey was converted to 8 bits")
        if "transparency" in opened.info:
            notes.append("the transparent grey value was ignored")
        scaled = opened.convert("I").point(lambda value: value * (255 / 65535) + 0.5)
        return scaled.convert("L"), None
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in opened.info:
        rgba = opened if mode == "RGBA" else opened.convert("RGBA")
        alpha = rgba.getchannel("A")
        if alpha.getextrema() == (255, 255):
            return rgba.convert("RGB"), None
        if _is_premultiplied(rgba, alpha):
            notes.append("the colours were premultiplied with alpha; they were divided by it")
            _unpremultiply(rgba)
        return rgba.convert("RGB"), alpha
    if mode in ("L", "RGB", "CMYK"):
        return opened, None
    return opened.convert("RGB"), None  # modes 1, P and YCbCr


def _is_premultiplied(rgba: Image.Image, alpha: Image.Image) -> bool:
    """Whether the colours (mode RGBA) seem to be multiplied with alpha, which PNG and WebP forbid.

    No channel of such a pixel exceeds its alpha, and the colours get darker where alpha is low. A straight file with
    black shadows meets the first condition only.
    """
    red, green, blue = (rgba.getchannel(name) for name in "RGB")
    brightest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    if any(ImageChops.subtract(brightest, alpha).histogram()[2:]):  # 1 above: some programs round up
        return False
    thin, dense = (
        alpha.point([255 * (low <= value < high) for value in range(256)]) for low, high in ((1, 128), (128, 255))
    )
    if min(part.histogram()[255] for part in (thin, dense)) < FEW_PX:
        return False
    thin_colour, dense_colour = (ImageStat.Stat(brightest, part).mean[0] for part in (thin, dense))
    thin_alpha, dense_alpha = (ImageStat.Stat(alpha, part).mean[0] for part in (thin, dense))
    return dense_colour >= 8 and thin_colour / dense_colour < (1 + thin_alpha / dense_alpha) / 2


def _unpremultiply(rgba: Image.Image) -> None:
    """Divide the colours by alpha, in place and band by band."""
    for top in range(0, rgba.height, BAND_ROWS):
        box = (0, top, rgba.width, min(top + BAND_ROWS, rgba.height))
        band = rgba.crop(box)
        rgba.paste(Image.frombytes("RGBa", band.size, band.tobytes()).convert("RGBA"), box)


def _to_srgb(colours: Image.Image, profile: Any, notes: list[str]) -> Image.Image:
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            space = source.profile.xcolor_space.strip()
            if space == "GRAY" and colours.mode == "RGB":
                colours = colours.convert("L")  # `_split` made RGB of a grey image with alpha
            intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
            converted = ImageCms.profileToProfile(
                colours, source, ImageCms.createProfile("sRGB"), renderingIntent=intent, outputMode="RGB"
            )
        except Exception:  # noqa: BLE001 - seen: PyCMSError, OSError, TypeError, ValueError; sRGB is the best guess
            notes.append(
                "the colour profile is corrupt or does not fit the pixels; the colours were assumed to be sRGB"
            )
        else:
            if converted is not None:
                return converted
    return colours.convert("RGB") if colours.mode != "RGB" else colours


def answer(data: bytes, kind: str, max_px: int, max_side_px: int) -> tuple[dict[str, Any], bytes]:
    """Decode an image and return (header, PNGs). After any failure the header holds `code` and `detail` instead."""
    try:
        rgb, alpha, notes = rebuild(data, kind, max_px, max_side_px)
        head: dict[str, Any] = {"width": rgb.width, "height": rgb.height, "notes": notes}
        if alpha is None:
            files = [encode(rgb)]
        else:
            over_white = Image.new("RGB", rgb.size, WHITE)
            over_white.paste(rgb, mask=alpha)
            files = [encode(over_white)]
            del over_white
            notes.append("the transparent parts are white in the photo")
            if own := _own_alpha(alpha):
                head |= own
                notes.append("the file's own alpha is the first candidate mask")
                files += [_encode_cutout(rgb, alpha), encode(alpha)]
    except Refused as refused:
        return {"code": refused.code, "detail": refused.detail}, b""
    except MemoryError:
        budget_mib = (BYTES_PER_PX * max_px + SLACK_BYTES) >> 20
        detail = f"decoding may use at most {budget_mib} MiB, this file needs more; scale it down or save it again"
        return {"code": "photo_too_many_pixels", "detail": detail, "recycle": True}, b""
    except Exception as error:  # noqa: BLE001 - malicious bytes may raise any error, for example struct.error
        detail = f"the bytes must be a complete, valid {kind.upper()}, decoding raised {type(error).__name__}"
        return {"code": "photo_unreadable", "detail": detail + "; save it again from an image editor"}, b""
    return {**head, "sizes": [len(file) for file in files]}, b"".join(files)


def _own_alpha(alpha: Image.Image) -> dict[str, Any] | None:
    """The alpha's area and box as a mask; None when it shows too little to be placed, or hides next to nothing."""
    product = alpha.point([255 * (value >= 128) for value in range(256)])
    box, area_px = product.getbbox(), product.histogram()[255]
    largest_px = MAX_SHARE * alpha.width * alpha.height
    if box is None or max(box[2] - box[0], box[3] - box[1]) < MIN_PRODUCT_PX or area_px > largest_px:
        return None
    return {"area_px": area_px, "bbox_xyxy": box}


def _encode_cutout(rgb: Image.Image, alpha: Image.Image) -> bytes:
    """A PNG of the straight colours with their alpha. Fully transparent pixels become white. Changes `rgb`."""
    rgb.paste(WHITE, mask=alpha.point([255 * (value == 0) for value in range(256)]))
    rgb.putalpha(alpha)
    return encode(rgb)


def encode(image: Image.Image) -> bytes:
    """A PNG of a grey, RGB or RGBA image. Every row has the filter Up: `fastpng.decode` has a fast path for it."""
    out, row_bytes = io.BytesIO(), image.width * len(image.getbands())
    header = struct.pack(">IIBBBBB", image.width, image.height, 8, COLOUR_TYPES[image.mode], 0, 0, 0)
    out.write(b"\x89PNG\r\n\x1a\n" + _chunk_head(b"IHDR", len(header)) + header + _checksum(b"IHDR" + header))
    start, checksum, deflater = out.tell(), isal_zlib.crc32(b"IDAT"), isal_zlib.compressobj(1)
    out.write(_chunk_head(b"IDAT", 0))
    for top in range(0, image.height, BAND_ROWS):
        bottom = min(top + BAND_ROWS, image.height)
        band, above = (image.crop((0, top - up, image.width, bottom - up)) for up in (0, 1))  # above the first row is 0
        values = ImageChops.subtract_modulo(band, above).tobytes()
        rows = (b"\x02" + values[at : at + row_bytes] for at in range(0, len(values), row_bytes))
        for part in (deflater.compress(b"".join(rows)), deflater.flush() if bottom == image.height else b""):
            checksum = isal_zlib.crc32(part, checksum)
            out.write(part)
    size = out.tell() - start - 8
    out.write(checksum.to_bytes(4, "big") + _chunk_head(b"IEND", 0) + _checksum(b"IEND"))
    out.seek(start)
    out.write(_chunk_head(b"IDAT", size))
    return out.getvalue()


def _chunk_head(kind: bytes, size: int) -> bytes:
    return size.to_bytes(4, "big") + kind


def _checksum(data: bytes) -> bytes:
    return int(isal_zlib.crc32(data)).to_bytes(4, "big")


def _read_exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)  # a buffered reader returns fewer bytes only at the end of the stream
    if len(data) < size:
        raise EOFError
    return data


def limit_memory(max_px: int) -> None:
    """Limit the growth of the process's memory to the budget, and forbid files and core dumps."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        now = int(statm.read().split()[0]) * resource.getpagesize()
    limit = now + BYTES_PER_PX * max_px + SLACK_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def main(max_px: int, max_side_px: int) -> None:
    """Answer requests until stdin closes, which happens when the parent process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    warnings.simplefilter("ignore")
    Image.MAX_IMAGE_PIXELS = None  # check_size is stricter and runs first
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # text that a decoder prints must not mix with the answers
    if sys.platform == "linux":
        limit_memory(max_px)
    while True:
        try:
            header_size, image_size = struct.unpack(">II", _read_exactly(requests, 8))
            header = json.loads(_read_exactly(requests, header_size))
            image = _read_exactly(requests, image_size)
        except EOFError:
            return
        head, png = answer(image, header["format"], max_px, max_side_px)
        packed = json.dumps(head).encode()
        answers.write(struct.pack(">II", len(packed), len(png)) + packed)
        answers.write(png)
        answers.flush()
        del image, png


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
