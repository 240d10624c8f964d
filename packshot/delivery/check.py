"""Check a channel's file, as it was read back, against the rules of its preset.

    WrittenFile + Shown (what is known of the picture) + Preset ──check──> findings, one for each rule

A broken rule is a `failed` finding where the preset refuses, and a `warning` where it only warns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import NoReturn

import cv2
import numpy as np
from numpy.typing import NDArray

from packshot.contract.presets import Rule
from packshot.contract.verdict import MAX_ENLARGEMENT, Finding, Level
from packshot.delivery.files import WrittenFile
from packshot.delivery.presets import Preset
from packshot.delivery.reframe import inside
from packshot.errors import BadInput, FieldError
from packshot.types import U8, BoxXYXY, Mask

__all__ = ["Shown", "check", "product_box", "refuse_failed", "require_locked", "touched_sides"]

JPEG_BLOCK_PX = 16  # the distance to which an edge may ring in a JPEG file
ROUNDING = 1.005  # sizes are whole pixels, so a factor of exactly 2 may come out a little larger


@dataclass(frozen=True)
class Shown:
    """What is known of the picture in a file, beside its pixels.

    `alpha` is the product's alpha at the file's size, uint8 HxW; None when the layout was deleted. `cut` names the
    sides at which the picture's frame cuts the product; None = not known. `enlarged_by` is how much the product's own
    pixels were enlarged on the way into the file; `product_known` is False when its layout was deleted, so that only
    the delivery's own factor `scale` is known. `generated` says that an engine painted the scene, and `relit` that the
    scene's light lies over the product.
    """

    alpha: U8 | None
    cut: tuple[str, ...] | None
    enlarged_by: float
    product_known: bool
    scale: float
    generated: bool
    relit: bool = False


@dataclass(frozen=True)
class _Check:
    """One check's surroundings: the preset, the file and what is known of it."""

    preset: Preset
    file: WrittenFile
    shown: Shown
    today: date

    def met(self, rule: Rule, detail: str, value: float | None = None) -> Finding:
        return Finding(rule, "ok", detail, value)

    def broken(self, rule: Rule, must: str, got: str, remedy: str, value: float | None = None) -> Finding:
        level = self.preset.severity_of(rule)
        return Finding(rule, "failed" if level == "refuse" else "warning", f"{must}, got {got}; {remedy}", value)

    def advised(self, rule: Rule, detail: str, value: float | None = None) -> Finding:
        return Finding(rule, "warning", f"advised: {detail}", value)


def check(file: WrittenFile, preset: Preset, shown: Shown, today: date) -> tuple[Finding, ...]:
    """One finding or more for each rule of `preset` that concerns the file. `today` decides on announced changes."""
    one = _Check(preset, file, shown, today)
    parts = (_format, _bytes, _size, _shape, _generated, _relight, _background, _fill, _frame, _enlargement, _safe_zone)
    return tuple(finding for part in parts for finding in part(one))


def require_locked(preset: Preset, *, locked: bool) -> None:
    """Raise BadInput `product_generated` for a painted product when the channel takes only the photo's own."""
    if preset.locked_product and not locked:
        rule = f"{preset.title} takes only a product as it was photographed, got one that an engine painted"
        errors: list[FieldError] = [{"loc": ["preset", "locked_product"], "msg": rule}]
        remedy = "make a shot of a photo, whose product stays locked, or use a preset without locked_product"
        raise BadInput("product_generated", f"{rule}; {remedy}.", errors=errors)


def refuse_failed(preset: Preset, findings: tuple[Finding, ...]) -> None:
    """Raise BadInput `preset_unmet` with every failed finding, if there is one."""
    failed = [finding for finding in findings if finding.level == "failed"]
    if failed:
        _refuse(preset, failed)


def _refuse(preset: Preset, failed: list[Finding]) -> NoReturn:
    errors: list[FieldError] = [{"loc": ["preset", finding.check], "msg": finding.detail} for finding in failed]
    raise BadInput("preset_unmet", f"{preset.title}: {' · '.join(one.detail for one in failed)}", errors=errors)


def _format(one: _Check) -> Iterator[Finding]:
    if one.file.format not in one.preset.formats:
        accepted = " or ".join(name.upper() for name in one.preset.formats)
        yield one.broken("format", f"the file must be {accepted}", one.file.format.upper(), "use another preset")
    else:
        yield one.met("format", f"the file is {one.file.format.upper()}")


def _bytes(one: _Check) -> Iterator[Finding]:
    size, limit = len(one.file.data), one.preset.max_bytes
    if size > limit:
        width, height = one.file.size
        got = f"{size / 1e6:.1f} MB at {width}x{height}"
        must = f"a file may have at most {limit / 1e6:g} MB"
        yield one.broken("bytes", must, got, "make the picture on a smaller canvas", size)
    else:
        yield one.met("bytes", f"the file has {size / 1e6:.2f} of {limit / 1e6:g} MB", size)


def _size(one: _Check) -> Iterator[Finding]:
    preset, (width, height) = one.preset, one.file.size
    longest = max(width, height)
    least_width, least_height = preset.min_size_on(one.today)
    limits = (
        ("the longer side", longest, preset.min_longest_px),
        ("the width", width, least_width),
        ("the height", height, least_height),
    )
    broken = False
    for side, got, least in limits:
        if least and got < least:
            broken = True
            remedy = f"make the picture on a canvas whose longer side is {preset.advised_longest_px} px"
            if one.shown.enlarged_by > 0.99 * MAX_ENLARGEMENT:  # a larger canvas would enlarge the product further
                remedy = "the product has too few pixels in its photo: use a larger photo, or a smaller scale"
            must = f"{side} must be at least {least} px"
            yield one.broken("size", must, f"{got} px at {one.shown.scale:.3g}x its size", remedy, got)
    most = (
        ("the longer side", longest, preset.max_longest_px),
        ("width and height together", width + height, preset.max_sum_px),
        ("the number of pixels", width * height, preset.max_pixels),
    )
    for what, got, limit in most:
        if limit and got > limit:
            broken = True
            yield one.broken("size", f"{what} may be at most {limit}", f"{got}", "use a smaller canvas", got)
    if not broken:
        yield one.met("size", f"the file has {width}x{height} px", longest)
    if longest < preset.advised_longest_px:
        detail = f"{preset.advised_longest_px} px on the longer side; Packshot enlarges at most 2x"
        yield one.advised("size", detail, longest)
    if preset.zoom_longest_px and longest < preset.zoom_longest_px:
        yield one.advised("size", f"the channel zooms only from {preset.zoom_longest_px} px on", longest)
    for change in preset.changes:
        if one.today < change.since and (width < change.min_width_px or height < change.min_height_px):
            detail = f"from {change.since} on at least {change.min_width_px}x{change.min_height_px} px"
            yield one.advised("size", detail, min(width, height))


def _shape(one: _Check) -> Iterator[Finding]:
    width, height = one.file.size
    if one.preset.aspect is not None:
        across, down = one.preset.aspect
        if abs(width * down / (height * across) - 1) > max(0.002, 1 / min(width, height)):
            remedy = f"make the picture on a canvas of {across}:{down}"
            yield one.broken("aspect", f"width to height must be {across}:{down}", f"{width}x{height}", remedy)
        else:
            yield one.met("aspect", f"width to height is {across}:{down}")
    ratio = max(width, height) / min(width, height)
    if one.preset.max_aspect is not None and ratio > one.preset.max_aspect:
        must = f"the longer side may be at most {one.preset.max_aspect:g} times the shorter one"
        got = f"a strip of {width}x{height} px ({ratio:.1f}:1)"
        yield one.broken("shape", must, got, "make the picture on a canvas of 1:1", ratio)


def _generated(one: _Check) -> Iterator[Finding]:
    if one.preset.generated or not one.shown.generated:
        return
    white = one.preset.background == "white"
    must = "the background must be exactly 255,255,255" if white else "the picture must not show a generated scene"
    remedy = "make the packshot with background `white`, and use the scene in a secondary slot"
    yield one.broken("generated", must, "a generated scene", remedy)


def _relight(one: _Check) -> Iterator[Finding]:
    """A channel that takes no generated scene shows the product as it was photographed."""
    if one.shown.relit and not one.preset.generated:
        must, remedy = "the product must have its photo's colours", "make the packshot without relight"
        yield one.broken("relight", must, "a relit product", remedy)


def _background(one: _Check) -> Iterator[Finding]:
    """White must be exactly white in the file; a JPEG may ring within JPEG_BLOCK_PX of the product's edge."""
    rule, pixels = one.preset.background, one.file.pixels
    if rule == "free" or pixels.shape[2] == 4:
        return
    if one.shown.generated and not one.preset.generated:  # `_generated` says it better
        return
    outside = outside_of(one.shown.alpha, one.file.size)
    off = outside & (pixels != 255).any(axis=2)
    count = int(np.count_nonzero(off))
    if count == 0:
        yield one.met("background", "the background is exactly 255,255,255")
        return
    if one.shown.alpha is not None and one.file.format != "png" and not (off & ~_grow(~outside, JPEG_BLOCK_PX)).any():
        worst = 255 - int(pixels[off].min())
        detail = f"beside the product, the {one.file.format.upper()} differs from white by up to {worst} of 255"
        level: Level = "warning" if rule == "white" else "ok"
        yield Finding("background", level, f"{detail}; farther than {JPEG_BLOCK_PX} px it is white", float(worst))
        return
    if rule == "white":
        must, got = "the background must be exactly 255,255,255", f"{count} pixels of another colour"
        yield one.broken("background", must, got, "use background `white` and shadow `none`", count)
    else:
        yield one.advised("background", f"a white background; {count} background pixels are of another colour", count)


def outside_of(alpha: U8 | None, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels that hold no product, bool HxW: alpha = 0, or without alpha the outermost pixels of the frame."""
    if alpha is not None:
        return np.asarray(alpha == 0)
    rim = np.ones(size[::-1], bool)
    rim[1:-1, 1:-1] = False
    return rim


def product_box(pixels: U8, alpha: U8 | None) -> BoxXYXY | None:
    """The product's bounding box: from its alpha, or from the pixels that are not white on a white background.

    None if the picture (uint8 HxWx3 or HxWx4) has neither.
    """
    if alpha is not None:
        return Mask(np.ascontiguousarray(alpha)).bbox_xyxy
    if pixels.shape[2] == 3 and (pixels[outside_of(None, (pixels.shape[1], pixels.shape[0]))] == 255).all():
        return Mask(np.where((pixels < 250).any(axis=2), np.uint8(255), np.uint8(0))).bbox_xyxy
    return None


def touched_sides(alpha: U8) -> tuple[str, ...]:
    """The sides of the frame at which the product (alpha, uint8 HxW) is at least half opaque: there it is cut."""
    sides = {"left": alpha[:, 0], "top": alpha[0], "right": alpha[:, -1], "bottom": alpha[-1]}
    return tuple(side for side, edge in sides.items() if (edge >= 128).any())


def _fill(one: _Check) -> Iterator[Finding]:
    """How much of the frame the product spans: the larger of its shares of width and height, 0..1."""
    preset = one.preset
    if preset.fill_min is None and preset.fill_advised is None:
        return
    box = product_box(one.file.pixels, one.shown.alpha)
    if box is None:
        detail = "the product's share of the frame was not checked, because its mask is not available"
        yield Finding("fill", "warning", detail)
        return
    width, height = one.file.size
    fill = max((box[2] - box[0]) / width, (box[3] - box[1]) / height)
    if preset.fill_min is not None and fill < preset.fill_min:
        remedy = f"multiply the layer's scale by {preset.fill_min / max(fill, 0.01):.2f}"
        must = f"the product must fill at least {preset.fill_min:.0%} of the frame"
        yield one.broken("fill", must, f"{fill:.1%}", remedy, fill)
    elif preset.fill_advised is not None and not preset.fill_advised[0] <= fill <= preset.fill_advised[1]:
        low, high = preset.fill_advised
        yield one.advised("fill", f"the product fills {low:.0%} to {high:.0%} of the frame; it fills {fill:.0%}", fill)
    else:
        yield one.met("fill", f"the product fills {fill:.0%} of the frame", fill)


def _frame(one: _Check) -> Iterator[Finding]:
    if one.preset.role == "swatch":  # a swatch shows a part of the product
        return
    if one.shown.cut is None:
        detail = "whether the frame cuts the product was not checked, because its mask is not available"
        yield Finding("frame", "warning", detail)
    elif one.shown.cut:
        must, got = "the whole product must lie inside the frame", f"a product cut at the {', '.join(one.shown.cut)}"
        yield one.broken("frame", must, got, "use a smaller scale, or move the layer", len(one.shown.cut))
    else:
        yield one.met("frame", "the whole product lies inside the frame", 0)


def _enlargement(one: _Check) -> Iterator[Finding]:
    factor = one.shown.enlarged_by
    if factor > MAX_ENLARGEMENT * ROUNDING:
        must, got = "the product may be enlarged at most 2x", f"{factor:.2f}x"
        yield one.broken("enlargement", must, got, "use a smaller scale or canvas, or a larger photo", factor)
    elif not one.shown.product_known:
        detail = "how much the layout enlarged the product was not checked, because its mask is not available"
        yield Finding("enlargement", "warning", detail)
    else:
        yield one.met("enlargement", f"the product has {factor:.2f} times its size in the photo", factor)


def _safe_zone(one: _Check) -> Iterator[Finding]:
    zone = one.preset.safe_zone
    if zone is None:
        return
    box = product_box(one.file.pixels, one.shown.alpha)
    if box is None:
        detail = "whether the product lies in the safe zone was not checked, because its mask is not available"
        yield Finding("safe_zone", "warning", detail)
    elif inside(one.file.size, box, zone):
        yield one.met("safe_zone", "the product lies inside the safe zone")
    else:
        width, height = one.file.size
        must = (
            f"the product must leave free {zone.top:.0%} at the top, {zone.bottom:.0%} at the bottom and "
            f"{zone.left:.0%} at each side"
        )
        got = f"{box[1] / height:.0%}, {1 - box[3] / height:.0%}, and {min(box[0], width - box[2]) / width:.0%}"
        middle = (zone.top + 1 - zone.bottom) / 2
        yield one.broken("safe_zone", must, got, f"move the layer to y {middle:.2f}, or use a smaller scale")


def _grow(where: NDArray[np.bool_], by_px: int) -> NDArray[np.bool_]:
    """`where` dilated by `by_px` pixels."""
    side = 2 * by_px + 1
    return np.asarray(cv2.dilate(where.astype(np.uint8), np.ones((side, side), np.uint8)) > 0)
