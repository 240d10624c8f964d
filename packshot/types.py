"""The values that travel between stages: frozen, and checked for shape, dtype and range when they are made.

Every array is RGB (never BGR), row-major, top-left origin, x right, y down. Boxes are XYXY in pixels, right and bottom
exclusive. Ray hands arrays over read-only: copy before writing in place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from packshot.contract.shot_spec import Canvas, rows_per_step
from packshot.contract.verdict import Finding

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
BoxXYXY = tuple[int, int, int, int]


def _require(array: np.ndarray[Any, Any], what: str, dtype: type[np.generic], ndim: int, channels: int = 0) -> None:
    if array.dtype != dtype or array.ndim != ndim or (channels and array.shape[-1] != channels) or 0 in array.shape:
        want = "HxW" if ndim == 2 else f"HxWx{channels or 'C'}"
        raise TypeError(f"{what} must be {np.dtype(dtype)} {want} and not empty, got {array.dtype} {array.shape}")


@dataclass(frozen=True)
class Photo:
    """An upright sRGB photo without metadata. `pixels`: uint8 HxWx3 RGB."""

    pixels: U8

    def __post_init__(self) -> None:
        _require(self.pixels, "photo", np.uint8, 3, 3)

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])


@dataclass(frozen=True)
class Mask:
    """Where the product is. `pixels`: uint8 HxW, photo-sized, 255 = product, 0 = background."""

    pixels: U8

    def __post_init__(self) -> None:
        _require(self.pixels, "mask", np.uint8, 2)

    @property
    def area_px(self) -> int:
        return int(np.count_nonzero(self.pixels >= 128))

    @property
    def bbox_xyxy(self) -> BoxXYXY:
        """Tight box of the product, right and bottom exclusive; (0, 0, 0, 0) when there is none."""
        product = self.pixels >= 128
        rows, columns = np.flatnonzero(product.any(axis=1)), np.flatnonzero(product.any(axis=0))
        if rows.size == 0:
            return (0, 0, 0, 0)
        return (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


@dataclass(frozen=True)
class Prompts:
    """What a person pointed at, in photo pixels.

    `points`: (x, y, label), label 1 = product, 0 = background. `boxes`: XYXY. Neither given = automatic.
    """

    points: tuple[tuple[float, float, int], ...] = ()
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    multimask: bool = True


@dataclass(frozen=True)
class Embedding:
    """What the segmenter's encoder saw in a photo: enough to decode any number of clicks.

    `features`: float16 or float32 CxHxW. `input_height`, `input_width`: the photo's size inside the encoder's square.
    """

    features: np.ndarray[Any, Any]
    photo_width: int
    photo_height: int
    input_width: int
    input_height: int
    extras: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        return int(self.features.nbytes + sum(extra.nbytes for extra in self.extras.values()))


@dataclass(frozen=True)
class MaskCandidate:
    """One answer to a click. `score`: predicted IoU, 0..1."""

    mask: Mask
    score: float


@dataclass(frozen=True)
class Cutout:
    """The product, cropped. `pixels`: uint8 HxWx4 straight (not premultiplied) RGBA."""

    pixels: U8

    def __post_init__(self) -> None:
        _require(self.pixels, "cutout", np.uint8, 3, 4)

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])


@dataclass(frozen=True)
class Layer:
    """A cutout placed on the canvas.

    `x`, `y`: the centre as fractions of the canvas. `scale`: the cutout's longer side over the canvas's longer side.
    `rotation_deg`: clockwise.
    """

    cutout: Cutout
    x: float = 0.5
    y: float = 0.5
    scale: float = 0.6
    rotation_deg: float = 0.0
    flip: bool = False


@dataclass(frozen=True)
class Layout:
    """Canvas plus layers, painted in order."""

    canvas: Canvas
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class Flat:
    """A layout painted at the canvas's full resolution. `pixels`: uint8 HxWx4 straight RGBA, alpha 0 = no product."""

    pixels: U8

    def __post_init__(self) -> None:
        _require(self.pixels, "flat", np.uint8, 3, 4)

    @property
    def rgb(self) -> U8:
        return self.pixels[..., :3]

    @property
    def alpha(self) -> U8:
        return self.pixels[..., 3]


@dataclass(frozen=True)
class EdgeMap:
    """Canny edges of a layout. `pixels`: uint8 HxW, 255 = edge."""

    pixels: U8

    def __post_init__(self) -> None:
        _require(self.pixels, "edge map", np.uint8, 2)


@dataclass(frozen=True)
class Brief:
    """What to paint. `control_start`, `control_end`: the part of the schedule in which ControlNet speaks, 0..1."""

    prompt: str
    negative_prompt: str = ""
    seed: int = 0
    steps: int = 20
    guidance_scale: float = 7.5
    control_scale: float = 0.8
    control_start: float = 0.0
    control_end: float = 1.0

    @property
    def rows_per_step(self) -> int:
        """Rows of the networks' batch that each of its steps takes."""
        return rows_per_step(self.guidance_scale)


@dataclass(frozen=True)
class Scene:
    """One picture to paint, at the engine's bucket size: all arrays share height and width.

    `product`: uint8 HxWx3 RGB, the layout over neutral grey. `inpaint_mask`: uint8 HxW, 255 = repaint.
    """

    product: U8
    inpaint_mask: U8
    edge_map: EdgeMap
    brief: Brief

    def __post_init__(self) -> None:
        _require(self.product, "scene", np.uint8, 3, 3)
        _require(self.inpaint_mask, "inpaint mask", np.uint8, 2)
        if not self.product.shape[:2] == self.inpaint_mask.shape == self.edge_map.pixels.shape:
            shapes = (self.product.shape, self.inpaint_mask.shape, self.edge_map.pixels.shape)
            raise TypeError(f"product, inpaint mask and edge map must share height and width, got {shapes}")

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return int(self.product.shape[1]), int(self.product.shape[0])


@dataclass(frozen=True)
class Render:
    """A painted scene at bucket size, before the product's own pixels are locked in. `pixels`: uint8 HxWx3 RGB.

    `findings`: what the engine has to tell about it.
    """

    pixels: U8
    seed: int
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        _require(self.pixels, "render", np.uint8, 3, 3)
