"""The pixel work of an enhancement: a photo whose product, scene or whole is repainted from its own pixels.

    photo + layout ──prepare──> Fitted, PreparedEnhancement ──engine──> Painted ──finish──> picture

The canvas has the photo's shape, and the product lies on its own place. What is not repainted stays the photo's,
pixel for pixel; after every step of the engine it is put back.
"""

from __future__ import annotations

import time
from dataclasses import replace

import cv2
import numpy as np

from packshot.contract.enhancement import Target
from packshot.contract.shot_spec import Canvas
from packshot.contract.verdict import Finding
from packshot.imaging.canvas import fit_into, locked_mask
from packshot.imaging.codec import encode_png, read_png
from packshot.imaging.composite import Ground, composite, enlarge, inpaint_mask, product_on_grey
from packshot.imaging.fingerprint import fingerprint_of
from packshot.imaging.matting import MattingNetwork
from packshot.imaging.repaint import blend, widened
from packshot.shots.layout import draw_layout
from packshot.shots.stages import EnhancementOrder, Finished, Fitted, Painted, Placed, PreparedEnhancement
from packshot.shots.touchup import WIDER_PX, unlocked
from packshot.store.assets import Assets
from packshot.types import U8, Flat, Framing, Kept
from packshot.verdict.defects import defect_findings, with_own_pixels
from packshot.verdict.inspect import inspect

__all__ = ["finish_enhancement", "prepare_enhancement"]


def prepare_enhancement(
    assets: Assets, order: EnhancementOrder, framing: Framing, matting: MattingNetwork | None = None
) -> Placed:
    """Read a photo and its product, and fit the crop into the scene of `framing`. Raises NotFound without its files."""
    job, canvas = order.enhancement, order.spec.canvas
    base = _at_size(read_png(assets.get(order.photo_key))[..., :3], canvas)
    flat, product_by = draw_layout(assets, order.layout, matting)
    region = _region(job.target, flat)
    x0, y0, x1, y1 = job.box
    crop = np.s_[y0:y1, x0:x1]
    painted = widened(region[crop], round(WIDER_PX * (x1 - x0) / framing.shown_size[0]))
    product = np.ascontiguousarray(flat.pixels[crop])
    if job.locked:
        painted[locked_mask(flat)[crop] > 0] = 0
    seen = np.ascontiguousarray(base[crop])
    whole = fit_into(Flat(np.dstack([seen, np.full(painted.shape, 255, np.uint8)])), framing)
    repaint = fit_into(Flat(np.dstack([seen, 255 - painted])), framing)
    kept = Kept(np.ascontiguousarray(whole.rgb), inpaint_mask(repaint))
    shown = fit_into(Flat(product if job.locked else np.zeros_like(product)), framing)
    edged = whole if job.target == "all" else fit_into(Flat(product), framing)
    fitted = Fitted(edged, product_on_grey(shown), inpaint_mask(shown), kept)
    return Placed(False, PreparedEnhancement(base, region, flat, product_by, framing), fitted)


def finish_enhancement(prepared: PreparedEnhancement, painted: Painted, order: EnhancementOrder) -> Finished:
    """Paste the render into the photo, inspect the picture and encode it."""
    started_at = time.perf_counter()
    job, base, region, flat = order.enhancement, prepared.base, prepared.region, prepared.flat
    x0, y0, x1, y1 = job.box
    crop = np.s_[y0:y1, x0:x1]
    render = enlarge(painted.render.pixels, Canvas(x1 - x0, y1 - y0), prepared.framing)
    picture = base.copy()
    scene = picture
    if job.locked:
        scene[crop] = render
        picture = composite(flat, scene, Ground())
    else:
        picture[crop] = blend(base[crop], render, region[crop])
    picture[region == 0] = base[region == 0]
    shown_px = painted.render.pixels.shape[1] * prepared.framing.shown_size[0] / prepared.framing.size[0]
    verdict = inspect(
        flat,
        picture,
        enlarged_by=(x1 - x0) / shown_px,
        product_by=prepared.product_by,
        generated=True,
    )
    verdict = unlocked(verdict, locked=job.locked)
    findings = (*verdict.findings, _repainted(prepared, order, picture))
    defects = _defects(prepared, order, picture, scene)
    verdict = replace(verdict, findings=(*findings, *defects, *painted.render.findings))
    height, width = picture.shape[:2]
    finish_ms = (time.perf_counter() - started_at) * 1000
    return Finished(encode_png(picture), width, height, verdict, finish_ms, fingerprint=fingerprint_of(picture))


def _at_size(photo: U8, canvas: Canvas) -> U8:
    """The photo at the canvas's size: its own pixels where it fits, else reduced."""
    if photo.shape[:2] == (canvas.height, canvas.width):
        return np.ascontiguousarray(photo)
    return np.asarray(cv2.resize(photo, (canvas.width, canvas.height), interpolation=cv2.INTER_AREA), np.uint8)


def _region(target: Target, flat: Flat) -> U8:
    """What is repainted, uint8 HxW, 255 = repaint. A soft border belongs to both the product and the scene."""
    if target == "all":
        return np.full(flat.alpha.shape, 255, np.uint8)
    inside = flat.alpha > 0 if target == "product" else flat.alpha < 255
    return np.where(inside, np.uint8(255), np.uint8(0))


def _defects(prepared: PreparedEnhancement, order: EnhancementOrder, picture: U8, scene: U8) -> tuple[Finding, ...]:
    """The defects of a repainted scene. A photo's own scene has none, so one that the photo shows too is a warning."""
    if order.enhancement.target == "product":
        return ()
    flat, base = prepared.flat, prepared.base
    seen = flat if order.enhancement.locked else with_own_pixels(flat, picture)
    found = defect_findings(seen, picture, scene, order.spec)
    before = {one.check for one in defect_findings(flat, base, base, order.spec) if one.level == "failed"}
    return tuple(
        replace(one, level="warning", detail=f"{one.detail.partition(';')[0]}; the photo shows this too")
        if one.level == "failed" and one.check in before
        else one
        for one in found
    )


def _repainted(prepared: PreparedEnhancement, order: EnhancementOrder, picture: U8) -> Finding:
    """State what was repainted, after a comparison of all other pixels with the photo's."""
    job, kept = order.enhancement, prepared.region == 0
    differing = int(np.count_nonzero((picture != prepared.base).any(axis=-1) & kept))
    if differing:
        return Finding("enhancement", "failed", f"{differing} pixels outside the {job.target} changed", differing)
    share = 1 - float(np.count_nonzero(kept)) / kept.size
    what = {"product": "the product", "scene": "the scene", "all": "the whole photo"}[job.target]
    stays = "" if job.target == "all" else f"; all other pixels are those of {job.photo_id}"
    detail = f"{what}, {share:.1%} of the photo, was repainted at strength {job.strength:g}{stays}"
    return Finding("enhancement", "ok", detail, share)
