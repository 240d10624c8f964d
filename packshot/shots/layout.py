"""From a shot's layers to its layout: find the files in the store, then draw them from the asset root."""

from __future__ import annotations

from dataclasses import dataclass

from packshot.contract.shot_spec import Canvas, LayerSpec, ShotSpec
from packshot.imaging.canvas import Piece, blank, layer_enlargement, paint_piece, place_layer
from packshot.imaging.matting import MattingNetwork
from packshot.shots.cutouts import CutoutFiles, cutout_files, each_cutout
from packshot.store.assets import Assets
from packshot.store.store import Store
from packshot.types import BoxXYXY, Cutout, Flat, Layer


@dataclass(frozen=True)
class LayerFiles:
    """One layer: the files of its cutout, and its placement."""

    cutout: CutoutFiles
    placement: LayerSpec


@dataclass(frozen=True)
class LayoutFiles:
    """A layout before its files are read: the canvas, and the layers in painting order."""

    canvas: Canvas
    layers: tuple[LayerFiles, ...]


def find_layout(store: Store, tenant_id: str, spec: ShotSpec) -> LayoutFiles:
    """Find the files of a shot's layers. Raises NotFound when a mask or a photo was deleted."""
    masks = {mask_id: store.masks.get(tenant_id, mask_id) for mask_id in dict.fromkeys(spec.mask_ids)}
    photo_ids = dict.fromkeys(mask.photo_id for mask in masks.values())
    photos = {photo_id: store.photos.get(tenant_id, photo_id) for photo_id in photo_ids}
    cutouts = {mask_id: cutout_files(photos[mask.photo_id], mask) for mask_id, mask in masks.items()}
    return LayoutFiles(spec.canvas, tuple(LayerFiles(cutouts[layer.mask_id], layer) for layer in spec.layers))


def draw_layout(assets: Assets, files: LayoutFiles, matting: MattingNetwork | None = None) -> tuple[Flat, float]:
    """Read the layers' cutouts and paint them. Returns the canvas, and the largest factor of a layer's enlargement.

    One cutout is in memory at a time, and each file is read once: what a layer shows of a cutout is kept until its turn
    comes. Raises NotFound when a file was deleted and BadInput `layer_outside` when a layer is not on the canvas.
    """
    canvas, pixels = files.canvas, blank(files.canvas)
    waiting: dict[int, Piece] = {}
    boxes: dict[int, BoxXYXY] = {}
    enlarged_by, painted = 0.0, 0
    for key, cutout in each_cutout(assets, (layer.cutout for layer in files.layers), matting):
        for number, one in enumerate(files.layers):
            if one.cutout == key:
                layer = layer_of(one.placement, cutout)
                enlarged_by = max(enlarged_by, layer_enlargement(layer, canvas))
                piece = place_layer(layer, canvas, number)
                height, width = piece.pixels.shape[:2]
                boxes[number] = (piece.left, piece.top, piece.left + width, piece.top + height)
                waiting[number] = piece._replace(pixels=piece.pixels.copy())  # it may be a part of the cutout
        while painted in waiting:
            paint_piece(pixels, waiting.pop(painted))
            painted += 1
        del cutout, layer, piece  # before the next one is read
    return Flat(pixels, tuple(boxes[number] for number in sorted(boxes))), enlarged_by


def layer_of(placement: LayerSpec, cutout: Cutout) -> Layer:
    """A cutout at its place on the canvas."""
    return Layer(cutout, placement.x, placement.y, placement.scale, placement.rotation_deg, placement.flip)
