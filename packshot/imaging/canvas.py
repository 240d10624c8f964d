"""Cut the product out of its photo and place it on a canvas, without touching a pixel that need not change.

    Photo + Mask ──cut──> Cutout ──Layer, Layout──> flatten ──> Flat ──fit_to──> Flat at the engine's size

What is fully opaque is the photo's own: `cut` changes colours only where alpha < 255, and `flatten` copies a layer that
is 1:1 and not rotated. All resampling is premultiplied, so that colours outside the product never bleed in.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from packshot.errors import BadInput
from packshot.imaging.resample import premultiplied, resized, straight
from packshot.imaging.tiles import REACH_PX, Bools, nearby_colours, on_tiles
from packshot.types import F32, U8, Cutout, Flat, Layer, Layout, Mask, Photo

__all__ = ["cut", "enlargement", "fit_to", "flatten", "layer_size", "locked_mask"]

LOCK_PX = 2  # everything that lies deeper than this inside the mask is opaque, and the photo's own
BAND_PX = 2  # how far the soft edge may reach outside the mask
GUIDE_RADIUS_PX = 2  # window of the guided filter
GUIDE_EPS = 4e-4  # of variance of values in 0..1: edges fainter than 2 % are not followed
STEEPEN = 2.0  # the filter's ramp where the photo shows no edge is 8 px wide; twice as steep, it ends within the band


def _disk(radius: int) -> U8:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(x * x + y * y <= radius * radius, np.uint8)


def cut(photo: Photo, mask: Mask) -> Cutout:
    """The product with a soft edge, cropped to it.

    Alpha is 255 in the mask eroded by 2 px, and 0 beyond 2 px outside the mask. Between, it follows the photo (guided
    filter).
    Where alpha is 255 the colours are the photo's own; below, the old background is taken out of them.
    Raises BadInput: mask_empty; invalid_request when mask and photo differ in size.
    """
    if mask.pixels.shape != photo.pixels.shape[:2]:
        detail = f"mask and photo must have one size, got {mask.pixels.shape[::-1]} and {photo.width, photo.height}"
        raise BadInput("invalid_request", detail + "; send a mask of this photo")
    x0, y0, x1, y1 = mask.bbox_xyxy
    if x1 == 0:
        raise BadInput("mask_empty", "a mask must hold the product, this one holds no pixel; click on the product")
    margin = BAND_PX + 1
    x0, y0, x1, y1 = (
        max(0, x0 - margin),
        max(0, y0 - margin),
        min(photo.width, x1 + margin),
        min(photo.height, y1 + margin),
    )
    rgb = photo.pixels[y0:y1, x0:x1]
    hard = (mask.pixels[y0:y1, x0:x1] >= 128).astype(np.uint8)
    inside = cv2.erode(hard, _disk(LOCK_PX))  # outside the crop counts as inside: a product cut by the frame stays hard
    reach = cv2.dilate(hard, _disk(BAND_PX))
    alpha = _refine(rgb, hard, (reach > 0) & (inside == 0))
    alpha[inside > 0] = 255
    alpha[reach == 0] = 0
    ys, xs = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    crop = np.s_[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1]
    alpha = np.ascontiguousarray(alpha[crop])
    rgba = cv2.cvtColor(_clean_fringe(rgb[crop], alpha), cv2.COLOR_RGB2RGBA)
    cv2.insertChannel(alpha, rgba, 3)
    return Cutout(np.asarray(rgba, np.uint8))


def _refine(rgb: U8, hard: U8, band: Bools) -> U8:
    """Alpha, uint8 HxW: `hard` x 255 outside the band, the guided filter's answer inside it."""
    alpha = hard * np.uint8(255)
    stairs = np.asarray(cv2.GaussianBlur(hard.astype(np.float32), (5, 5), 1), np.float32)
    for at, soft in on_tiles(band, _guided, rgb, stairs, halo=2 * GUIDE_RADIUS_PX, border=cv2.BORDER_REFLECT):
        alpha.reshape(-1)[at] = np.rint(np.clip((soft - 0.5) * STEEPEN + 0.5, 0, 1) * 255).astype(np.uint8)
    return alpha


def _guided(guide: U8, source: F32) -> F32:
    """Guided filter (He, Sun, Tang 2010) with a colour guide, float32 HxW.

    `guide`: uint8 HxWx3. `source`: float32 HxW in 0..1. A pixel depends on those up to 2 GUIDE_RADIUS_PX away.
    """

    def mean(values: F32) -> F32:
        side = 2 * GUIDE_RADIUS_PX + 1
        return np.asarray(cv2.boxFilter(values, cv2.CV_32F, (side, side), borderType=cv2.BORDER_REFLECT), np.float32)

    r, g, b = (plane.astype(np.float32) / 255 for plane in cv2.split(guide))
    mr, mg, mb, source_mean = mean(r), mean(g), mean(b), mean(source)
    rr, gg, bb = mean(r * r) - mr * mr + GUIDE_EPS, mean(g * g) - mg * mg + GUIDE_EPS, mean(b * b) - mb * mb + GUIDE_EPS
    rg, rb, gb = mean(r * g) - mr * mg, mean(r * b) - mr * mb, mean(g * b) - mg * mb
    # the inverse of the symmetric 3x3 covariance, by cofactors
    crr, crg, crb = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
    cgg, cgb, cbb = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    determinant = rr * crr + rg * crg + rb * crb
    cr, cg, cb = (mean(colour * source) - at * source_mean for colour, at in ((r, mr), (g, mg), (b, mb)))
    slope_r = (crr * cr + crg * cg + crb * cb) / determinant
    slope_g = (crg * cr + cgg * cg + cgb * cb) / determinant
    slope_b = (crb * cr + cgb * cg + cbb * cb) / determinant
    offset = source_mean - (slope_r * mr + slope_g * mg + slope_b * mb)
    return np.asarray(mean(slope_r) * r + mean(slope_g) * g + mean(slope_b) * b + mean(offset), np.float32)


def _clean_fringe(rgb: U8, alpha: U8) -> U8:
    """Take the old background out of half-covered pixels: their colour comes from the opaque product beside them."""
    opaque = alpha == 255
    beside = cv2.dilate(opaque.view(np.uint8), np.ones((2 * REACH_PX + 1, 2 * REACH_PX + 1), np.uint8)) > 0
    clean = rgb.copy()
    pixels, cover = clean.reshape(-1, 3), alpha.reshape(-1)
    for at, near in nearby_colours(rgb, opaque, beside & ~opaque):
        # the less of the product a pixel shows, the less of its own colour is the product's
        keep = np.clip(cover[at].astype(np.float32) / 255 * 2 - 1, 0, 1)[:, None]
        pixels[at] = np.rint(keep * pixels[at] + (1 - keep) * near).astype(np.uint8)
    return clean


def layer_size(layer: Layer, layout: Layout) -> tuple[int, int]:
    """(width, height) of a layer on its canvas before rotation, in pixels.

    The longer side is round(scale x longer canvas side).
    """
    width, height = layer.cutout.width, layer.cutout.height
    longer = math.floor(layer.scale * max(layout.canvas.width, layout.canvas.height) + 0.5)
    if longer == max(width, height):
        return width, height
    return math.floor(width * longer / max(width, height) + 0.5), math.floor(height * longer / max(width, height) + 0.5)


def enlargement(layout: Layout) -> float:
    """How many times the most enlarged layer's pixels are enlarged on the canvas; below 1, all layers are shrunk."""
    return max(max(layer_size(layer, layout)) / max(layer.cutout.width, layer.cutout.height) for layer in layout.layers)


def flatten(layout: Layout) -> Flat:
    """Paint the layers in order, later over earlier, at the canvas's full resolution.

    A layer whose size equals its cutout's, at a multiple of 90 degrees, is copied (flipped or not). Others are
    resampled. Top-left = floor(centre - size / 2 + 0.5).
    Raises BadInput (layer_outside) for a layer that shows nowhere.
    """
    canvas = np.zeros((layout.canvas.height, layout.canvas.width, 4), np.uint8)
    for number, layer in enumerate(layout.layers):
        placed = _place(layer, layout)
        if placed is None:
            width, height = layer_size(layer, layout)
            raise BadInput(
                "layer_outside",
                f"a layer must show on the canvas, layer {number} is {width}x{height} px around "
                f"({layer.x:g}, {layer.y:g}) of {layout.canvas.width}x{layout.canvas.height}; move or enlarge it",
                errors=[{"loc": ["layers", number], "msg": "shows nowhere on the canvas"}],
            )
        pixels, left, top = placed
        _paint_over(canvas[top : top + pixels.shape[0], left : left + pixels.shape[1]], pixels)
    return Flat(canvas)


def _place(layer: Layer, layout: Layout) -> tuple[U8, int, int] | None:
    """(visible pixels, left, top) on the canvas, or None when nothing shows."""
    width, height = layer_size(layer, layout)
    if width < 1 or height < 1:
        return None
    source = layer.cutout.pixels[:, ::-1] if layer.flip else layer.cutout.pixels
    angle = layer.rotation_deg % 360
    if angle % 90 == 0:
        turns = int(angle // 90)
        source = np.rot90(source, -turns)
        box_width, box_height = (height, width) if turns % 2 else (width, height)
    else:
        radians = math.radians(angle)
        sine, cosine = abs(math.sin(radians)), abs(math.cos(radians))
        box_width = math.ceil(width * cosine + height * sine) + 2
        box_height = math.ceil(width * sine + height * cosine) + 2
    left = math.floor(layer.x * layout.canvas.width - box_width / 2 + 0.5)
    top = math.floor(layer.y * layout.canvas.height - box_height / 2 + 0.5)
    # what shows of the box, in its own pixels: a layer far larger than the canvas costs no more than the canvas
    x0, y0 = max(0, -left), max(0, -top)
    x1, y1 = min(box_width, layout.canvas.width - left), min(box_height, layout.canvas.height - top)
    if x0 >= x1 or y0 >= y1:
        return None
    if angle % 90 != 0:
        pixels = _rotated(source, width, height, angle, (box_width, box_height), (x0, y0, x1, y1))
    elif source.shape[:2] == (box_height, box_width):
        pixels = source[y0:y1, x0:x1]
    else:
        scale_x, scale_y = source.shape[1] / box_width, source.shape[0] / box_height
        window = (x0 * scale_x, y0 * scale_y, x1 * scale_x, y1 * scale_y)
        pixels = resized(source, x1 - x0, y1 - y0, window)
    return (pixels, left + x0, top + y0) if pixels[..., 3].any() else None


def _rotated(
    source: U8, width: int, height: int, angle: float, box: tuple[int, int], window: tuple[int, int, int, int]
) -> U8:
    """`source` brought to width x height, turned clockwise by `angle` about its centre, and cut to `window`."""
    if width < source.shape[1] or height < source.shape[0]:  # shrink first, over areas; enlarge within the turn
        source = resized(source, width, height)
    radians = math.radians(angle)
    turn = np.array([[math.cos(radians), -math.sin(radians)], [math.sin(radians), math.cos(radians)]])  # y is down
    matrix = turn * (width / source.shape[1], height / source.shape[0])
    source_centre = np.array([source.shape[1] - 1, source.shape[0] - 1]) / 2
    target_centre = np.array([box[0] - 1, box[1] - 1]) / 2 - window[:2]
    affine = np.hstack([matrix, (target_centre - matrix @ source_centre)[:, None]])
    turned = cv2.warpAffine(
        cv2.merge(premultiplied(source)),
        affine,
        (window[2] - window[0], window[3] - window[1]),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_CONSTANT,
    )
    return straight(cv2.split(turned))


def _paint_over(below: U8, above: U8) -> None:
    """Straight-alpha `over`, in place on `below` (HxWx4); opaque pixels are copied, clear ones leave what was there."""
    above = np.ascontiguousarray(above)
    alpha, under = cv2.extractChannel(above, 3), cv2.extractChannel(below, 3)
    copy = (alpha == 255) | ((under == 0) & (alpha > 0))
    mix = np.divmod(np.flatnonzero((alpha > 0) & ~copy), alpha.shape[1])
    top, bottom = above[mix].astype(np.float32) / 255, below[mix].astype(np.float32) / 255
    share = bottom[:, 3:] * (1 - top[:, 3:])
    total = top[:, 3:] + share
    colours = (top[:, :3] * top[:, 3:] + bottom[:, :3] * share) / total
    cv2.copyTo(above, copy.view(np.uint8), below)
    below[mix] = np.rint(np.hstack([colours, total]) * 255).astype(np.uint8)


def fit_to(flat: Flat, width: int, height: int) -> Flat:
    """The layout at the engine's size, in pixels: each axis is resampled on its own, as `enlarge` does."""
    if flat.pixels.shape[:2] == (height, width):
        return flat
    return Flat(resized(flat.pixels, width, height))


def locked_mask(flat: Flat) -> U8:
    """Where a finished picture must equal the layout exactly: 255 where the product is opaque, uint8 HxW.

    For a 1:1 layer this holds the whole mask eroded by 2 px, and there the layout equals the photo.
    """
    return np.asarray(cv2.compare(cv2.extractChannel(flat.pixels, 3), 255, cv2.CMP_EQ), np.uint8)
