"""Read a mask that a person sends for a photo. This module runs in the worker process only.

The values come from the alpha if the PNG has one, else from its grey. No colour profile is applied, because the values
are coverage and not light.
"""

from __future__ import annotations

import io

from PIL import Image, ImageChops
from PIL.PngImagePlugin import PngImageFile

from packshot.imaging.decoding.file_checks import Refused, check_png_complete
from packshot.imaging.decoding.messages import Extent

__all__ = ["extent", "read_uploaded_mask"]

NOTHING = (0, 0, 0, 0)
FRAMED = 0.9
"""A mask that covers this share of the photo's outermost pixels is inverted, or has no background to repaint."""


def read_uploaded_mask(data: bytes, width: int, height: int) -> tuple[Image.Image, Extent]:
    """(mask in mode L, its `extent`) of a PNG for a photo of `width` x `height` pixels.

    Raises Refused (mask_size, mask_empty, mask_inverted, mask_unreadable), or any error of Pillow.
    """
    opened = PngImageFile(io.BytesIO(data))
    if opened.size != (width, height):
        got = f"{opened.width} x {opened.height}"
        raise Refused("mask_size", f"a mask must have the photo's {width} x {height} px, got {got} px; resize it")
    if getattr(opened, "is_animated", False):
        raise Refused("mask_unreadable", "a mask must have one frame, but this file is animated; export one frame")
    check_png_complete(data, width * height, max(width, height))
    opened.load()
    mask = _values(opened)
    found = extent(mask)
    if found["area_px"] == 0:
        raise Refused("mask_empty", "a mask must have a product pixel (128 to 255), got none; paint the product white")
    share = _frame_share(mask)
    if share >= FRAMED:
        raise Refused(
            "mask_inverted",
            "a mask must be 255 on the product and 0 on the background, "
            f"got {share:.0%} of the photo's outermost pixels as product; invert it",
        )
    return mask, found


def _values(opened: Image.Image) -> Image.Image:
    if opened.mode.startswith("I"):  # 16-bit grey
        return opened.convert("I").point(lambda value: value * (255 / 65535) + 0.5).convert("L")
    if opened.mode in ("LA", "RGBA", "PA") or "transparency" in opened.info:
        return opened.convert("RGBA").getchannel("A")
    if opened.mode in ("1", "L"):
        return opened.convert("L")
    red, green, blue = opened.convert("RGB").split()
    for other in (green, blue):
        if ImageChops.difference(red, other).getbbox() is not None:
            detail = "a mask must be grey or have an alpha, got a colour picture; export the mask itself"
            raise Refused("mask_unreadable", detail)
    return red


def extent(mask: Image.Image) -> Extent:
    """The extent of a mask in mode L."""
    product = mask.point([255 * (value >= 128) for value in range(256)])
    return {
        "area_px": product.histogram()[255],
        "bbox_xyxy": product.getbbox() or NOTHING,
        "shown_xyxy": mask.getbbox() or NOTHING,
    }


def _frame_share(mask: Image.Image) -> float:
    width, height = mask.size
    sides = [(0, 0, width, 1), (0, height - 1, width, height), (0, 0, 1, height), (width - 1, 0, width, height)]
    counts = [mask.crop(side).histogram() for side in sides]
    return sum(sum(count[128:]) for count in counts) / sum(map(sum, counts))
