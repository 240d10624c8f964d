"""Scenes on disk: uint8 shards. The VAE and the painter may read them while the renderer still writes more."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from training.scenes import render

SHARD_IMAGES = 32
MIXED_LIGHT = 0.5
"""Share of products that are lit by another lamp than their scene, like products that are cut out of a photo."""
COLUMNS = ("image", "mask", "part", "edges", "attributes")


def write_shards(folder: Path, images: int, size_px: int, first_seed: int, device: str | torch.device = "cpu") -> None:
    """Render shards of SHARD_IMAGES scenes. Existing shards are kept, so an interrupted call can be resumed.

    `size_px` is the side of a scene. Shard n has the seed `first_seed` + n.
    """
    folder.mkdir(parents=True, exist_ok=True)
    start, drawn = time.perf_counter(), 0
    for number in range(images // SHARD_IMAGES):
        path = folder / f"{first_seed + number:06d}.npz"
        if path.exists():
            continue
        batch = render(SHARD_IMAGES, size_px, seed=first_seed + number, device=device, mixed_light=MIXED_LIGHT)
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez(
                file,
                image=batch.image.cpu().numpy(),
                mask=_bytes(batch.mask),
                part=_bytes(batch.part),
                edges=batch.edges.cpu().numpy(),
                attributes=batch.attributes.numpy(),
            )
        os.replace(part, path)
        drawn += SHARD_IMAGES
        print(f"{folder.name}: {drawn} scenes, {drawn / (time.perf_counter() - start):.1f}/s", flush=True)


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
