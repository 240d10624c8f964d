"""Trains the judge of scenes (packshot/models/judge.py), with which painted pictures are scored.

It is trained on drawn and path-traced scenes. Training pictures are degraded (blurred by resizing, noise), because
painted pictures are softer than rendered ones.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from packshot.models.judge import SceneJudge
from packshot.training.fit import Loss, fit
from packshot.training.progress import Run, TrainingOptions
from training.mini.data import read_shards
from training.scenes.words import BACKDROPS, FIELDS, QUALITIES, SURFACES, TINTS

SIZE_PX = 256
"""Side of the pictures on which the shipped judge was trained."""
_SURFACE_PHRASES = (
    ["wood"],
    ["walnut", "dark wood", "walnut wood"],
    ["marble"],
    ["slate", "dark stone"],
    ["concrete"],
    ["linen"],
    ["sand"],
    ["paper", "sweep"],
    ["terrazzo"],
    ["black marble", "dark marble"],
    ["grass", "lawn"],
    ["steel", "brushed metal"],
)
_BACKDROP_PHRASES = (
    ["plain", "wall", "studio backdrop", "background"],
    ["brick", "brick wall"],
    ["tile", "tile wall"],
    ["foliage", "garden"],
    ["night"],
    ["room"],
    ["sea", "ocean"],
    ["curtain", "fabric backdrop"],
)
_TINT_WORDS = (["neutral", "daylight", "bright"], ["warm", "golden", "sunset"], ["cool", "cold"])
HEADS: dict[str, dict[str, list[str]]] = {
    "surface": dict(zip(SURFACES, _SURFACE_PHRASES, strict=True)),
    "backdrop": dict(zip(BACKDROPS, _BACKDROP_PHRASES, strict=True)),
    "light": {
        f"{quality} {tint}": [phrase for word in said for phrase in (f"{quality} {word}", f"{word} {quality}")]
        for quality, (tint, said) in product(QUALITIES, zip(TINTS, _TINT_WORDS, strict=True))
    },
}
"""The heads, their classes, and the phrases by which captions name them (`training.scenes.words`)."""
CONFIG: dict[str, Any] = {"size_px": SIZE_PX, "heads": HEADS}
"""The config of the pack's role `judge`."""


def labels_of(attributes: np.ndarray) -> dict[str, Tensor]:
    """The true class indices (N) for each of HEADS, from attributes (N, len(FIELDS)). A backdrop not seen is -1."""
    column = {name: torch.from_numpy(attributes[:, i]) for i, name in enumerate(FIELDS)}
    light = column["quality"] * len(TINTS) + column["tint"]
    return {"surface": column["surface"], "backdrop": column["backdrop"], "light": light}


def degraded(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """Pictures blurred by resizing to as little as half the size and back, with noise."""
    if rng.random() < 0.6:
        small = F.interpolate(pictures, scale_factor=float(rng.uniform(0.5, 0.95)), mode="area")
        pictures = F.interpolate(small, pictures.shape[2:], mode="bicubic").clamp(-1, 1)
    return pictures + torch.randn_like(pictures) * float(rng.uniform(0, 0.04))


def train(out: Path, scenes: Path, plan: TrainingOptions) -> nn.Module:
    """Train the judge, or resume its training. The metrics are the loss and the accuracy of each head on the batch."""
    run = Run(out, plan.filled(batch=32, lr=2e-3, seed=2))
    device, rng = run.plan.device, run.rng
    net = SceneJudge(HEADS).to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), lr=run.plan.lr, weight_decay=0.02, fused=True)
    data = read_shards(scenes, columns=("image", "mask", "attributes"))
    labels = labels_of(data["attributes"])

    def loss() -> Loss:
        rows = rng.integers(0, len(data["image"]), run.plan.batch)
        pictures = torch.from_numpy(data["image"][rows]).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
        masks = torch.from_numpy(data["mask"][rows]).to(device)[:, None].float() / 255
        if rng.random() < 0.5:
            pictures, masks = pictures.flip(3), masks.flip(3)
        answers = net(degraded(pictures, rng), masks)
        truth = {name: label[rows].to(device) for name, label in labels.items()}
        value = torch.stack([F.cross_entropy(answers[name], truth[name], ignore_index=-1) for name in HEADS]).sum()
        right = {name: (answers[name].argmax(1) == truth[name])[truth[name] >= 0].float().mean() for name in HEADS}
        return Loss(value, len(rows), {"loss": value, **right})

    return fit(run, net, optimizer, loss, size_px=data["image"].shape[1])


def load(run: Path) -> SceneJudge:
    """The judge of a training's folder, in eval mode."""
    saved = torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)
    net = SceneJudge(HEADS, saved.get("size_px", SIZE_PX))
    net.load_state_dict(saved["net"])
    return net.eval().requires_grad_(False)


def read(judge: SceneJudge, pictures: np.ndarray, masks: np.ndarray) -> dict[str, np.ndarray]:
    """The predicted class indices (N) of each head. pictures: uint8 NxSxSx3; masks: uint8 NxSxS, 255 = product."""
    return {head: found.argmax(1) for head, found in judge.probabilities(pictures, masks).items()}
