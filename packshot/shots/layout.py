"""From a shot's layers to its layout: find the files in the store, then load them from the asset root."""

from __future__ import annotations

from dataclasses import dataclass

from packshot.contract.shot_spec import Canvas, LayerSpec, ShotSpec
from packshot.imaging.canvas import cut
from packshot.imaging.codec import read_mask, read_png
from packshot.imaging.own_alpha import cut_own
from packshot.store.assets import Assets
from packshot.store.records import MaskRecord, PhotoRecord
from packshot.store.store import Store
from packshot.types import U8, Cutout, Layer, Layout, Mask, Photo


@dataclass(frozen=True)
class LayerFiles:
    """One layer: the asset keys of its colours and its mask, and its placement.

    `photo_key` names the photo, or the RGBA pixels of an upload that was already cut out.
    """

    photo_key: str
    mask_key: str
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
    layers = []
    for layer in spec.layers:
        mask = masks[layer.mask_id]
        layers.append(LayerFiles(colours_key(photos[mask.photo_id], mask), mask.asset_key, layer))
    return LayoutFiles(spec.canvas, tuple(layers))


def colours_key(photo: PhotoRecord, mask: MaskRecord) -> str:
    """The asset from which the mask's cutout takes its colours: the photo, or the upload that was already cut out."""
    return mask.rgba_key or photo.asset_key


def cut_from(pixels: U8, mask: Mask) -> Cutout:
    """Cut the product out of a photo (uint8 HxWx3 RGB), or out of an upload with its own alpha (HxWx4 RGBA)."""
    return cut_own(pixels, mask) if pixels.shape[-1] == 4 else cut(Photo(pixels), mask)


def load_layout(assets: Assets, files: LayoutFiles) -> Layout:
    """Cut the layers out of their photos. Raises NotFound when a file was deleted.

    Each photo and each mask is read once, however many layers use it. One photo is in memory at a time.
    """
    masks_of: dict[str, dict[str, None]] = {}
    for layer in files.layers:
        masks_of.setdefault(layer.photo_key, {})[layer.mask_key] = None
    cutouts: dict[tuple[str, str], Cutout] = {}
    for photo_key, mask_keys in masks_of.items():
        for mask_key, cutout in zip(mask_keys, _cutouts(assets, photo_key, list(mask_keys)), strict=True):
            cutouts[photo_key, mask_key] = cutout
    return Layout(
        files.canvas, tuple(_layer(layer.placement, cutouts[layer.photo_key, layer.mask_key]) for layer in files.layers)
    )


def _cutouts(assets: Assets, photo_key: str, mask_keys: list[str]) -> list[Cutout]:
    """Cut several products out of one photo, which is freed on return."""
    pixels = read_png(assets.get(photo_key))
    return [cut_from(pixels, read_mask(assets.get(mask_key))) for mask_key in mask_keys]


def _layer(placement: LayerSpec, cutout: Cutout) -> Layer:
    return Layer(cutout, placement.x, placement.y, placement.scale, placement.rotation_deg, placement.flip)
