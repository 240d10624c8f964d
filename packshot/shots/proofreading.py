"""Read the text of a shot's products, in their photos or in a master, and in a finished picture.

The lines of a photo's product are the same for all pictures of its mask, so they are read once and kept.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from packshot.contract.shot_spec import ShotSpec
from packshot.imaging.canvas import layer_transform
from packshot.imaging.codec import read_png
from packshot.imaging.matting import MattingNetwork
from packshot.imaging.resample import reduced
from packshot.models.read import Reader, TextLine
from packshot.shots.cutouts import CutoutFiles, each_cutout
from packshot.shots.layout import LayoutFiles, layer_of
from packshot.shots.stages import Proofread, TextOrder
from packshot.store.assets import Assets
from packshot.store.store import Store
from packshot.types import F32, U8
from packshot.verdict.text import LineProof, Placed, compare_lines, compare_with_master, on_ground, read_product
from packshot.verdict.text_findings import text_findings

__all__ = ["Proofreader", "find_text"]

READ_PX = 2400
"""Longer side at which a photo's product is read, pixels."""
PRODUCTS_KEPT = 256
"""Products whose lines are kept, some KB each."""


def find_text(store: Store, tenant_id: str, spec: ShotSpec, layout: LayoutFiles) -> TextOrder | None:
    """What to read for a shot; None when it asks for no proof. Raises NotFound when its master was deleted."""
    if spec.proof is None:
        return None
    master = spec.proof.master
    key = None if master is None else store.photos.get(tenant_id, master).asset_key
    return TextOrder(layout, spec.proof, key)


@dataclass(frozen=True)
class _Product:
    """A product to read: its pixels over a ground, uint8 HxWx3, and where each of its layers lies in the picture."""

    files: CutoutFiles
    pixels: U8
    places: tuple[Placed, ...]


class Proofreader:
    """Reads the text of pictures with one reader, which loads at the first call.

    It may be used from several threads.
    """

    def __init__(self, assets: Assets, reader: Reader, matting: MattingNetwork | None = None) -> None:
        self._assets = assets
        self._reader = reader
        self._matting = matting
        self._lines: dict[str | CutoutFiles, list[TextLine]] = {}

    def proofread(self, png: bytes, order: TextOrder) -> Proofread:
        """The findings about the text of a finished picture. Raises NotFound when a file was deleted."""
        started_at = time.perf_counter()
        picture = _on_white(read_png(png))
        words, proofs = order.proof.must_read, list[LineProof]()
        for product in self._products(order.layout, picture):
            for placed in product.places:
                if order.master_key is None:
                    lines = self._lines_of(product.files, product.pixels)
                    proofs += compare_lines(self._reader, product.pixels, lines, picture, placed, words)
                else:
                    master = self._lines_of_master(order.master_key)
                    proofs += compare_with_master(self._reader, master, product.pixels, picture, placed, words)
        against = "photo" if order.master_key is None else "master"
        findings = text_findings(proofs, (picture.shape[1], picture.shape[0]), words, against=against)
        return Proofread(findings, (time.perf_counter() - started_at) * 1000)

    def _lines_of_master(self, key: str) -> list[TextLine]:
        if key not in self._lines:
            pixels = reduced(read_png(self._assets.get(key)), READ_PX)
            self._keep(key, read_product(self._reader, _on_white(pixels)))
        return self._lines[key]

    def _lines_of(self, files: CutoutFiles, pixels: U8) -> list[TextLine]:
        if files not in self._lines:
            self._keep(files, read_product(self._reader, pixels))
        return self._lines[files]

    def _keep(self, key: str | CutoutFiles, lines: list[TextLine]) -> None:
        while len(self._lines) >= PRODUCTS_KEPT:
            self._lines.pop(next(iter(self._lines)), None)
        self._lines[key] = lines

    def _products(self, files: LayoutFiles, picture: U8) -> list[_Product]:
        """Each product once, with the places of its layers. `picture` has the canvas's size."""
        size = (picture.shape[1], picture.shape[0])
        front = np.zeros(picture.shape[:2], np.uint8)
        matrices: dict[int, F32] = {}
        alphas: dict[int, U8] = {}
        pixels: dict[CutoutFiles, U8] = {}
        for key, cutout in each_cutout(self._assets, (layer.cutout for layer in files.layers), self._matting):
            small = reduced(cutout.pixels, READ_PX)
            per_px = np.array([cutout.width / small.shape[1], cutout.height / small.shape[0], 1], np.float32)
            pixels[key] = on_ground(small)
            for number, one in enumerate(files.layers):
                if one.cutout == key:
                    matrices[number] = layer_transform(layer_of(one.placement, cutout), files.canvas) * per_px
                    alphas[number] = np.ascontiguousarray(small[..., 3])
        for number in range(len(files.layers)):  # later layers lie over earlier ones
            covers = cv2.warpAffine(alphas.pop(number), matrices[number], size) >= 128
            front[covers] = number + 1
        return [_Product(key, shown, tuple(self._placed(files, key, front, matrices))) for key, shown in pixels.items()]

    def _placed(self, files: LayoutFiles, key: CutoutFiles, front: U8, matrices: dict[int, F32]) -> Sequence[Placed]:
        return [
            Placed(matrices[number], np.where(front == number + 1, 255, 0).astype(np.uint8), one.placement.flip)
            for number, one in enumerate(files.layers)
            if one.cutout == key
        ]


def _on_white(pixels: U8) -> U8:
    """An RGB or straight RGBA picture as RGB."""
    if pixels.shape[2] == 3:
        return pixels
    alpha = pixels[..., 3:].astype(np.uint16)
    return ((pixels[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
