"""Where the products of a set stand on their canvas, so that their pictures look like one set.

    look, canvas, fill ──stand_of──> Stand ─────┐
    item, view, mask's and cutout's box ────────┴─place──> LayerSpec

A product's place follows from the manifest and its own mask alone. So it is the same in every order of the rows, and a
row that is added moves no other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from packshot.catalogue.plan import Variant
from packshot.contract.catalogue import Item, Look, Manifest, SizeMm, View
from packshot.contract.presets import SafeZone
from packshot.contract.shot_spec import LayerSpec
from packshot.delivery.presets import preset_named
from packshot.delivery.reframe import NO_MARGINS
from packshot.types import BoxXYXY

__all__ = ["Stand", "largest_mm_of", "place", "stand_of", "stand_of_variant", "widest_zone"]

MOST_OF_SIDE = 0.9
"""Share of the free width and height that a product spans at most, unless `fill` is larger."""

FREE_ABOVE = 0.25
"""Share of the height beside the largest product that stays free above it. The ground line moves down for it."""

INSIDE_ZONE = 0.005
"""How far the ground line stays above a zone's margin, so that no soft edge lies in it."""

COPIED_WITHIN = 0.01
"""A product whose scale differs from 1 by no more than this is copied and not resampled."""


@dataclass(frozen=True)
class Stand:
    """Where the products of a set stand on one canvas.

    `canvas` is (width, height) in pixels. `fill` is the share of the canvas's longer side that the largest product
    spans. `ground` is the height of the ground line, 0 = top and 1 = bottom; None centres the products. `largest_mm` is
    the largest stated size of the set, millimetres; None = no product has one. Products stay outside of the margins
    `zone`.
    """

    canvas: tuple[int, int]
    fill: float
    ground: float | None
    largest_mm: float | None = None
    zone: SafeZone = NO_MARGINS

    @property
    def line(self) -> float | None:
        """Height of the line on which the products stand, as a share of the canvas's height; None centres them.

        It is `ground`, unless the set's largest product would not fit above it, or the line lies in the zone's margin.
        """
        if self.ground is None:
            return None
        free = 1 - self.zone.top - self.zone.bottom
        largest = min(self._span_px, self._most_px[1]) / self.canvas[1]
        lowest = 1 - self.zone.bottom - (INSIDE_ZONE if self.zone.bottom else 0)
        return min(max(self.ground, self.zone.top + largest + (free - largest) * FREE_ABOVE), lowest)

    @property
    def _span_px(self) -> float:
        return self.fill * max(self.canvas)

    @property
    def _most_px(self) -> tuple[float, float]:
        """The widest and highest that a product may be, in pixels."""
        most = max(self.fill, MOST_OF_SIDE)
        free = 1 - self.zone.left - self.zone.right, 1 - self.zone.top - self.zone.bottom
        return most * free[0] * self.canvas[0], most * free[1] * self.canvas[1]

    def factor(self, size: tuple[float, float], size_mm: SizeMm | None = None, view: View = "front") -> float:
        """The factor that gives a product of `size` (width, height) its place in the set.

        A product with a true size has its share of the largest one's; another spans `fill`. Both are smaller where the
        product would not fit on the canvas. `detail` shows a part, so the true size is not used for it; from the side
        only the height is known.
        """
        width, height = size
        most = self._most_px
        wanted = self._span_px / max(size)
        if size_mm is not None and self.largest_mm is not None and view != "detail":
            px_per_mm = self._span_px / self.largest_mm
            if size_mm.height is not None and (size_mm.width is None or height >= width or view == "side"):
                wanted = size_mm.height * px_per_mm / height
            elif size_mm.width is not None and view != "side":
                wanted = size_mm.width * px_per_mm / width
        return min(wanted, most[0] / width, most[1] / height)


def stand_of(
    look: Look, largest_mm: float | None, canvas: tuple[int, int], fill: float, zones: Iterable[SafeZone | None] = ()
) -> Stand:
    """Where the products of a catalogue stand on one canvas. `zones` are those of the channels that get the picture.

    `largest_mm` is the catalogue's (`largest_mm_of`), of which the rows' masks need not be known.
    """
    return Stand(canvas, fill, look.ground, largest_mm, widest_zone(zones))


def stand_of_variant(manifest: Manifest, largest_mm: float | None, variant: Variant, entries: Iterable[int]) -> Stand:
    """Where the products of a catalogue stand on one of its variants. `entries` are the `deliver` entries it feeds.

    A channel that refuses products below a share of the frame gets each at `fill`, whatever its true size.
    """
    presets = [preset_named(manifest.deliver[entry].preset) for entry in entries]
    if any(preset.fill_min is not None and preset.severity_of("fill") == "refuse" for preset in presets):
        largest_mm = None
    zones = (preset.safe_zone for preset in presets)
    return stand_of(manifest.defaults, largest_mm, variant.canvas, variant.fill, zones)


def largest_mm_of(items: Iterable[Item]) -> float | None:
    """The largest height or width that an item of the catalogue states, millimetres; None when none does."""
    sizes = (item.size_mm for item in items if item.size_mm)
    return max((side for size in sizes for side in (size.height, size.width) if side is not None), default=None)


def widest_zone(zones: Iterable[SafeZone | None]) -> SafeZone:
    """The margins that keep a product inside of all the safe zones. None is a channel without one."""
    found = [zone for zone in zones if zone is not None]
    sides = {name: max((getattr(zone, name) for zone in found), default=0.0) for name in SafeZone.model_fields}
    return SafeZone(**sides)


def place(
    stand: Stand,
    item: Item,
    view: View,
    mask_id: str,
    bbox_xyxy: BoxXYXY,
    cutout_bbox_xyxy: BoxXYXY | None = None,
) -> LayerSpec:
    """Stand a product on the line, in the middle of the canvas, in its size within the set.

    `bbox_xyxy` is the box of the mask, and `cutout_bbox_xyxy` that of the cutout, which also holds the soft edge; both
    in photo pixels. A mask of version 0.1.0 has no second one. The bottom of the first box touches the line. All of the
    layer's pixels lie on whole pixels of the canvas.
    """
    x0, y0, x1, y1 = cutout_bbox_xyxy or bbox_xyxy
    left, top, right, bottom = bbox_xyxy
    width, height = stand.canvas
    factor = stand.factor((right - left, bottom - top), item.size_mm, view)
    longer = max(x1 - x0, y1 - y0)
    placed = longer if abs(factor - 1) <= COPIED_WITHIN else max(1, round(factor * longer))
    factor = placed / longer
    zone, line = stand.zone, stand.line
    middle = (zone.left + 1 - zone.right) / 2 * width
    at_x = round(middle - factor * ((left + right) / 2 - x0))
    if line is None:
        at_y = round((zone.top + 1 - zone.bottom) / 2 * height - factor * ((top + bottom) / 2 - y0))
    else:
        at_y = round(line * height - factor * (bottom - y0))
    layer_width, layer_height = (math.floor(side * factor + 0.5) for side in (x1 - x0, y1 - y0))
    return LayerSpec(
        mask_id=mask_id,
        x=(at_x + layer_width / 2) / width,
        y=(at_y + layer_height / 2) / height,
        scale=placed / max(width, height),
    )
