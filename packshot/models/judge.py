"""The judge of scenes: a small network that reads surface, backdrop and light off a painted picture.

The role `judge` of a pack is optional, and no deployment loads it. It is for programs that choose the best of several
pictures (docs/packs.md), and for the evaluation of the embedded pack. It reads the scene alone: the product is blacked
out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from packshot.types import F32, U8

__all__ = ["SceneJudge"]

WIDTHS = (16, 32, 64, 128, 192)
"""Output channels of the blocks. Each halves the resolution."""
PICTURES_PER_CALL = 16
_WORD = re.compile(r"[a-z0-9]+")

Phrases = Mapping[str, Mapping[str, Sequence[str]]]


class Block(nn.Module):
    """A residual block of two convolutions that halves the resolution."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(into, out, 3, stride=2, padding=1, bias=False)
        self.second = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(out) for _ in range(2))
        self.short = nn.Conv2d(into, out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(functional.relu(self.norms[0](self.first(x))))
        return functional.relu(self.norms[1](y) + self.short(functional.avg_pool2d(x, 2)))


class SceneJudge(nn.Module):
    """Reads each of its heads off a picture: the network, and what a prompt says of each head.

    `heads` maps each head (`surface`, `backdrop`, `light`) to its classes in order, and each class to the phrases by
    which a prompt names it. `size_px` is the side of the training's pictures, to which others are resized; None: they
    are not resized.
    """

    def __init__(self, heads: Phrases, size_px: int | None = None) -> None:
        super().__init__()
        self.size_px = size_px
        self.classes = {head: tuple(classes) for head, classes in heads.items()}
        self._phrases = {
            head: [(phrase.split(), index) for index, phrases in enumerate(classes.values()) for phrase in phrases]
            for head, classes in heads.items()
        }
        self.blocks = nn.Sequential(*(Block(a, b) for a, b in zip((4, *WIDTHS[:-1]), WIDTHS, strict=True)))
        self.heads = nn.ModuleDict(
            {head: nn.Linear(4 * WIDTHS[-1], len(names)) for head, names in self.classes.items()}
        )

    def forward(self, pictures: Tensor, masks: Tensor) -> dict[str, Tensor]:
        """The logits (B, classes) of each head, of pictures (B, 3, S, S) in -1..1 and masks (B, 1, S, S) in 0..1."""
        pooled = self.features(pictures, masks)
        return {name: head(pooled) for name, head in self.heads.items()}

    def features(self, pictures: Tensor, masks: Tensor) -> Tensor:
        """What the heads read, (B, F). The arguments are those of `forward`."""
        seen = self.blocks(torch.cat([pictures * (1 - masks), masks], 1))  # (B, C, S / 32, S / 32)
        halves = seen.split(seen.shape[2] // 2, 2)  # surfaces are in the lower half, backdrops in the upper
        return torch.cat([pool for half in halves for pool in (half.mean((2, 3)), half.amax((2, 3)))], 1)

    def inputs(self, pictures: U8, masks: U8) -> tuple[Tensor, Tensor]:
        """The inputs of `forward`, of pictures (uint8 NxHxWx3 RGB) and masks (uint8 NxHxW, 255 = product)."""
        x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
        m = torch.from_numpy(masks)[:, None].float() / 255
        if self.size_px and x.shape[2:] != (self.size_px, self.size_px):
            x, m = (functional.interpolate(one, (self.size_px, self.size_px), mode="area") for one in (x, m))
        return x, m

    @torch.inference_mode()
    def probabilities(self, pictures: U8, masks: U8) -> dict[str, F32]:
        """The probability of each class, float32 (N, classes) for each head. The arguments are those of `inputs`."""
        calls = range(0, len(pictures), PICTURES_PER_CALL)
        logits = [self(*self.inputs(*(of[at : at + PICTURES_PER_CALL] for of in (pictures, masks)))) for at in calls]
        return {head: torch.cat([one[head] for one in logits]).softmax(1).numpy() for head in self.classes}

    def named(self, prompt: str) -> dict[str, int]:
        """The index of the class that a prompt names, for each head of which it names one.

        Of several phrases in the prompt, the one with the most words counts, and the first of equal ones.
        """
        words = _WORD.findall(prompt.lower())
        found: dict[str, int] = {}
        for head, phrases in self._phrases.items():
            said = [row for row in phrases if _holds(words, row[0])]
            if said:
                found[head] = max(said, key=lambda row: len(row[0]))[1]
        return found

    def agreement(self, pictures: U8, masks: U8, prompt: str) -> F32:
        """How well each picture shows what the prompt names, float32 (N), 0..1: the mean probability of these classes.

        1 for every picture if the prompt names no class. The other arguments are those of `inputs`.
        """
        named = self.named(prompt)
        if not named:
            return np.ones(len(pictures), np.float32)
        found = self.probabilities(pictures, masks)
        said = np.stack([found[head][:, index] for head, index in named.items()])
        mean: F32 = said.mean(axis=0, dtype=np.float32)
        return mean


def _holds(words: Sequence[str], phrase: Sequence[str]) -> bool:
    """Whether the words of the phrase stand side by side in `words`."""
    return any(list(words[at : at + len(phrase)]) == list(phrase) for at in range(len(words) - len(phrase) + 1))
