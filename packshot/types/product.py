"""What is known of a product: its shape, its material and how it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from packshot.types.arrays import F32, U8, require_array


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
        require_array(self.normals, "normals", np.int8, 3, 3)
        require_array(self.depth, "depth", np.float32, 2)
        require_array(self.mask, "geometry's mask", np.uint8, 2)
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
        require_array(self.height, "height", np.float32, 2)
        require_array(self.contact_y, "contact line", np.float32, 1)
        if self.height.shape != self.geometry.mask.shape or self.contact_y.shape != self.geometry.mask.shape[1:]:
            sizes = [part.shape for part in (self.geometry.mask, self.height, self.contact_y)]
            raise TypeError(f"height and contact line must fit the geometry, got {sizes}")

    @property
    def nbytes(self) -> int:
        """The size of all maps in bytes."""
        maps = (self.geometry.normals, self.geometry.depth, self.geometry.mask, self.height, self.contact_y)
        return sum(int(part.nbytes) for part in maps)
