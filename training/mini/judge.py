"""A judge of scenes: reads surface, backdrop and light off a picture, so that what the painter painted can be scored.

A small residual network, trained on drawn scenes alone. It sees the picture and where the product is. Pictures are worn
on purpose (enlarged from less, noisy), for a painter's are softer than a renderer's.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from packshot.models.denoise import DiffusionEngine
from packshot.models.manifest import read_manifest
from packshot.models.packs import Pack
from packshot.settings import Settings
from training.mini.data import read_shards
from training.mini.progress import Run
from training.mini.sheet import scene_of
from training.scenes import render
from training.scenes.words import BACKDROPS, FIELDS, QUALITIES, SURFACES, TINTS, describe

CPU = torch.device("cpu")
HEADS = {"surface": len(SURFACES), "backdrop": len(BACKDROPS), "light": len(QUALITIES) * len(TINTS)}


class Block(nn.Module):
    """Two convolutions around a shortcut; halves the picture."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(into, out, 3, stride=2, padding=1, bias=False)
        self.second = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(out) for _ in range(2))
        self.short = nn.Conv2d(into, out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(F.relu(self.norms[0](self.first(x))))
        return F.relu(self.norms[1](y) + self.short(F.avg_pool2d(x, 2)))


class Judge(nn.Module):
    """Pictures (B, 3, S, S) in -1..1 and product masks (B, 1, S, S) in 0..1 to logits of each of HEADS."""

    def __init__(self) -> None:
        super().__init__()
        widths = (16, 32, 64, 128, 192)
        self.blocks = nn.Sequential(*(Block(a, b) for a, b in zip((4, *widths[:-1]), widths, strict=True)))
        self.heads = nn.ModuleDict({name: nn.Linear(2 * widths[-1] * 2, count) for name, count in HEADS.items()})

    def forward(self, pictures: Tensor, masks: Tensor) -> dict[str, Tensor]:
        seen = self.blocks(torch.cat([pictures * (1 - masks), masks], 1))  # (B, C, S / 32, S / 32)
        halves = seen.split(seen.shape[2] // 2, 2)  # surfaces lie low, backdrops stand high
        pooled = torch.cat([pool for half in halves for pool in (half.mean((2, 3)), half.amax((2, 3)))], 1)
        return {name: head(pooled) for name, head in self.heads.items()}


def labels_of(attributes: np.ndarray) -> dict[str, Tensor]:
    """What each scene truly is: class indices (N) for each of HEADS. attributes: N x len(FIELDS)."""
    column = {name: torch.from_numpy(attributes[:, i]) for i, name in enumerate(FIELDS)}
    light = column["quality"] * len(TINTS) + column["tint"]
    return {"surface": column["surface"], "backdrop": column["backdrop"], "light": light}


def worn(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """As from a softer hand: enlarged from up to half the size, with noise."""
    if rng.random() < 0.6:
        small = F.interpolate(pictures, scale_factor=float(rng.uniform(0.5, 0.95)), mode="area")
        pictures = F.interpolate(small, pictures.shape[2:], mode="bicubic").clamp(-1, 1)
    return pictures + torch.randn_like(pictures) * float(rng.uniform(0, 0.04))


def train(
    out: Path,
    scenes: Path,
    minutes: float,
    batch: int = 32,
    lr: float = 2e-3,
    seed: int = 2,
    device: torch.device = CPU,
) -> None:
    """Train for `minutes`, resumable. Metrics: the share read right, for each head, on the batch at hand."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = Judge().to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=0.02, fused=True)
    run = Run(out, minutes, lr)
    if state := run.resume():
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
    data = read_shards(scenes)
    labels = labels_of(data["attributes"])
    while run.going:
        rows = rng.integers(0, len(data["image"]), batch)
        pictures = torch.from_numpy(data["image"][rows]).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
        masks = torch.from_numpy(data["mask"][rows]).to(device)[:, None].float() / 255
        if rng.random() < 0.5:
            pictures, masks = pictures.flip(3), masks.flip(3)
        answers = net(worn(pictures, rng), masks)
        truth = {name: label[rows].to(device) for name, label in labels.items()}
        loss = torch.stack([F.cross_entropy(answers[name], truth[name]) for name in HEADS]).sum()
        for group in optimizer.param_groups:
            group["lr"] = run.rate()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        right = {name: float((answers[name].argmax(1) == truth[name]).float().mean()) for name in HEADS}
        run.tick(batch, {"loss": float(loss.detach()), **right})
        if run.checkpoint_due:
            run.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()})
    run.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()})


def load(run: Path) -> Judge:
    """The trained judge of a run's folder, in eval mode."""
    net = Judge()
    net.load_state_dict(torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)["net"])
    return net.eval().requires_grad_(False)


@torch.inference_mode()
def read(judge: Judge, pictures: np.ndarray, masks: np.ndarray) -> dict[str, np.ndarray]:
    """Class indices (N) of each head. pictures: uint8 N x S x S x 3; masks: uint8 N x S x S, 255 = product."""
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    answers = judge(x, torch.from_numpy(masks)[:, None].float() / 255)
    return {name: logits.argmax(1).numpy() for name, logits in answers.items()}


def judge_pack(
    pack_folder: Path, judge: Judge, pictures: int = 64, seed: int = 970_000, batch: int = 8
) -> dict[str, float]:
    """How often the judge reads off a painted picture what its prompt asked for, and off a drawn one what was drawn.

    Each drawn product (unseen) is painted, by the engine that serves the pack, into another drawn scene's caption; the
    product's own pixels are put back. Returns `drawn_*` and `painted_*` for each of HEADS, 0..1.
    """
    pack = Pack(read_manifest(pack_folder / "manifest.yaml"), pack_folder, Settings())
    engine, defaults = DiffusionEngine(pack, "cpu", torch.float32), pack.manifest.defaults
    brief = {
        "steps": defaults.steps,
        "guidance_scale": defaults.guidance_scale,
        "control_scale": defaults.control_scale,
    }
    drawn = render(pictures, pack.manifest.native_px[0], seed, clutter=0.0)
    images, masks, edges = drawn.image.numpy(), drawn.mask.numpy(), drawn.edges.numpy()
    asked = drawn.attributes.numpy()[::-1].copy()
    rng = np.random.default_rng(seed)
    painted = []
    for at in range(0, pictures, batch):
        rows = range(at, min(at + batch, pictures))
        texts = [describe(dict(zip(FIELDS, asked[r].tolist(), strict=True)), rng, whole=True) for r in rows]
        going = [
            engine.begin(scene_of(images[r], masks[r], edges[r], text, seed=r, **brief))
            for r, text in zip(rows, texts, strict=True)
        ]
        while not going[0].done:
            engine.step(going)
        painted += [render_.pixels for render_ in engine.decode(going)]
    alpha = masks[..., None]
    locked = (images * alpha + np.stack(painted) * (1 - alpha)).round().astype(np.uint8)
    worn_masks = (masks * 255).round().astype(np.uint8)
    figures = {}
    for name, seen, attributes in (("drawn", images, drawn.attributes.numpy()), ("painted", locked, asked)):
        truth, answers = labels_of(attributes), read(judge, seen, worn_masks)
        figures |= {f"{name}_{head}": round(float((answers[head] == truth[head].numpy()).mean()), 3) for head in HEADS}
    return figures
