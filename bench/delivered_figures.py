"""What it costs to compare, mark and sign a delivered file, and how well its watermark is read.

python -m bench.delivered_figures [--scenes 120]

The scenes are parts of the photographs that scikit-image carries, enlarged to usual sizes, each with a product in its
middle. Costs are processor seconds of one thread. The calibration is a fixed piece of work on the same core.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage.data
from PIL import Image

from packshot.delivery.deliver import deliver
from packshot.delivery.delivered_lock import delivered_lock, with_product
from packshot.delivery.encoding import UNPROVEN, Proof
from packshot.delivery.files import read_file, write_file
from packshot.delivery.marks import mark_of
from packshot.delivery.metadata import Origin, xmp_of
from packshot.delivery.presets import preset_named
from packshot.delivery.provenance import read_manifest
from packshot.delivery.signing import Signer, load_signer
from packshot.imaging.watermark import MARGIN_PX, embed, read_mark
from packshot.settings import Settings
from packshot.types import U8, Flat

SIZES = (1024, 1600, 2048)
"""Longer sides of the marked files, pixels."""
REPEATS = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=120)
    wanted = parser.parse_args()
    cv2.setNumThreads(1)
    print(f"calibration: {_seconds(lambda: zlib.compress(bytes(range(256)) * 40_000, 6)):.3f} s")
    costs()
    marks(wanted.scenes)


def scenes(count: int) -> Iterator[U8]:
    """Parts of photographs, half to all of each, some mirrored: uint8 HxWx3."""
    photos = [skimage.data.coffee(), skimage.data.chelsea(), skimage.data.astronaut(), skimage.data.rocket()]
    rng = np.random.default_rng(7)
    for number in range(count):
        photo = photos[number % len(photos)]
        height, width = photo.shape[:2]
        side = int(min(height, width) * rng.uniform(0.5, 1))
        top, left = int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))
        part = photo[top : top + side, left : left + side]
        size = SIZES[number // len(photos) % len(SIZES)]
        image = Image.fromarray(part[:, :: 1 if rng.random() < 0.5 else -1])
        yield np.array(image.resize((size, size), Image.Resampling.LANCZOS))


def product_of(size: int) -> Flat:
    """An ellipse of the frame's middle with fine stripes, 36 % of each side."""
    pixels = np.zeros((size, size, 4), np.uint8)
    cv2.ellipse(pixels, (size // 2, size // 2), (int(size * 0.36),) * 2, 0, 0, 360, (0, 0, 0, 255), -1)
    stripes = np.random.default_rng(1).integers(0, 256, (1, size // 4, 3), np.uint8).repeat(4, axis=1)
    pixels[..., :3] = np.where(pixels[..., 3:] > 0, stripes, 0)
    return Flat(pixels)


def costs() -> None:
    """Processor seconds of a delivery of 1024 x 1024 px with and without proof, and of each part."""
    with tempfile.TemporaryDirectory() as home:
        signer = load_signer(Settings(home=Path(home)))
    flat = product_of(1024)
    picture = with_product(next(scenes(1)), flat)
    origin = Origin(version="1", engine="mini", instance_id="xmp:iid:x", mark=mark_of("im", "recipe"))
    for name in ("ebay", "meta-catalogue"):
        _cost_of_delivery(name, picture, flat, Proof(origin, signer))
    for size in (1024, 1600):
        _cost_of_parts(np.array(Image.fromarray(picture).resize((size, size))), product_of(size), origin, signer)


def _cost_of_delivery(name: str, picture: U8, flat: Flat, proof: Proof) -> None:
    def made(expected: U8 | None, proof: Proof) -> None:
        more: dict[str, Any] = {"product_alpha": flat.alpha, "enlarged_by": 1.0, "generated": True}
        deliver(picture, preset_named(name), expected=expected, proof=proof, **more)

    bare = _seconds(lambda: made(None, UNPROVEN))
    whole = _seconds(lambda: made(with_product(picture, flat), proof))
    print(f"{name}: delivery {bare:.3f} s, with gate, mark and signature {whole:.3f} s: {whole - bare:.3f} s")


def _cost_of_parts(image: U8, flat: Flat, origin: Origin, signer: Signer) -> None:
    data = write_file(embed(image, 5, flat.alpha), "jpeg", 95, xmp_of(None, origin))
    file = read_file(data)
    parts: dict[str, Callable[[], object]] = {
        "lock before": lambda: with_product(image, flat),
        "gate": lambda: delivered_lock(file.pixels, image, flat.alpha, lossless=False),
        "embed": lambda: embed(image, 5, flat.alpha),
        "read": lambda: read_mark(file.pixels),
        "sign": lambda: signer.sign(data, "image/jpeg", origin, generated=True, source_type=None),
        "read manifest": lambda: read_manifest(data),
    }
    size = len(image)
    print(f"{size} px: " + ", ".join(f"{name} {_seconds(part) * 1000:.1f} ms" for name, part in parts.items()))
    signed = signer.sign(data, "image/jpeg", origin, generated=True, source_type=None)
    print(f"{size} px: the manifest has {len(signed) - len(data)} bytes")


def marks(count: int) -> None:
    """How many marks are read from the file, and after JPEG q80 at 75 % of the size; the scene's PSNR."""
    read = {"marked": 0, "q80 at 75 %": 0, "q70 at 75 %": 0, "q80 at 50 %": 0, "unmarked": 0}
    worst = np.inf
    for number, scene in enumerate(scenes(count)):
        payload = mark_of(f"im_{number}", "recipe")
        flat = product_of(scene.shape[0])
        marked = embed(scene, payload, flat.alpha)
        near = cv2.dilate(flat.alpha, np.ones((2 * MARGIN_PX + 1,) * 2, np.uint8)) > 0
        if not np.array_equal(marked[near], scene[near]):
            raise SystemExit(f"scene {number}: the product was marked")
        error = float(((marked[~near].astype(np.float32) - scene[~near]) ** 2).mean())
        worst = min(worst, 10 * np.log10(255**2 / error))
        read["marked"] += read_mark(marked) == payload
        for name, quality, share in (("q80 at 75 %", 80, 0.75), ("q70 at 75 %", 70, 0.75), ("q80 at 50 %", 80, 0.5)):
            read[name] += read_mark(_saved(marked, quality, share)) == payload
        read["unmarked"] += read_mark(scene) is not None
    print(f"{count} scenes, PSNR of the worst {worst:.1f} dB; read: {read}")


def _saved(pixels: U8, quality: int, share: float) -> U8:
    out, side = io.BytesIO(), round(pixels.shape[0] * share)
    resized = Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS)
    resized.save(out, "JPEG", quality=quality)  # with halved colour, as most programs save
    return np.asarray(Image.open(out))


def _seconds(work: Callable[[], object]) -> float:
    """Processor seconds of the work, the median of some repeats."""
    taken = []
    for _ in range(REPEATS):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return float(np.median(taken))


if __name__ == "__main__":
    main()
