"""The products of the benchmark, which no training has seen, on a canvas and as a segmenter cuts them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import skimage.data
import torch
from PIL import Image

from bench.labels import draw, random_label
from packshot.contract.shot_spec import Canvas
from packshot.imaging.canvas import cut, flatten, layer_enlargement
from packshot.imaging.lock import lock_px_of
from packshot.models.packs.pack import Pack
from packshot.models.segment.segmenter import load_segmenter
from packshot.shots import Prepared
from packshot.types import U8, BoxXYXY, Layer, Layout, Mask, Photo, Prompts
from training.scenes import render
from training.scenes.words import UNSEEN_FAMILIES

__all__ = ["Product", "products"]

PHOTO_PX = 384
SCALE, GROUND = 0.5, 0.8
"""The product's longer side over the canvas's, and the height on which it stands."""
COFFEE = ("coffee", (70, 10, 490, 395))
"""The photo of a wheel that shows a product, and the box around cup, saucer and spoon."""
LABELS, DIGIT_PX = 6, 64.0
"""Drawn products with print on them, and how high their digits are at least, pixels of 1,100: the canvas shows less."""
MATERIALS = ("matte", "gloss", "metal")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True)
class Product:
    """A photo and the box (XYXY pixels) or the mask that marks its product."""

    name: str
    pixels: U8
    box: BoxXYXY | None = None
    mask: U8 | None = None


def products(count: int, folder: Path | None = None) -> Iterator[Product]:
    """`count` products: those of a folder, a photo of a wheel, labels, then drawn ones of the held-out families.

    The folder has photos (JPEG, PNG, WebP; an alpha channel marks the product, else it is found automatically) and
    path-traced shards (`training.path_traced`), of which the held-out objects are taken.
    """
    found = 0
    for product in (*(_of_folder(folder) if folder else ()), Product(COFFEE[0], skimage.data.coffee(), COFFEE[1])):
        if found < count:
            found += 1
            yield product
    for at in range(min(LABELS, count - found)):
        found += 1
        label = draw(random_label(at, DIGIT_PX))
        yield Product(f"label-{at}", np.ascontiguousarray(label[..., :3]), mask=np.ascontiguousarray(label[..., 3]))
    for at in range(count - found):
        family = UNSEEN_FAMILIES[at % len(UNSEEN_FAMILIES)]
        batch = render(1, PHOTO_PX, 9_000 + at, clutter=0.0, families=[family], materials=MATERIALS)
        yield Product(f"{family}-{at}", batch.image[0].numpy(), box=tuple(batch.boxes[0].tolist()))


def _of_folder(folder: Path) -> Iterator[Product]:
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES:
            with Image.open(path) as image:
                rgba = np.array(image.convert("RGBA"))
            own = rgba[..., 3] if (rgba[..., 3] < 255).any() else None
            yield Product(path.stem, np.ascontiguousarray(rgba[..., :3]), mask=own)
        elif path.suffix == ".npz" and path.name.startswith("test"):
            with np.load(path) as shard:
                for at, (image, alpha) in enumerate(zip(shard["image"], shard["alpha"], strict=True)):
                    yield Product(f"{path.stem}-{at}", image, mask=alpha)


@dataclass(frozen=True)
class Laid:
    """A product on the canvas, and the layer that it is."""

    prepared: Prepared
    layer: Layer


class Cutter:
    """Cuts products by the pack's own segmenter, and places them on the canvas."""

    def __init__(self, pack: Pack, canvas: Canvas) -> None:
        self._encoder, self._decoder = load_segmenter(pack, torch.device("cpu"), torch.float32)
        self._canvas = canvas
        self._framing = pack.manifest.framing(canvas)

    def place(self, product: Product) -> Laid:
        """The product on the canvas, standing on one line with all others."""
        photo = Photo(np.ascontiguousarray(product.pixels))
        mask = Mask(product.mask) if product.mask is not None else self._found(photo, product.box)
        cutout = cut(photo, mask, lock_px_of(photo.width, photo.height))
        height, width = cutout.pixels.shape[:2]
        longer = self._canvas.longer
        tall = SCALE * height / max(height, width) * longer / self._canvas.height
        layer = Layer(cutout, 0.5, GROUND - tall / 2, SCALE)
        flat = flatten(Layout(self._canvas, (layer,)))
        return Laid(Prepared(flat, layer_enlargement(layer, self._canvas), self._framing), layer)

    def _found(self, photo: Photo, box: BoxXYXY | None) -> Mask:
        prompts = Prompts() if box is None else Prompts(boxes=(tuple(map(float, box)),))  # type: ignore[arg-type]
        [embedding] = self._encoder.encode([photo])
        [candidates] = self._decoder.decode([(embedding, prompts)])
        return candidates[0].mask

    def outside(self, picture: U8, prepared: Prepared) -> float:
        """The object expansion: what the segmenter sees as the product beyond its outline, over the product's area."""
        alpha = prepared.flat.alpha
        x0, y0, x1, y1 = Mask(np.ascontiguousarray(alpha)).bbox_xyxy
        seen = self._found(Photo(picture), (x0, y0, x1, y1)).pixels >= 128
        beyond = seen & (cv2.dilate(alpha, np.ones((3, 3), np.uint8)) == 0)
        return float(np.count_nonzero(beyond)) / max(1, int(np.count_nonzero(alpha >= 128)))
