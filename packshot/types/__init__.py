"""The values that travel between stages. They are frozen, and their constructors check dtype and shape.

Every array is row-major and RGB, never BGR. The origin is the top left corner, x points right and y points down. Boxes
are XYXY in pixels, right and bottom exclusive. Arrays that Ray delivers are read-only: copy them before writing.
"""

from packshot.types.arrays import F32, U8, U16, BoxXYXY
from packshot.types.photo import Cutout, Detection, Embedding, Found, Mask, MaskCandidate, Photo, Prompts, Stroke, Words
from packshot.types.product import CERTAIN_MATERIAL, Geometry, Material, MaterialKind, Pose, Understanding
from packshot.types.scene import Brief, ConditionMaps, EdgeMap, Flat, Framing, Kept, Layer, Layout, Render, Scene

__all__ = [
    "CERTAIN_MATERIAL",
    "F32",
    "U8",
    "U16",
    "BoxXYXY",
    "Brief",
    "ConditionMaps",
    "Cutout",
    "Detection",
    "EdgeMap",
    "Embedding",
    "Flat",
    "Found",
    "Framing",
    "Geometry",
    "Kept",
    "Layer",
    "Layout",
    "Mask",
    "MaskCandidate",
    "Material",
    "MaterialKind",
    "Photo",
    "Pose",
    "Prompts",
    "Render",
    "Scene",
    "Stroke",
    "Understanding",
    "Words",
]
