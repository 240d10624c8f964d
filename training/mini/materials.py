"""Fit the weights with which metal is told from a cutout, and say how often they are right.

    python -m training.mini.materials --products 80      # of each drawn material; prints METAL and the table

The products are drawn scenes (`training/scenes`), whose material is known, and the path-traced ones of the evaluation
whose names say it. Each is judged by weights that were fitted to the others, in five parts.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from packshot.imaging.light.material import material_cues
from packshot.types import CERTAIN_MATERIAL, Cutout
from training.mini.evaluation.groups import read_groups
from training.scenes.render import render

DRAWN = ("matte", "gloss", "metal")
METALS = frozenset({"metal", "large pan", "espresso kettle", "ring", "can"})
MIXED = frozenset(
    ("", "hammer", "kitchen scale", "deep fryer", "stapler", "dustbin", "boiler", "kitchen knife", "ashtray",
     "hashtray", "stereo amplifier")
)  # fmt: skip
"""Names of which some are metal and some are not, or a part is."""
SEED, SIDE_PX, AT_ONCE, PARTS = 91_000, 256, 8, 5
SMALLEST_PX, SMALLEST_TRACED_PX = 400, 1200
DECAY = 3e-4
F64 = NDArray[np.float64]


class Known(NamedTuple):
    """A product's cutout, where it is from, and whether it is metal."""

    cutout: Cutout
    source: str
    metal: bool


def cropped(image: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> Cutout:
    """The product of a picture, cropped to its extent."""
    rows, columns = np.nonzero(alpha)
    box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    return Cutout(np.dstack([image[box], alpha[box]]))


def drawn(count: int) -> Iterator[Known]:
    """`count` products of each drawn material."""
    for number, material in enumerate(DRAWN):
        made = 0
        for seed in range(SEED + 1000 * number, SEED + 1000 * (number + 1)):
            batch = render(AT_ONCE, SIDE_PX, seed, clutter=0.0, materials=[material])
            for image, mask in zip(batch.image.cpu().numpy(), batch.mask.cpu().numpy(), strict=True):
                alpha = np.rint(np.clip(mask, 0, 1) * 255).astype(np.uint8)
                if made < count and np.count_nonzero(alpha) >= SMALLEST_PX:
                    made += 1
                    yield Known(cropped(image, alpha), material, material in METALS)
            if made == count:
                break


def traced() -> Iterator[Known]:
    """The products of the evaluation's pictures whose names say whether they are metal."""
    for group in read_groups():
        for number, name in enumerate(group.names, start=1):
            mask = group.index == number
            if name not in MIXED and int(mask.sum()) >= SMALLEST_TRACED_PX:
                yield Known(cropped(group.image, mask.astype(np.uint8) * np.uint8(255)), "path-traced", name in METALS)


def fitted(cues: F64, metal: F64) -> F64:
    """The weights of a logistic regression; the last one is free of decay."""
    inputs, truth = torch.from_numpy(cues), torch.from_numpy(metal)
    weights = torch.zeros(cues.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = torch.nn.functional.binary_cross_entropy_with_logits(inputs @ weights, truth)
        value = value + DECAY * (weights[:-1] ** 2).sum()
        value.backward()
        return value

    optimizer.step(loss)
    found: F64 = weights.detach().numpy()
    return found


def judged(cues: F64, metal: F64) -> F64:
    """The probability of metal of each product, by weights that did not see it."""
    part = np.arange(len(metal)) % PARTS
    found = np.zeros(len(metal))
    for number in range(PARTS):
        weights = fitted(cues[part != number], metal[part != number])
        found[part == number] = 1 / (1 + np.exp(-cues[part == number] @ weights))
    return found


def main() -> None:
    """Draw, measure, fit and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=int, default=80, help="of each drawn material")
    known = [*drawn(parser.parse_args().products), *traced()]
    order = np.random.default_rng(0).permutation(len(known))
    cues = np.stack([material_cues(known[at].cutout).of_surface for at in order]).astype(np.float64)
    metal = np.array([float(known[at].metal) for at in order])
    sources = np.array([known[at].source for at in order])
    found = judged(cues, metal)
    say = sys.stdout.write
    say(f"METAL = {np.round(fitted(cues, metal), 2).tolist()}\n")
    for source in (*DRAWN, "path-traced"):
        for truth, what in ((1.0, "metal"), (0.0, "not metal")):
            own = found[(sources == source) & (metal == truth)]
            if own.size:
                likely, warned = (own >= 0.5).mean(), (own >= CERTAIN_MATERIAL).mean()
                say(f"{source}, {own.size} {what}: likely metal {likely:.2f}, a warning {warned:.2f}\n")


if __name__ == "__main__":
    main()
