"""Photographs of things, cut out by people, on real and plain backgrounds: tests of the segmenter on real material.

The cut-outs are the stamps of Tux Paint (Debian's tuxpaint-stamps-default, GPL-2). stamps.txt names the photographs
among them. They stay outside the repository, with every sheet of them, and no training uses them:

    python -m training.mini.evaluation --fetch-stamps      # 160 MB into the renderer's cache (training/path_traced)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from packshot.imaging.resample import resized
from training.mini.evaluation.subjects import Subject
from training.path_traced.assets import Cache, unpack

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
PACKAGE = "tuxpaint-stamps-default"
NAMES = tuple(Path(__file__).with_suffix(".txt").read_text("utf-8").split())
SEED = 998_000
SIZE_PX = (640, 480)
"""(width, height) of a photo."""
LONGER_PX = (220, 380)
"""The range of a stamp's longer side in the photo."""
BACKGROUNDS = ("brick", "white", "gravel", "grey", "grass", "colour", "sky", "dark")
"""Four are photographs that scikit-image's wheel carries; four are sheets of paper with a fall of light."""
PAPER = {"white": (243, 243, 240), "grey": (128, 129, 131), "colour": (206, 160, 150), "dark": (34, 35, 38)}
TINTS = {"brick": (1.0, 0.72, 0.6), "gravel": (1.0, 0.97, 0.9), "grass": (0.8, 1.0, 0.55)}
"""The photographs of textures are grey; these colour them."""
NOISE = 2.0
"""Standard deviation of the sensor's noise, in levels."""
SHADOW = 0.35
"""The largest share of light that the shadow takes."""


def folder(cache: Cache) -> Path:
    """Where the unpacked stamps lie."""
    return cache.root / "assets/usr/share/tuxpaint/stamps"


def fetch(cache: Cache) -> None:
    """Download the package with apt (no root needed), and unpack it into the cache."""
    unpack(cache, (PACKAGE,))


def available(cache: Cache) -> bool:
    """Whether every stamp of stamps.txt is in the cache."""
    return all((folder(cache) / f"{name}.png").exists() for name in NAMES)


def subjects(cache: Cache, count: int) -> Iterator[Subject]:
    """`count` stamps, spread over the names, each in a photo. They may be measured, but not shown in the card."""
    every = max(1, len(NAMES) // count)
    for number, name in list(enumerate(NAMES))[::every][:count]:
        stamp = np.asarray(Image.open(folder(cache) / f"{name}.png").convert("RGBA"))
        rng = np.random.default_rng([SEED, number])
        kind = BACKGROUNDS[number % len(BACKGROUNDS)]
        yield composed(f"stamps/{name.rpartition('/')[2]}", stamp, background(kind, rng), rng)


def composed(name: str, stamp: U8, behind: F32, rng: np.random.Generator) -> Subject:
    """A stamp (uint8 HxWx4, straight alpha) on a background (float32 HxWx3, 0..255), with a soft shadow below it."""
    height, width = behind.shape[:2]
    scale = rng.uniform(*LONGER_PX) / max(stamp.shape[:2])
    scale = min(scale, 0.9 * height / stamp.shape[0], 0.9 * width / stamp.shape[1])
    stamp = resized(stamp, max(1, round(stamp.shape[1] * scale)), max(1, round(stamp.shape[0] * scale)))
    tall, wide = stamp.shape[:2]
    left, top = (
        int(rng.integers(margin, side - margin - own + 1))
        for side, own in ((width, wide), (height, tall))
        for margin in [min(side // 8, (side - own) // 2)]
    )
    page = np.zeros((height, width, 4), np.float32)
    page[top : top + tall, left : left + wide] = stamp
    alpha = page[..., 3] / 255
    below = cv2.warpAffine(alpha, np.array([[1, 0, 3], [0, 1, 8]], np.float32), (width, height))
    lit = behind * (1 - SHADOW * cv2.GaussianBlur(below, (0, 0), 9))[..., None]
    image = lit + alpha[..., None] * (page[..., :3] - lit) + NOISE * rng.standard_normal(lit.shape, np.float32)
    return Subject(name, np.clip(np.rint(image), 0, 255).astype(np.uint8), alpha >= 0.5, shown=False)


def background(kind: str, rng: np.random.Generator) -> F32:
    """One of BACKGROUNDS, float32 HxWx3 of SIZE_PX in 0..255."""
    import skimage.data

    width, height = SIZE_PX
    if kind in PAPER:
        across = np.linspace(-1, 1, width, dtype=np.float32) * rng.choice([-1, 1])
        light = 1 + 0.06 * across[None, :] + 0.05 * np.linspace(-1, 1, height, dtype=np.float32)[:, None]
        return np.asarray(np.clip(np.array(PAPER[kind], np.float32) * light[..., None], 0, 255), np.float32)
    if kind == "sky":
        photo = skimage.data.rocket()[:240, :290]  # evening sky beside the rocket
    else:
        photo = getattr(skimage.data, kind)()
        photo = np.clip(photo[..., None] * np.array(TINTS[kind], np.float32) * rng.uniform(0.8, 1.15), 0, 255)
    scale = max(width / photo.shape[1], height / photo.shape[0])
    size = (round(photo.shape[1] * scale), round(photo.shape[0] * scale))
    enlarged = cv2.resize(photo.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)[:height, :width]
    return np.asarray(np.clip(enlarged, 0, 255), np.float32)
