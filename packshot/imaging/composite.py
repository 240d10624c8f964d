"""Make the engine's inputs from a layout, and composite the engine's render with the product into the picture."""

from __future__ import annotations

import re
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from packshot.contract.light import Reflection
from packshot.contract.shot_spec import Canvas
from packshot.errors import BadInput
from packshot.imaging.light.reflection import reflect
from packshot.imaging.tiles import nearby_colours
from packshot.types import U8, Flat, Framing

__all__ = ["Ground", "composite", "enlarge", "inpaint_mask", "plain_background", "product_on_grey", "scene_behind"]

GREY = 127  # neutral grey: about 0 in the engine's -1..1 range
KEEP_ALPHA = 128  # the engine does not repaint pixels that are at least half covered by the product


def product_on_grey(flat: Flat) -> U8:
    """The layout over neutral grey, uint8 HxWx3 RGB: the engine's picture of the product."""
    return _lay_over(np.full(flat.rgb.shape, GREY, np.uint8), flat)


def inpaint_mask(flat: Flat) -> U8:
    """The inpaint mask of a layout, uint8 HxW, 255 = repaint.

    The engine repaints pixels that the product covers by less than half (alpha < 128), without dilation. A wider mask
    would let the engine paint over the product's rim. A narrower one would keep the grey behind the soft edge. The
    engine's pixels under the soft edge do not reach the picture, because `composite` replaces them with the scene's
    colours from beyond the edge.
    """
    return np.where(flat.alpha < KEEP_ALPHA, np.uint8(255), np.uint8(0))


@dataclass(frozen=True)
class Ground:
    """What the product does to the ground: its shadow, the shadow's colour, and its reflection.

    `shadow` is uint8 HxW, 0 = none, 255 = full; None = no shadow. `tint` is its colour, (red, green, blue) in 0..255.
    """

    shadow: U8 | None = None
    tint: tuple[int, int, int] = (0, 0, 0)
    reflection: Reflection | None = None


def composite(flat: Flat, background: U8 | None, ground: Ground = Ground()) -> U8:
    """The finished picture: background, then the shadow, then the reflection, then the product.

    `background` is uint8 HxWx3 RGB of the layout's size; the result then is too. None asks for a transparent picture:
    uint8 HxWx4 straight RGBA, which has the shadow and no reflection. Where alpha is 255, the result equals the layout
    exactly. Raises ValueError when the sizes differ.
    """
    shadow = ground.shadow
    size = flat.alpha.shape
    for name, array in (("background", background), ("shadow", shadow)):
        if array is not None and array.shape[:2] != size:
            raise ValueError(f"{name} must have the layout's size {size}, got {array.shape[:2]}; resize it first")
    if background is None:
        return _transparent(flat, shadow, ground.tint)
    picture = background.copy()
    _pull_under_edge(flat, picture)
    if shadow is not None:
        _darken(picture, shadow, ground.tint)
    if ground.reflection is not None:
        reflect(picture, flat, ground.reflection)
    return _lay_over(picture, flat)


def scene_behind(picture: U8, flat: Flat, ground: Ground) -> U8:
    """The scene of a finished picture (uint8 HxWx3 RGB) as it was before `composite` put the layout and `ground` on it.

    `composite` changes each scene pixel by a factor and an addend, so both are read from a black and a white scene, and
    undone. Where less than an eighth of the scene shows, as in the product, the picture's own pixels stay.
    """
    black = composite(flat, np.zeros_like(picture), ground)
    white = composite(flat, np.full_like(picture, 255), ground)
    share = cv2.subtract(white, black)
    behind = cv2.divide(cv2.subtract(picture, black), share, scale=255)
    return np.asarray(cv2.copyTo(behind, cv2.compare(share, 32, cv2.CMP_GE), picture.copy()), np.uint8)


def _lay_over(picture: U8, flat: Flat) -> U8:
    """Composite the product over the picture in place. Opaque pixels are copied, and the soft edge is blended."""
    alpha = cv2.extractChannel(flat.pixels, 3)
    rgb = cv2.cvtColor(flat.pixels, cv2.COLOR_RGBA2RGB)
    edge = np.flatnonzero(_soft(alpha))
    pixels, above = picture.reshape(-1, 3), rgb.reshape(-1, 3)
    share = (alpha.reshape(-1)[edge].astype(np.float32) / 255)[:, None]
    pixels[edge] = np.rint(above[edge] * share + pixels[edge] * (1 - share)).astype(np.uint8)
    return np.asarray(cv2.copyTo(rgb, cv2.compare(alpha, 255, cv2.CMP_EQ), picture), np.uint8)


def _soft(alpha: U8) -> NDArray[np.bool_]:
    """The pixels of the soft edge: neither opaque nor fully transparent."""
    return (alpha > 0) & (alpha < 255)


def _pull_under_edge(flat: Flat, picture: U8) -> None:
    """Fill the picture under the soft edge with the scene's colours from just outside it, in place.

    The engine's render still shows grey or its own version of the product there.
    """
    alpha = cv2.extractChannel(flat.pixels, 3)
    for at, near in nearby_colours(picture, alpha == 0, _soft(alpha)):
        picture.reshape(-1, 3)[at] = np.rint(near).astype(np.uint8)


def _darken(picture: U8, shadow: U8, tint: tuple[int, int, int]) -> None:
    """Mix the shadow's colour into every pixel by shadow / 255, in place."""
    x, y, width, height = cv2.boundingRect(shadow)
    if width == 0:
        return
    part = np.s_[y : y + height, x : x + width]
    picture[part] = cv2.multiply(picture[part], cv2.cvtColor(255 - shadow[part], cv2.COLOR_GRAY2RGB), scale=1 / 255)
    if any(tint):
        picture[part] += np.rint(shadow[part][..., None] * (np.array(tint, np.float32) / 255)).astype(np.uint8)


def _transparent(flat: Flat, shadow: U8 | None, tint: tuple[int, int, int]) -> U8:
    if shadow is None:
        return flat.pixels.copy()
    share = flat.alpha.astype(np.float32) / 255
    below = shadow.astype(np.float32) / 255 * (1 - share)
    total = share + below
    colours = (flat.rgb * share[..., None] + below[..., None] * np.array(tint, np.float32)) / np.maximum(total, 1e-6)[
        ..., None
    ]
    mixed = np.rint(np.dstack([colours, total * 255])).astype(np.uint8)
    return np.where(flat.alpha[..., None] == 255, flat.pixels, mixed)


def plain_background(canvas: Canvas, colour: str) -> U8:
    """A background of one colour at canvas size, uint8 HxWx3 RGB.

    `colour` is `white` or `#rrggbb`. Raises BadInput (invalid_request) for any other value.
    """
    code = "#ffffff" if colour == "white" else colour
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", code):
        raise BadInput(
            "invalid_request", f"a plain background must be white or #rrggbb, got {colour[:40]!r}; send a colour"
        )
    rgb = np.frombuffer(bytes.fromhex(code[1:]), np.uint8)
    return np.broadcast_to(rgb, (canvas.height, canvas.width, 3)).copy()


def enlarge(render_pixels: U8, canvas: Canvas, framing: Framing | None = None) -> U8:
    """The part of the render that the canvas shows, resampled to the canvas's size by Lanczos, uint8 HxWx3 RGB.

    The render has the scene's size or a multiple of it. Without `framing` the canvas shows the whole render.
    """
    height, width = render_pixels.shape[:2]
    framing = framing or Framing.of_whole(width, height)
    across, down = width / framing.size[0], height / framing.size[1]
    x0, y0, x1, y1 = framing.shown_xyxy
    shown = (x0 * across, y0 * down, x1 * across, y1 * down)
    if shown == (0, 0, canvas.width, canvas.height) == (0, 0, width, height):
        return render_pixels
    image = Image.fromarray(np.ascontiguousarray(render_pixels))
    return np.asarray(image.resize((canvas.width, canvas.height), Image.Resampling.LANCZOS, box=shown))
