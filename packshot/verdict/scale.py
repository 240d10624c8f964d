"""Whether products that state their true heights have sizes on the canvas that agree with them."""

from __future__ import annotations

from collections.abc import Sequence

from packshot.contract.shot_spec import Canvas, LayerSpec
from packshot.contract.verdict import Finding
from packshot.types import BoxXYXY
from packshot.verdict.seen import share_box

__all__ = ["scale_finding"]

MAX_RATIO = 1.35
"""By which factor the scales of two products on one line may differ: what a little perspective explains."""
PERSPECTIVE = 1.0
"""How much more they may differ for a distance of their bases, as shares of the canvas's height."""
UPRIGHT_DEG = 10.0
"""A layer that is turned by more does not show its height."""


def scale_finding(layers: Sequence[LayerSpec], boxes: Sequence[BoxXYXY], canvas: Canvas) -> Finding | None:
    """Compare the pixels for each millimetre of all layers that state `height_mm`; None when fewer than two do.

    `boxes` are the layers' boxes on the canvas, XYXY pixels. A layer that is turned, or that the canvas cuts, is left
    out. The finding fails when two scales differ by more than perspective explains. The value is the factor between
    them, and the box that of the layer that deviates most from the others' median. A painted scene has no known scale,
    so nothing is said about a single product.
    """
    sizes = [
        ((y1 - y0) / layer.height_mm, (x0, y0, x1, y1))
        for layer, (x0, y0, x1, y1) in zip(layers, boxes, strict=False)
        if layer.height_mm and _upright(layer.rotation_deg) and y0 > 0 and y1 < canvas.height and y1 > y0
    ]
    if len(sizes) < 2:
        return None
    sizes.sort()
    (least, small), (most, large) = sizes[0], sizes[-1]
    ratio = most / least
    allowed = MAX_RATIO + PERSPECTIVE * abs(large[3] - small[3]) / canvas.height
    if ratio <= allowed:
        return Finding("scale", "ok", f"the products' sizes agree with their true heights within {ratio:.2f}:1", ratio)
    middle = sizes[len(sizes) // 2][0] if len(sizes) > 2 else (most * least) ** 0.5
    odd = large if most / middle > middle / least else small
    detail = f"one product is {ratio:.2f} times as large beside another as their true heights say; change its scale"
    return Finding("scale", "failed", detail, round(ratio, 3), share_box(odd, (canvas.width, canvas.height)))


def _upright(rotation_deg: float) -> bool:
    turned = abs((rotation_deg + 180) % 360 - 180)
    return turned <= UPRIGHT_DEG
