"""The judge of scenes: a classifier of surface, backdrop and light, with which painted pictures are scored.

It is a small residual network that is trained on drawn and path-traced scenes. Its input is the picture and the
product's mask. Training pictures are degraded (blurred by resizing, noise), because painted pictures are softer than
rendered ones.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from training.core.fit import Loss, fit
from training.core.progress import Run, TrainingOptions
from training.mini.data import read_shards
from training.scenes.words import BACKDROPS, FIELDS, QUALITIES, SURFACES, TINTS

SHIPPED = Path(__file__).with_suffix(".safetensors")
"""The weights that the evaluation uses."""
HEADS = {"surface": len(SURFACES), "backdrop": len(BACKDROPS), "light": len(QUALITIES) * len(TINTS)}


class Block(nn.Module):
    """A residual block of two convolutions that halves the resolution."""

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
    """Maps pictures (B, 3, S, S) in -1..1 and product masks (B, 1, S, S) in 0..1 to logits of each of HEADS.

    `size_px` is the S of its training, to which other pictures are resized. None: pictures are not resized.
    """

    def __init__(self, size_px: int | None = None) -> None:
        super().__init__()
        self.size_px = size_px
        widths = (16, 32, 64, 128, 192)
        self.blocks = nn.Sequential(*(Block(a, b) for a, b in zip((4, *widths[:-1]), widths, strict=True)))
        self.heads = nn.ModuleDict({name: nn.Linear(2 * widths[-1] * 2, count) for name, count in HEADS.items()})

    def forward(self, pictures: Tensor, masks: Tensor) -> dict[str, Tensor]:
        seen = self.blocks(torch.cat([pictures * (1 - masks), masks], 1))  # (B, C, S / 32, S / 32)
        halves = seen.split(seen.shape[2] // 2, 2)  # surfaces are in the lower half, backdrops in the upper
        pooled = torch.cat([pool for half in halves for pool in (half.mean((2, 3)), half.amax((2, 3)))], 1)
        return {name: head(pooled) for name, head in self.heads.items()}


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
    net = Judge().to(device).to(memory_format=torch.channels_last)
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


def load(run: Path) -> Judge:
    """The trained judge in eval mode, from a run's folder or from a .safetensors file that `save` wrote."""
    net = Judge()
    if run.suffix == ".safetensors":
        with safe_open(run, "pt") as file:
            net.size_px = int((file.metadata() or {}).get("size_px", 0)) or None
            net.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    else:
        saved = torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)
        net.size_px = saved.get("size_px", net.size_px)
        net.load_state_dict(saved["net"])
    return net.eval().requires_grad_(False)


def save(net: Judge, path: Path) -> None:
    """Write the weights in fp16, with the picture size of the training."""
    state = {name: t.half() if t.is_floating_point() else t for name, t in net.state_dict().items()}
    save_file(state, path, {"size_px": str(net.size_px or 0)})


def prepared(judge: Judge, pictures: np.ndarray, masks: np.ndarray) -> tuple[Tensor, Tensor]:
    """Convert pictures (uint8 NxSxSx3) and masks (uint8 NxSxS) to the judge's input at its own size s.

    Returns pictures (N, 3, s, s) in -1..1 and masks (N, 1, s, s) in 0..1.
    """
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    m = torch.from_numpy(masks)[:, None].float() / 255
    if judge.size_px and x.shape[2] != judge.size_px:
        x, m = (F.interpolate(one, (judge.size_px, judge.size_px), mode="area") for one in (x, m))
    return x, m


@torch.inference_mode()
def read(judge: Judge, pictures: np.ndarray, masks: np.ndarray) -> dict[str, np.ndarray]:
    """The predicted class indices (N) of each head. pictures: uint8 NxSxSx3; masks: uint8 NxSxS, 255 = product."""
    parts = [judge(*prepared(judge, pictures[at : at + 16], masks[at : at + 16])) for at in range(0, len(pictures), 16)]
    return {name: torch.cat([part[name] for part in parts]).argmax(1).numpy() for name in HEADS}
