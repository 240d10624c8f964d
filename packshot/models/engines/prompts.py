"""Prompts to encoded texts."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor

from packshot.contract.verdict import Finding
from packshot.errors import PackRefused
from packshot.models.engines.word_tokenizer import read_prompt
from packshot.models.packs.pack import Pack
from packshot.types import Brief

__all__ = ["PromptEncoder"]

CACHE_SIZE = 256
"""The number of encoded texts that are cached."""


class PromptEncoder:
    """A pack's tokenizer and text encoder, with the most recently used texts.

    Raises PackRefused when the two do not fit together.
    """

    def __init__(self, pack: Pack, device: torch.device, dtype: torch.dtype) -> None:
        self._device, self._dtype = device, dtype
        self._default = pack.manifest.defaults.prompt
        self._tokenizer = pack.tokenizer()
        self._network = pack.load("text_encoder", device, dtype)
        self._texts: OrderedDict[str, Tensor] = OrderedDict()
        config = self._network.config
        for quantity, value, limit in (
            ("tokenizer's vocabulary", self._tokenizer.vocab_size, config.vocab_size),
            ("tokenizer's max_length", self._tokenizer.max_length, config.max_position_embeddings),
        ):
            if value > limit:
                detail = f"pack {pack.name!r}: the {quantity} must fit the text encoder's {limit}, got {value}"
                raise PackRefused("pack_mismatch", f"{detail}; use parts that fit together")

    def read(self, brief: Brief) -> tuple[Tensor, Finding]:
        """The encoded [negative prompt and] prompt, (1 or 2, L, D) in the engine's dtype; and how it was read."""
        prompt, finding = read_prompt(brief.prompt, self._tokenizer, self._default)
        texts = [brief.negative_prompt, prompt] if brief.rows_per_step == 2 else [prompt]
        return torch.cat([self._encoded(text) for text in texts]), finding

    def _encoded(self, text: str) -> Tensor:
        if text not in self._texts:
            ids = torch.from_numpy(self._tokenizer([text])).to(self._device)
            self._texts[text] = self._network(ids)[0].to(self._dtype)
            if len(self._texts) > CACHE_SIZE:
                self._texts.popitem(last=False)
        self._texts.move_to_end(text)
        return self._texts[text]
