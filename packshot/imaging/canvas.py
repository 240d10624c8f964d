"""Cut the product out of its photo and place it on a canvas.

    Photo + Mask ──cut──> Cutout ──Layer, Layout──> flatten ──> Flat ──fit_to──> Flat at the engine's size

Opaque pixels are the photo's own pixels: `cut` changes colours only where alpha < 255, and `flatten` copies a layer
that is neither scaled nor rotated. All resampling is premultiplied, so colours outside the product do not bleed into
it.
"""

from __future__ import annotations

import logging
import math
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np

from packshot.contract.shot_spec import Canvas
from packshot.errors import BadInput
from packshot.imaging.guided import guided_alpha
from packshot.imaging.lock import EXACT_LOCK_PX, cutout_bbox_of, reach_px
from packshot.imaging.matting import (
    CONTEXT_PX,
    ROUGH_TOLERANCE,
    MattingNetwork,
    SolverFailed,
    certain,
    corrected,
    disk,
    matte,
    matte_by_network,
)
from packshot.imaging.resample import premultiplied, resized, straight
from packshot.imaging.straight import mixture_explains, straight_colours
from packshot.types import F32, U8, BoxXYXY, Cutout, Flat, Framing, Layer, Layout, Mask, Photo

__all__ = [
    "Piece",
    "blank",
    "cut",
    "cutout_bbox",
    "enlargement",
    "fit_into",
    "fit_to",
    "flatten",
    "layer_enlargement",
    "layer_size",
    "layer_transform",
    "locked_mask",
    "paint_piece",
    "place_layer",
]

log = logging.getLogger(__name__)


def cutout_bbox(mask: Mask, lock_px: int) -> BoxXYXY:
    """The cutout's place in the photo, XYXY in pixels. It is known without making the cutout.

    It is the box of all pixels above 0, grown by the reach of the soft edge and clipped to the photo. Raises BadInput
    `mask_empty` when no pixel is at least 128.
    """
    if mask.area_px == 0:
        raise BadInput("mask_empty", "a mask must hold at least one product pixel, got none; click on the product")
    height, width = mask.pixels.shape
    x, y, columns, rows = cv2.boundingRect(mask.pixels)
    return cutout_bbox_of((x, y, x + columns, y + rows), lock_px, width, height)


def cut(photo: Photo, mask: Mask, lock_px: int = EXACT_LOCK_PX, *, matting: MattingNetwork | None = None) -> Cutout:
    """The product with a soft edge: the part `cutout_bbox` of the photo.

    `lock_px` is how far inside the mask its border may be wrong, in pixels. Alpha is 255 in the mask eroded by it, and
    0 farther than `reach_px` outside. Between them alpha follows the photo, by the network `matting`, or else in closed
    form. A mask with soft values is alpha itself around these values. Where alpha is 255 the colours are the photo's
    own. Elsewhere the old background is removed from them.

    Raises BadInput: mask_empty when the mask holds no product pixel, and invalid_request when mask and photo differ in
    size.
    """
    _check_sizes(photo, mask)
    x0, y0, x1, y1 = cutout_bbox(mask, lock_px)
    margin = reach_px(lock_px) + 2  # the pixels that the edge's pixels depend on
    if matting is not None:
        margin = max(margin, CONTEXT_PX)
    left, top = max(0, x0 - margin), max(0, y0 - margin)
    around = np.s_[top : y1 + margin, left : x1 + margin]
    rgb, given = photo.pixels[around], np.ascontiguousarray(mask.pixels[around])
    alpha = _alpha(rgb, given, lock_px, matting)
    feathered = cv2.inRange(given, (1,), (254,)).any() and not mixture_explains(rgb, alpha)
    colours = rgb if feathered else straight_colours(rgb, alpha)
    inner = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
    return Cutout(np.dstack([colours[inner], alpha[inner]]))


def _alpha(rgb: U8, mask: U8, lock_px: int, matting: MattingNetwork | None) -> U8:
    """The alpha of a crop, uint8 HxW. The crop reaches at least two pixels beyond the soft edge, or to the frame."""
    hard = (mask >= 128).astype(np.uint8)
    reach = reach_px(lock_px)
    product, backdrop = certain(hard, lock_px), certain(1 - hard, reach)
    soft = cv2.inRange(mask, (1,), (254,))
    kept = cv2.dilate(soft, disk(reach)) > 0  # here the mask's values are alpha
    product, backdrop = product | (kept & (hard > 0)), backdrop | (kept & (hard == 0))
    if matting is not None:
        try:
            return np.where(kept, mask, matte_by_network(rgb, product, backdrop, matting))
        except SolverFailed as failed:
            log.warning("closed-form matting makes the edge, because %s", failed)
    try:
        better = hard
        if lock_px > EXACT_LOCK_PX:  # find the border in the wide band, then solve in a narrow one
            rough = matte(rgb, hard, product, backdrop, width_px=lock_px + reach, tolerance=ROUGH_TOLERANCE)
            better, lock_px = corrected(hard, rough, product, backdrop), max(EXACT_LOCK_PX, lock_px // 2)
            reach = lock_px + 1
            product, backdrop = product | certain(better, lock_px), backdrop | certain(1 - better, reach)
        alpha = matte(rgb, better, product, backdrop, width_px=lock_px + reach)
    except SolverFailed as failed:
        log.warning("the guided filter makes the edge, because %s", failed)
        alpha = guided_alpha(rgb, hard)
    return np.where(kept, mask, alpha)


def _check_sizes(photo: Photo, mask: Mask) -> None:
    """Raise BadInput invalid_request when mask and photo differ in size."""
    if mask.pixels.shape != photo.pixels.shape[:2]:
        detail = (
            f"mask and photo must have the same size, got {mask.pixels.shape[::-1]} and {photo.width, photo.height}"
        )
        raise BadInput("invalid_request", detail + "; send a mask of this photo")


def layer_size(layer: Layer, canvas: Canvas) -> tuple[int, int]:
    """(width, height) in pixels of a layer on its canvas, before the rotation.

    The longer side is the layer's scale times the canvas's longer side, rounded.
    """
    width, height = layer.cutout.width, layer.cutout.height
    longer = math.floor(layer.scale * max(canvas.width, canvas.height) + 0.5)
    if longer == max(width, height):
        return width, height
    return math.floor(width * longer / max(width, height) + 0.5), math.floor(height * longer / max(width, height) + 0.5)


def enlargement(layout: Layout) -> float:
    """The largest factor by which a layer of the layout is enlarged; below 1 when all layers are shrunk."""
    return max(map(partial(layer_enlargement, canvas=layout.canvas), layout.layers))


def layer_enlargement(layer: Layer, canvas: Canvas) -> float:
    """The factor by which a layer is enlarged; below 1 when it is shrunk."""
    return max(layer_size(layer, canvas)) / max(layer.cutout.width, layer.cutout.height)


def layer_transform(layer: Layer, canvas: Canvas) -> F32:
    """What takes a point of the cutout to the canvas, as `place_layer` does: float32 2x3, in pixels.

    A whole number is the edge between two pixels, not the centre of one.
    """
    width, height = layer_size(layer, canvas)
    box_width, box_height = _box_size(width, height, layer.rotation_deg % 360)
    radians = math.radians(layer.rotation_deg % 360)
    turn = np.array([[math.cos(radians), -math.sin(radians)], [math.sin(radians), math.cos(radians)]])  # y is down
    mirror = -1.0 if layer.flip else 1.0
    matrix = turn * (mirror * width / layer.cutout.width, height / layer.cutout.height)
    corner = (_start(layer.x * canvas.width, box_width), _start(layer.y * canvas.height, box_height))
    centre = np.array(corner) + np.array((box_width, box_height)) / 2
    middle = np.array((layer.cutout.width, layer.cutout.height)) / 2
    return np.hstack([matrix, (centre - matrix @ middle)[:, None]]).astype(np.float32)


class Piece(NamedTuple):
    """The visible part of a layer: RGBA pixels of the canvas, uint8 HxWx4, and where they begin there."""

    pixels: U8
    left: int
    top: int


def blank(canvas: Canvas) -> U8:
    """A canvas without layers: uint8 HxWx4 RGBA."""
    return np.zeros((canvas.height, canvas.width, 4), np.uint8)


def flatten(layout: Layout) -> Flat:
    """Paint the layers in order, later ones over earlier ones, at the canvas's full resolution.

    Raises BadInput as `place_layer` does.
    """
    pixels = blank(layout.canvas)
    for number, layer in enumerate(layout.layers):
        paint_piece(pixels, place_layer(layer, layout.canvas, number))
    return Flat(pixels)


def place_layer(layer: Layer, canvas: Canvas, number: int = 0) -> Piece:
    """Scale, turn and crop a layer to what the canvas shows of it.

    A layer that has its cutout's size and is rotated by a multiple of 90 degrees is copied. Other layers are resampled.
    The top left corner is floor(centre - size / 2 + 0.5). Raises BadInput (layer_outside) for a layer that has no
    visible pixel on the canvas, with its `number`.
    """
    placed = _place(layer, canvas)
    if placed is None:
        width, height = layer_size(layer, canvas)
        raise BadInput(
            "layer_outside",
            f"a layer must have a visible pixel on the canvas, layer {number} is {width}x{height} px around "
            f"({layer.x:g}, {layer.y:g}) of {canvas.width}x{canvas.height}; move or enlarge it",
            errors=[{"loc": ["layers", number], "msg": "has no visible pixel on the canvas"}],
        )
    return placed


def paint_piece(canvas: U8, piece: Piece) -> None:
    """Paint a piece over what is on the canvas, in place."""
    pixels, left, top = piece
    _paint_over(canvas[top : top + pixels.shape[0], left : left + pixels.shape[1]], pixels)


def _place(layer: Layer, canvas: Canvas) -> Piece | None:
    """The visible piece, or None when no pixel is visible."""
    width, height = layer_size(layer, canvas)
    if width < 1 or height < 1:
        return None
    source = layer.cutout.pixels[:, ::-1] if layer.flip else layer.cutout.pixels
    angle = layer.rotation_deg % 360
    if angle % 90 == 0:
        source = np.rot90(source, -int(angle // 90))
    box_width, box_height = _box_size(width, height, angle)
    left, top = _start(layer.x * canvas.width, box_width), _start(layer.y * canvas.height, box_height)
    # the visible part, in the box's own pixels: only this part of a layer larger than the canvas is computed
    x0, y0 = max(0, -left), max(0, -top)
    x1, y1 = min(box_width, canvas.width - left), min(box_height, canvas.height - top)
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
    return Piece(pixels, left + x0, top + y0) if pixels[..., 3].any() else None


def _box_size(width: int, height: int, angle: float) -> tuple[int, int]:
    """(width, height) of the box around a layer of this size, rotated by `angle` degrees of 0..360."""
    if angle % 90 == 0:
        return (height, width) if int(angle // 90) % 2 else (width, height)
    sine, cosine = abs(math.sin(math.radians(angle))), abs(math.cos(math.radians(angle)))
    return math.ceil(width * cosine + height * sine) + 2, math.ceil(width * sine + height * cosine) + 2


def _start(centre: float, length: int) -> int:
    """The first pixel of a box of this many pixels around a centre."""
    return math.floor(centre - length / 2 + 0.5)


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

    For a layer that is not resampled, they include the whole mask eroded by its `lock_px`, where the layout equals the
    photo; of a mask with soft values, they include its pixels of 255.
    """
    return np.asarray(cv2.compare(cv2.extractChannel(flat.pixels, 3), 255, cv2.CMP_EQ), np.uint8)
