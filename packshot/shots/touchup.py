"""The pixel work of a touch-up, and where its picture's layers go when the picture grows.

    marks, strokes, mask ──region──> region without the locked product
    parent + region ──prepare──> Fitted, PreparedTouchup ──engine──> Painted ──finish──> the next version

The engine paints the scene of the crop around the region, and what stays of the picture is put back after every step.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace

import cv2
import numpy as np

from packshot.contract.shot_spec import Canvas, ShotSpec
from packshot.contract.touchup_spec import Margins, TouchupSpec
from packshot.contract.verdict import Finding, Verdict
from packshot.errors import BadInput
from packshot.imaging.canvas import fit_into, locked_mask
from packshot.imaging.codec import encode_mask_png, encode_png, read_mask, read_png
from packshot.imaging.composite import Ground, composite, enlarge, inpaint_mask, product_on_grey, scene_behind
from packshot.imaging.fingerprint import fingerprint_of
from packshot.imaging.light.gain import read_gain, relit
from packshot.imaging.matting import MattingNetwork
from packshot.imaging.repaint import blend, grown, margins_region, mark_region, painted_box, widened
from packshot.imaging.strokes import paint
from packshot.shots.layout import draw_layout
from packshot.shots.lighting import lit_ground
from packshot.shots.relighting import load_gain
from packshot.shots.stages import Finished, Fitted, Painted, Placed, PreparedTouchup, Region, RegionOrder, TouchupOrder
from packshot.store.assets import Assets
from packshot.types import U8, Flat, Framing, Kept
from packshot.verdict.defects import defect_findings, with_own_pixels
from packshot.verdict.inspect import inspect

__all__ = ["WIDER_PX", "find_region", "finish_touchup", "moved", "prepare_touchup", "unlocked"]

WIDER_PX = 8
"""By how many of the engine's pixels it paints beyond the region, so that nothing of the old picture stays at its
border: one latent of the usual VAEs."""

NOT_APPLICABLE = "not applicable: the product was painted, in this version or in one before it"


def moved(spec: ShotSpec, margins: Margins) -> ShotSpec:
    """The shot on the grown canvas, with every layer on the same pixels as before.

    A layer's place is a fraction of the canvas, so the fractions change. They are chosen in the middle of those that
    give the same pixels, so that rounding cannot move a layer.
    """
    if not margins.any:
        return spec
    old = spec.canvas
    new = Canvas(old.width + margins.left + margins.right, old.height + margins.top + margins.bottom)

    def place(fraction: float, side: int, before: int, new_side: int) -> float:
        return ((math.floor(2 * fraction * side) + 0.5) / 2 + before) / new_side

    layers = tuple(
        replace(
            layer,
            x=place(layer.x, old.width, margins.left, new.width),
            y=place(layer.y, old.height, margins.top, new.height),
            scale=math.floor(layer.scale * old.longer + 0.5) / new.longer,
        )
        for layer in spec.layers
    )
    return replace(spec, canvas=new, layers=layers)


def find_region(assets: Assets, order: RegionOrder, matting: MattingNetwork | None = None) -> Region:
    """Draw a touch-up's region. Raises BadInput: `region_empty` when it has no pixel, and `region_product` when all its
    pixels belong to the locked product. Raises NotFound when a file of the layout was deleted.
    """
    width, height = order.size
    empty: U8 = np.zeros((height, width), np.uint8)
    region = empty if order.mask_png is None else read_mask(order.mask_png).pixels
    region = np.maximum(region, mark_region(order.size, order.marks)) if order.marks else region
    region = np.where(paint(region, order.strokes) >= 128, np.uint8(255), np.uint8(0))
    if not (region.any() or order.margins.any):
        rule = "a touch-up must repaint at least one pixel, and its mask, strokes and marks leave none"
        raise BadInput("region_empty", f"{rule}; paint over what should change, or grow the canvas")
    region = margins_region(region, order.margins)
    if order.layout is not None:
        flat, _ = draw_layout(assets, order.layout, matting)
        region[(flat.alpha > 0) if order.around else (locked_mask(flat) > 0)] = 0
        if not region.any():
            rule = "a touch-up keeps the product's pixels, and all of this region are the product's"
            remedy = "paint beside it, or send product: true, and a person approves the picture"
            raise BadInput("region_product", f"{rule}; {remedy}")
    return Region(encode_mask_png(region), int(np.count_nonzero(region)), painted_box(region, order.native))


def prepare_touchup(
    assets: Assets, order: TouchupOrder, framing: Framing, matting: MattingNetwork | None = None
) -> Placed:
    """Read a touch-up's files and fit its crop into the scene of `framing`. Raises NotFound when one was deleted."""
    touchup = order.touchup
    base = grown(_rgb(read_png(assets.get(order.parent_key))), touchup.margins)
    region = read_mask(assets.get(order.region_key)).pixels
    flat, product_by = draw_layout(assets, order.layout, matting)
    gain_png = load_gain(assets, order.gain_key) if order.gain_key and touchup.locked else None
    shown = flat if gain_png is None else relit(flat, read_gain(gain_png))
    ground = lit_ground(flat, _as_lit(order), None).ground if touchup.locked else Ground()
    x0, y0, x1, y1 = touchup.box
    crop = np.s_[y0:y1, x0:x1]
    by_px = round(WIDER_PX * (x1 - x0) / framing.shown_size[0])
    painted = widened(region[crop], by_px)
    seen = base[crop]
    if touchup.locked:
        painted[locked_mask(flat)[crop] > 0] = 0
        seen = _without_shadow(seen, ground, flat, crop)
    picture = fit_into(Flat(np.dstack([seen, np.full(painted.shape, 255, np.uint8)])), framing)
    repaint = fit_into(Flat(np.dstack([seen, 255 - painted])), framing)
    product = np.ascontiguousarray(flat.pixels[crop]) if touchup.locked else np.zeros_like(flat.pixels[crop])
    laid = fit_into(Flat(product), framing)
    kept = Kept(np.ascontiguousarray(picture.rgb), inpaint_mask(repaint))
    fitted = Fitted(laid, product_on_grey(laid), inpaint_mask(laid), kept)
    return Placed(False, PreparedTouchup(base, region, flat, shown, ground, product_by, framing, gain_png), fitted)


def finish_touchup(prepared: PreparedTouchup, painted: Painted, order: TouchupOrder) -> Finished:
    """Paste the render into the picture, composite the product over it, inspect and encode the new version."""
    started_at = time.perf_counter()
    touchup, base, region = order.touchup, prepared.base, prepared.region
    x0, y0, x1, y1 = touchup.box
    crop = np.s_[y0:y1, x0:x1]
    render = enlarge(painted.render.pixels, Canvas(x1 - x0, y1 - y0), prepared.framing)
    if touchup.locked:
        # the shadow falls on the painted scene too, so the seam is made below it
        below, flat = _without_shadow(base[crop], prepared.ground, prepared.flat, crop), prepared.flat
        scene = base.copy()
        scene[crop] = blend(below, render, region[crop], np.ascontiguousarray(flat.alpha[crop]))
        new = composite(prepared.shown, scene, prepared.ground)[crop]
    else:
        new = blend(base[crop], render, region[crop])
    picture = base.copy()
    picture[crop] = np.where(region[crop][..., None] > 0, new, base[crop])
    shown_px = painted.render.pixels.shape[1] * prepared.framing.shown_size[0] / prepared.framing.size[0]
    verdict = _verdict(prepared, painted, order, picture, (x1 - x0) / shown_px)
    height, width = picture.shape[:2]
    finish_ms = (time.perf_counter() - started_at) * 1000
    png, found = encode_png(picture), fingerprint_of(picture)
    return Finished(png, width, height, verdict, finish_ms, prepared.gain_png, found)


def _as_lit(order: TouchupOrder) -> ShotSpec:
    """The shot with the shadow that the parent has: its direction may have followed the painted scene."""
    shadow = order.spec.shadow
    found = [finding.value for finding in order.parent_verdict.findings if finding.check == "light"]
    if shadow.direction_deg is None and found and found[0] is not None:
        return replace(order.spec, shadow=replace(shadow, direction_deg=found[0]))
    return order.spec


def _without_shadow(picture: U8, ground: Ground, flat: Flat, crop: tuple[slice, slice]) -> U8:
    """The crop of a picture (uint8 HxWx3) as it was before the shadow fell on its scene."""
    if ground.shadow is None:
        return picture
    light = 1 - np.minimum(ground.shadow[crop], 200).astype(np.float32)[..., None] / 255
    tint = np.array(ground.tint, np.float32) * (1 - light)
    lit = np.rint(np.clip((picture - tint) / light, 0, 255)).astype(np.uint8)
    return np.where(flat.alpha[crop][..., None] == 0, lit, picture)


def _rgb(picture: U8) -> U8:
    return np.ascontiguousarray(picture[..., :3])


def _verdict(
    prepared: PreparedTouchup, painted: Painted, order: TouchupOrder, picture: U8, enlarged_by: float
) -> Verdict:
    earlier = {finding.check: finding for finding in order.parent_verdict.findings}
    before = earlier["enlargement"].value if "enlargement" in earlier else None
    verdict = inspect(
        prepared.flat,
        picture,
        enlarged_by=max(enlarged_by, before or 1.0),
        product_by=prepared.product_by,
        generated=True,
        gain_png=prepared.gain_png,
    )
    verdict = unlocked(verdict, locked=order.touchup.locked)
    findings = verdict.findings
    kept = [earlier[check] for check in ("framing", "light", "relight", "material") if check in earlier]
    repainted = _repainted(prepared, order.touchup, picture)
    defects = _defects(prepared, order, picture)
    return replace(verdict, findings=(*findings, *kept, repainted, *defects, *painted.render.findings))


def _defects(prepared: PreparedTouchup, order: TouchupOrder, picture: U8) -> tuple[Finding, ...]:
    """The defects of the whole new picture, what its parent showed included.

    A product that was painted is compared as the picture shows it, at its old place. Its reflection cannot be told from
    a second product, so nothing is said of hallucinations there.
    """
    if order.touchup.locked:
        scene = scene_behind(picture, prepared.shown, prepared.ground)
        return defect_findings(prepared.flat, picture, scene, order.spec)
    found = defect_findings(with_own_pixels(prepared.flat, picture), picture, picture, order.spec)
    reflected = order.spec.reflection is not None
    return tuple(one for one in found if not (reflected and one.check == "hallucination"))


def unlocked(verdict: Verdict, *, locked: bool) -> Verdict:
    """The verdict of a picture whose product is `locked`, or else was painted: then nothing can be said of the lock."""
    if locked:
        return verdict
    findings = (Finding("lock", "warning", NOT_APPLICABLE) if one.check == "lock" else one for one in verdict.findings)
    return replace(verdict, findings=tuple(findings), product="generated")


def _repainted(prepared: PreparedTouchup, touchup: TouchupSpec, picture: U8) -> Finding:
    """State what was repainted, after a comparison of all other pixels with the parent's."""
    kept = cv2.compare(prepared.region, 0, cv2.CMP_EQ)
    differing = int(np.count_nonzero((picture != prepared.base).any(axis=-1) & (kept > 0)))
    if differing:
        return Finding("touchup", "failed", f"{differing} pixels outside the repainted region changed", differing)
    share = float(np.count_nonzero(prepared.region)) / prepared.region.size
    x, y, width, height = cv2.boundingRect(prepared.region)
    detail = f"{share:.1%} of the picture was repainted, in [{x}, {y}, {x + width}, {y + height}]"
    m = touchup.margins
    if m.any:
        detail += f"; it grew by {m.left}, {m.top}, {m.right}, {m.bottom} px on the left, top, right and bottom"
    return Finding("touchup", "ok", f"{detail}; all other pixels are those of {touchup.parent_id}", share)
