"""From a layout to a render: what is placed on a canvas, what the engine is told, and what it paints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from packshot.adapters import AdapterAsset, SceneAdapter
from packshot.contract.shot_spec import Canvas, Condition, ConditionKind, Sampler, rows_per_step
from packshot.contract.verdict import Finding
from packshot.references import References
from packshot.types.arrays import U8, BoxXYXY, require_array
from packshot.types.photo import Cutout


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
        require_array(self.pixels, "flat", np.uint8, 3, 4)

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
        require_array(self.pixels, "edge map", np.uint8, 2)

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
            require_array(self.depth, "depth map", np.uint8, 2)
        if self.normal is not None:
            require_array(self.normal, "normal map", np.uint8, 3, 3)
        if self.segmentation is not None:
            require_array(self.segmentation, "segmentation map", np.uint8, 3, 3)
        if self.pose is not None:
            require_array(self.pose, "pose map", np.uint8, 3, 3)
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
        require_array(self.picture, "kept picture", np.uint8, 3, 3)
        require_array(self.repaint, "kept picture's mask", np.uint8, 2)
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
        require_array(self.product, "scene", np.uint8, 3, 3)
        require_array(self.inpaint_mask, "inpaint mask", np.uint8, 2)
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
        require_array(self.pixels, "render", np.uint8, 3, 3)
