"""The closed-vocabulary tokenizer of packs that train their own text encoder, and the protocol of all tokenizers.

A pack that is trained on a few hundred words needs no byte-pair encoding, but must accept any prompt. A word outside
the vocabulary is looked up as a synonym, then as a plural, and is otherwise left out. It is not replaced by `<unk>`,
because a few `<unk>` tokens changed the scene.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from packshot.contract.verdict import Finding, Level
from packshot.errors import PackRefused

PAD, BOS, UNK = 0, 1, 2
"""The ids of `<pad>` (which also ends a text), `<bos>` and `<unk>` in every vocabulary."""
SPECIAL = {"<pad>": PAD, "<bos>": BOS, "<unk>": UNK}
WORDS_NAMED = 8
"""The largest number of unknown words that a finding lists."""
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")  # letters and digits of any script; hyphens and commas separate words


class Tokenizer(Protocol):
    """The tokenizer's methods that an engine uses. `max_length` is the number of ids of every text."""

    max_length: int

    @property
    def vocab_size(self) -> int:
        """The number of rows that the embedding table needs."""
        ...

    def overflow(self, text: str) -> int:
        """The number of the text's ids that exceed `max_length` and are left out."""
        ...

    def unknown(self, text: str) -> list[str]:
        """The words of the text that the vocabulary does not hold."""
        ...

    def blank(self, text: str) -> bool:
        """Whether the text holds no known word."""
        ...

    def __call__(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """The ids of the texts, int64 (B, max_length)."""
        ...


class ClipTokenizer:
    """A `Tokenizer` that uses transformers' CLIPTokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.max_length = int(tokenizer.model_max_length)

    @property
    def vocab_size(self) -> int:
        return len(self._tokenizer)

    def overflow(self, text: str) -> int:
        return max(0, len(self._tokenizer(text, verbose=False).input_ids) - self.max_length)

    def unknown(self, text: str) -> list[str]:
        """Always empty, because byte-pair encoding encodes any text."""
        return []

    def blank(self, text: str) -> bool:
        return not text.strip()

    def __call__(self, texts: Sequence[str]) -> NDArray[np.int64]:
        encoded = self._tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=self.max_length, return_tensors="np"
        )
        return np.asarray(encoded.input_ids, dtype=np.int64)

    def known(self, text: str) -> list[int]:
        """The ids of the text, without begin and end."""
        return list(self._tokenizer(text, add_special_tokens=False, verbose=False).input_ids)

    def row(self, ids: Sequence[int]) -> NDArray[np.int64]:
        """Ids between begin and end, with padding, as `__call__` makes them."""
        row = np.full(self.max_length, self._tokenizer.pad_token_id, dtype=np.int64)
        whole = [self._tokenizer.bos_token_id, *ids[: self.max_length - 2], self._tokenizer.eos_token_id]
        row[: len(whole)] = whole
        return row


class WordTokenizer:
    """A tokenizer with one token for each word of a fixed vocabulary.

    `vocab` maps a word to its id. Ids are unique and at least 3, because 0 is pad and end, 1 is begin and 2 is unknown;
    these special words may be listed. `synonyms` maps a word to one or more words of the vocabulary, separated by
    spaces; an empty text drops the word. `max_length` is the number of ids of every text, with begin and end. The
    constructor raises PackRefused (pack_mismatch) when these rules are broken.
    """

    def __init__(
        self, vocab: Mapping[str, int], synonyms: Mapping[str, str] | None = None, max_length: int = 32
    ) -> None:
        self.vocab = {**SPECIAL, **vocab}
        self.synonyms = dict(synonyms or {})
        self.max_length = max_length
        if any(self.vocab[word] != index for word, index in SPECIAL.items()):
            raise PackRefused(
                "pack_mismatch", f"special words must have the ids {SPECIAL}, got other ids; correct the vocabulary"
            )
        if len(set(self.vocab.values())) != len(self.vocab) or min(self.vocab.values()) < 0:
            raise PackRefused(
                "pack_mismatch", "ids must be unique and ≥ 0, got a repeated or negative id; correct the vocabulary"
            )
        if max_length < 3:
            raise PackRefused("pack_mismatch", f"max_length must be at least 3 (begin, a word, end), got {max_length}")
        for word, meaning in self.synonyms.items():
            unknown = [part for part in meaning.split() if part not in self.vocab]
            if unknown:
                raise PackRefused(
                    "pack_mismatch", f"synonym {word!r} must map to words of the vocabulary, got {unknown}"
                )

    @classmethod
    def from_files(cls, path: Path | str) -> WordTokenizer:
        """Read a tokenizer from the file `path`, or from `words.json` in the folder `path`.

        The file holds `{"max_length": 32, "vocab": {…}, "synonyms": {…}}`.
        """
        path = Path(path)
        data = json.loads((path / "words.json" if path.is_dir() else path).read_text("utf-8"))
        return cls(data["vocab"], data.get("synonyms", {}), data["max_length"])

    def save(self, path: Path | str) -> None:
        """Write the file that `from_files` reads. Words are sorted by id, so equal tokenizers give equal files."""
        vocab = dict(sorted(self.vocab.items(), key=lambda row: row[1]))
        data = {"max_length": self.max_length, "vocab": vocab, "synonyms": dict(sorted(self.synonyms.items()))}
        path = Path(path)
        path = path / "words.json" if path.is_dir() else path
        path.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", "utf-8")

    @property
    def vocab_size(self) -> int:
        """The number of rows that the embedding table needs: the largest id plus one."""
        return max(self.vocab.values()) + 1

    def words(self, text: str) -> list[str]:
        """The words of the text, in lower case and Unicode NFC."""
        return _WORD.findall(unicodedata.normalize("NFC", text.lower()))

    def ids_of(self, word: str) -> list[int]:
        """The ids of a lower-case word: those of its synonym, the word itself or its singular, or `<unk>`."""
        singulars = [word[:-cut] + suffix for cut, suffix in ((3, "y"), (2, ""), (1, "")) if _is_plural(word, cut)]
        for candidate in (word, *singulars):
            if candidate in self.synonyms:
                return [self.vocab[part] for part in self.synonyms[candidate].split()]
            if candidate in self.vocab:
                return [self.vocab[candidate]]
        return [UNK]

    def unknown(self, text: str) -> list[str]:
        """The words of the text that have no id. They are left out."""
        return [word for word in self.words(text) if self.ids_of(word) == [UNK]]

    def known(self, text: str) -> list[int]:
        """The ids of the text's known words."""
        return [index for word in self.words(text) for index in self.ids_of(word) if index != UNK]

    def blank(self, text: str) -> bool:
        return not self.known(text)

    def overflow(self, text: str) -> int:
        """The number of the text's ids that exceed `max_length` and are left out."""
        return max(0, len(self.known(text)) - (self.max_length - 2))

    def __call__(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """The ids of the texts, int64 (B, max_length): begin, known words, end, padding.

        A text that is too long is truncated at its end.
        """
        return np.stack([self.row(self.known(text)) for text in texts])

    def row(self, ids: Sequence[int]) -> NDArray[np.int64]:
        """Ids after begin, then end and padding: int64 (max_length,)."""
        row = np.full(self.max_length, PAD, dtype=np.int64)
        kept = list(ids)[: self.max_length - 2]
        row[0] = BOS
        row[1 : 1 + len(kept)] = kept
        return row


def _is_plural(word: str, letters: int) -> bool:
    """Whether `word` may be a plural with an ending of `letters` letters: ies, es or s."""
    return len(word) > letters + 2 and word.endswith({3: "ies", 2: "es", 1: "s"}[letters])


@dataclass(frozen=True)
class PromptFaults:
    """What a tokenizer leaves out of a prompt: unknown words, each once, and the number of tokens that do not fit.

    `blank` is whether it knows no word of the prompt.
    """

    unknown: tuple[str, ...]
    overflow: int
    blank: bool

    @classmethod
    def of(
        cls, prompt: str, tokenizer: Tokenizer, triggers: Iterable[str] = (), *, learned: Sequence[int] = ()
    ) -> PromptFaults:
        """The faults of a prompt. `triggers` and `learned` are those of `read_prompt`."""
        meant = {word.lower() for trigger in triggers for word in tokenizer.unknown(trigger)}
        unknown = tuple(word for word in dict.fromkeys(tokenizer.unknown(prompt)) if word.lower() not in meant)
        overflow = max(0, len(learned) - (tokenizer.max_length - 2)) if learned else tokenizer.overflow(prompt)
        return cls(unknown, overflow, tokenizer.blank(prompt))

    @property
    def notes(self) -> list[tuple[str, str]]:
        """(code, sentence) of what is left out: `words_ignored` and `prompt_truncated`."""
        found = []
        if self.unknown:
            named = ", ".join(word[:24] for word in self.unknown[:WORDS_NAMED])
            more = f" and {len(self.unknown) - WORDS_NAMED} more" if len(self.unknown) > WORDS_NAMED else ""
            found.append(("words_ignored", f"unknown words were left out: {named}{more}; use other, English words"))
        if self.overflow:
            rule = f"the prompt's last {self.overflow} tokens do not fit and were left out"
            found.append(("prompt_truncated", f"{rule}; shorten the prompt"))
        return found


def read_prompt(
    prompt: str, tokenizer: Tokenizer, default: str, triggers: Sequence[str] = (), *, learned: Sequence[int] = ()
) -> tuple[str, Finding]:
    """The prompt that the engine paints, and a finding about how `prompt` was read.

    `triggers` are the words of the scene's adapters, which are not unknown. `learned` are the prompt's ids where
    adapters have vectors for some of its words; empty = none have.

    `default` replaces a prompt without any known word. The finding `prompt` is a warning if words were unknown or
    tokens did not fit; its value is the number of both.
    """
    faults = PromptFaults.of(prompt, tokenizer, triggers, learned=learned)
    sentences = [sentence for _, sentence in faults.notes]
    if faults.blank and not learned:
        prompt = default
        sentences.append("the prompt has no known word" + (f": painted {default!r}" if default else ""))
    level: Level = "warning" if faults.notes else "ok"
    detail = "; ".join(sentences) or "the whole prompt was read"
    return prompt, Finding("prompt", level, detail, len(faults.unknown) + faults.overflow)


__all__ = ["BOS", "PAD", "UNK", "ClipTokenizer", "PromptFaults", "Tokenizer", "WordTokenizer", "read_prompt"]
