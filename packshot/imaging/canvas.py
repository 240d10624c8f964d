"""Cut the product out of its photo and place it on a canvas.

    Photo + Mask ──cut──> Cutout ──Layer, Layout──> flatten ──> Flat ──fit_to──> Flat at the engine's size

Opaque pixels are the photo's own pixels: `cut` changes colours only where alpha < 255, and `flatten` copies a layer
that is neither scaled nor rotated. All resampling is premultiplied, so colours outside the product do not bleed into
it.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from packshot.errors import BadInput
from packshot.imaging.resample import premultiplied, resized, straight
from packshot.imaging.tiles import REACH_PX, Bools, nearby_colours, on_tiles
from packshot.types import F32, U8, Cutout, Flat, Framing, Layer, Layout, Mask, Photo

__all__ = ["cut", "enlargement", "fit_into", "fit_to", "flatten", "layer_size", "locked_mask"]

LOCK_PX = 2  # pixels deeper than this inside the mask are opaque and keep the photo's colours
BAND_PX = 2  # the soft edge ends at this distance outside the mask
GUIDE_RADIUS_PX = 2  # radius of the guided filter's window
GUIDE_EPS = 4e-4  # regularisation, as a variance of values in 0..1: the filter ignores edges fainter than 2 %
STEEPEN = 2.0  # where the photo shows no edge, the filter's ramp is 8 px wide; twice as steep, it ends within the band


def _disk(radius: int) -> U8:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(x * x + y * y <= radius * radius, np.uint8)


def cut(photo: Photo, mask: Mask) -> Cutout:
    """The product with a soft edge, cropped to the pixels whose alpha is not 0.

    Alpha is 255 in the mask eroded by 2 px, and 0 beyond 2 px outside the mask. Between them alpha follows the photo's
    edges (guided filter). Where alpha is 255 the colours are the photo's own. Elsewhere the old background is removed
    from the colours. Raises BadInput: mask_empty when the mask holds no product pixel, and invalid_request when mask
    and photo differ in size.
    """
    if mask.pixels.shape != photo.pixels.shape[:2]:
        detail = (
            f"mask and photo must have the same size, got {mask.pixels.shape[::-1]} and {photo.width, photo.height}"
        )
        raise BadInput("invalid_request", detail + "; send a mask of this photo")
    x0, y0, x1, y1 = mask.bbox_xyxy
    if x1 == 0:
        raise BadInput("mask_empty", "a mask must hold at least one product pixel, got none; click on the product")
    margin = BAND_PX + 1
    x0, y0, x1, y1 = (
        max(0, x0 - margin),
        max(0, y0 - margin),
        min(photo.width, x1 + margin),
        min(photo.height, y1 + margin),
    )
    rgb = photo.pixels[y0:y1, x0:x1]
    hard = (mask.pixels[y0:y1, x0:x1] >= 128).astype(np.uint8)
    inside = cv2.erode(hard, _disk(LOCK_PX))  # beyond the crop counts as product: a product cut by the frame stays hard
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
    """Alpha, uint8 HxW: `hard` x 255 outside the band, and the guided filter's result inside it."""
    alpha = hard * np.uint8(255)
    smooth = np.asarray(cv2.GaussianBlur(hard.astype(np.float32), (5, 5), 1), np.float32)
    for at, soft in on_tiles(band, _guided, rgb, smooth, halo=2 * GUIDE_RADIUS_PX, border=cv2.BORDER_REFLECT):
        alpha.reshape(-1)[at] = np.rint(np.clip((soft - 0.5) * STEEPEN + 0.5, 0, 1) * 255).astype(np.uint8)
    return alpha


def _guided(guide: U8, source: F32) -> F32:
    """The guided filter (He, Sun, Tang 2010) with a colour guide, float32 HxW.

    `guide` is uint8 HxWx3 RGB, and `source` is float32 HxW in 0..1. Each output pixel depends on input pixels at most
    2 x GUIDE_RADIUS_PX away.
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
    """Remove the old background's colour from partly covered pixels: mix in the nearby opaque product's colour."""
    opaque = alpha == 255
    near_opaque = cv2.dilate(opaque.view(np.uint8), np.ones((2 * REACH_PX + 1, 2 * REACH_PX + 1), np.uint8)) > 0
    clean = rgb.copy()
    pixels, flat_alpha = clean.reshape(-1, 3), alpha.reshape(-1)
    for at, near in nearby_colours(rgb, opaque, near_opaque & ~opaque):
        # the lower a pixel's alpha, the smaller the share of the product in its colour
        keep = np.clip(flat_alpha[at].astype(np.float32) / 255 * 2 - 1, 0, 1)[:, None]
        pixels[at] = np.rint(keep * pixels[at] + (1 - keep) * near).astype(np.uint8)
    return clean


def layer_size(layer: Layer, layout: Layout) -> tuple[int, int]:
    """(width, height) in pixels of a layer on its canvas, before the rotation.

    The longer side is the layer's scale times the canvas's longer side, rounded.
    """
    width, height = layer.cutout.width, layer.cutout.height
    longer = math.floor(layer.scale * max(layout.canvas.width, layout.canvas.height) + 0.5)
    if longer == max(width, height):
        return width, height
    return math.floor(width * longer / max(width, height) + 0.5), math.floor(height * longer / max(width, height) + 0.5)


def enlargement(layout: Layout) -> float:
    """The largest factor by which a layer of the layout is enlarged; below 1 when all layers are shrunk."""
    return max(max(layer_size(layer, layout)) / max(layer.cutout.width, layer.cutout.height) for layer in layout.layers)


def flatten(layout: Layout) -> Flat:
    """Paint the layers in order, later ones over earlier ones, at the canvas's full resolution.

    A layer that has its cutout's size and is rotated by a multiple of 90 degrees is copied. Other layers are resampled.
    The top left corner is floor(centre - size / 2 + 0.5). Raises BadInput (layer_outside) for a layer that has no
    visible pixel on the canvas.
    """
    canvas = np.zeros((layout.canvas.height, layout.canvas.width, 4), np.uint8)
    for number, layer in enumerate(layout.layers):
        placed = _place(layer, layout)
        if placed is None:
            width, height = layer_size(layer, layout)
            raise BadInput(
                "layer_outside",
                f"a layer must have a visible pixel on the canvas, layer {number} is {width}x{height} px around "
                f"({layer.x:g}, {layer.y:g}) of {layout.canvas.width}x{layout.canvas.height}; move or enlarge it",
                errors=[{"loc": ["layers", number], "msg": "has no visible pixel on the canvas"}],
            )
        pixels, left, top = placed
        _paint_over(canvas[top : top + pixels.shape[0], left : left + pixels.shape[1]], pixels)
    return Flat(canvas)


def _place(layer: Layer, layout: Layout) -> tuple[U8, int, int] | None:
    """(visible pixels, left, top) on the canvas, or None when no pixel is visible."""
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
    # the visible part, in the box's own pixels: only this part of a layer larger than the canvas is computed
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
    """`source` scaled to width x height, rotated clockwise by `angle` degrees about its centre, cropped to `window`."""
    if width < source.shape[1] or height < source.shape[0]:  # shrink first by Lanczos; the rotation itself may enlarge
        source = resized(source, width, height)
    radians = math.radians(angle)
    rotation = np.array([[math.cos(radians), -math.sin(radians)], [math.sin(radians), math.cos(radians)]])  # y is down
    matrix = rotation * (width / source.shape[1], height / source.shape[0])
    source_centre = np.array([source.shape[1] - 1, source.shape[0] - 1]) / 2
    target_centre = np.array([box[0] - 1, box[1] - 1]) / 2 - window[:2]
    affine = np.hstack([matrix, (target_centre - matrix @ source_centre)[:, None]])
    rotated = cv2.warpAffine(
        cv2.merge(premultiplied(source)),
        affine,
        (window[2] - window[0], window[3] - window[1]),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_CONSTANT,
    )
    return straight(cv2.split(rotated))


def _paint_over(below: U8, above: U8) -> None:
    """Composite `above` over `below` in place. Both are straight RGBA, HxWx4.

    Opaque pixels of `above` are copied; fully transparent ones leave `below` unchanged.
    """
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
    """The layout resampled to `width` x `height` pixels. It does not preserve the aspect ratio."""
    if flat.pixels.shape[:2] == (height, width):
        return flat
    return Flat(resized(flat.pixels, width, height))


def fit_into(flat: Flat, framing: Framing) -> Flat:
    """The layout in its scene: resampled to the shown part, whose border pixels are repeated up to the scene's border.

    So a product that the canvas cuts off has no edge there.
    """
    width, height = framing.size
    x0, y0, x1, y1 = framing.shown_xyxy
    shown = fit_to(flat, *framing.shown_size)
    if framing.whole:
        return shown
    around = (y0, height - y1, x0, width - x1)
    return Flat(np.asarray(cv2.copyMakeBorder(shown.pixels, *around, cv2.BORDER_REPLICATE), np.uint8))


def locked_mask(flat: Flat) -> U8:
    """The pixels in which a finished picture must equal the layout: uint8 HxW, 255 where the product is opaque.

    For a layer that is not resampled, they include the whole mask eroded by 2 px, where the layout equals the photo.
    """
    return np.asarray(cv2.compare(cv2.extractChannel(flat.pixels, 3), 255, cv2.CMP_EQ), np.uint8)
