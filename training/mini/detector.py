"""The name finder: a small head on the frozen segmenter's features that finds what words name.

It is trained in two parts. The loop trains the boxes: on a few pictures of a step, every place learns whether it is a
product's (focal loss), and the product's box (the logarithm of the overlap, Yu et al. 2016). On all of them, boxes that
are off by a fifth learn the way back.

What is in a box is compared with phrases by a ridge regression, which is solved when the role is written: the views of
all products, each off its place by a little, and of boxes beside them, against which phrases name them. It takes half a
minute, and finds more names than a network that was trained for as long as the boxes. A tenth of the shards chooses the
threshold: as many present names are found as absent ones are refused.

python -m training.mini.detector runs/detector --ship packshot/packs/mini     # write the role into a pack
"""

from __future__ import annotations

import argparse
import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from packshot.models.detect.network import NameFinder
from packshot.training.fit import Loss, fit
from packshot.training.progress import Run, TrainingOptions, read_checkpoint
from training.mini import names
from training.mini.head_features import DETECTOR, Rows
from training.mini.roles import ship

CONFIG: dict[str, Any] = {"feature_channels": 128, "detail_channels": 64, "width": 192, "depth": 4, "phrase_words": 4}
THRESHOLD = 0.5
RIDGE = 0.3
"""The weight of the ridge against the rows' errors."""
SHARPNESS = 1.2
"""How fast the score goes from 0 to 1 about the threshold, per spread of a phrase's fit."""
CHECKED = 10
"""One shard of so many chooses the threshold."""
DENSE = 8
"""Of so many pictures of a step, one learns at every place."""
FREE_IOU = 0.25
"""A box that overlaps products less shows none."""
FOCUS = 2.0
"""The focal loss's exponent."""
DROP = 0.1
"""The share of the features' channels that is left out of a step."""
EMA = 0.995


def config() -> dict[str, Any]:
    """The network's config for the training's words."""
    return CONFIG | {
        "vocabulary": names.tokenizer().vocab_size,
        "phrases": len(names.phrases()),
        "threshold": THRESHOLD,
    }


def build() -> NameFinder:
    """The network for the training's words."""
    net = NameFinder(**config())
    net.phrases.copy_(torch.from_numpy(names.tokenizer()(names.phrases())[:, 1 : 1 + CONFIG["phrase_words"]]))
    return net


@functools.cache
def _found(name: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which of the training's phrases name an object."""
    return np.array([bool(name) and names.finds(phrase, name) for phrase in names.phrases()])


def focal(logits: Tensor, truth: Tensor) -> Tensor:
    """The focal loss, summed, over the number of true places."""
    plain = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    wrong = torch.where(truth > 0, 1 - logits.sigmoid(), logits.sigmoid())
    return (plain * wrong**FOCUS).sum() / truth.sum().clamp(min=1)


def overlap(boxes: Tensor, others: Tensor) -> Tensor:
    """The IoU (R) of pairs of boxes (R, 4) XYXY."""
    low, high = torch.maximum(boxes[:, :2], others[:, :2]), torch.minimum(boxes[:, 2:], others[:, 2:])
    both = (high - low).clamp(min=0).prod(1)
    areas = [(one[:, 2:] - one[:, :2]).clamp(min=0).prod(1) for one in (boxes, others)]
    return both / (areas[0] + areas[1] - both).clamp(min=1e-6)


def place_loss(products: Tensor, boxes: Tensor, true_boxes: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
    """The losses of `NameFinder.proposed`. `true_boxes` is (B, N, 4); `cells` (B, s, s) numbers products from 1."""
    batch, y, x = torch.nonzero(cells, as_tuple=True)
    mine = true_boxes[batch, cells[batch, y, x].long() - 1]
    apart = -torch.log(overlap(boxes[batch, y, x], mine) + 1e-3)
    return focal(products.float(), (cells > 0).float()), apart.sum() / max(len(batch), 1)


def drawn_boxes(rng: np.random.Generator, boxes: NDArray[np.float32], names_: NDArray[Any]) -> tuple[Any, ...]:
    """Boxes to look at in a batch: (R, 4), the pictures (R), the true boxes (R, 4) and the names (R).

    `boxes` is (B, N, 4), and `names_` (B, N). Each product comes once, off its place; a box elsewhere has no name.
    """
    rows, places = np.nonzero(names_ != "")
    true = boxes[rows, places]
    size = np.tile(true[:, 2:] - true[:, :2], 2)
    near = true + rng.normal(0, 0.09, true.shape) * size
    far = true + rng.uniform(-1, 1, (len(true), 2))[:, [0, 1, 0, 1]] * size * rng.choice([0.4, 1.0], (len(true), 1))
    free = overlap(torch.from_numpy(far), torch.from_numpy(true)).numpy() < FREE_IOU
    everything = np.concatenate([near, far[free]]).astype(np.float32)
    found = np.concatenate([names_[rows, places], np.full(int(free.sum()), "")])
    for at in range(len(true), len(everything)):  # a box beside a product may show another one
        beside = boxes[np.concatenate([rows, rows[free]])[at]]
        pairs = torch.from_numpy(np.repeat(everything[at : at + 1], len(beside), 0)), torch.from_numpy(beside)
        found[at] = "-" if float(overlap(*pairs).max()) > FREE_IOU else ""
    use = found != "-"
    return everything[use], np.concatenate([rows, rows[free]])[use], np.concatenate([true, true[free]])[use], found[use]


def train(out: Path, features: Path, plan: TrainingOptions, warm: Path | None = None) -> nn.Module:
    """Train the boxes, or resume their training. The metrics are the loss and its parts.

    `warm` is the folder of another run, whose fitting tensors are the start.
    """
    run = Run(out, plan.filled(batch=48, lr=1.5e-3, seed=4))
    device, rng = run.plan.device, run.rng
    net = build().to(device).to(memory_format=torch.channels_last)
    net.fits.requires_grad_(requires_grad=False)
    if warm and not run.state:
        _copy(read_checkpoint(warm)["net"], net)
    weights = [weight for weight in net.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=run.plan.lr, weight_decay=0.05, fused=True)
    rows = Rows(features, DETECTOR)

    def loss() -> Loss:
        batch = rows.draw(rng, run.plan.batch)
        maps = [torch.from_numpy(batch[name]).to(device, torch.float32) for name in ("features", "eighth")]
        joined = net.joined(*maps).contiguous(memory_format=torch.channels_last)
        few = max(1, run.plan.batch // DENSE)
        products, boxes = net.proposed(functional.dropout2d(joined[:few], DROP))
        true_boxes, cells = (torch.from_numpy(batch[name][:few]).to(device) for name in ("boxes", "cells"))
        place, apart = place_loss(products, boxes, true_boxes, cells)
        near, owners, true, found = drawn_boxes(rng, batch["boxes"], batch["names"])
        on = found != ""
        near, owners, true = (torch.from_numpy(part[on]).to(device) for part in (near, owners, true))
        mend = -torch.log(overlap(net.mended(functional.dropout2d(joined, DROP), near, owners), true) + 1e-3).mean()
        value = place + apart + mend
        return Loss(value, len(joined), {"loss": value, "place": place, "box": apart, "mended": mend})

    return fit(run, net, optimizer, loss, ema=EMA, on_save=rows.refresh)


def _copy(given: dict[str, Tensor], net: NameFinder) -> None:
    """Copy the tensors that fit."""
    own = net.state_dict()
    fitting = {name: one for name, one in given.items() if name in own and own[name].shape == one.shape}
    net.load_state_dict(own | fitting)


@torch.no_grad()
def learn_names(net: NameFinder, features: Path, seed: int = 0) -> dict[str, float]:
    """Solve the regression on all shards in `features`, and choose the threshold. Returns what a tenth of them says."""
    numbers, truth, checked = _views(net, features, np.random.default_rng(seed))
    net.mean.copy_(numbers.mean(0))
    net.spread.copy_(numbers.std(0) + 1e-3)
    x = net.standard(numbers)
    found: dict[str, float] = {}
    for rows in (~checked, torch.ones_like(checked)):  # first without the checked rows, then with all
        start = truth[rows].mean(0)
        covariance = x[rows].T @ x[rows] + RIDGE * torch.eye(x.shape[1])
        weights = torch.linalg.solve(covariance, x[rows].T @ (truth[rows] - start))
        fit = x[rows] @ weights + start
        wrong = truth[rows] == 0  # a rare phrase has small numbers: count in its spread over what it does not name
        middle = (fit * wrong).sum(0) / wrong.sum(0)
        spread = (((fit - middle) ** 2 * wrong).sum(0) / wrong.sum(0)).sqrt().clamp(min=1e-4)
        net.fits.weight.copy_((weights / spread).T)
        net.fits.bias.copy_((start - middle) / spread)
        if not found:
            fit = net.fits(x[checked])
            right, absent = fit[truth[checked] > 0], _best_absent(fit, truth[checked])
            levels = torch.linspace(0, 12, 241)
            rates = [
                torch.minimum((right > level).float().mean(), (absent <= level).float().mean()) for level in levels
            ]
            best = int(torch.stack(rates).argmax())
            found = {"rows": len(x), "level": round(float(levels[best]), 3), "balanced": round(float(rates[best]), 3)}
            net.line.copy_(torch.tensor([SHARPNESS, -SHARPNESS * float(levels[best])]))
    return found


def _best_absent(fit: Tensor, truth: Tensor) -> Tensor:
    """For random phrases that do not fit, the best of three boxes: as of a picture's products."""
    wrong = fit.masked_fill(truth > 0, -99.0)
    count = len(wrong) // 3 * 3
    return wrong[:count].reshape(3, -1, wrong.shape[1]).amax(0).flatten()


def _views(net: NameFinder, features: Path, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """The numbers (R, F) of boxes of all shards, which phrases fit them (R, phrases), and which are checked (R)."""
    numbers, truths, checked = list[Tensor](), list[Tensor](), list[Tensor]()
    for place, path in enumerate(sorted(features.glob("*.npz"))):
        with np.load(path) as shard:
            if "names" not in shard.files:
                continue
            batch = {name: shard[name] for name in DETECTOR}
        maps = (torch.from_numpy(batch[name]).float() for name in ("features", "eighth"))
        joined = net.joined(*maps)
        near, owners, true, found = drawn_boxes(rng, batch["boxes"], batch["names"])
        on = (found != "")[:, None]
        closer = np.where(on, true + (near - true) * 0.4, near).astype(np.float32)
        numbers.append(net.numbers(joined, torch.from_numpy(closer), torch.from_numpy(owners)))
        truths.append(torch.from_numpy(np.stack([_found(str(name)) for name in found])).float())
        checked.append(torch.full((len(found),), place % CHECKED == CHECKED - 1))
    return torch.cat(numbers), torch.cat(truths), torch.cat(checked)


def load(run: Path) -> NameFinder:
    """The boxes' network of a run, with averaged weights, in eval mode. Its names are not learnt yet."""
    net = build()
    _copy(read_checkpoint(run)["ema"], net)
    return net.eval().requires_grad_(requires_grad=False)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Learn the names, and write the trained name finder into a pack.")
    parser.add_argument(
        "run", type=Path, help="folder of the run; runs/features beside it holds what names are learnt on"
    )
    parser.add_argument("--ship", type=Path, required=True, help="the pack's folder")
    options = parser.parse_args()
    net = load(options.run)
    print(json.dumps(learn_names(net, options.run.parent / "features")))
    words = options.ship / "detector_words.json"
    names.tokenizer().save(words)
    print(json.dumps(ship(options.ship, "detector", "NameFinder", config(), net, [words])))


if __name__ == "__main__":
    main()
