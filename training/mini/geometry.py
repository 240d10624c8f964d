"""The geometry head: normals and depth of a cutout, on the frozen segmenter's features.

The loss: the distance between the tips of normals, which is nearly their angle, and the depth's L1 distance and that of
its gradient, both on the product alone. 1 - cosine, a squared angle, rounds flat faces: it fears large errors most.
Depth runs from 0 at its far end to 1 at its near end, so its scale is not learnt.

python -m training.mini.geometry runs/geometry --ship packshot/packs/mini     # write the role into a pack
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from packshot.models.understand.network import GeometryHead
from packshot.training.fit import Loss, fit
from packshot.training.progress import Run, TrainingOptions, read_checkpoint
from training.mini.head_features import GEOMETRY, Rows
from training.mini.roles import ship

CONFIG: dict[str, Any] = {"feature_channels": 128, "detail_channels": [32, 64], "width": 128, "depth": 3}
DEPTH_SHARE, GRADIENT_SHARE = 1.0, 2.0
EMA = 0.998


def geometry_loss(normals: Tensor, depth: Tensor, true_normals: Tensor, true_depth: Tensor) -> tuple[Tensor, Tensor]:
    """The losses of normals (B, 3, h, w) and of depth (B, 1, h, w), on the pixels that have a true normal."""
    on = (true_normals.norm(dim=1, keepdim=True) > 0.5).float()
    count = on.sum().clamp(min=1)
    angle = ((normals - true_normals).norm(dim=1, keepdim=True) * on).sum() / count
    error = (depth - true_depth) * on
    away = error.abs().sum() / count
    for axis in (2, 3):
        whole = on.narrow(axis, 1, on.shape[axis] - 1) * on.narrow(axis, 0, on.shape[axis] - 1)
        away = away + GRADIENT_SHARE * (error.diff(dim=axis).abs() * whole).sum() / count
    return angle, away


def train(out: Path, features: Path, plan: TrainingOptions) -> nn.Module:
    """Train the head, or resume its training. The metrics are the loss and its parts."""
    run = Run(out, plan.filled(batch=16, lr=1.5e-3, seed=5))
    device, rng = run.plan.device, run.rng
    net = GeometryHead(**CONFIG).to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), lr=run.plan.lr, weight_decay=0.02, fused=True)
    rows = Rows(features, GEOMETRY)

    def loss() -> Loss:
        batch = rows.draw(rng, run.plan.batch)
        maps = [torch.from_numpy(batch[name]).to(device, torch.float32) for name in GEOMETRY[:4]]
        seen, quarter, eighth, outlines = (one.contiguous(memory_format=torch.channels_last) for one in maps)
        normals, depth = net(seen, quarter, eighth, outlines)
        true_normals = torch.from_numpy(batch["cut_normals"]).to(device).permute(0, 3, 1, 2).float() / 127
        true_depth = torch.from_numpy(batch["cut_depth"]).to(device, torch.float32)[:, None]
        angle, away = geometry_loss(normals.float(), depth.float(), true_normals, true_depth)
        value = angle + DEPTH_SHARE * away
        return Loss(value, len(seen), {"loss": value, "angle": angle, "depth": away})

    return fit(run, net, optimizer, loss, ema=EMA, on_save=rows.refresh)


def load(run: Path) -> GeometryHead:
    """The trained head of a run, with averaged weights, in eval mode."""
    net = GeometryHead(**CONFIG)
    net.load_state_dict(read_checkpoint(run)["ema"])
    return net.eval()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Write the trained geometry head into a pack.")
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--ship", type=Path, required=True, help="the pack's folder")
    options = parser.parse_args()
    print(json.dumps(ship(options.ship, "geometry", "GeometryHead", CONFIG, load(options.run))))


if __name__ == "__main__":
    main()
