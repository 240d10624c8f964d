"""From a photo to its cutout: pixels, prompts, embeddings, masks and what words name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from packshot.types.arrays import U8, BoxXYXY, require_array


@dataclass(frozen=True)
class Photo:
    """An upright sRGB photo without metadata. `pixels` is uint8 HxWx3 RGB, [0, 255]."""

    pixels: U8

    def __post_init__(self) -> None:
        require_array(self.pixels, "photo", np.uint8, 3, 3)

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])


@dataclass(frozen=True)
class Mask:
    """The product's area in a photo. `pixels` is uint8 HxW of the photo's size, 255 = product, 0 = background."""

    pixels: U8

    def __post_init__(self) -> None:
        require_array(self.pixels, "mask", np.uint8, 2)

    @property
    def area_px(self) -> int:
        """The number of product pixels (128 and above)."""
        return int(np.count_nonzero(self.pixels >= 128))

    @property
    def bbox_xyxy(self) -> BoxXYXY:
        """The product's tight bounding box; (0, 0, 0, 0) when the mask holds no product pixel."""
        product = self.pixels >= 128
        rows, columns = np.flatnonzero(product.any(axis=1)), np.flatnonzero(product.any(axis=0))
        if rows.size == 0:
            return (0, 0, 0, 0)
        return (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


@dataclass(frozen=True)
class Prompts:
    """A user's clicks and boxes, in photo pixels.

    Each entry of `points` is (x, y, label), where label 1 = product and 0 = background. Each entry of `boxes` is XYXY.
    `mask` is a mask of the photo's size that the points and boxes correct: the previous answer, or one that the user
    brings. Without all three the segmenter finds the product automatically. `multimask` asks for several candidates
    instead of one.
    """

    points: tuple[tuple[float, float, int], ...] = ()
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    multimask: bool = True
    mask: Mask | None = None


@dataclass(frozen=True)
class Stroke:
    """A round brush that moves along a polyline, in photo pixels. It adds to the mask, or erases from it."""

    points: tuple[tuple[float, float], ...]
    radius_px: float
    erase: bool = False


@dataclass(frozen=True)
class Embedding:
    """The output of the segmenter's encoder for one photo; the mask decoder needs nothing else.

    `features` is float16 or float32 CxHxW. `photo_width` and `photo_height` are the photo's size in pixels.
    `input_width` and `input_height` are its size in pixels after it was scaled into the encoder's square input.
    `extras` holds further arrays by name: the stem's feature maps (float16), the photo's thumbnail (uint8 hxwx3 RGB).
    """

    features: np.ndarray[Any, Any]
    photo_width: int
    photo_height: int
    input_width: int
    input_height: int
    extras: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """The size of all arrays in bytes."""
        return int(self.features.nbytes + sum(extra.nbytes for extra in self.extras.values()))


@dataclass(frozen=True)
class MaskCandidate:
    """One candidate mask for a set of prompts. `score` is the predicted IoU with the product, 0..1."""

    mask: Mask
    score: float


@dataclass(frozen=True)
class Detection:
    """A product that words named. `box_xyxy` is XYXY in photo pixels; `score` is the confidence, 0..1."""

    box_xyxy: tuple[float, float, float, float]
    score: float


@dataclass(frozen=True)
class Words:
    """What is looked for in a photo: `text` names the product, and `not_text`, if not empty, what it is not."""

    text: str
    not_text: str = ""


@dataclass(frozen=True)
class Found:
    """What words name in a photo: `detections`, best first; none when nothing fits.

    `known` are the words of the text that were looked for, and `unknown` the words that the detector ignored.
    """

    detections: tuple[Detection, ...]
    known: tuple[str, ...]
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class Cutout:
    """The product, cropped to its extent. `pixels` is uint8 HxWx4 RGBA, straight (not premultiplied)."""

    pixels: U8

    def __post_init__(self) -> None:
        require_array(self.pixels, "cutout", np.uint8, 3, 4)

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])
