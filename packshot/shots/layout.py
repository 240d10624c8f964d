"""From a shot's layers to its layout: find the files in the store, then load them from the asset root."""

from __future__ import annotations

from dataclasses import dataclass

from packshot.contract.shot_spec import Canvas, LayerSpec, ShotSpec
from packshot.imaging.matting import MattingNetwork
from packshot.shots.cutouts import CutoutFiles, cutout_files, load_cutouts
from packshot.store.assets import Assets
from packshot.store.store import Store
from packshot.types import Cutout, Layer, Layout


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


def load_layout(assets: Assets, files: LayoutFiles, matting: MattingNetwork | None = None) -> Layout:
    """Read the layers' cutouts; missing ones are made (`load_cutouts`). Raises NotFound when a file was deleted."""
    cutouts = load_cutouts(assets, (layer.cutout for layer in files.layers), matting)
    return Layout(files.canvas, tuple(_layer(layer.placement, cutouts[layer.cutout]) for layer in files.layers))


def _layer(placement: LayerSpec, cutout: Cutout) -> Layer:
    return Layer(cutout, placement.x, placement.y, placement.scale, placement.rotation_deg, placement.flip)
