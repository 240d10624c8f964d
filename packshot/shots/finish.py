"""The pixel work outside the models: from photos and masks to a layout, from a render to the finished picture.

    photo, mask ──cut──> cutouts ──flatten──> Prepared ──fit──> Fitted
    Prepared + Painted ──enlarge──> scene ──style, composite, shadow──> picture ──inspect, encode──> Finished

Everything here is pure: a repeated call gives the same result. It reads assets, and writes none but cutouts, which
`packshot.shots.cutouts` makes once and keeps.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache, partial

import numpy as np

from packshot.contract.light import Shadow, ShadowKind
from packshot.contract.set_report import SetReport
from packshot.contract.shot_spec import Canvas, ShotSpec
from packshot.contract.verdict import Verdict
from packshot.delivery.deliver import Delivered, deliver
from packshot.delivery.delivered_lock import with_product
from packshot.delivery.encoding import Proof, SignsFiles
from packshot.delivery.files import read_file
from packshot.delivery.marks import photo_instance
from packshot.delivery.metadata import Origin
from packshot.errors import BadInput, NotFound
from packshot.imaging.canvas import cutout_bbox, fit_into
from packshot.imaging.codec import encode_mask_png, encode_png, read_mask, read_png
from packshot.imaging.composite import composite, enlarge, inpaint_mask, plain_background, product_on_grey
from packshot.imaging.fingerprint import Fingerprint, fingerprint_of
from packshot.imaging.light.gain import read_gain, relit
from packshot.imaging.lock import lock_px_of
from packshot.imaging.matting import MattingNetwork
from packshot.imaging.picture_frame import inside_frame
from packshot.imaging.report_picture import draw_report
from packshot.imaging.resample import reduced
from packshot.imaging.strokes import paint
from packshot.imaging.watermark import read_mark
from packshot.models.read import RapidReader, Reader
from packshot.shots.cutouts import CutoutFiles, load_cutout_png
from packshot.shots.enhance import finish_enhancement, prepare_enhancement
from packshot.shots.filming import Filming
from packshot.shots.generated import finish_generated
from packshot.shots.layout import LayoutFiles, draw_layout
from packshot.shots.lighting import lit_ground
from packshot.shots.pictures import READ_PX, FoundStyle, PictureFile, load_picture, read_style
from packshot.shots.proofreading import Proofreader
from packshot.shots.relighting import load_gain, prove, relit_layout, unlit_findings
from packshot.shots.stages import (
    ClipOrder,
    DeliveryOrder,
    EnhancementOrder,
    Examined,
    Finished,
    Fitted,
    Painted,
    Placed,
    Prepared,
    PreparedEnhancement,
    PreparedRepaint,
    Proofread,
    Region,
    RegionOrder,
    RepaintOrder,
    TextOrder,
)
from packshot.shots.styling import styled_scene, unstyled_findings
from packshot.shots.touchup import find_region, finish_touchup, prepare_touchup
from packshot.store.assets import Assets
from packshot.store.records import NewMask
from packshot.types import U8, Flat, Framing, Mask, Stroke, Understanding
from packshot.verdict.defects import defect_findings
from packshot.verdict.inspect import framing_finding, inspect

THUMBNAIL_PX = 384
"""Longer side of a thumbnail, pixels."""
REFERENCES_KEPT = 64
"""Small copies of reference pictures that are kept, 0.2 MB each, because a style is read again and again."""

__all__ = ["Finisher", "finish", "finish_plain", "finish_repaint", "fit"]


def fit(prepared: Prepared, framing: Framing) -> Fitted:
    """Place a prepared layout in the scene of `framing`, at the scene's size."""
    flat = fit_into(prepared.flat, framing)
    return Fitted(flat, product_on_grey(flat), inpaint_mask(flat))


def finish(
    prepared: Prepared, painted: Painted, spec: ShotSpec, products: Sequence[Understanding] | None = None
) -> Finished:
    """Composite the product into its painted scene, inspect the picture and encode it.

    `products` is what is known of each layer's product; a shot with `relight` needs it.
    """
    if spec.product is not None:
        return finish_generated(prepared, painted)
    started_at = time.perf_counter()
    flat, render = prepared.flat, painted.render.pixels
    height, width = flat.alpha.shape
    framing = prepared.framing or Framing.of_whole(*render.shape[1::-1])
    painted_scene = enlarge(render, Canvas(width, height), framing)
    styled = styled_scene(painted_scene, spec, flat.alpha)
    scene = styled.pixels
    lit = lit_ground(flat, spec, scene)
    lighting = relit_layout(flat, spec, scene, products)
    picture = composite(lighting.flat, scene, lit.ground)
    render_px = render.shape[1] / framing.size[0]  # the render's pixels for each of the scene's
    scene_by = framing.enlargement((width, height))
    verdict = _verdict(prepared, picture, spec, scene_by / render_px, lighting.gain_png, scene_by)
    findings = [*verdict.findings, framing_finding(framing, (width, height))]
    findings += defect_findings(flat, picture, painted_scene, spec)
    findings += [*styled.findings, *lit.findings, *lighting.findings, *painted.render.findings]
    return _finished(picture, replace(verdict, findings=tuple(findings)), started_at, lighting.gain_png)


def finish_plain(prepared: Prepared, spec: ShotSpec) -> Finished:
    """Finish a picture without an engine: the product on white, on a colour or on transparency.

    A shot with a generated background gets white: its product covers the canvas, so there is no scene to paint.
    """
    started_at = time.perf_counter()
    picture = plain_picture(prepared, spec)
    verdict = _verdict(prepared, picture, spec)
    findings = (*verdict.findings, *unlit_findings(spec), *unstyled_findings(spec))
    return _finished(picture, replace(verdict, findings=findings), started_at)


def finish_repaint(prepared: PreparedRepaint, painted: Painted, order: RepaintOrder) -> Finished:
    """Paste a painted scene into the picture or photo that it repaints, inspect it and encode it."""
    if isinstance(order, EnhancementOrder):
        assert isinstance(prepared, PreparedEnhancement)
        return finish_enhancement(prepared, painted, order)
    assert not isinstance(prepared, PreparedEnhancement)
    return finish_touchup(prepared, painted, order)


def plain_picture(prepared: Prepared, spec: ShotSpec) -> U8:
    """The product on its plain background: uint8 HxWx3 RGB, or HxWx4 straight RGBA for a transparent one."""
    height, width = prepared.flat.alpha.shape
    ground = lit_ground(prepared.flat, spec, None).ground
    if spec.background.transparent:
        return composite(prepared.flat, None, ground)
    colour = "white" if spec.background.generated else spec.background.name
    return composite(prepared.flat, plain_background(Canvas(width, height), colour), ground)


def origin_of(order: DeliveryOrder) -> Origin:
    """What the file of an order says of where it comes from."""
    keys = dict.fromkeys(layer.cutout.photo_key for layer in order.layout.layers) if order.layout else ()
    spec = order.spec
    return Origin(
        version=order.version,
        engine=spec.engine if spec.background.generated else None,
        instance_id=order.instance_id,
        product=order.verdict.product,
        whole=spec.product is not None,
        photo_ids=tuple(photo_instance(key) for key in keys),
        mark=order.mark,
    )


def _verdict(
    prepared: Prepared,
    picture: U8,
    spec: ShotSpec,
    enlarged_by: float = 1.0,
    gain_png: bytes | None = None,
    scene_by: float | None = None,
) -> Verdict:
    return inspect(
        prepared.flat,
        picture,
        enlarged_by=enlarged_by,
        product_by=prepared.enlarged_by,
        generated=spec.background.generated,
        gain_png=gain_png,
        scene_by=scene_by,
    )


def _finished(picture: U8, verdict: Verdict, started_at: float, gain_png: bytes | None = None) -> Finished:
    height, width = picture.shape[:2]
    png, found = encode_png(picture), fingerprint_of(picture)
    finish_ms = (time.perf_counter() - started_at) * 1000
    return Finished(png, width, height, verdict, finish_ms, gain_png, found)


def _examined(pixels: U8) -> Examined:
    mark = read_mark(np.ascontiguousarray(pixels[..., :3]))
    return Examined(fingerprint_of(pixels), mark, (pixels.shape[1], pixels.shape[0]))


class Finisher:
    """The functions above for stored files. Every method blocks on pixel work, so call it on a worker thread.

    `assets` is the store's asset root. `matting` is the network that finds the edges of cutouts
    (`packshot.models.matting`); None = closed form. `signer` signs delivered files (`packshot.delivery.signing`); None
    leaves them unsigned. `reader` reads text; None = rapidocr's, which loads at the first picture.
    """

    def __init__(
        self,
        assets: Assets,
        matting: MattingNetwork | None = None,
        signer: SignsFiles | None = None,
        reader: Reader | None = None,
    ) -> None:
        self._assets = assets
        self._matting = matting
        self._signer = signer
        self._proofreader = Proofreader(assets, reader or RapidReader(), matting)
        self._reference = lru_cache(REFERENCES_KEPT)(lambda key: load_picture(assets, key, READ_PX))

    def prepare(self, files: LayoutFiles, framing: Framing) -> Placed:
        """Load a layout and place it, at the canvas's size and in the scene of `framing`.

        Raises NotFound when a file was deleted and BadInput `layer_outside` when a layer is not on the canvas.
        """
        prepared = self._draw(files, framing)
        covered = bool((prepared.flat.alpha == 255).all())
        return Placed(covered, prepared, fit(prepared, framing))

    def region(self, order: RegionOrder) -> Region:
        """Draw the region of a touch-up. Raises as `find_region` does."""
        return find_region(self._assets, order, self._matting)

    def prepare_repaint(self, order: RepaintOrder, framing: Framing) -> Placed:
        """Read what is repainted and fit its crop into the scene of `framing`. Raises NotFound for a deleted file."""
        if isinstance(order, EnhancementOrder):
            return prepare_enhancement(self._assets, order, framing, self._matting)
        return prepare_touchup(self._assets, order, framing, self._matting)

    def finish_plain(self, files: LayoutFiles, spec: ShotSpec) -> Finished:
        """Finish a picture that needs no engine. Raises as `prepare` does."""
        return finish_plain(self._draw(files), spec)

    def mask_png(self, mask_key: str, longest_px: int | None = None) -> bytes:
        """Encode a stored mask as an 8-bit grey PNG of the photo's size, or of at most `longest_px` if given."""
        pixels = read_mask(self._assets.get(mask_key)).pixels
        if longest_px is not None:
            step = max(1, max(pixels.shape) // longest_px)  # a mean of all pixels would cost more than the encoding
            pixels = reduced(np.ascontiguousarray(pixels[::step, ::step]), longest_px)
        return encode_png(pixels)

    def cutout_png(self, files: CutoutFiles) -> bytes:
        """The cutout as an RGBA PNG. The first call for a mask makes it and keeps it."""
        return load_cutout_png(self._assets, files, self._matting)

    def paint(self, mask_key: str | None, size: tuple[int, int], strokes: Sequence[Stroke]) -> NewMask:
        """Paint strokes on a stored mask, or on an empty one of `size` (width, height) in pixels.

        Raises BadInput `mask_empty` when no product pixel is left.
        """
        if mask_key is None:
            base: U8 = np.zeros((size[1], size[0]), np.uint8)
        else:
            base = read_mask(self._assets.get(mask_key)).pixels
        mask = Mask(paint(base, strokes))
        if mask.area_px == 0:
            detail = "a mask must hold at least one product pixel, the strokes leave none; erase less, or add some"
            raise BadInput("mask_empty", detail)
        lock_px = lock_px_of(size[0], size[1])
        return NewMask(
            1.0,
            mask.area_px,
            mask.bbox_xyxy,
            encode_mask_png(mask.pixels),
            lock_px=lock_px,
            cutout_bbox_xyxy=cutout_bbox(mask, lock_px),
        )

    def mask_agrees(self, mask_key: str, points: Sequence[tuple[float, float, int]]) -> bool:
        """Whether all points (x, y, label) with label 1 lie on a stored mask's product, and no others do."""
        pixels = read_mask(self._assets.get(mask_key)).pixels
        return all((pixels[int(y), int(x)] >= 128) == (label == 1) for x, y, label in points)

    def thumbnail(self, image_key: str, longest_px: int = THUMBNAIL_PX) -> bytes:
        """A small copy of a stored picture, a PNG of at most `longest_px`."""
        return encode_png(reduced(read_png(self._assets.get(image_key)), longest_px), level=6)

    def examine(self, png: bytes) -> Examined:
        """Find the fingerprint and the watermark of a decoded file, a PNG that Packshot wrote."""
        pixels = _colours(read_png(png))
        whole = _examined(pixels)
        place = inside_frame(np.ascontiguousarray(pixels[..., :3]))
        if place is None:
            return whole
        x0, y0, x1, y1 = place
        return replace(whole, within=_examined(np.ascontiguousarray(pixels[y0:y1, x0:x1])))

    def fingerprint(self, asset_key: str) -> Fingerprint | None:
        """Find the fingerprint of a stored picture or delivered file. Raises NotFound when it was deleted."""
        data = self._assets.get(asset_key)
        return fingerprint_of(_colours(read_png(data)) if asset_key.endswith(".png") else read_file(data).pixels)

    def read_style(self, files: Sequence[PictureFile]) -> FoundStyle:
        """The palette and the light of reference pictures. Raises NotFound for a deleted file."""
        return read_style(self._reference, files)

    def report_png(self, report: SetReport, image_keys: Mapping[str, str]) -> bytes:
        """Draw a catalogue's set report with its outliers' pictures. `image_keys` names their assets, by image id."""
        thumbnails = {}
        for image_id, key in image_keys.items():
            with suppress(NotFound):  # deleted since
                thumbnails[image_id] = self.thumbnail(key)
        return draw_report(report, thumbnails)

    def deliver(self, order: DeliveryOrder) -> Delivered:
        """Convert an image to a channel's file.

        Raises BadInput: `preset_unmet` when it cannot meet a rule of the preset, and `not_served` when the aspect ratio
        or the shadow would need another scene. Raises Conflict `gain_altered` for a relit picture without its proof,
        and Unavailable `signing_unavailable` when the signing key does not answer.
        """
        prepared = self._prepared(order.layout)
        if order.shadow is None or order.shadow == order.spec.shadow.kind:
            pixels = read_png(self._assets.get(order.image_key))
        else:
            pixels = self._with_shadow(prepared, order.spec, order.shadow)
        proof = Proof(origin_of(order), self._signer)
        relit_lock = None
        if order.gain_key is not None:
            relit_lock = prove(self._assets, prepared.flat if prepared else None, pixels, order.gain_key)
        make = partial(
            deliver,
            pixels,
            order.preset,
            generated=order.spec.background.generated,
            relit_lock=relit_lock,
            locked=order.verdict.product == "locked",
            proof=proof,
        )
        placed = order.spec.product is None  # nobody knows where a painted product stands
        if prepared is None or not placed or prepared.flat.alpha.shape != pixels.shape[:2]:
            found = {finding.check: finding for finding in order.verdict.findings}
            cut = found["frame"].level != "ok" if "frame" in found else None
            return make(enlarged_by=found["product"].value if "product" in found else None, cut=cut)
        shown = prepared.flat
        if order.gain_key is not None and relit_lock is not None and relit_lock.level != "failed":
            shown = relit(shown, read_gain(load_gain(self._assets, order.gain_key)))
        expected = with_product(pixels, shown)
        return make(product_alpha=shown.alpha, enlarged_by=prepared.enlarged_by, expected=expected)

    def proofread(self, png: bytes, order: TextOrder) -> Proofread:
        """Compare the text of a finished picture with its products'. Raises NotFound when a file was deleted."""
        return self._proofreader.proofread(png, order)

    def film(self, order: ClipOrder) -> Filming:
        """Make a clip of a finished picture, frame by frame; `Filming` says what it raises."""

        def draw() -> tuple[U8, Flat]:
            return read_png(self._assets.get(order.image_key)), self._draw(order.layout).flat

        return Filming(draw, order.job, order.depth)

    def _with_shadow(self, prepared: Prepared | None, spec: ShotSpec, shadow: ShadowKind) -> U8:
        """The picture on its plain background with another shadow."""
        what = f"a delivery with shadow `{shadow}` of a picture with shadow `{spec.shadow.kind}`"
        if spec.background.generated:
            rule = "needs a plain background, got a generated scene"
            raise BadInput("not_served", f"{what} {rule}; make a shot with shadow `{shadow}`")
        if prepared is None:
            rule = "needs the picture's masks and photos, which were deleted"
            raise BadInput("not_served", f"{what} {rule}; upload the photo again and make a shot")
        return plain_picture(prepared, replace(spec, shadow=Shadow(shadow)))

    def _draw(self, files: LayoutFiles, framing: Framing | None = None) -> Prepared:
        return Prepared(*draw_layout(self._assets, files, self._matting), framing)

    def _prepared(self, layout: LayoutFiles | None) -> Prepared | None:
        """The picture's layout; None when a file was deleted since."""
        try:
            return None if layout is None else self._draw(layout)
        except NotFound:
            return None


def _colours(pixels: U8) -> U8:
    """Pixels with colour planes: uint8 HxWx3 of HxW grey ones, others as they are."""
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels
