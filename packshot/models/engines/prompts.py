"""Prompts to encoded texts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from packshot.contract.verdict import Finding
from packshot.errors import PackRefused
from packshot.models.engines.word_tokenizer import Tokenizer, read_prompt
from packshot.models.packs.pack import Pack
from packshot.types import Brief

__all__ = ["PromptEncoder", "Texts", "added_conditions"]

CACHE_SIZE = 256
"""The number of encoded texts that are cached."""


@dataclass(frozen=True)
class Texts:
    """A brief's encoded [negative prompt and] prompt, in the engine's dtype.

    `states` (1 or 2, L, D) are the encoder's hidden states; those of two encoders are joined. `pooled` (1 or 2, P) is
    the second encoder's summary, None without one. `finding` says how the prompt was read.
    """

    states: Tensor
    pooled: Tensor | None
    finding: Finding


class PromptEncoder:
    """A pack's tokenizers and text encoders, one or two, with the most recently used texts.

    One encoder gives its last hidden states. Of two, as SDXL has them, each gives those before its last layer, and the
    second also gives the pooled text. Raises PackRefused when a tokenizer and its encoder do not fit together.
    """

    def __init__(self, pack: Pack, device: torch.device, dtype: torch.dtype) -> None:
        self._device, self._dtype = device, dtype
        self._default = pack.manifest.defaults.prompt
        self._encoders: list[tuple[Tokenizer, Any]] = [(pack.tokenizer(), pack.load("text_encoder", device, dtype))]
        if "text_encoder_2" in pack.manifest.roles:
            second = (pack.load("tokenizer_2"), pack.load("text_encoder_2", device, dtype))
            self._encoders.append(second)
        self._texts: OrderedDict[str, tuple[Tensor, Tensor | None]] = OrderedDict()
        for tokenizer, network in self._encoders:
            config = network.config
            for quantity, value, limit in (
                ("tokenizer's vocabulary", tokenizer.vocab_size, config.vocab_size),
                ("tokenizer's max_length", tokenizer.max_length, config.max_position_embeddings),
            ):
                if value > limit:
                    detail = f"pack {pack.name!r}: the {quantity} must fit the text encoder's {limit}, got {value}"
                    raise PackRefused("pack_mismatch", f"{detail}; use parts that fit together")

    def read(self, brief: Brief) -> Texts:
        """Encode the brief's texts. With two encoders an empty negative prompt is all zeros, as SDXL was trained."""
        prompt, finding = read_prompt(brief.prompt, self._encoders[0][0], self._default)
        encoded = [self._encoded(prompt)]
        if brief.rows_per_step == 2:
            negative, pooled = self._encoded(brief.negative_prompt)
            if pooled is not None and not brief.negative_prompt:
                negative, pooled = torch.zeros_like(negative), torch.zeros_like(pooled)
            encoded.insert(0, (negative, pooled))
        pools = [pooled for _, pooled in encoded if pooled is not None]
        return Texts(torch.cat([states for states, _ in encoded]), torch.cat(pools) if pools else None, finding)

    def _encoded(self, text: str) -> tuple[Tensor, Tensor | None]:
        if text not in self._texts:
            self._texts[text] = self._encode(text)
            if len(self._texts) > CACHE_SIZE:
                self._texts.popitem(last=False)
        self._texts.move_to_end(text)
        return self._texts[text]

    def _encode(self, text: str) -> tuple[Tensor, Tensor | None]:
        """The hidden states (1, L, D) and the pooled text (1, P) or None."""
        ids = [torch.from_numpy(tokenizer([text])).to(self._device) for tokenizer, _ in self._encoders]
        networks = [network for _, network in self._encoders]
        if len(networks) == 1:
            return networks[0](ids[0])[0].to(self._dtype), None
        found = [network(one, output_hidden_states=True) for network, one in zip(networks, ids, strict=True)]
        states = torch.cat([one.hidden_states[-2] for one in found], dim=-1)
        return states.to(self._dtype), found[-1].text_embeds.to(self._dtype)


def added_conditions(pooled: Sequence[Tensor], windows: Sequence[int], size: tuple[int, int]) -> dict[str, Tensor]:
    """What SDXL's networks get besides the texts, for n batch rows: the pooled texts (n, P), and the sizes (n, 6).

    `pooled` has each scene's (1 or 2, P), and `windows` its windows. `size` is the (width, height) of a window in
    pixels: a window is told as an uncropped picture of its own size.
    """
    texts = torch.cat([one.repeat_interleave(count, dim=0) for one, count in zip(pooled, windows, strict=True)])
    width, height = size
    sizes = torch.tensor([height, width, 0, 0, height, width], dtype=torch.float32, device=texts.device)
    return {"text_embeds": texts, "time_ids": sizes.expand(len(texts), -1)}
