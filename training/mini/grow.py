"""Grow a painter: one level around a trained core, so that what was learned at 128 px is where 256 px begins.

The core's levels move one deeper (its 16 x 16 becomes the new net's second resolution); the new outer level starts as a
smooth halving and doubling, nearly an identity, and learns. Words that both vocabularies know keep their embeddings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

State = Mapping[str, Tensor]
NEW_OUTER = ("unet.down_blocks.0.", "unet.up_blocks.3.", "unet.up_blocks.2.upsamplers.")
_WORDS = "text.embeddings.token_embedding.weight"


def deeper(name: str) -> str:
    """The name that a core's weight has in the grown net: down levels move by one, up levels keep their place."""
    return re.sub(r"^unet\.down_blocks\.(\d+)\.", lambda found: f"unet.down_blocks.{int(found[1]) + 1}.", name)


def grown(net: State, core: State, words: Mapping[str, int], core_words: Mapping[str, int]) -> dict[str, Tensor]:
    """The weights `net` (of a fresh, larger painter) with the core's in their places. words: token ids of each."""
    out = {name: value.clone() for name, value in net.items()}
    for name, value in core.items():
        place = deeper(name)
        if place in out and out[place].shape == value.shape and not place.startswith(NEW_OUTER):
            out[place] = value.clone()
    out[_WORDS][:3] = core[_WORDS][:3]  # padding and the like
    for word in words.keys() & core_words.keys():
        out[_WORDS][words[word]] = core[_WORDS][core_words[word]]
    for name in out:
        if name.startswith(NEW_OUTER) and name.endswith("conv2.weight"):
            out[name] = out[name] * 0.1  # a residual block that hardly speaks yet
    for name in ("unet.down_blocks.0.downsamplers.0.conv.weight", "unet.up_blocks.2.upsamplers.0.conv.weight"):
        out[name] = _smooth(out[name])
    return out


def _smooth(weight: Tensor) -> Tensor:
    """A binomial 3 x 3 blur of each channel, in the place of a fresh convolution's weights (C, C, 3, 3)."""
    line = torch.tensor([0.25, 0.5, 0.25])
    return weight * 0.1 + torch.eye(weight.shape[0])[:, :, None, None] * (line[:, None] * line[None])
