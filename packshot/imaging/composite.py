"""From a layout to what the engine needs, and from a render back to the finished picture with the product locked in."""

from __future__ import annotations

import re

import cv2
import numpy as np
from PIL import Image

from packshot.contract.shot_spec import Canvas
from packshot.errors import BadInput
from packshot.types import U8, Flat

__all__ = ["composite", "enlarge", "inpaint_mask", "plain_background", "product_on_grey"]

GREY = 127  # neutral: 0 in the engine's -1..1 range
KEEP_ALPHA = 128  # pixels that are at least half product are kept from the engine
PULL_PX = 4  # how far outside the product the scene behind its soft edge is taken from


def product_on_grey(flat: Flat) -> U8:
    """The layout over neutral grey, uint8 HxWx3 RGB: what the engine sees of the product."""
    return _over(flat, np.full_like(flat.rgb, GREY))


def inpaint_mask(flat: Flat) -> U8:
    """Where to paint, uint8 HxW, 255 = repaint.

    The threshold is half coverage (alpha < 128) with no dilation: a wider mask would let the engine paint over the
    product's rim, a narrower one would keep the grey behind the soft edge. What it paints under that edge does not
    reach the picture: `composite` takes the scene there from beyond the edge.
    """
    return np.where(flat.alpha < KEEP_ALPHA, np.uint8(255), np.uint8(0))


def composite(flat: Flat, background: U8 | None, shadow: U8 | None = None) -> U8:
    """The finished picture: background, darkened by the shadow, under the product.

    `background`: uint8 HxWx3 RGB at canvas size, or None for a transparent picture (then straight RGBA, HxWx4, with the
    shadow as black). `shadow`: uint8 HxW, 0 = none. Where alpha is 255 the result equals the layout exactly.
    """
    size = flat.alpha.shape
    for what, array in (("background", background), ("shadow", shadow)):
        if array is not None and array.shape[:2] != size:
            raise ValueError(f"{what} must have the layout's size {size}, got {array.shape[:2]}; enlarge it first")
    if background is None:
        return _transparent(flat, shadow)
    scene = _pull_under_edge(flat, background)
    if shadow is not None:
        dark = (shadow > 0) & (flat.alpha < 255)
        scene = scene.copy()
        scene[dark] = np.rint(scene[dark] * (1 - shadow[dark][:, None] / 255)).astype(np.uint8)
    return _over(flat, scene)


def _over(flat: Flat, scene: U8) -> U8:
    alpha = flat.alpha
    picture = np.where(alpha[..., None] == 255, flat.rgb, scene)
    edge = (alpha > 0) & (alpha < 255)
    share = np.asarray(alpha[edge] / 255, np.float32)[:, None]
    picture[edge] = np.rint(flat.rgb[edge] * share + scene[edge] * (1 - share)).astype(np.uint8)
    return picture


def _pull_under_edge(flat: Flat, background: U8) -> U8:
    """Behind the soft edge, the scene as it is just outside:
    an engine's render there still shows grey or old product."""
    edge = (flat.alpha > 0) & (flat.alpha < 255)
    ys, xs = np.flatnonzero(edge.any(axis=1)), np.flatnonzero(edge.any(axis=0))
    if ys.size == 0:
        return background
    window = np.s_[max(0, ys[0] - PULL_PX) : ys[-1] + PULL_PX + 1, max(0, xs[0] - PULL_PX) : xs[-1] + PULL_PX + 1]
    outside = np.asarray(flat.alpha[window] == 0, np.float32)
    side = 2 * PULL_PX + 1
    weight = cv2.GaussianBlur(outside, (side, side), PULL_PX / 2)
    near = cv2.GaussianBlur(background[window] * outside[..., None], (side, side), PULL_PX / 2)
    mend = edge[window] & (weight > 1e-3)
    scene = background.copy()
    scene[window][mend] = np.rint(near[mend] / weight[mend][:, None]).astype(np.uint8)
    return scene


def _transparent(flat: Flat, shadow: U8 | None) -> U8:
    if shadow is None:
        return flat.pixels.copy()
    share = flat.alpha.astype(np.float32) / 255
    total = share + shadow.astype(np.float32) / 255 * (1 - share)
    colours = flat.rgb * (share / np.maximum(total, 1e-6))[..., None]  # the shadow's own colour is black
    mixed = np.rint(np.dstack([colours, total * 255])).astype(np.uint8)
    return np.where(flat.alpha[..., None] == 255, flat.pixels, mixed)


def plain_background(canvas: Canvas, colour: str) -> U8:
    """One colour at canvas size, uint8 HxWx3 RGB. `colour`: `white` or `#rrggbb`; else BadInput (invalid_request)."""
    code = "#ffffff" if colour == "white" else colour
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", code):
        raise BadInput(
            "invalid_request", f"a plain background must be white or #rrggbb, got {colour[:40]!r}; name a colour"
        )
    rgb = np.frombuffer(bytes.fromhex(code[1:]), np.uint8)
    return np.broadcast_to(rgb, (canvas.height, canvas.width, 3)).copy()


def enlarge(render_pixels: U8, canvas: Canvas) -> U8:
    """A render brought from the engine's size to the canvas by Lanczos, uint8 HxWx3 RGB."""
    if render_pixels.shape[:2] == (canvas.height, canvas.width):
        return render_pixels
    image = Image.fromarray(np.ascontiguousarray(render_pixels))
    return np.asarray(image.resize((canvas.width, canvas.height), Image.Resampling.LANCZOS))
