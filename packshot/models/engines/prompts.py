"""Prompts to encoded texts."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from packshot.adapters import SceneAdapter
from packshot.contract.verdict import Finding
from packshot.errors import PackRefused
from packshot.models.adapters.file import NetworkName
from packshot.models.engines.looks import SceneLooks, applied_to_text
from packshot.models.engines.word_tokenizer import ClipTokenizer, Tokenizer, WordTokenizer, read_prompt
from packshot.models.packs.pack import Pack
from packshot.types import Brief

__all__ = ["PromptEncoder", "Texts", "added_conditions"]

CACHE_SIZE = 256
"""The number of encoded texts that are cached."""

ENCODERS: tuple[NetworkName, ...] = ("text_encoder", "text_encoder_2")
_Key = tuple[str, tuple[tuple[str, float, str], ...]]
"""A text, and the adapters that change how it is encoded."""


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
        self.networks: dict[NetworkName, nn.Module] = {
            name: network for name, (_, network) in zip(ENCODERS, self._encoders, strict=False)
        }
        self._texts: OrderedDict[_Key, tuple[Tensor, Tensor | None]] = OrderedDict()
        for tokenizer, network in self._encoders:
            config = network.config
            for quantity, value, limit in (
                ("tokenizer's vocabulary", tokenizer.vocab_size, config.vocab_size),
                ("tokenizer's max_length", tokenizer.max_length, config.max_position_embeddings),
            ):
                if value > limit:
                    detail = f"pack {pack.name!r}: the {quantity} must fit the text encoder's {limit}, got {value}"
                    raise PackRefused("pack_mismatch", f"{detail}; use parts that fit together")

    def read(self, brief: Brief, adapters: Sequence[SceneAdapter] = ()) -> Texts:
        """Encode the brief's texts. With two encoders an empty negative prompt is all zeros, as SDXL was trained.

        `adapters` may change the encoders, and give vectors to their triggers in the texts.
        """
        tokenizer = self._encoders[0][0]
        learned, vectors = self._ids(brief.prompt, 0, adapters)
        prompt, finding = read_prompt(
            brief.prompt,
            tokenizer,
            self._default,
            [one.asset.trigger for one in adapters if one.asset.trigger],
            learned=learned if vectors else (),
        )
        encoded = [self._encoded(prompt, adapters)]
        if brief.rows_per_step == 2:
            negative, pooled = self._encoded(brief.negative_prompt, adapters)
            if pooled is not None and not brief.negative_prompt:
                negative, pooled = torch.zeros_like(negative), torch.zeros_like(pooled)
            encoded.insert(0, (negative, pooled))
        pools = [pooled for _, pooled in encoded if pooled is not None]
        return Texts(torch.cat([states for states, _ in encoded]), torch.cat(pools) if pools else None, finding)

    def _encoded(self, text: str, adapters: Sequence[SceneAdapter]) -> tuple[Tensor, Tensor | None]:
        counting = [one for one in adapters if self._counts(one, text)]
        key = text, tuple((one.asset.asset_key, one.asset.scale, one.asset.trigger) for one in counting)
        if key not in self._texts:
            self._texts[key] = self._encode(text, counting)
            if len(self._texts) > CACHE_SIZE:
                self._texts.popitem(last=False)
        self._texts.move_to_end(key)
        return self._texts[key]

    def _counts(self, adapter: SceneAdapter, text: str) -> bool:
        """Whether the adapter changes how this text is encoded."""
        look = adapter.loaded
        if any(name in look.layers for name in ENCODERS):
            return True
        return bool(look.vectors) and _trigger(adapter).search(text) is not None

    def _ids(self, text: str, number: int, adapters: Sequence[SceneAdapter]) -> tuple[list[int], list[Tensor]]:
        """The ids of a text for the encoder `number`, and the vectors (n, D) of its triggers.

        A vector's id is negative: -1 is the first row of all vectors, -2 the second.
        """
        tokenizer = self._encoders[number][0]
        pieces: list[str | list[int]] = [text]
        vectors: list[Tensor] = []
        for one in adapters:
            table = one.loaded.vectors.get(ENCODERS[number])
            if table is None:
                continue
            begins = -1 - sum(map(len, vectors))
            marks = list(range(begins, begins - len(table), -1))
            split: list[str | list[int]] = []
            for piece in pieces:
                texts = _trigger(one).split(piece) if isinstance(piece, str) else [piece]
                split.extend(part for text in texts for part in (marks, text))
                del split[-2 * len(texts)]  # the marks stand between the texts
            if any(piece is marks for piece in split):
                vectors.append(one.asset.scale * table)
                pieces = split
        if not vectors:
            return [], []
        assert isinstance(tokenizer, ClipTokenizer | WordTokenizer), "the fit of a UNet's pack allows only these"
        return [i for piece in pieces for i in (tokenizer.known(piece) if isinstance(piece, str) else piece)], vectors

    def _encode(self, text: str, adapters: Sequence[SceneAdapter]) -> tuple[Tensor, Tensor | None]:
        """The hidden states (1, L, D) and the pooled text (1, P) or None."""
        looks = SceneLooks(tuple((one.loaded, one.asset.scale) for one in adapters))
        found = []
        for number, (tokenizer, network) in enumerate(self._encoders):
            known, vectors = self._ids(text, number, adapters)
            row = tokenizer([text])
            if vectors and isinstance(tokenizer, ClipTokenizer | WordTokenizer):
                row = tokenizer.row(known)[None]
            ids = torch.from_numpy(row).to(self._device)
            more = {"output_hidden_states": True} if len(self._encoders) > 1 else {}
            with applied_to_text(network, ENCODERS[number], looks), _learned(network, vectors):
                found.append(network(ids, **more))
        if len(found) == 1:
            return found[0][0].to(self._dtype), None
        states = torch.cat([one.hidden_states[-2] for one in found], dim=-1)
        return states.to(self._dtype), found[-1].text_embeds.to(self._dtype)


def _trigger(adapter: SceneAdapter) -> re.Pattern[str]:
    """Finds an adapter's trigger in a text, as a word of its own and in any case."""
    return re.compile(rf"(?<!\w){re.escape(adapter.asset.trigger)}(?!\w)", re.IGNORECASE)


@contextmanager
def _learned(network: Any, vectors: Sequence[Tensor]) -> Iterator[None]:
    """Give the negative ids of the network's calls in this context the vectors (n, D) of all triggers."""
    if not vectors:
        yield
        return
    table = torch.cat(list(vectors))

    def look_up(module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor:
        (ids,) = inputs
        learned = table[(-1 - ids).clamp(min=0, max=len(table) - 1)].to(out.dtype)
        return torch.where((ids < 0)[..., None], learned, out)

    embedding = network.get_input_embeddings()
    forward = embedding.forward
    embedding.forward = lambda ids: forward(ids.clamp(min=0))  # the hook below sees the ids as they were
    handle = embedding.register_forward_hook(look_up)
    try:
        yield
    finally:
        handle.remove()
        del embedding.forward


def added_conditions(pooled: Sequence[Tensor], windows: Sequence[int], size: tuple[int, int]) -> dict[str, Tensor]:
    """What SDXL's networks get besides the texts, for n batch rows: the pooled texts (n, P), and the sizes (n, 6).

    `pooled` has each scene's (1 or 2, P), and `windows` its windows. `size` is the (width, height) of a window in
    pixels: a window is told as an uncropped picture of its own size.
    """
    texts = torch.cat([one.repeat_interleave(count, dim=0) for one, count in zip(pooled, windows, strict=True)])
    width, height = size
    sizes = torch.tensor([height, width, 0, 0, height, width], dtype=torch.float32, device=texts.device)
    return {"text_embeds": texts, "time_ids": sizes.expand(len(texts), -1)}
