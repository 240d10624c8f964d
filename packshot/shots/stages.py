"""The stages of a shot, and the values that travel between them.

layout's files -> prepare -> Fitted ----> edges, paint -> Painted -> finish -> Finished
           |              `> Prepared ----------------------------------^
           |-> understand -> Understood, for the stages that read the products' geometry
           `-> references -> what the engine follows of the style's pictures, for paint
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

from packshot.contract.clips import ClipJob
from packshot.contract.enhancement import EnhancementSpec
from packshot.contract.light import ShadowKind
from packshot.contract.proof import Proof
from packshot.contract.recipe import EngineStamp
from packshot.contract.shot_spec import Canvas, ShotSpec
from packshot.contract.touchup_spec import Margins, TouchupSpec
from packshot.contract.verdict import Finding, Verdict
from packshot.delivery.presets import Preset
from packshot.imaging.composite import Ground
from packshot.imaging.fingerprint import Fingerprint
from packshot.shots.layout import LayoutFiles
from packshot.shots.pictures import PictureFile
from packshot.types import F32, U8, BoxXYXY, Brief, Flat, Framing, Kept, Material, Render, Stroke


@dataclass(frozen=True)
class Prepared:
    """A layout at the canvas's size, with which a render is composited.

    `enlarged_by` is the largest factor by which a layer's pixels were enlarged. `framing` is how the canvas shows its
    scene; None for a plain background.
    """

    flat: Flat
    enlarged_by: float
    framing: Framing | None = None


@dataclass(frozen=True)
class Fitted:
    """A layout at the scene's size, from which conditions are computed and around which the engine paints.

    `product` is the layout over neutral grey, uint8 HxWx3 RGB. `repaint` is the inpaint mask, uint8 HxW, 255 = repaint.
    `kept` is the finished picture of which a touch-up keeps a part.
    """

    flat: Flat
    product: U8
    repaint: U8
    kept: Kept | None = None


@dataclass(frozen=True)
class Placed:
    """A prepared layout as the flow holds it.

    `covered` is whether the product covers the whole canvas, so that there is no scene to paint. `prepared` and
    `fitted` are a Prepared and a Fitted, or references to them that only stages read.
    """

    covered: bool
    prepared: Any
    fitted: Any


@dataclass(frozen=True)
class Understood:
    """What is known of a shot's products, as the flow holds it.

    `materials` are those of the layers, in their order. `products` is a tuple of one Understanding a layer, or a
    reference to it that only stages read.
    """

    materials: tuple[Material, ...]
    products: Any


@dataclass(frozen=True)
class Step:
    """The progress of one picture, or of a whole shot: `index` of `steps` are done.

    Some steps have a small `preview`, uint8 HxWx3 RGB, of the shot's picture number `image`.
    """

    index: int
    steps: int
    preview: U8 | None = None
    image: int = 0


@dataclass(frozen=True)
class Painted:
    """A finished scene, the engine that painted it, and the milliseconds of each stage."""

    render: Render
    engine: EngineStamp
    timing_ms: dict[str, float]


@dataclass(frozen=True)
class Finished:
    """A finished picture as a PNG, its verdict, and how long finishing took in milliseconds.

    `gain_png` is the gain over a relit product (`packshot.imaging.light.gain`), else None. `fingerprint` is what the
    picture is found by; None for a plain one.
    """

    png: bytes
    width: int
    height: int
    verdict: Verdict
    finish_ms: float
    gain_png: bytes | None = None
    fingerprint: Fingerprint | None = None


@dataclass(frozen=True)
class TextOrder:
    """What to read in a finished picture. `layout` gives the products' places in it.

    `master_key` is the asset of an artwork that is read instead of the products' photos; None = the photos.
    """

    layout: LayoutFiles
    proof: Proof
    master_key: str | None = None


@dataclass(frozen=True)
class Proofread:
    """The findings about a picture's text, and how long reading took in milliseconds."""

    findings: tuple[Finding, ...]
    text_ms: float


@dataclass(frozen=True)
class DeliveryOrder:
    """A finished picture to convert to a channel's file.

    `image_key` is the picture's asset, and `spec` its shot. `layout` gives the product's place; None when a mask or
    photo was deleted. Then the picture's `verdict` says whether the product was cut or enlarged. `shadow` makes a
    picture on a plain background again with another shadow; None keeps the shot's. `gain_key` is the asset of the gain
    over a relit product, else None. `version` is the version of Packshot that made the picture, `instance_id` the
    file's name in its C2PA manifest, and `mark` the watermark of a painted scene (`packshot.delivery.marks`); None =
    none.
    """

    image_key: str
    spec: ShotSpec
    layout: LayoutFiles | None
    preset: Preset
    verdict: Verdict
    shadow: ShadowKind | None = None
    gain_key: str | None = None
    version: str = ""
    instance_id: str = ""
    mark: int | None = None


@dataclass(frozen=True)
class Examined:
    """What the pixels of a file in question say: its fingerprint (None for a plain picture), and its watermark.

    `size` is (width, height) in pixels. `within` is what the picture inside a frame of one colour says, if it has one.
    """

    fingerprint: Fingerprint | None
    mark: int | None
    size: tuple[int, int]
    within: Examined | None = None


@dataclass(frozen=True)
class RegionOrder:
    """The region of a touch-up before it is drawn, in a picture of `size` (width, height) pixels.

    `mask_png` is a decoded mask of the picture's size, 255 = repaint. `strokes` and `marks` are painted on it, or on an
    empty one; `mark_region` describes the marks. `margins` belong to the region too. `layout` is the layout on the
    grown canvas, whose opaque pixels are left out; None leaves nothing out. `around` leaves out its soft edge too.
    `native` is the engine's (width, height).
    """

    size: tuple[int, int]
    margins: Margins
    native: tuple[int, int]
    layout: LayoutFiles | None
    mask_png: bytes | None = None
    strokes: tuple[Stroke, ...] = ()
    marks: tuple[tuple[str, tuple[tuple[float, float], ...]], ...] = ()
    around: bool = False


@dataclass(frozen=True)
class Region:
    """A drawn region: a PNG of the grown picture's size, its pixels, and the part that the engine paints for it."""

    png: bytes
    area_px: int
    box_xyxy: BoxXYXY


@dataclass(frozen=True)
class TouchupOrder:
    """A touch-up to paint: the parent's files and verdict, and what to do.

    `gain_key` is the asset of the gain over the parent's relit product, else None.
    """

    spec: ShotSpec
    touchup: TouchupSpec
    layout: LayoutFiles
    parent_key: str
    region_key: str
    parent_verdict: Verdict
    gain_key: str | None = None


@dataclass(frozen=True)
class PreparedTouchup:
    """What a render is pasted into. `base` is the grown parent, uint8 HxWx3, and `region` uint8 HxW of its size.

    `flat` is the layout on the grown canvas, `shown` is it as the picture shows it, under the gain `gain_png` if it was
    relit, and `ground` is the shadow that lies on its scene. `product_by` is the largest factor by which a layer was
    enlarged. `framing` is how the crop shows its scene.
    """

    base: U8
    region: U8
    flat: Flat
    shown: Flat
    ground: Ground
    product_by: float
    framing: Framing
    gain_png: bytes | None = None


@dataclass(frozen=True)
class EnhancementOrder:
    """A photo to repaint: its asset, the product's place on the canvas, and what to do."""

    spec: ShotSpec
    enhancement: EnhancementSpec
    layout: LayoutFiles
    photo_key: str


@dataclass(frozen=True)
class PreparedEnhancement:
    """What a render is pasted into. `base` is the photo at the canvas's size, uint8 HxWx3.

    `region` is uint8 HxW, 255 = repainted. `flat` is the product on its own place. `product_by` is the factor by which
    it was enlarged. `framing` is how the crop shows its scene.
    """

    base: U8
    region: U8
    flat: Flat
    product_by: float
    framing: Framing


RepaintOrder = TouchupOrder | EnhancementOrder
"""Work that paints a part of a picture or photo that exists."""
PreparedRepaint = PreparedTouchup | PreparedEnhancement


@dataclass(frozen=True)
class ClipOrder:
    """A clip to make. `image_key` is the finished picture's asset, and `layout` gives the product's place in it.

    `depth` is the picture's depth, float32 hxw, near = large; None = it is taken for a ground before a backdrop.
    """

    image_key: str
    layout: LayoutFiles
    job: ClipJob
    depth: F32 | None = None


@dataclass(frozen=True)
class Filmed:
    """A finished clip: the file, and its size in pixels."""

    data: bytes
    width: int
    height: int


class Stages(Protocol):
    """The stages that the flow calls. Values of type Any may be references; the flow only passes them on."""

    def framing_of(self, canvas: Canvas, engine: str) -> Framing:
        """Return the size at which an engine paints for this canvas, and the part that the canvas shows.

        Raises Unavailable `engine_not_served` when no such engine is served here.
        """
        ...

    async def prepare(self, files: LayoutFiles, framing: Framing) -> Placed:
        """Cut and place the products, at the canvas's size and in the scene of `framing`."""
        ...

    async def understand(self, files: LayoutFiles) -> Understood:
        """Find the geometry and the material of the products. Call it after `prepare`, which keeps their cutouts.

        Raises NotFound when a file was deleted.
        """
        ...

    def edges(self, fitted: Any) -> Any:
        """Find the Canny edges of a layout at the engine's size."""
        ...

    async def control_maps(self, fitted: Any, products: Any, spec: ShotSpec) -> Any:
        """Make the maps of the shot's conditions besides the edges, at the engine's size.

        `products` are those of an Understood; None when no condition needs them.
        """
        ...

    async def references(self, files: tuple[PictureFile, ...], strength: float, engine: str) -> Any:
        """Read reference pictures as an engine follows them. `strength` is 0..1.

        Raises NotFound when a file was deleted.
        """
        ...

    def paint(
        self,
        fitted: Any,
        edges: Any,
        brief: Brief,
        *,
        interactive: bool,
        alone: bool,
        maps: Any = None,
        references: Any = None,
    ) -> AsyncIterator[Step | Painted]:
        """Paint one scene with the brief's engine. Yields a Step for each denoising step, then one Painted.

        Closing the iterator cancels it. Raises Unavailable `engine_not_served` as `framing_of` does. `edges` are None
        when the brief has no weight for them. `maps` are those of `control_maps`; None when the brief has no condition
        besides the edges. `references` are those of `references`; None when the scene follows none. `interactive` gives
        the scene the higher priority, because a person waits. `alone` runs it unbatched, because its shot may have
        crashed a replica.
        """
        ...

    async def finish(self, prepared: Any, painted: Painted, spec: ShotSpec, products: Any = None) -> Finished:
        """Put the product into the painted scene. `products` is an `Understood`'s; only relighting needs it."""
        ...

    async def prepare_repaint(self, order: RepaintOrder, framing: Framing) -> Placed:
        """Read the picture or photo, its region and its layout, and fit the crop into the scene of `framing`."""
        ...

    async def finish_repaint(self, prepared: Any, painted: Painted, order: RepaintOrder) -> Finished:
        """Paste the painted scene into the picture or photo."""
        ...

    async def finish_plain(self, files: LayoutFiles, spec: ShotSpec) -> Finished:
        """Finish a picture without a scene: on a plain background, or covered by the product."""
        ...

    async def proofread(self, png: bytes, order: TextOrder) -> Proofread:
        """Compare the text of a finished picture's products with their photos, or with a master.

        Raises NotFound when a file was deleted.
        """
        ...

    async def scene_depth(self, image_key: str) -> F32 | None:
        """Find the depth of a finished picture, as `ClipOrder` has it; None when the pack's geometry knows no scenes.

        Raises NotFound when the picture was deleted.
        """
        ...

    def film(self, order: ClipOrder) -> AsyncIterator[Step | Filmed]:
        """Make a clip of a finished picture. Yields a Step for each frame, then one Filmed. Closing it cancels it."""
        ...
