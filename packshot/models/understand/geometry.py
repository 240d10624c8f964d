"""The geometry of a cutout: normals and depth, from one of four sources.

Cutout ─> on the mean colour, square ─> SamEncoder ─> GeometryHead ─┐     (mini)
Cutout ─> on grey ─> Depth Anything ─> depth, and its normals ──────┼─> Geometry
Cutout ─> on grey ─> MoGe-2 ─> normals and depth ───────────────────┤
Cutout ─> mask ─> inflation ────────────────────────────────────────┘     (a pack without the role)
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np
import torch

from packshot.imaging.light.inflation import inflated, normals_of
from packshot.models.packs.weights import missing_package
from packshot.models.segment.segmenter import SamEncoder, load_segmenter
from packshot.models.understand.network import GeometryHead
from packshot.types import F32, U8, Cutout, Embedding, Geometry, Photo

if TYPE_CHECKING:
    from packshot.models.packs.pack import Pack

log = logging.getLogger(__name__)

GEOMETRY_PX = 256
"""The longer side of a geometry's maps, for larger cutouts."""
MARGIN = 0.08
"""The space around the product in the network's input, as a share of its longer side."""
GROUND = (124, 116, 104)
"""The colour behind the product: the segmenter's mean colour."""
RELIEF = 0.5
"""How deep a product is taken to be where a network gives depth without a unit, as a share of its longer side."""


class GeometryEstimator(Protocol):
    """Estimates the geometry of cutouts, and the depth of whole pictures where its network was trained on scenes."""

    def estimate(self, cutouts: Sequence[Cutout]) -> list[Geometry]:
        """The geometry of each cutout, in order."""
        ...

    def scene_depth(self, picture: U8) -> F32 | None:
        """The depth of a picture (uint8 HxWx3 RGB), float32 hxw with the picture's aspect ratio, near = large and
        without a unit; None when the estimator knows products alone."""
        ...


def _size(cutout: Cutout) -> tuple[int, int]:
    """(width, height) of a cutout's maps."""
    scale = min(1.0, GEOMETRY_PX / max(cutout.width, cutout.height))
    return max(1, round(cutout.width * scale)), max(1, round(cutout.height * scale))


def _mask(cutout: Cutout) -> U8:
    """The product in a cutout's maps, uint8 hxw: 255 or 0."""
    alpha = cv2.resize(np.ascontiguousarray(cutout.pixels[..., 3]), _size(cutout), interpolation=cv2.INTER_AREA)
    return np.asarray(np.where(alpha >= 128, 255, 0), np.uint8)


def _finished(normals: F32, depth: F32, mask: U8) -> Geometry:
    """A geometry from normals (hxwx3) and depth (hxw) of any scale, near = large; both end at the mask."""
    product = mask >= 128
    if not product.any():
        return Geometry(np.zeros((*mask.shape, 3), np.int8), np.zeros(mask.shape, np.float32), mask)
    low, high = np.percentile(depth[product], (1, 99))
    shown = np.clip((depth - low) / max(float(high - low), 1e-6), 0, 1)
    length = np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-6)
    unit = np.round(normals / length * 127).astype(np.int8)
    return Geometry(
        np.where(product[..., None], unit, np.int8(0)), np.where(product, shown, 0).astype(np.float32), mask
    )


@dataclass(frozen=True)
class InflatedGeometry:
    """The geometry that the silhouette says."""

    def estimate(self, cutouts: Sequence[Cutout]) -> list[Geometry]:
        found = []
        for cutout in cutouts:
            mask = _mask(cutout)
            height = inflated(mask)
            found.append(_finished(normals_of(height, mask), height, mask))
        return found

    def scene_depth(self, picture: U8) -> None:
        return None


def _frame(cutout: Cutout) -> tuple[int, int]:
    """The margin around a cutout in its square, and the square's side, in the cutout's pixels."""
    longer = max(cutout.width, cutout.height)
    edge = max(1, round(longer * MARGIN))
    return edge, longer + 2 * edge


def _inside(maps: F32, cutout: Cutout) -> F32:
    """A cutout's maps hxwxK from the maps nxnxK of its square."""
    (edge, side), (width, height) = _frame(cutout), _size(cutout)
    per_px = len(maps) / side
    across, down = per_px * cutout.width / width, per_px * cutout.height / height
    to_square = np.array([[across, 0, edge * per_px + across / 2 - 0.5], [0, down, edge * per_px + down / 2 - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    found = cv2.warpAffine(maps, to_square, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float32).reshape(height, width, -1)


def framed(cutout: Cutout) -> tuple[Photo, U8]:
    """The network's input: the product on GROUND with MARGIN, a square; and its mask, uint8 of the same size."""
    edge, side = _frame(cutout)
    alpha = cutout.pixels[..., 3]
    share = alpha[..., None].astype(np.uint16)
    product = (cutout.pixels[..., :3] * share + np.array(GROUND, np.uint16) * (255 - share) + 127) // 255
    pixels = np.full((side, side, 3), GROUND, np.uint8)
    mask = np.zeros((side, side), np.uint8)
    inside = np.s_[edge : edge + cutout.height, edge : edge + cutout.width]
    pixels[inside] = product
    mask[inside] = np.where(alpha >= 128, 255, 0)
    return Photo(pixels), mask


def outline(mask: U8, side: int) -> F32:
    """What the head reads of a square mask: float32 (5, side, side) (`network.OUTLINE`)."""
    small = cv2.resize(mask, (side, side), interpolation=cv2.INTER_AREA)
    height = inflated(small)
    normals = normals_of(height, small)
    shape = height / max(float(height.max()), 1.0)
    return np.concatenate([(small[None] >= 128), normals.transpose(2, 0, 1), shape[None]]).astype(np.float32)


@dataclass(frozen=True)
class HeadGeometry:
    """The mini pack's geometry: `GeometryHead` on the segmenter's features of the cutout."""

    encoder: SamEncoder
    head: GeometryHead
    device: torch.device

    @torch.inference_mode()
    def estimate(self, cutouts: Sequence[Cutout]) -> list[Geometry]:
        if not cutouts:
            return []
        squares = [framed(cutout) for cutout in cutouts]
        embeddings = self.encoder.encode([photo for photo, _ in squares], small_copies=False)
        side = embeddings[0].extras["quarter"].shape[-1]
        outlines = np.stack([outline(mask, side) for _, mask in squares])
        normals, depth = self.head(*stacked(embeddings, self.device), torch.from_numpy(outlines).to(self.device))
        maps = torch.cat([normals, depth], 1).permute(0, 2, 3, 1).cpu().numpy()
        found = []
        for cutout, both in zip(cutouts, maps, strict=True):
            inside = _inside(both, cutout)
            found.append(_finished(inside[..., :3], inside[..., 3], _mask(cutout)))
        return found

    def scene_depth(self, picture: U8) -> None:
        return None


def stacked(embeddings: Sequence[Embedding], device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The head's inputs from embeddings: features (B, C, s, s), and the stem's maps at 1/4 and 1/8."""
    arrays: list[list[Any]] = [
        [one.features for one in embeddings],
        *([one.extras[name] for one in embeddings] for name in ("quarter", "eighth")),
    ]
    features, quarter, eighth = (torch.from_numpy(np.stack(part)).to(device, torch.float32) for part in arrays)
    return features, quarter, eighth


MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DEPTH_PX, DEPTH_PATCH = 518, 14
"""The side of Depth Anything's input, and what it must be a multiple of."""
MOGE_PX, MOGE_TOKENS = 512, 1200
"""The longer side of what MoGe sees, and how many patches it makes of it: the fewest that it was trained on."""
MOGE_NEAREST = 1e-3
"""MoGe's points have a scale and a shift of their own, so one may lie at the camera."""


@dataclass(frozen=True)
class DepthGeometry:
    """A `DepthAnythingForDepthEstimation` of transformers: its depth is relative and inverse, so near is large."""

    network: Any
    device: torch.device
    side_px: int = DEPTH_PX

    @torch.inference_mode()
    def estimate(self, cutouts: Sequence[Cutout]) -> list[Geometry]:
        if not cutouts:
            return []
        squares = [framed(cutout)[0] for cutout in cutouts]
        side = self._whole_patches(self.side_px)
        depth = self._depth([cv2.resize(one.pixels, (side, side), interpolation=cv2.INTER_AREA) for one in squares])
        found = []
        for cutout, near in zip(cutouts, depth, strict=True):
            shown, mask = _inside(near[..., None], cutout)[..., 0], _mask(cutout)
            flat = _finished(np.ones((*mask.shape, 3), np.float32), shown, mask)
            height = flat.depth * (RELIEF * max(mask.shape))
            found.append(_finished(normals_of(height, mask), shown, mask))
        return found

    @torch.inference_mode()
    def scene_depth(self, picture: U8) -> F32:
        scale = self.side_px / max(picture.shape[:2])
        height, width = (self._whole_patches(side * scale) for side in picture.shape[:2])
        small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        [depth] = self._depth([np.asarray(small, np.uint8)])
        return np.asarray(depth, np.float32)

    def _depth(self, pictures: Sequence[U8]) -> F32:
        """What the network says of pictures of one size: float32 (N, h, w), near = large."""
        pixels = torch.from_numpy(np.stack(pictures)).to(self.device).permute(0, 3, 1, 2).float() / 255
        mean, std = (torch.tensor(values, device=self.device).view(3, 1, 1) for values in (MEAN, STD))
        dtype = next(self.network.parameters()).dtype
        found = self.network(pixel_values=((pixels - mean) / std).to(dtype)).predicted_depth
        return np.asarray(found.float().cpu().numpy(), np.float32)

    @staticmethod
    def _whole_patches(px: float) -> int:
        return max(1, int(px) // DEPTH_PATCH) * DEPTH_PATCH


@dataclass(frozen=True)
class MoGeGeometry:
    """A `moge.model.v2.MoGeModel` with a head for normals. It sees a camera that looks along +z, with y down."""

    network: Any
    device: torch.device
    tokens: int = MOGE_TOKENS

    @torch.inference_mode()
    def estimate(self, cutouts: Sequence[Cutout]) -> list[Geometry]:
        if not cutouts:
            return []
        squares = [framed(cutout)[0].pixels for cutout in cutouts]
        side = (MOGE_PX, MOGE_PX)
        near, normals = self._seen([cv2.resize(one, side, interpolation=cv2.INTER_AREA) for one in squares])
        found = []
        for cutout, depth, facing in zip(cutouts, near, normals, strict=True):
            inside = _inside(np.dstack([facing, depth]), cutout)
            found.append(_finished(inside[..., :3], inside[..., 3], _mask(cutout)))
        return found

    @torch.inference_mode()
    def scene_depth(self, picture: U8) -> F32:
        scale = min(1.0, MOGE_PX / max(picture.shape[:2]))
        size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
        [near], _ = self._seen([np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)])
        return np.asarray(near, np.float32)

    def _seen(self, pictures: Sequence[U8]) -> tuple[F32, F32]:
        """Pictures of one size: how near each point is (N, h, w), and normals as our cameras see them (N, h, w, 3)."""
        dtype = next(self.network.parameters()).dtype
        pixels = torch.from_numpy(np.stack(pictures)).to(self.device).permute(0, 3, 1, 2)
        found = self.network(pixels.to(dtype) / 255, num_tokens=self.tokens)
        distance = found["points"][..., 2].float().cpu().numpy()
        normals = found["normal"].float().cpu().numpy() * np.array((1, -1, -1), np.float32)
        return np.asarray(1 / np.maximum(distance, MOGE_NEAREST), np.float32), np.asarray(normals, np.float32)


def load_geometry(
    pack: Pack, device: torch.device, dtype: torch.dtype = torch.float32, *, encoder: SamEncoder | None = None
) -> GeometryEstimator:
    """Load the pack's geometry; the inflation of the mask when the pack has no such role, or its files are not here.

    `dtype` is that of the encoder, of Depth Anything or of MoGe; the head runs in fp32. `encoder` is the pack's own, if
    it is loaded already. The role is optional, so missing files are a warning, and so is MoGe's missing package. Raises
    PackRefused when files are corrupt or do not fit together.
    """
    if "geometry" not in pack.manifest.roles:
        return InflatedGeometry()
    if pack.settings.offline and pack.missing("geometry"):
        remedy = f"packshot packs fetch {pack.name} downloads its files"
        log.warning("pack %s: the geometry network is missing, so silhouettes are inflated; %s", pack.name, remedy)
        return InflatedGeometry()
    if pack.role("geometry").class_name == "MoGeModel":
        if missing := missing_package("MoGeModel"):
            log.warning("pack %s: silhouettes are inflated, because %s", pack.name, missing)
            return InflatedGeometry()
        return MoGeGeometry(pack.load("geometry", device, dtype), device)
    if pack.role("geometry").class_name == "GeometryHead":
        if encoder is None:
            encoder, _ = load_segmenter(pack, device, dtype)
        return HeadGeometry(encoder, pack.load("geometry", device), device)
    return DepthGeometry(pack.load("geometry", device, dtype), device)


__all__ = [
    "DepthGeometry",
    "GeometryEstimator",
    "HeadGeometry",
    "InflatedGeometry",
    "MoGeGeometry",
    "framed",
    "load_geometry",
    "outline",
    "stacked",
]
