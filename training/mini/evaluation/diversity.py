"""The diversity of pictures from distinct seeds.

The perceptual distance is that of LPIPS without its learned weights, on the features of the judge of scenes
(packshot/models/judge.py). At its first three levels, each pixel's features are scaled to unit length, and the squared
differences are averaged over the picture and the levels. The product is blacked out for the judge, so that only the
painted scene counts. 0 = equal; 2 = nothing in common.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray

from packshot.models.judge import SceneJudge
from training.mini.evaluation.painting import Painter, Shot

LEVELS = 3


@torch.inference_mode()
def perceptual(judge: SceneJudge, pictures: NDArray[np.uint8], masks: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The distance of every pair of pictures (uint8 NxSxSx3, with masks NxSxS), in `combinations` order."""
    x, m = judge.inputs(pictures, masks)
    x = torch.cat([x * (1 - m), m], 1)
    total = torch.zeros(len(pictures), len(pictures))
    for block in judge.blocks[:LEVELS]:
        x = block(x)
        unit = x / x.norm(dim=1, keepdim=True).clamp(min=1e-6)  # (N, C, h, w)
        same = torch.einsum("achw,bchw->ab", unit, unit) / (x.shape[2] * x.shape[3])
        own = same.diagonal()
        total += (own[:, None] + own[None] - 2 * same) / LEVELS
    return np.array([float(total[a, b]) for a, b in combinations(range(len(pictures)), 2)], np.float32)


def diversity(painter: Painter, shots: Sequence[Shot], seeds: int, judge: SceneJudge | None) -> dict[str, float]:
    """The mean distance between the pictures of each shot, painted with `seeds` neighbouring seeds.

    `perceptual` is the perceptual distance, and `pixels` the mean absolute difference of the background in 0..1;
    `levels` is the same in levels of 255.
    `perceptual_prompts` is the distance between the prompts of different shots around one product, for comparison.
    """
    apart: dict[str, list[float]] = {"pixels": []}
    for shot in shots:
        variants = [Shot(shot.flat, shot.prompt, seed) for seed in range(seeds)]
        pictures = np.stack([picture.locked for picture in painter.paint(variants)])
        background = ~shot.product
        apart["pixels"] += [
            float(np.abs(pictures[a][background].astype(np.int16) - pictures[b][background]).mean() / 255)
            for a, b in combinations(range(seeds), 2)
        ]
        if judge:
            masks = np.stack([shot.flat.alpha] * seeds)
            apart.setdefault("perceptual", []).extend(perceptual(judge, pictures, masks).tolist())
    if judge and len(shots) > 1:
        first = shots[0].flat
        pictures = np.stack([p.locked for p in painter.paint([Shot(first, shot.prompt, 0) for shot in shots])])
        masks = np.stack([first.alpha] * len(shots))
        apart["perceptual_prompts"] = perceptual(judge, pictures, masks).tolist()
    found = {name: round(float(np.mean(values)), 4) for name, values in apart.items()}
    return found | {"levels": round(255 * float(np.mean(apart["pixels"])), 1)}
