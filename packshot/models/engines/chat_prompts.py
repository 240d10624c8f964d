"""Prompts to the hidden states of a chat model, whose texts a flow transformer reads."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor

from packshot.contract.verdict import Finding
from packshot.errors import PackRefused
from packshot.models.engines.chat_tokenizer import ChatTokenizer
from packshot.models.engines.word_tokenizer import read_prompt
from packshot.models.packs.pack import Pack
from packshot.types import Brief

__all__ = ["ChatPrompts"]

CACHE_SIZE = 64
"""The number of encoded texts that are cached: a text of klein's takes 8 MB."""


class ChatPrompts:
    """A pack's chat model, with the most recently used texts.

    `layers` are the hidden states that a text is made of, joined: 0 is the embedding, -1 the last one. Texts are on
    `device`; with the setting `text_encoder_device` the model itself is on the CPU, in the same number format. Raises
    PackRefused when the tokenizer or `layers` do not fit the model.
    """

    def __init__(self, pack: Pack, device: torch.device, dtype: torch.dtype, *, layers: Sequence[int]) -> None:
        self._device, self._dtype, self._layers = device, dtype, layers
        self._default = pack.manifest.defaults.prompt
        tokenizer = pack.tokenizer()
        assert isinstance(tokenizer, ChatTokenizer), "the fit of a flow pack allows only Qwen2Tokenizer"
        self._tokenizer = tokenizer
        self._network_device = torch.device("cpu") if pack.settings.text_encoder_device == "cpu" else device
        self._network = pack.load("text_encoder", self._network_device, dtype)
        self._texts: OrderedDict[str, Tensor] = OrderedDict()
        config = self._network.config
        for quantity, value, limit in (
            ("tokenizer's vocabulary", tokenizer.vocab_size, config.vocab_size),
            ("tokenizer's max_length", tokenizer.max_length, config.max_position_embeddings),
            ("last hidden state that the engine reads", max(layers), config.num_hidden_layers),
        ):
            if value > limit:
                detail = f"pack {pack.name!r}: the {quantity} must fit the text encoder's {limit}, got {value}"
                raise PackRefused("pack_mismatch", f"{detail}; use parts that fit together")

    @property
    def tokens(self) -> int:
        """The places of every encoded text."""
        return self._tokenizer.max_length

    def read(self, brief: Brief) -> tuple[Tensor, tuple[int, ...], Finding]:
        """The encoded [negative prompt and] prompt (1 or 2, L, D), in the engine's dtype.

        Beside it, how many of the L places of each text are not padding, and how the prompt was read.
        """
        prompt, finding = read_prompt(brief.prompt, self._tokenizer, self._default)
        texts = [brief.negative_prompt, prompt] if brief.rows_per_step == 2 else [prompt]
        lengths = tuple(self._tokenizer.length(text) for text in texts)
        return torch.cat([self._encoded(text) for text in texts]), lengths, finding

    def _encoded(self, text: str) -> Tensor:
        if text not in self._texts:
            ids = torch.from_numpy(self._tokenizer([text])).to(self._network_device)
            read = torch.arange(ids.shape[1], device=self._network_device)[None] < self._tokenizer.length(text)
            found = self._network(ids, attention_mask=read.long(), output_hidden_states=True, use_cache=False)
            states = torch.cat([found.hidden_states[layer] for layer in self._layers], dim=-1)  # (1, L, D)
            self._texts[text] = states.to(self._device, self._dtype)
            if len(self._texts) > CACHE_SIZE:
                self._texts.popitem(last=False)
        self._texts.move_to_end(text)
        return self._texts[text]
