"""Inspect a finished picture: compare the product with its layout, and check the scene and the framing."""

from __future__ import annotations

import cv2
import numpy as np

from packshot.contract.verdict import MAX_ENLARGEMENT, Finding, Verdict
from packshot.imaging.canvas import locked_mask
from packshot.imaging.light.gain import read_gain, relit
from packshot.types import U8, Flat, Framing, Mask
from packshot.verdict.measures import measure

__all__ = ["framing_finding", "inspect", "relit_lock"]

MIN_FILL = 0.002  # share of the frame: the smallest product that the automatic segmentation accepts
MIN_SCENE = 0.02  # share of the frame: a smaller scene is not visible as one
BLANK_LEVELS = 2.0  # standard deviation below which a scene counts as one flat colour
GRAIN_LEVELS = 10.0  # standard deviation below which a scene is too uniform to be tested for noise
GRAIN_PX = 8  # pixels of one latent in every VAE so far: noise that was not denoised has grain of this size
# The mean squared difference of pixels GRAIN_PX apart, divided by that of any two pixels. Measured: drawn scenes
# 0.05-0.61, painted scenes 0.07-0.48, noise 0.99, decoded latent noise 0.89-0.96.
MAX_GRAIN = 0.75


def inspect(
    flat: Flat,
    picture: U8,
    *,
    enlarged_by: float = 1.0,
    product_by: float = 1.0,
    generated: bool = False,
    gain_png: bytes | None = None,
    scene_by: float | None = None,
) -> Verdict:
    """Inspect `picture` (uint8 HxWx3 RGB or HxWx4 RGBA, of the layout's size) and compare it with its layout.

    `enlarged_by` is the factor by which the render was enlarged, and `product_by` that of the product. `scene_by` is
    the factor for the engine's own pixels, where an upscaler enlarged them before; None = `enlarged_by`. `generated`
    says that an engine painted the scene. `gain_png` is the file of the gain that lies over a relit product.

    The checks are:

    - `lock`: failed if an opaque product pixel differs from the layout
    - `relit_lock`, instead of `lock` for a relit product: failed if one differs from round(layout x gain)
    - `enlargement`, `product`: warning if the scene or the product was enlarged by more than 2x
    - `fill`: warning if the product covers less than 0.2 % of the frame
    - `frame`: warning if the product touches the edge of the canvas
    - `scene`, only for a generated scene: failed if it looks like noise, warning if it is one flat colour or if the
      product covers nearly all of it

    The verdict's measures compare the images of a set. Raises ValueError when the picture does not have the layout's
    size.
    """
    if picture.shape[:2] != flat.alpha.shape:
        raise ValueError(f"picture must have the layout's size {flat.alpha.shape}, got {picture.shape[:2]}")
    findings = [
        _lock(flat, picture) if gain_png is None else relit_lock(flat, picture, gain_png),
        _enlargement("enlargement", "the scene", enlarged_by, "use a smaller canvas"),
        _enlargement("product", "the product", product_by, "use a smaller scale or a larger photo"),
        _fill(flat),
        _frame(flat),
    ]
    if generated:
        findings.append(_scene(flat, picture, scene_by or enlarged_by))
    return Verdict(tuple(findings), measure(flat, picture, generated=generated))


def framing_finding(framing: Framing, canvas: tuple[int, int]) -> Finding:
    """State how the scene was painted: its size, its windows, and the part that the canvas (width, height) shows.

    The value is the stretch: how much more the scene was enlarged on one axis than on the other.
    """
    stretch = framing.stretch(canvas)
    detail = "the scene was painted at {}x{} px".format(*framing.size)
    if framing.windows > 1:
        detail += f" in {framing.windows} overlapping windows"
    if not framing.whole:
        detail += ", of which the canvas shows the middle {}x{} px".format(*framing.shown_size)
    detail += f", and stretched {stretch:.2f}:1"
    return Finding("framing", "ok", detail, stretch)


def relit_lock(flat: Flat, picture: U8, gain_png: bytes) -> Finding:
    """Compare the picture with round(layout x gain) in all pixels in which the layout is opaque.

    `gain_png` is the stored gain file, so the finding proves that a smooth light was laid over the product, and nothing
    else was done to it. A file that is no gain fails.
    """
    try:
        gain = read_gain(gain_png)
    except ValueError as error:
        return Finding("relit_lock", "failed", f"the gain file cannot be read: {error}; make the picture again")
    total, differing = _differing(relit(flat, gain), picture)
    if differing:
        detail = f"{differing} of {total} product pixels differ from round(photo x gain)"
        return Finding("relit_lock", "failed", detail, differing)
    return Finding("relit_lock", "ok", f"all {total} opaque product pixels equal round(photo x gain)", 0.0)


def _lock(flat: Flat, picture: U8) -> Finding:
    """Compare the picture with the layout in all pixels in which the layout is opaque."""
    total, differing = _differing(flat, picture)
    if differing:
        detail = f"{differing:,} of {total:,} product pixels differ from the placed photo"
        return Finding("lock", "failed", detail, differing)
    return Finding("lock", "ok", f"all {total:,} opaque product pixels equal the placed photo", 0.0)


def _differing(flat: Flat, picture: U8) -> tuple[int, int]:
    """(pixels in which the layout is opaque, those of them in which the picture differs from it)."""
    locked = locked_mask(flat)
    layout, shown = cv2.cvtColor(flat.pixels, cv2.COLOR_RGBA2RGB), _rgb(picture)
    total = cv2.countNonZero(locked)
    if cv2.norm(layout, shown, cv2.NORM_INF, locked) > 0:
        return total, int(np.count_nonzero((layout != shown).any(axis=-1) & (locked > 0)))
    return total, 0


def _rgb(picture: U8) -> U8:
    """The colours of an RGB or RGBA picture, uint8 HxWx3."""
    return picture if picture.shape[2] == 3 else np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGBA2RGB), np.uint8)


def _enlargement(check: str, subject: str, factor: float, remedy: str) -> Finding:
    if factor > MAX_ENLARGEMENT:
        detail = f"{subject} was enlarged {factor:.2f}x, which looks soft above 2x; {remedy}"
        return Finding(check, "warning", detail, factor)
    if round(factor, 2) == 1:
        return Finding(check, "ok", f"{subject} was not resized", factor)
    change = f"enlarged {factor:.2f}x" if factor > 1 else f"shrunk to {factor:.2f} of its size"
    return Finding(check, "ok", f"{subject} was {change}", factor)


def _fill(flat: Flat) -> Finding:
    share = float(np.count_nonzero(flat.alpha >= 128)) / flat.alpha.size
    if share < MIN_FILL:
        detail = f"the product covers {share:.4%} of the frame, which is too small to see; use a larger scale"
        return Finding("fill", "warning", detail, share)
    return Finding("fill", "ok", f"the product covers {share:.1%} of the frame", share)


def _frame(flat: Flat) -> Finding:
    height, width = flat.alpha.shape
    x0, y0, x1, y1 = Mask(np.ascontiguousarray(flat.alpha)).bbox_xyxy
    if x1 == 0:
        return Finding("frame", "warning", "no pixel is at least half covered by the product", 0.0)
    cut = [
        side
        for side, at in (("left", x0 == 0), ("top", y0 == 0), ("right", x1 == width), ("bottom", y1 == height))
        if at
    ]
    if cut:
        detail = f"the product touches the edge of the frame: {', '.join(cut)}"
        return Finding("frame", "warning", detail, float(len(cut)))
    return Finding("frame", "ok", "the product lies inside the frame", 0.0)


def _scene(flat: Flat, picture: U8, enlarged_by: float) -> Finding:
    seen = cv2.compare(cv2.extractChannel(flat.pixels, 3), 0, cv2.CMP_EQ)
    share = cv2.countNonZero(seen) / seen.size
    if share < MIN_SCENE:
        detail = f"the scene shows in only {share:.2%} of the frame; use a smaller scale"
        return Finding("scene", "warning", detail, share)
    shown = _rgb(picture)
    spread = float(cv2.meanStdDev(shown, mask=seen)[1].max())
    every = max(1, int(enlarged_by))  # skip the pixels that the enlargement interpolated
    apart_px = max(1, round(GRAIN_PX * enlarged_by / every))
    sparse, sparse_seen = np.ascontiguousarray(shown[::every, ::every]), np.ascontiguousarray(seen[::every, ::every])
    grain = _grain(sparse, sparse_seen, apart_px)
    if spread >= GRAIN_LEVELS and grain > MAX_GRAIN:
        return Finding(
            "scene", "failed", f"the scene looks like noise (grain {grain:.2f} of 1); use another seed", grain
        )
    if spread < BLANK_LEVELS:
        return Finding("scene", "warning", f"the scene is one flat colour (deviation {spread:.2f} of 255)", spread)
    return Finding("scene", "ok", f"the scene has contrast (deviation {spread:.1f} of 255)", spread)


def _grain(picture: U8, seen: U8, apart_px: int) -> float:
    """The mean squared difference of scene pixels `apart_px` apart, divided by that of any two scene pixels.

    It is 1 for noise and near 0 for a gradient. `seen` is uint8 HxW, 255 = scene.
    """
    squares, pairs = 0.0, 0
    for here, there in ((np.s_[apart_px:], np.s_[:-apart_px]), (np.s_[:, apart_px:], np.s_[:, :-apart_px])):
        both = cv2.bitwise_and(seen[here], seen[there])
        if both.size:
            squares += cv2.norm(picture[here], picture[there], cv2.NORM_L2SQR, both)
            pairs += cv2.countNonZero(both)
    any_two = 2 * float((cv2.meanStdDev(picture, mask=seen)[1] ** 2).sum())
    return squares / pairs / any_two if pairs and any_two > 0 else 0.0
