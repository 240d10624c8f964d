"""What the decoding of an untrusted file gives: a photo, its own alpha, or a mask for a photo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from packshot.types import BoxXYXY

__all__ = ["NormalisedPhoto", "Note", "OwnAlpha", "UploadedMask"]


class Note(NamedTuple):
    """What the decoder assumed, dropped or changed. `code` is stable, `detail` is a sentence for a person."""

    code: str
    detail: str


@dataclass(frozen=True)
class OwnAlpha:
    """The alpha of an upload that was already cut out. All PNGs have the photo's size and 8 bits per channel.

    `rgba_png` holds the straight sRGB colours with their alpha; fully transparent pixels are white. `mask_png` is the
    alpha in grey. `area_px` counts the pixels of at least 128, and `bbox_xyxy` is their box in photo pixels.
    `shown_xyxy` is the box of all pixels above 0.
    """

    rgba_png: bytes
    mask_png: bytes
    area_px: int
    bbox_xyxy: BoxXYXY
    shown_xyxy: BoxXYXY


@dataclass(frozen=True)
class UploadedMask:
    """A mask that a person sent for a photo, as an 8-bit grey PNG of its size. The rest as in OwnAlpha."""

    png: bytes
    area_px: int
    bbox_xyxy: BoxXYXY
    shown_xyxy: BoxXYXY


@dataclass(frozen=True)
class NormalisedPhoto:
    """A decoded upload, written again as a plain PNG.

    `png` is an 8-bit sRGB PNG of `width` x `height` pixels, upright and without metadata. `format` (a key
    of `FORMATS`), `sha256` (hexadecimal) and `bytes` (size) describe the uploaded file. `notes` list what the decoder
    assumed, dropped or changed. Transparent parts are laid over white in `png`; `own_alpha` keeps the colours and the
    alpha that they had.
    """

    png: bytes
    width: int
    height: int
    format: str
    sha256: str
    bytes: int
    notes: tuple[Note, ...]
    own_alpha: OwnAlpha | None = None
