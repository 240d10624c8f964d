"""Words to token ids: the closed-vocabulary tokenizer of packs that train their own text encoder.

A pack trained on a few hundred words needs no byte-pair merges, but must take any prompt: a word that it does not know
is first looked up as a synonym, then as a plural, and is left out after that: `<unk>` tells nothing, and
a few of them turned one scene into another.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from packshot.contract.verdict import Finding, Level
from packshot.errors import PackRefused

PAD, BOS, UNK = 0, 1, 2
"""Ids of `<pad>` (which also ends a text), `<bos>` and `<unk>` in every vocabulary."""
SPECIAL = {"<pad>": PAD, "<bos>": BOS, "<unk>": UNK}
WORDS_NAMED = 8
"""A finding names at most so many unknown words of a prompt."""
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")  # letters and digits of any script; hyphens and commas part words


class Tokenizer(Protocol):
    """What an engine needs of a tokenizer."""

    max_length: int

    @property
    def vocab_size(self) -> int:
        """Rows that the embedding table needs."""
        ...

    def overflow(self, text: str) -> int:
        """How many of the text's ids do not fit into `max_length` and are left out."""
        ...

    def unknown(self, text: str) -> list[str]:
        """Words of the text that mean nothing to the pack."""
        ...

    def blank(self, text: str) -> bool:
        """Whether nothing of the text means anything to the pack."""
        ...

    def __call__(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Ids of the texts. Returns int64 (B, max_length)."""
        ...


class ClipWords:
    """A transformers CLIPTokenizer behind our protocol."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.max_length = int(tokenizer.model_max_length)

    @property
    def vocab_size(self) -> int:
        return len(self._tokenizer)

    def overflow(self, text: str) -> int:
        return max(0, len(self._tokenizer(text, verbose=False).input_ids) - self.max_length)

    def unknown(self, text: str) -> list[str]:
        """None: letters that no merge holds are still spelt byte by byte."""
        return []

    def blank(self, text: str) -> bool:
        return not text.strip()

    def __call__(self, texts: Sequence[str]) -> NDArray[np.int64]:
        made = self._tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=self.max_length, return_tensors="np"
        )
        return np.asarray(made.input_ids, dtype=np.int64)


class WordTokenizer:
    """Token ids of whole words.

    `vocab`: {word: id}, ids unique and ≥ 3 (0 = pad and end, 1 = begin, 2 = unknown; the special words may be listed).
    `synonyms`: {word: one or more words of the vocabulary, space-separated}; an empty text drops the word.
    `max_length`: ids a text, begin and end included.
    """

    def __init__(
        self, vocab: Mapping[str, int], synonyms: Mapping[str, str] | None = None, max_length: int = 32
    ) -> None:
        self.vocab = {**SPECIAL, **vocab}
        self.synonyms = dict(synonyms or {})
        self.max_length = max_length
        if any(self.vocab[word] != index for word, index in SPECIAL.items()):
            raise PackRefused(
                "pack_mismatch", f"special words must have the ids {SPECIAL}, got another; mend the vocabulary"
            )
        if len(set(self.vocab.values())) != len(self.vocab) or min(self.vocab.values()) < 0:
            raise PackRefused("pack_mismatch", "every word must have an id of its own, ≥ 0; mend the vocabulary")
        if max_length < 3:
            raise PackRefused("pack_mismatch", f"max_length must be at least 3 (begin, a word, end), got {max_length}")
        for word, meaning in self.synonyms.items():
            unknown = [part for part in meaning.split() if part not in self.vocab]
            if unknown:
                raise PackRefused("pack_mismatch", f"synonym {word!r} must mean words of the vocabulary, got {unknown}")

    @classmethod
    def from_files(cls, path: Path | str) -> WordTokenizer:
        """Read `path`, or `words.json` in the folder `path`: `{"max_length": 32, "vocab": {…}, "synonyms": {…}}`."""
        path = Path(path)
        data = json.loads((path / "words.json" if path.is_dir() else path).read_text("utf-8"))
        return cls(data["vocab"], data.get("synonyms", {}), data["max_length"])

    def save(self, path: Path | str) -> None:
        """Write what `from_files` reads; the words sorted by id, so equal vocabularies are equal bytes."""
        vocab = dict(sorted(self.vocab.items(), key=lambda row: row[1]))
        data = {"max_length": self.max_length, "vocab": vocab, "synonyms": dict(sorted(self.synonyms.items()))}
        path = Path(path)
        path = path / "words.json" if path.is_dir() else path
        path.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", "utf-8")

    @property
    def vocab_size(self) -> int:
        """Rows that the embedding table needs: the largest id plus one."""
        return max(self.vocab.values()) + 1

    def words(self, text: str) -> list[str]:
        """The text's words, lower case, NFC."""
        return _WORD.findall(unicodedata.normalize("NFC", text.lower()))

    def ids_of(self, word: str) -> list[int]:
        """Ids of one lower-case word: itself, its synonym's, its singular's, or `<unk>`."""
        singulars = [word[:-end] + put for end, put in ((3, "y"), (2, ""), (1, "")) if _is_plural(word, end)]
        for candidate in (word, *singulars):
            if candidate in self.synonyms:
                return [self.vocab[part] for part in self.synonyms[candidate].split()]
            if candidate in self.vocab:
                return [self.vocab[candidate]]
        return [UNK]

    def unknown(self, text: str) -> list[str]:
        """Words of the text that only `<unk>` stands for: they are left out."""
        return [word for word in self.words(text) if self.ids_of(word) == [UNK]]

    def known(self, text: str) -> list[int]:
        """Ids of the text's words, without the unknown ones."""
        return [index for word in self.words(text) for index in self.ids_of(word) if index != UNK]

    def blank(self, text: str) -> bool:
        return not self.known(text)

    def overflow(self, text: str) -> int:
        """How many of the text's ids do not fit into `max_length` and are left out."""
        return max(0, len(self.known(text)) - (self.max_length - 2))

    def __call__(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Ids of the texts. Returns int64 (B, max_length): begin, known words, end, padding.

        A text that is too long loses its last words.
        """
        rows = np.full((len(texts), self.max_length), PAD, dtype=np.int64)
        room = self.max_length - 2
        for row, text in zip(rows, texts, strict=True):
            ids = self.known(text)[:room]
            row[0] = BOS
            row[1 : 1 + len(ids)] = ids
        return rows


def _is_plural(word: str, end: int) -> bool:
    """Whether `word` may be a plural whose ending has `end` letters: ies, es, s."""
    return len(word) > end + 2 and word.endswith({3: "ies", 2: "es", 1: "s"}[end])


def read_prompt(prompt: str, tokenizer: Tokenizer, default: str) -> tuple[str, Finding]:
    """What is painted for `prompt`, and how it was read. `default` stands in for one of which no word is known.

    The finding (`prompt`) is a warning when words were not known, or did not fit; its value counts both.
    """
    unknown = list(dict.fromkeys(tokenizer.unknown(prompt)))
    overflow = tokenizer.overflow(prompt)
    told = []
    if unknown:
        named = ", ".join(word[:24] for word in unknown[:WORDS_NAMED])
        more = f" and {len(unknown) - WORDS_NAMED} more" if len(unknown) > WORDS_NAMED else ""
        told.append(f"the engine does not know {named}{more}: left out; say it in other, English words")
    if overflow:
        told.append(f"the prompt's last {overflow} tokens do not fit: left out; shorten it")
    if tokenizer.blank(prompt):
        prompt = default
        told.append(f"no prompt was left to follow: painted {default!r}" if default else "no prompt was left to follow")
    level: Level = "warning" if unknown or overflow else "ok"
    return prompt, Finding("prompt", level, "; ".join(told) or "the whole prompt was read", len(unknown) + overflow)


__all__ = ["BOS", "PAD", "UNK", "ClipWords", "Tokenizer", "WordTokenizer", "read_prompt"]
