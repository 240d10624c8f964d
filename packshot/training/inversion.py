"""Textual inversion: a made-up word whose embedding is trained, while all networks stay as they are."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from packshot.errors import BadInput
from packshot.models.engines.word_tokenizer import ClipTokenizer, Tokenizer, WordTokenizer
from packshot.training.networks import Networks

__all__ = ["LearnedEmbedding", "add_word"]


class LearnedEmbedding(nn.Module):
    """A table of embeddings, frozen, and `learned` (vectors, D) rows after its last one, which are trained."""

    def __init__(self, table: nn.Embedding, start: Tensor) -> None:
        super().__init__()
        self.table = table.requires_grad_(requires_grad=False)
        self.learned = nn.Parameter(start.detach().clone().float())

    @property
    def weight(self) -> Tensor:
        """The frozen table: what the text encoder asks for its number format and device."""
        weight: Tensor = self.table.weight
        return weight

    def forward(self, ids: Tensor) -> Tensor:
        known = self.table.num_embeddings
        old = self.table(ids.clamp(max=known - 1))
        new = self.learned[(ids - known).clamp(min=0)].to(old.dtype)
        return torch.where((ids >= known)[..., None], new, old)


def add_word(networks: Networks, tag: str, vectors: int, init_words: str) -> list[LearnedEmbedding]:
    """Teach the tokenizers a new word of `vectors` tokens, and give each text encoder embeddings for it.

    They start as the mean of the embeddings of `init_words`, "" = of all words. Raises BadInput (bad_usage) when the
    pack knows none of these words.
    """
    if init_words and networks.tokenizers[0].blank(init_words):
        rule = "--init-words must be words that the pack knows, whose meaning the new word starts from"
        raise BadInput("bad_usage", f"{rule}; {networks.pack.name!r} knows none of {init_words!r}, use others")
    found = []
    for index, (tokenizer, encoder) in enumerate(zip(networks.tokenizers, networks.text_encoders, strict=True)):
        table: nn.Embedding = encoder.get_input_embeddings()
        networks.tokenizers[index] = _with_word(tokenizer, tag, vectors, table.num_embeddings)
        embedding = LearnedEmbedding(table, _start(tokenizer, table, init_words).expand(vectors, -1))
        encoder.set_input_embeddings(embedding)
        found.append(embedding)
    return found


def _start(tokenizer: Tokenizer, table: nn.Embedding, words: str) -> Tensor:
    """The mean embedding (1, D) of the words."""
    weight = table.weight.float()
    if not words:
        return weight.mean(0, keepdim=True)
    ids = [int(one) for one in tokenizer([words])[0]]
    empty = {int(one) for one in tokenizer([""])[0]}
    return weight[[one for one in ids if one not in empty]].mean(0, keepdim=True)


def _with_word(tokenizer: Tokenizer, tag: str, vectors: int, first_id: int) -> Tokenizer:
    """A copy of the tokenizer that reads `tag` as the ids `first_id` and following."""
    if isinstance(tokenizer, WordTokenizer):
        parts = [f"{tag}-{part}" for part in range(vectors)]  # with a hyphen, so that no text holds them as words
        vocab = tokenizer.vocab | {part: first_id + index for index, part in enumerate(parts)}
        return WordTokenizer(vocab, tokenizer.synonyms | {tag: " ".join(parts)}, tokenizer.max_length)
    assert isinstance(tokenizer, ClipTokenizer)
    return _ClipWithWord(tokenizer, tag, vectors, first_id)


class _ClipWithWord(ClipTokenizer):
    """A CLIP tokenizer with the tokens `tag`, `tag_1`, …, of which `tag` in a text stands for all."""

    def __init__(self, tokenizer: ClipTokenizer, tag: str, vectors: int, first_id: int) -> None:
        inner: Any = copy.deepcopy(tokenizer._tokenizer)
        super().__init__(inner)
        self._tag = tag
        self._parts = " ".join([tag, *(f"{tag}_{part}" for part in range(1, vectors))])
        inner.add_tokens(self._parts.split())
        # A text encoder's table may have more rows than its tokenizer has words: the new ids begin after the table.
        self._shift = first_id - int(inner.convert_tokens_to_ids(tag))
        self._first = int(inner.convert_tokens_to_ids(tag))

    def __call__(self, texts: Any) -> Any:
        ids = super().__call__([self._with_parts(text) for text in texts])
        ids[ids >= self._first] += self._shift
        return ids

    def _with_parts(self, text: str) -> str:
        return " ".join(self._parts if word.strip(",.").lower() == self._tag else word for word in text.split())
