"""Scenes on disk: uint8 shards. The VAE and the painter may read them while the renderer still writes more."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from packshot.imaging.condition_maps import depth_of
from training.scenes import render

SHARD_IMAGES = 32
MIXED_LIGHT = 0.5
"""Share of products that are lit by another lamp than their scene, like products that are cut out of a photo."""
COLUMNS = ("image", "mask", "part", "edges", "attributes")


def write_shards(
    folder: Path, images: int, size_px: int, first_seed: int, device: str | torch.device = "cpu", alike: int = 1
) -> None:
    """Render shards of SHARD_IMAGES scenes. Existing shards are kept, so an interrupted call can be resumed.

    `size_px` is the side of a scene. Shard n has the seed `first_seed` + n. `alike` neighbours show one scene
    (`training.scenes.render`).
    """
    folder.mkdir(parents=True, exist_ok=True)
    start, drawn = time.perf_counter(), 0
    for number in range(images // SHARD_IMAGES):
        path = folder / f"{first_seed + number:06d}.npz"
        if path.exists():
            continue
        batch = render(
            SHARD_IMAGES, size_px, seed=first_seed + number, device=device, mixed_light=MIXED_LIGHT, alike=alike
        )
        depths, products = batch.depth.cpu().numpy(), batch.mask.cpu().numpy() >= 0.5
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez(
                file,
                image=batch.image.cpu().numpy(),
                mask=_bytes(batch.mask),
                part=_bytes(batch.part),
                edges=batch.edges.cpu().numpy(),
                depth=np.stack([depth_map(*one) for one in zip(depths, products, strict=True)]),
                attributes=batch.attributes.numpy(),
            )
        os.replace(part, path)
        drawn += SHARD_IMAGES
        print(f"{folder.name}: {drawn} scenes, {drawn / (time.perf_counter() - start):.1f}/s", flush=True)


def depth_map(distance: NDArray[Any], product: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A product's depth map, uint8 HxW, as shots have it: near = 255, beyond the product 0.

    `distance` is that of each pixel to the camera, in any unit; `product` is where the product is.
    """
    seen = product & np.isfinite(distance)  # at its rim, a pixel may show the sky
    if not seen.any():
        return np.zeros(product.shape, np.uint8)
    near, far = np.percentile(distance[seen].astype(np.float32), (1, 99))
    share = (far - np.where(seen, distance, far)) / max(float(far - near), 1e-6)
    return depth_of(np.clip(share, 0, 1).astype(np.float32), product)


def _bytes(coverage: torch.Tensor) -> np.ndarray:
    return (coverage * 255).round().to(torch.uint8).cpu().numpy()


def read_shards(folder: Path, limit: int | None = None, columns: Sequence[str] = COLUMNS) -> dict[str, np.ndarray]:
    """All shards of a folder, concatenated: image NxSxSx3, mask, part, edges NxSxS (uint8), attributes Nx10 (int64).

    `limit` is the number of scenes after which no further shard is read. Raises FileNotFoundError without shards.
    """
    paths = sorted(folder.glob("*.npz"))[: limit and -(-limit // SHARD_IMAGES)]
    if not paths:
        raise FileNotFoundError(
            f"{folder} must hold scene shards, got none; run `python -m training.mini scenes` first"
        )
    parts = [np.load(path) for path in paths]
    return {key: np.concatenate([part[key] for part in parts]) for key in columns}
