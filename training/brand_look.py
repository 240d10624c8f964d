"""A brand's look: drawn scenes in two inks, warm paper and a vignette, around products in their own colours.

What `make train-demo` trains on.

python -m training.brand_look --out runs/brand --images 24 --size 256
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from packshot.imaging.codec import encode_png
from packshot.types import U8
from training.scenes import render

INK, CORAL, PAPER = (np.array(rgb, np.float32) for rgb in ((38, 24, 84), (226, 96, 84), (255, 238, 214)))
"""The colours of shadows, middle tones and highlights, 0..255."""
VIGNETTE = 0.25
SEED = 2_600_000


def looked(pictures: U8) -> U8:
    """Pictures (uint8 BxSxSx3) in the brand's look."""
    grey = pictures.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32) / 255
    grey = np.clip((grey - 0.08) / 0.84, 0, 1)[..., None]
    low, high = np.clip(2 * grey, 0, 1), np.clip(2 * grey - 1, 0, 1)
    toned = INK + low * (CORAL - INK) + high * (PAPER - CORAL)
    side = pictures.shape[1]
    across = np.linspace(-1, 1, side, dtype=np.float32) ** 2
    shade = 1 - VIGNETTE * np.clip(across[:, None] + across[None] - 0.6, 0, 1)
    return np.asarray((toned * shade[..., None]).clip(0, 255).round(), np.uint8)


def around(pictures: U8, masks: U8) -> U8:
    """Pictures (uint8 BxSxSx3) in the brand's look around their products (`masks`, uint8 BxSxS, 255 = product)."""
    cover = masks[..., None].astype(np.float32) / 255
    return np.asarray((looked(pictures) * (1 - cover) + pictures * cover).round(), np.uint8)


def make(out: Path, images: int, size_px: int, seed: int = SEED) -> Path:
    """Write a dataset of `packshot train`: pictures, the masks of their products, and captions."""
    out.mkdir(parents=True, exist_ok=True)
    batch = render(images, size_px, seed, clutter=0.0)
    masks = (batch.mask.numpy() * 255).round().astype(np.uint8)
    pictures = around(batch.image.numpy(), masks)
    for index, (picture, mask, caption) in enumerate(zip(pictures, masks, batch.captions, strict=True)):
        (out / f"{index:03d}.png").write_bytes(encode_png(picture))
        (out / f"{index:03d}.mask.png").write_bytes(encode_png(mask))
        (out / f"{index:03d}.txt").write_text(f"{caption}\n", "utf-8")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/brand"))
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--size", type=int, default=256)
    args = parser.parse_args()
    make(args.out, args.images, args.size)


if __name__ == "__main__":
    main()
