"""Initialises a painter for 256 px from a trained one for 128 px (the core), by adding an outer level to its UNet.

The core's levels move one level deeper: its 16 x 16 becomes the second resolution of the new network. The new outer
level starts as a smooth downsampling and upsampling, close to an identity. Words of both vocabularies keep their
embeddings.
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
    """The name of a core's weight in the new network: down levels move by one, up levels keep their place."""
    return re.sub(r"^unet\.down_blocks\.(\d+)\.", lambda found: f"unet.down_blocks.{int(found[1]) + 1}.", name)


def grown(net: State, core: State, words: Mapping[str, int], core_words: Mapping[str, int]) -> dict[str, Tensor]:
    """The weights of a fresh, larger painter (`net`) with the core's weights in their places.

    `words` and `core_words` map the words of each vocabulary to token ids.
    """
    out = {name: value.clone() for name, value in net.items()}
    for name, value in core.items():
        place = deeper(name)
        if place in out and out[place].shape == value.shape and not place.startswith(NEW_OUTER):
            out[place] = value.clone()
    out[_WORDS][:3] = core[_WORDS][:3]  # padding, begin and end of text
    for word in words.keys() & core_words.keys():
        out[_WORDS][words[word]] = core[_WORDS][core_words[word]]
    for name in out:
        if name.startswith(NEW_OUTER) and name.endswith("conv2.weight"):
            out[name] = out[name] * 0.1  # a residual block that adds little at first
    for name in ("unet.down_blocks.0.downsamplers.0.conv.weight", "unet.up_blocks.2.upsamplers.0.conv.weight"):
        out[name] = _smooth(out[name])
    return out


def _smooth(weight: Tensor) -> Tensor:
    """The weights (C, C, 3, 3) of a binomial 3 x 3 blur of each channel, plus a tenth of the fresh weights."""
    line = torch.tensor([0.25, 0.5, 0.25])
    return weight * 0.1 + torch.eye(weight.shape[0])[:, :, None, None] * (line[:, None] * line[None])
