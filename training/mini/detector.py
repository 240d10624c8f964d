"""The name finder: a small head on the frozen segmenter's features that finds what words name.

It is trained in two parts. The loop trains the boxes: on a few pictures of a step, every place learns whether it is a
product's (focal loss), and the product's box (the logarithm of the overlap, Yu et al. 2016). On all of them, boxes that
are off by a fifth learn the way back.

What is in a box is compared with phrases by a small network, which is trained when the role is written: on the views of
all products, each several times a little off its place, of boxes beside them, and of the boxes that the network itself
proposes, against which phrases name them. It takes fifteen processor minutes. A tenth of the shards chooses the
threshold, so that the detector finds as many present names as it refuses absent ones.

python -m training.mini.detector runs/detector --ship packshot/packs/mini     # write the role into a pack
"""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from packshot.models.detect.detector import likeliest
from packshot.models.detect.network import NameFinder
from packshot.training.fit import Loss, fit
from packshot.training.progress import Run, TrainingOptions, read_checkpoint
from training.mini import names
from training.mini.head_features import DETECTOR, Rows
from training.mini.roles import ship

CONFIG: dict[str, Any] = {"feature_channels": 128, "detail_channels": 64, "width": 192, "depth": 4, "phrase_words": 4}
THRESHOLD = 0.5
VIEWS, EPOCHS, NAMES_BATCH, NAMES_LR = 3, 40, 256, 1e-3
"""How often each product is seen, a little elsewhere each time, and how the names are trained on these views."""
CHECKED = 10
"""One shard of so many chooses the threshold."""
SAME_IOU = 0.5
"""A box that overlaps a product as much shows it."""
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


def learn_names(net: NameFinder, features: Path, seed: int = 0, epochs: int = EPOCHS) -> dict[str, float]:
    """Train the names on the shards in `features`, and choose the threshold. Returns what a tenth of them says."""
    shards = [path for path in sorted(features.glob("*.npz")) if "names" in np.load(path).files]
    checked = shards[CHECKED - 1 :: CHECKED]
    numbers, truth = _views(net, [path for path in shards if path not in checked], np.random.default_rng(seed))
    net.mean.copy_(numbers.float().mean(0))
    net.spread.copy_(numbers.float().std(0) + 1e-3)
    net.fits.requires_grad_().train()
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(net.fits.parameters(), lr=NAMES_LR, weight_decay=0.1, fused=True)
    steps = epochs * max(1, len(numbers) // NAMES_BATCH)
    falling = torch.optim.lr_scheduler.OneCycleLR(optimizer, NAMES_LR, total_steps=steps + 1, pct_start=0.05)
    for _ in range(steps):
        rows = torch.randint(len(numbers), (NAMES_BATCH,))
        fit = net.fits(net.standard(numbers[rows].float()))
        loss = functional.binary_cross_entropy_with_logits(fit, truth[rows].float(), reduction="none").sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        falling.step()
    net.fits.eval().requires_grad_(requires_grad=False)
    present, absent = (torch.cat(part) for part in zip(*(_answers(net, path) for path in checked), strict=True))
    levels = torch.linspace(-16, 8, 481)
    rates = [torch.minimum((present > level).float().mean(), (absent <= level).float().mean()) for level in levels]
    best = int(torch.stack(rates).argmax())
    level = float(levels[best])
    net.line.copy_(torch.tensor([1.0, -level]))
    return {
        "views": len(numbers),
        "loss": float(loss.detach()),
        "level": round(level, 3),
        "balanced": round(float(rates[best]), 3),
    }


def _maps(net: NameFinder, path: Path) -> tuple[Tensor, dict[str, Any]]:
    """The joined maps of a shard's pictures, and its columns."""
    with np.load(path) as shard:
        batch = {name: shard[name] for name in DETECTOR}
    return net.joined(*(torch.from_numpy(batch[name]).float() for name in ("features", "eighth"))), batch


@torch.no_grad()
def _views(net: NameFinder, shards: Sequence[Path], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """The numbers (R, F) of boxes of the shards, float16, and which phrases fit them, bool (R, phrases)."""
    numbers, truths = list[Tensor](), list[Tensor]()

    def add(joined: Tensor, boxes: Tensor, owners: Tensor, found: Iterable[str]) -> None:
        numbers.append(net.numbers(joined, boxes, owners).half())
        truths.append(torch.from_numpy(np.stack([_found(name) for name in found])))

    for path in shards:
        joined, batch = _maps(net, path)
        for _ in range(VIEWS):
            near, owners, true, found = drawn_boxes(rng, batch["boxes"], batch["names"])
            on = (found != "")[:, None]
            closer = np.where(on, true + (near - true) * 0.4, near).astype(np.float32)
            add(joined, torch.from_numpy(closer), torch.from_numpy(owners), map(str, found))
        for row, boxes in enumerate(_proposals(net, joined)):
            on_each = [overlap(boxes, true.expand_as(boxes)) for true in torch.from_numpy(batch["boxes"][row])]
            best, product = torch.stack(on_each).max(0)
            plain = (best >= SAME_IOU) | (best < FREE_IOU)  # others show a part
            names_ = [
                str(batch["names"][row][at]) if iou >= SAME_IOU else "" for iou, at in zip(best, product, strict=True)
            ]
            kept = [name for name, use in zip(names_, plain, strict=True) if use]
            if kept:
                add(joined, boxes[plain], torch.full((len(kept),), row), kept)
    return torch.cat(numbers), torch.cat(truths)


@torch.no_grad()
def _proposals(net: NameFinder, joined: Tensor) -> Iterator[Tensor]:
    """The boxes (R, 4) in which names are looked for, of each picture."""
    for row, (products, places) in enumerate(zip(*net.proposed(joined), strict=True)):
        chosen = likeliest(products.sigmoid(), places)
        yield net.mended(joined, chosen, torch.full((len(chosen),), row))


@torch.no_grad()
def _answers(net: NameFinder, path: Path) -> tuple[Tensor, Tensor]:
    """How well the best box of each picture of a shard fits each phrase: of present names, and of absent ones.

    It is -99 for a present name whose best box shows something else.
    """
    joined, batch = _maps(net, path)
    present, absent = list[Tensor](), list[Tensor]()
    for row, boxes in enumerate(_proposals(net, joined)):
        rows = torch.full((len(boxes),), row)
        fit, best = net.fits(net.standard(net.numbers(joined, boxes, rows))).max(0)
        shown = torch.zeros(2, len(fit), dtype=torch.bool)
        for true, name in zip(torch.from_numpy(batch["boxes"][row]), batch["names"][row], strict=True):
            mine = torch.from_numpy(_found(str(name)))
            hit = overlap(boxes, true.expand_as(boxes)) >= SAME_IOU
            shown |= torch.stack([mine, mine & hit[best]])
        present.append(torch.where(shown[1], fit, -99.0)[shown[0]])
        absent.append(fit[~shown[0]])
    return torch.cat(present), torch.cat(absent)


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
