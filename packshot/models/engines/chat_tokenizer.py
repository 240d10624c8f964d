"""The tokenizer of packs whose text encoder is a chat model: a prompt is read as a user's message."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from packshot.errors import PackRefused

__all__ = ["ChatTokenizer"]

PAD = "<|endoftext|>"
MESSAGE = "<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
"""Qwen3's chat template for one message of a user, with the head of the answer."""
NO_THOUGHTS = "<think>\n\n</think>\n\n"
"""What the template adds where the model shall not think: empty thoughts."""


class ChatTokenizer:
    """A `Tokenizer` that reads a `tokenizer.json`. `thinking` says whether the model is asked to think first.

    The ids of a text are its message, cut off after `max_length` ids. Raises PackRefused (pack_mismatch) when the
    vocabulary lacks the template's special tokens.
    """

    def __init__(self, path: Path, *, max_length: int = 512, thinking: bool = False) -> None:
        from tokenizers import Tokenizer

        self.max_length = max_length
        self._template = MESSAGE + ("" if thinking else NO_THOUGHTS)
        try:
            self._tokenizer: Any = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise PackRefused("pack_mismatch", f"{path.name} must be a tokenizer.json, got {error}") from error
        self._pad = self._tokenizer.token_to_id(PAD)
        missing = [token for token in (PAD, "<|im_start|>", "<|im_end|>") if self._tokenizer.token_to_id(token) is None]
        if missing:
            raise PackRefused("pack_mismatch", f"{path.name} must have the special tokens of Qwen3, it lacks {missing}")

    @property
    def vocab_size(self) -> int:
        return int(self._tokenizer.get_vocab_size())

    def overflow(self, text: str) -> int:
        """The number of the message's ids that exceed `max_length` and are left out."""
        return max(0, len(self._ids(text)) - self.max_length)

    def unknown(self, text: str) -> list[str]:
        """Always empty, because byte-pair encoding encodes any text."""
        return []

    def blank(self, text: str) -> bool:
        return not text.strip()

    def length(self, text: str) -> int:
        """The number of the text's ids without padding."""
        return min(len(self._ids(text)), self.max_length)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """The ids of the texts, int64 (B, max_length), padded at the end."""
        rows = np.full((len(texts), self.max_length), self._pad, dtype=np.int64)
        for row, text in zip(rows, texts, strict=True):
            ids = self._ids(text)[: self.max_length]
            row[: len(ids)] = ids
        return rows

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(self._template.format(prompt=text), add_special_tokens=False).ids
        return ids
