"""The formats of uploads, recognised by their first bytes: those that are decoded, and those that are refused by name.

A file's name and declared media type are often wrong while its bytes are sound, so only the bytes decide.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FORMATS", "Format", "claim_of", "refusal_of", "sniff"]


@dataclass(frozen=True)
class Format:
    """A format that is decoded. `label` is its usual spelling. `media_types` are its names in HTTP, the first is right.

    `suffixes` are the endings of its file names.
    """

    label: str
    media_types: tuple[str, ...]
    suffixes: tuple[str, ...]


FORMATS: dict[str, Format] = {
    "jpeg": Format("JPEG", ("image/jpeg", "image/jpg", "image/pjpeg"), ("jpg", "jpeg", "jpe", "jfif", "mpo")),
    "png": Format("PNG", ("image/png", "image/x-png", "image/apng"), ("png", "apng")),
    "webp": Format("WebP", ("image/webp",), ("webp",)),
    "avif": Format("AVIF", ("image/avif",), ("avif",)),
    "heif": Format("HEIC", ("image/heic", "image/heif"), ("heic", "heif", "hif")),
    "tiff": Format("TIFF", ("image/tiff", "image/tiff-fx"), ("tif", "tiff")),
    "gif": Format("GIF", ("image/gif",), ("gif",)),
}
"""The formats that are decoded, by the name that an answer's `format` holds."""

_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_AS_PICTURE = "export it as PNG or TIFF"
_AS_PHOTO = "develop it and export a JPEG or TIFF"
_AS_STILL = "save one frame of it as JPEG or PNG"
_REFUSED: tuple[tuple[int, bytes, str, str], ...] = (  # offset, bytes, name, remedy; the first that fits counts
    (0, b"%PDF-", "PDF", "export the page as PNG or TIFF"),
    (0, b"8BPS", "PSD", _AS_PICTURE),
    (0, b"%!PS", "PostScript (EPS)", _AS_PICTURE),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript (EPS)", _AS_PICTURE),
    (0, b"BM", "BMP", "save it as PNG"),
    (0, b"\0\0\1\0", "ICO", "save it as PNG"),
    (0, b"\xff\x0a", "JPEG XL", "export it as JPEG or PNG"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL", "export it as JPEG or PNG"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000", "export it as JPEG or PNG"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000", "export it as JPEG or PNG"),
    (0, b"FUJIFILMCCD-RAW", "RAW (RAF)", _AS_PHOTO),
    (0, b"IIRO", "RAW (ORF)", _AS_PHOTO),
    (0, b"IIRS", "RAW (ORF)", _AS_PHOTO),
    (0, b"MMOR", "RAW (ORF)", _AS_PHOTO),
    (0, b"IIU\0", "RAW (RW2)", _AS_PHOTO),
    (0, b"FOVb", "RAW (X3F)", _AS_PHOTO),
    (0, b"\0MRM", "RAW (MRW)", _AS_PHOTO),
    (8, b"CR\x02", "RAW (CR2)", _AS_PHOTO),
    (8, b"crx ", "RAW (CR3)", _AS_PHOTO),
    (4, b"moov", "MP4/MOV", _AS_STILL),
    (4, b"mdat", "MP4/MOV", _AS_STILL),
    (4, b"wide", "MP4/MOV", _AS_STILL),
    (4, b"ftyp", "MP4/MOV", _AS_STILL),  # the brands of pictures were looked at before
    (0, b"\x1aE\xdf\xa3", "WebM/MKV", _AS_STILL),
    (8, b"AVI ", "AVI", _AS_STILL),
    (0, b"gimp xcf", "XCF", _AS_PICTURE),
    (0, b"v/1\x01", "OpenEXR", _AS_PICTURE),
    (0, b"#?RADIANCE", "Radiance HDR", _AS_PICTURE),
    (0, b"DDS ", "DDS", "save it as PNG"),
    (0, b"glTF", "glTF", "render a picture of it"),
    (0, b"PK\x03\x04", "ZIP", "unpack it and upload the photos in it"),
    (0, b"Rar!", "RAR", "unpack it and upload the photos in it"),
    (0, b"7z\xbc\xaf", "7z", "unpack it and upload the photos in it"),
    (0, b"\x1f\x8b", "gzip", "unpack it and upload the photos in it"),
)


def sniff(data: bytes) -> str | None:
    """The key of `FORMATS` that the first bytes announce, or None for any other file."""
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if data.startswith(_TIFF_STARTS) and data[8:11] != b"CR\x02":
        return "tiff"
    brands = _brands(data)
    if brands & _AVIF_BRANDS:
        return "avif"
    return "heif" if brands & _HEIF_BRANDS else None


def _brands(data: bytes) -> set[bytes]:
    """The brands in the `ftyp` box with which an ISO media file begins: AVIF, HEIC, MP4 and their kin."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(data[:4], "big"), len(data), 256)
    return {data[8:12], *(data[at : at + 4] for at in range(16, end - 3, 4))}


def refusal_of(data: bytes) -> tuple[str, str]:
    """(name, remedy) of a file that `sniff` does not know, for a sentence: "got SVG", "export it as PNG"."""
    for offset, start, name, remedy in _REFUSED:
        if data[offset : offset + len(start)] == start:
            return name, remedy
    text = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in text:
        return "SVG", "export it as PNG"
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page (HTML)", "save the photo itself and upload that"
    return f"bytes that start with {data[:4].hex(' ')}", "convert it to JPEG or PNG"


def claim_of(media_type: str | None, name: str | None) -> str | None:
    """The media type that an upload claims: the declared one, or that of its name's ending where that says nothing.

    Returns None for an upload that claims nothing.
    """
    declared = (media_type or "").split(";")[0].strip().lower()
    if declared not in ("", "application/octet-stream", "binary/octet-stream"):
        return declared
    suffix = (name or "").lower().rpartition(".")[2]
    return next((one.media_types[0] for one in FORMATS.values() if suffix in one.suffixes), None)
