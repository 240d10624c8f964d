"""The cutouts of masks. Each is made once and kept, so that shots, cutouts and deliveries read one file.

A kept cutout's key follows from what it is made of (`store.masks.cutout_key`), and its mask's row holds a reference to
it from the start. So a reader needs no database, a cutout that is made twice at once is written twice with equal bytes,
and it is deleted with its last mask.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from packshot.errors import NotFound, StorageFull
from packshot.imaging.canvas import cut, cutout_bbox
from packshot.imaging.codec import encode_png, read_mask, read_png
from packshot.imaging.guided import cut_guided
from packshot.imaging.matting import MattingNetwork
from packshot.imaging.own_alpha import cut_own
from packshot.store.assets import Assets
from packshot.store.records import MaskRecord, PhotoRecord
from packshot.types import U8, Cutout, Mask, Photo

__all__ = ["CutoutFiles", "cutout_files", "each_cutout", "load_cutout_png", "view_cutout"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CutoutFiles:
    """What a cutout is made of, and where it is kept.

    `photo_key` names the asset with the colours: the photo, or the RGBA pixels of an upload that was already cut out.
    `mask_key` names the mask. `lock_px` is the mask's; None is a mask of version 0.1.0, whose cutout the guided filter
    makes anew each time. `cutout_key` names the kept cutout; None keeps none.
    """

    photo_key: str
    mask_key: str
    lock_px: int | None = None
    cutout_key: str | None = None


def cutout_files(photo: PhotoRecord, mask: MaskRecord) -> CutoutFiles:
    """The files of a mask's cutout."""
    return CutoutFiles(mask.rgba_key or photo.asset_key, mask.asset_key, mask.lock_px, mask.cutout_key)


def load_cutout_png(assets: Assets, files: CutoutFiles, matting: MattingNetwork | None = None) -> bytes:
    """The cutout as an RGBA PNG. It is made and kept if this is the first time. Raises NotFound for a deleted file.

    `matting` is the network that finds the edge of a cutout that is made; None = closed form.
    """
    kept = _kept(assets, files)
    return kept if kept is not None else _made(assets, files, read_png(assets.get(files.photo_key)), matting)[1]


def each_cutout(
    assets: Assets, wanted: Iterable[CutoutFiles], matting: MattingNetwork | None = None
) -> Iterator[tuple[CutoutFiles, Cutout]]:
    """The cutouts of several masks, each once; missing ones are made and kept. Raises NotFound for a deleted file.

    Each file is read once, and one photo and one cutout are in memory at a time, if the caller keeps none. `matting` is
    as in `load_cutout_png`.
    """
    missing: dict[str, list[CutoutFiles]] = {}
    for files in dict.fromkeys(wanted):
        kept = _kept(assets, files)
        if kept is None:
            missing.setdefault(files.photo_key, []).append(files)
        else:
            yield files, Cutout(read_png(kept))
    for photo_key, of_photo in missing.items():
        pixels = read_png(assets.get(photo_key))
        for files in of_photo:
            yield files, _made(assets, files, pixels, matting)[0]


def view_cutout(assets: Assets, files: CutoutFiles) -> Cutout:
    """The cutout, to look at. Raises NotFound for a deleted file.

    A missing one is made in closed form and is not kept, because the pack's matting network makes those that are.
    """
    kept = _kept(assets, files)
    if kept is not None:
        return Cutout(read_png(kept))
    return _cut(read_png(assets.get(files.photo_key)), read_mask(assets.get(files.mask_key)), files.lock_px, None)


def _kept(assets: Assets, files: CutoutFiles) -> bytes | None:
    if files.cutout_key is None:
        return None
    try:
        return assets.get(files.cutout_key)
    except NotFound:
        return None


def _made(assets: Assets, files: CutoutFiles, pixels: U8, matting: MattingNetwork | None) -> tuple[Cutout, bytes]:
    """Make the cutout and its PNG, and keep it. `pixels` is uint8 HxWx3 RGB of a photo, or HxWx4 RGBA of an upload."""
    cutout = _cut(pixels, read_mask(assets.get(files.mask_key)), files.lock_px, matting)
    png = encode_png(cutout.pixels)
    if files.cutout_key is not None:
        try:
            assets.put_derived(files.cutout_key, png)
        except StorageFull as full:
            log.warning("cutout %s is not kept: %s", files.cutout_key, full.detail)
    return cutout, png


def _cut(pixels: U8, mask: Mask, lock_px: int | None, matting: MattingNetwork | None) -> Cutout:
    if pixels.shape[-1] == 4:
        return cut_own(pixels, mask, cutout_bbox(mask, lock_px or 0))
    if lock_px is None:
        return cut_guided(Photo(pixels), mask)
    return cut(Photo(pixels), mask, lock_px, matting=matting)
