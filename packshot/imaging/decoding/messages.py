"""The JSON headers that a `PhotoDecoder` and its worker process exchange before the bytes of an image.

Both are Packshot's own code, so the headers are typed and not validated. Tuples arrive as lists.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict

__all__ = ["Answer", "Extent", "Question"]


class Question(TypedDict):
    """What a file is: its format, a key of `FORMATS`, and for a mask the photo's (width, height) in pixels.

    With `anchors`, certificates as PEM, its C2PA manifest is read instead of its pixels.
    """

    format: str
    anchors: NotRequired[str]
    mask_size: NotRequired[tuple[int, int]]


class Extent(TypedDict):
    """What the worker says of a mask. A box is (0, 0, 0, 0) for none.

    `area_px` and `bbox_xyxy` are of the product, the pixels of at least 128, and `shown_xyxy` is of all pixels above 0.
    """

    area_px: int
    bbox_xyxy: tuple[int, int, int, int]
    shown_xyxy: tuple[int, int, int, int]


class Answer(TypedDict, total=False):
    """What became of a file. `sizes` holds the bytes of each PNG that follows.

    A photo has `width`, `height` in pixels and `notes`, pairs of code and detail. A mask, or a photo with an alpha
    of its own, has an `extent`. `manifest` has the fields of a `C2paFound`. A failure has only `code`, `detail`
    and, when the worker must be replaced, `recycle`.
    """

    sizes: list[int]
    width: int
    height: int
    notes: list[tuple[str, str]]
    extent: Extent
    manifest: dict[str, bool | str | None]
    code: str
    detail: str
    recycle: bool
