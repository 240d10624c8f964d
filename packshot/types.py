"""The values that travel between stages. They are frozen, and their constructors check dtype and shape.

Every array is row-major and RGB, never BGR. The origin is the top left corner, x points right and y points down. Boxes
are XYXY in pixels, right and bottom exclusive. Arrays that Ray delivers are read-only: copy them before writing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from packshot.adapters import AdapterAsset, SceneAdapter
from packshot.contract.shot_spec import Canvas, Condition, ConditionKind, Sampler, rows_per_step
from packshot.contract.verdict import Finding
from packshot.references import References

U8 = NDArray[np.uint8]
U16 = NDArray[np.uint16]
F32 = NDArray[np.float32]
BoxXYXY = tuple[int, int, int, int]


def _require(array: np.ndarray[Any, Any], what: str, dtype: type[np.generic], ndim: int, channels: int = 0) -> None:
    if array.dtype != dtype or array.ndim != ndim or (channels and array.shape[-1] != channels) or 0 in array.shape:
        want = {1: "W", 2: "HxW"}.get(ndim, f"HxWx{channels or 'C'}")
        raise TypeError(f"{what} must be {np.dtype(dtype)} {want} and not empty, got {array.dtype} {array.shape}")


@dataclass(frozen=True)
class Photo:
    """An upright sRGB photo without metadata. `pixels` is uint8 HxWx3 RGB, [0, 255]."""

    pixels: U8

    def __post_init__(self) -> None:
        _require(self.pixels, "photo", np.uint8, 3, 3)

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])


@dataclass(frozen=True)
class Mask:
    """The product's area in a photo. `pixels` is uint8 HxW of the photo's size, 255 = product, 0 = background."""

    pixels: U8

    def __post_init__(self) -> None:
        _require(self.pixels, "mask", np.uint8, 2)

    @property
    def area_px(self) -> int:
        """The number of product pixels (128 and above)."""
        return int(np.count_nonzero(self.pixels >= 128))

    @property
    def bbox_xyxy(self) -> BoxXYXY:
        """The product's tight bounding box; (0, 0, 0, 0) when the mask holds no product pixel."""
        product = self.pixels >= 128
        rows, columns = np.flatnonzero(product.any(axis=1)), np.flatnonzero(product.any(axis=0))
        if rows.size == 0:
            return (0, 0, 0, 0)
        return (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


@dataclass(frozen=True)
class Prompts:
    """A user's clicks and boxes, in photo pixels.

    Each entry of `points` is (x, y, label), where label 1 = product and 0 = background. Each entry of `boxes` is XYXY.
    `mask` is a mask of the photo's size that the points and boxes correct: the previous answer, or one that the user
    brings. Without all three the segmenter finds the product automatically. `multimask` asks for several candidates
    instead of one.
    """

    points: tuple[tuple[float, float, int], ...] = ()
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    multimask: bool = True
    mask: Mask | None = None


@dataclass(frozen=True)
class Stroke:
    """A round brush that moves along a polyline, in photo pixels. It adds to the mask, or erases from it."""

    points: tuple[tuple[float, float], ...]
    radius_px: float
    erase: bool = False


@dataclass(frozen=True)
class Embedding:
    """The output of the segmenter's encoder for one photo; the mask decoder needs nothing else.

    `features` is float16 or float32 CxHxW. `photo_width` and `photo_height` are the photo's size in pixels.
    `input_width` and `input_height` are its size in pixels after it was scaled into the encoder's square input.
    `extras` holds further arrays by name: the stem's feature maps (float16), the photo's thumbnail (uint8 hxwx3 RGB).
    """

    features: np.ndarray[Any, Any]
    photo_width: int
    photo_height: int
    input_width: int
    input_height: int
    extras: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """The size of all arrays in bytes."""
        return int(self.features.nbytes + sum(extra.nbytes for extra in self.extras.values()))


@dataclass(frozen=True)
class MaskCandidate:
    """One candidate mask for a set of prompts. `score` is the predicted IoU with the product, 0..1."""

    mask: Mask
    score: float


@dataclass(frozen=True)
class Detection:
    """A product that words named. `box_xyxy` is XYXY in photo pixels; `score` is the confidence, 0..1."""

    box_xyxy: tuple[float, float, float, float]
    score: float


@dataclass(frozen=True)
class Words:
    """What is looked for in a photo: `text` names the product, and `not_text`, if not empty, what it is not."""

    text: str
    not_text: str = ""


@dataclass(frozen=True)
class Found:
    """What words name in a photo: `detections`, best first; none when nothing fits.

    `known` are the words of the text that were looked for, and `unknown` the words that the detector ignored.
    """

    detections: tuple[Detection, ...]
    known: tuple[str, ...]
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class Cutout:
    """The product, cropped to its extent. `pixels` is uint8 HxWx4 RGBA, straight (not premultiplied)."""

    pixels: U8

    def __post_init__(self) -> None:
        _require(self.pixels, "cutout", np.uint8, 3, 4)

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])


@dataclass(frozen=True)
class Geometry:
    """The shape of a cutout, in maps of its aspect ratio.

    `normals` is int8 HxWx3: unit vectors times 127 in the camera's frame (x right, y up, z to the camera). `depth` is
    float32 HxW in 0..1, near = 1. Both are 0 outside the product. `mask` is uint8 HxW, 255 = product, 0 = not.
    """

    normals: NDArray[np.int8]
    depth: F32
    mask: U8

    def __post_init__(self) -> None:
        _require(self.normals, "normals", np.int8, 3, 3)
        _require(self.depth, "depth", np.float32, 2)
        _require(self.mask, "geometry's mask", np.uint8, 2)
        if self.normals.shape[:2] != self.depth.shape or self.depth.shape != self.mask.shape:
            sizes = [part.shape[:2] for part in (self.normals, self.depth, self.mask)]
            raise TypeError(f"normals, depth and mask must have one size, got {sizes}")


MaterialKind = Literal["opaque", "glossy", "metal", "glass"]
Pose = Literal["upright", "flat"]
CERTAIN_MATERIAL = 0.6
"""The confidence from which a guessed material counts."""


@dataclass(frozen=True)
class Material:
    """What a product seems to be made of. `glass` is whatever is seen through, liquids too. `confidence` is 0..1."""

    kind: MaterialKind
    confidence: float

    @property
    def see_through(self) -> bool:
        """Whether it is glass or a liquid, with a confidence that counts."""
        return self.kind == "glass" and self.confidence >= CERTAIN_MATERIAL

    @property
    def needs_care(self) -> bool:
        """Whether it mirrors or shows its surroundings, which no new scene replaces: a person must look."""
        return self.kind in ("metal", "glass") and self.confidence >= CERTAIN_MATERIAL


@dataclass(frozen=True)
class Understanding:
    """All that is known of a product from its cutout.

    `geometry` has maps of HxW. `height` is float32 HxW, the height above the ground in pixels of these maps, 0 outside
    the product. `contact_y` is float32 W, the row of the maps at which each column meets the ground. `pose` is how the
    product lies. `gloss` is 0..1, how much of it mirrors a light.
    """

    geometry: Geometry
    height: F32
    contact_y: F32
    pose: Pose
    gloss: float
    material: Material

    def __post_init__(self) -> None:
        _require(self.height, "height", np.float32, 2)
        _require(self.contact_y, "contact line", np.float32, 1)
        if self.height.shape != self.geometry.mask.shape or self.contact_y.shape != self.geometry.mask.shape[1:]:
            sizes = [part.shape for part in (self.geometry.mask, self.height, self.contact_y)]
            raise TypeError(f"height and contact line must fit the geometry, got {sizes}")

    @property
    def nbytes(self) -> int:
        """The size of all maps in bytes."""
        maps = (self.geometry.normals, self.geometry.depth, self.geometry.mask, self.height, self.contact_y)
        return sum(int(part.nbytes) for part in maps)


@dataclass(frozen=True)
class Layer:
    """A cutout placed on the canvas.

    `x` and `y` are the cutout's centre as fractions of the canvas's width and height. `scale` is the cutout's longer
    side divided by the canvas's longer side. `flip` mirrors the cutout left to right; then it is rotated clockwise by
    `rotation_deg` degrees.
    """

    cutout: Cutout
    x: float = 0.5
    y: float = 0.5
    scale: float = 0.6
    rotation_deg: float = 0.0
    flip: bool = False


@dataclass(frozen=True)
class Layout:
    """A canvas and its layers. Layers are painted in order, so later layers cover earlier ones."""

    canvas: Canvas
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class Flat:
    """A layout painted at the canvas's full resolution, without a background.

    `pixels` is uint8 HxWx4 RGBA, straight (not premultiplied); alpha 0 = no product. `boxes` are the layers' visible
    parts, in painting order; empty = not known.
    """

    pixels: U8
    boxes: tuple[BoxXYXY, ...] = ()

    def __post_init__(self) -> None:
        _require(self.pixels, "flat", np.uint8, 3, 4)

    @property
    def rgb(self) -> U8:
        return self.pixels[..., :3]

    @property
    def alpha(self) -> U8:
        return self.pixels[..., 3]


@dataclass(frozen=True)
class Framing:
    """How a canvas shows its scene.

    `size` is the scene's (width, height) in pixels, at which the engine paints it. `shown_xyxy` is the part that the
    canvas shows, XYXY in the scene's pixels. `windows` is the number of overlapping windows in which it is painted.
    """

    size: tuple[int, int]
    shown_xyxy: BoxXYXY
    windows: int = 1

    @classmethod
    def of_whole(cls, width: int, height: int) -> Framing:
        """A scene of this size that the canvas shows whole."""
        return cls((width, height), (0, 0, width, height))

    @property
    def shown_size(self) -> tuple[int, int]:
        """(width, height) of the shown part in pixels."""
        x0, y0, x1, y1 = self.shown_xyxy
        return x1 - x0, y1 - y0

    @property
    def whole(self) -> bool:
        """Whether the canvas shows the whole scene."""
        return self.shown_xyxy == (0, 0, *self.size)

    def enlargement(self, canvas: tuple[int, int]) -> float:
        """The factor by which the shown part is enlarged to the canvas's (width, height), the larger of both axes."""
        return max(side / shown for side, shown in zip(canvas, self.shown_size, strict=True))

    def stretch(self, canvas: tuple[int, int]) -> float:
        """How much more the scene is enlarged on one axis than on the other, at least 1. `canvas` is its size."""
        width, height = self.shown_size
        ratio = canvas[0] * height / (canvas[1] * width)
        return max(ratio, 1 / ratio)


@dataclass(frozen=True)
class EdgeMap:
    """The Canny edges of a layout. `pixels` is uint8 HxW, 255 = edge, 0 = no edge."""

    pixels: U8

    def __post_init__(self) -> None:
        _require(self.pixels, "edge map", np.uint8, 2)

    @classmethod
    def none(cls, mask: U8) -> EdgeMap:
        """No edges, at the size of a mask (uint8 HxW)."""
        return cls(np.zeros_like(mask))


@dataclass(frozen=True)
class ConditionMaps:
    """The control images of a layout besides its edges, all of one size. None = not made.

    `depth` is uint8 HxW: near = 255, and 0 beyond the product. `normal` is uint8 HxWx3: a unit vector's parts to the
    left, up and to the viewer, -1..1 as 0..255. `segmentation` is uint8 HxWx3 RGB, a colour for each class. `pose` is
    uint8 HxWx3 RGB, people's bones on black.
    """

    depth: U8 | None = None
    normal: U8 | None = None
    segmentation: U8 | None = None
    pose: U8 | None = None

    def __post_init__(self) -> None:
        if self.depth is not None:
            _require(self.depth, "depth map", np.uint8, 2)
        if self.normal is not None:
            _require(self.normal, "normal map", np.uint8, 3, 3)
        if self.segmentation is not None:
            _require(self.segmentation, "segmentation map", np.uint8, 3, 3)
        if self.pose is not None:
            _require(self.pose, "pose map", np.uint8, 3, 3)
        if len({pixels.shape[:2] for pixels in self.made.values()}) > 1:
            sizes = {kind: pixels.shape[:2] for kind, pixels in self.made.items()}
            raise TypeError(f"condition maps must have one size, got {sizes}")

    @property
    def made(self) -> dict[ConditionKind, U8]:
        """The maps that were made, by kind."""
        found: dict[ConditionKind, U8 | None] = {
            "depth": self.depth,
            "normal": self.normal,
            "segmentation": self.segmentation,
            "pose": self.pose,
        }
        return {kind: pixels for kind, pixels in found.items() if pixels is not None}


@dataclass(frozen=True)
class Brief:
    """What the engine paints, and how.

    `steps` is the number of denoising steps. `guidance_scale` is the weight of the prompt, and `control_scale` is the
    weight of the ControlNet that follows the edges. `control_start` and `control_end` bound the part of the schedule in
    which it is applied, as fractions 0..1. `conditions` are the conditions besides the edges. `strength` is the last
    part of the schedule that is run, above 0 and up to 1: below 1 the repainted pixels start from those of the scene's
    picture, to which noise was added. `sampler` None is the pack's own. `engine` names the engine; an engine itself
    does not read it. `enlarged_by` is the factor by which the canvas enlarges the scene, for engines that have an
    upscaler. `adapters` are the files that change the engine for this brief; they are loaded before it begins.
    """

    prompt: str
    negative_prompt: str = ""
    seed: int = 0
    steps: int = 20
    guidance_scale: float = 7.5
    control_scale: float = 0.8
    control_start: float = 0.0
    control_end: float = 1.0
    conditions: tuple[Condition, ...] = ()
    strength: float = 1.0
    sampler: Sampler | None = None
    engine: str = ""
    enlarged_by: float = 1.0
    adapters: tuple[AdapterAsset, ...] = ()

    @property
    def all_conditions(self) -> dict[ConditionKind, Condition]:
        """Every condition by kind, the edges first."""
        canny = Condition(scale=self.control_scale, start=self.control_start, end=self.control_end)
        return {one.kind: one for one in (canny, *self.conditions)}

    @property
    def rows_per_step(self) -> int:
        """Batch rows that each denoising step needs: 2 with guidance, else 1."""
        return rows_per_step(self.guidance_scale)


@dataclass(frozen=True)
class Kept:
    """A finished picture of which a scene keeps a part. Both arrays have the scene's height and width.

    `picture` is uint8 HxWx3 RGB. `repaint` is uint8 HxW, 255 = this pixel is painted anew.
    """

    picture: U8
    repaint: U8

    def __post_init__(self) -> None:
        _require(self.picture, "kept picture", np.uint8, 3, 3)
        _require(self.repaint, "kept picture's mask", np.uint8, 2)
        if self.picture.shape[:2] != self.repaint.shape:
            raise TypeError(f"picture and mask must share a size, got {self.picture.shape} and {self.repaint.shape}")


@dataclass(frozen=True)
class Scene:
    """The input for one picture, at a size at which the engine paints. All arrays have the same height and width.

    `product` is the layout over neutral grey, uint8 HxWx3 RGB. `inpaint_mask` is uint8 HxW, 255 = repaint. `maps` has a
    map for each of the brief's conditions besides the edges. `references` are pictures whose scenes it follows, and
    `adapters` change the engine for it.
    """

    product: U8
    inpaint_mask: U8
    edge_map: EdgeMap
    brief: Brief
    maps: ConditionMaps = ConditionMaps()
    kept: Kept | None = None
    references: References | None = None
    adapters: tuple[SceneAdapter, ...] = ()

    def __post_init__(self) -> None:
        _require(self.product, "scene", np.uint8, 3, 3)
        _require(self.inpaint_mask, "inpaint mask", np.uint8, 2)
        if not self.product.shape[:2] == self.inpaint_mask.shape == self.edge_map.pixels.shape:
            shapes = (self.product.shape, self.inpaint_mask.shape, self.edge_map.pixels.shape)
            raise TypeError(f"product, inpaint mask and edge map must share height and width, got {shapes}")
        for kind, pixels in self.maps.made.items():
            if pixels.shape[:2] != self.inpaint_mask.shape:
                sizes = f"{self.inpaint_mask.shape} and {pixels.shape[:2]}"
                raise TypeError(f"scene and {kind} map must share height and width, got {sizes}")

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return int(self.product.shape[1]), int(self.product.shape[0])


@dataclass(frozen=True)
class Render:
    """A painted scene, before the product's own pixels are put back.

    Its size is the `Scene`'s, or a multiple of it for a pack whose decoder enlarges. `pixels` is uint8 HxWx3 RGB.
    `seed` is the seed that it was painted with. `findings` are the engine's findings, for example words of the prompt
    that it left out.
    """

    pixels: U8
    seed: int
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        _require(self.pixels, "render", np.uint8, 3, 3)
