"""A process that decodes one untrusted image at a time and returns its pixels as a plain PNG.

A `PhotoDecoder` starts it in an isolated Python (`-I`). It imports Pillow, pillow-heif, ISA-L and the modules of this
package that open a file safely. A request on stdin is `>II` (header length, image length), a JSON header and the image.
The answer on stdout has the same framing: a JSON header, then the PNG. The PNG of a file with alpha is followed by two
more: the straight RGBA pixels and the alpha. `messages` describes both headers. The worker never decodes an image again
after a failure, because Pillow would then return partial pixels.
"""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import struct
import sys
import warnings
from dataclasses import asdict
from typing import Any, BinaryIO

from isal import isal_zlib
from PIL import Image, ImageChops, ImageCms, ImageStat

from packshot.imaging.decoding.file_checks import Refused, check_size
from packshot.imaging.decoding.messages import Answer, Extent, Question
from packshot.imaging.decoding.open_upload import BYTES_PER_PX, Note, open_whole
from packshot.imaging.decoding.uploaded_mask import extent, read_uploaded_mask

SLACK_BYTES = 384 * 1024 * 1024  # for the upload (96 MiB), its copy, the answer, the allocator and colour tables
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


def rebuild(
    data: bytes, kind: str, max_px: int, max_side_px: int
) -> tuple[Image.Image, Image.Image | None, list[Note]]:
    """Decode an image once. Return its upright pixels without metadata, and notes about assumptions.

    The pixels are straight 8-bit sRGB colours (mode RGB), and the alpha (mode L) or None for an opaque image. Raises
    Refused, or any error of Pillow.
    """
    notes: list[Note] = []
    opened = open_whole(data, kind, max_px, max_side_px, notes)
    opened.load()
    check_size(*opened.size, max_px, max_side_px)  # an HEIC file's pixels may be more than its header says
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


def _orientation(opened: Image.Image, notes: list[Note]) -> int:
    try:
        found = opened.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - a corrupt EXIF block may raise any error; the pixels are still valid
        notes.append(("upright_assumed", "the EXIF block is corrupt; the photo was assumed to be upright"))
        return 1
    return found if isinstance(found, int) else 1


def _split(opened: Image.Image, notes: list[Note]) -> tuple[Image.Image, Image.Image | None]:
    """(colours in mode L, RGB or CMYK, alpha in mode L or None), both with 8 bits per channel."""
    mode = opened.mode
    if mode.startswith("I"):  # 16-bit grey, in mode I;16 or I: white is 65535
        notes.append(("depth_reduced", "16-bit grey was converted to 8 bits"))
        if "transparency" in opened.info:
            notes.append(("transparency_ignored", "the transparent grey value was ignored"))
        scaled = opened.convert("I").point(lambda value: value * (255 / 65535) + 0.5)
        return scaled.convert("L"), None
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in opened.info:
        rgba = opened if mode == "RGBA" else opened.convert("RGBA")
        alpha = rgba.getchannel("A")
        if alpha.getextrema() == (255, 255):
            return rgba.convert("RGB"), None
        if _is_premultiplied(rgba, alpha):
            notes.append(("premultiplied", "the colours were premultiplied with alpha; they were divided by it"))
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


def _to_srgb(colours: Image.Image, profile: Any, notes: list[Note]) -> Image.Image:
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
            detail = "the colour profile is corrupt or does not fit the pixels; the colours were assumed to be sRGB"
            notes.append(("profile_assumed", detail))
        else:
            if converted is not None:
                return converted
    return colours.convert("RGB") if colours.mode != "RGB" else colours


def answer(
    data: bytes, kind: str, max_px: int, max_side_px: int, mask_size: tuple[int, int] | None = None
) -> tuple[Answer, bytes]:
    """Decode an image and return (header, PNGs). After any failure the header holds `code` and `detail` instead.

    `mask_size` is (width, height) of the photo whose mask the image is, or None for a photo.
    """
    try:
        if mask_size is None:
            head, files = _photo(*rebuild(data, kind, max_px, max_side_px))
        else:
            mask, found = read_uploaded_mask(data, *mask_size)
            head, files = Answer(extent=found), [encode(mask)]
    except Refused as refused:
        return {"code": refused.code, "detail": refused.detail}, b""
    except MemoryError:
        budget_mib = (BYTES_PER_PX * max_px + SLACK_BYTES) >> 20
        detail = f"decoding may use at most {budget_mib} MiB, this file needs more; scale it down or save it again"
        return {"code": "photo_too_many_pixels", "detail": detail, "recycle": True}, b""
    except Exception as error:  # noqa: BLE001 - malicious bytes may raise any error, for example struct.error
        detail = f"the bytes must be a complete, valid {kind.upper()}, decoding raised {type(error).__name__}"
        return {"code": "photo_unreadable", "detail": detail + "; save it again from an image editor"}, b""
    head["sizes"] = [len(file) for file in files]
    return head, b"".join(files)


def read_provenance(data: bytes, anchors: str) -> Answer:
    """The header with what a file's C2PA manifest says. A manifest that cannot be read is present and not valid."""
    from packshot.delivery.provenance import C2paFound, read_manifest  # native code, which photos do not need

    try:
        found = read_manifest(data, anchors)
    except Exception:  # noqa: BLE001 - malicious bytes may raise any error
        found = C2paFound(present=True)
    return {"sizes": [], "manifest": asdict(found)}


def _photo(rgb: Image.Image, alpha: Image.Image | None, notes: list[Note]) -> tuple[Answer, list[bytes]]:
    """The header and the PNGs of a photo."""
    head: Answer = {"width": rgb.width, "height": rgb.height, "notes": notes}
    if alpha is None:
        return head, [encode(rgb)]
    over_white = Image.new("RGB", rgb.size, WHITE)
    over_white.paste(rgb, mask=alpha)
    files = [encode(over_white)]
    del over_white
    notes.append(("alpha_flattened", "the transparent parts are white in the photo"))
    if own := _own_alpha(alpha):
        head["extent"] = own
        notes.append(("alpha_kept", "the file's own alpha is the first candidate mask"))
        files += [_encode_cutout(rgb, alpha), encode(alpha)]
    return head, files


def _own_alpha(alpha: Image.Image) -> Extent | None:
    """The alpha's area and box as a mask; None when it shows too little to be placed, or hides next to nothing."""
    head = extent(alpha)
    x0, y0, x1, y1 = head["bbox_xyxy"]
    if max(x1 - x0, y1 - y0) < MIN_PRODUCT_PX or head["area_px"] > MAX_SHARE * alpha.width * alpha.height:
        return None
    return head


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


def main() -> None:
    """Answer requests until stdin closes, which happens when the parent process ends.

    The last two arguments of the command are the limits `max_px` and `max_side_px`.
    """
    max_px, max_side_px = map(int, sys.argv[-2:])
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
            asked: Question = json.loads(_read_exactly(requests, header_size))
            image = _read_exactly(requests, image_size)
        except EOFError:
            return
        if "anchors" in asked:
            head, png = read_provenance(image, asked["anchors"]), b""
        else:
            head, png = answer(image, asked["format"], max_px, max_side_px, asked.get("mask_size"))
        packed = json.dumps(head).encode()
        answers.write(struct.pack(">II", len(packed), len(png)) + packed)
        answers.write(png)
        answers.flush()
        del image, png
