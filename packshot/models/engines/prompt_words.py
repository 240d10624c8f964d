"""How engines read a prompt's words. No network is loaded, so a gateway can ask before anything is painted."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packshot.models.engines.word_tokenizer import PromptFaults, WordTokenizer

if TYPE_CHECKING:
    from packshot.models.packs.pack import Pack

__all__ = ["PromptReading", "PromptWords"]


@dataclass(frozen=True)
class PromptReading:
    """The words of a prompt that an engine paints, those that it leaves out, and (code, sentence) of each fault."""

    known: tuple[str, ...]
    unknown: tuple[str, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()


class PromptWords:
    """Reads prompts as the engines of `packs` do. A pack's words are read from its file at its first prompt."""

    def __init__(self, packs: Mapping[str, Pack]) -> None:
        self._packs = packs
        self._tokenizers: dict[str, WordTokenizer | None] = {}

    def read(
        self, engine: str, prompt: str, triggers: Collection[str] = (), learned: Collection[str] = ()
    ) -> PromptReading:
        """How the engine would read a prompt.

        `triggers` are the words of adapters, which are not unknown. `learned` are those among them that adapters have
        vectors for, so that a prompt of them alone is not empty. An engine without a closed vocabulary knows all words,
        and so does one whose files are not on this machine.
        """
        if engine not in self._tokenizers:
            self._tokenizers[engine] = _vocabulary(self._packs[engine])
        tokenizer = self._tokenizers[engine]
        if tokenizer is None:
            return PromptReading(tuple(prompt.split()))
        faults = PromptFaults.of(prompt, tokenizer, triggers)
        unknown = {word.lower() for word in faults.unknown}
        words = dict.fromkeys(tokenizer.words(prompt))
        known = tuple(word for word in words if word not in unknown and tokenizer.ids_of(word))
        taught = {word.lower() for word in learned}
        blank = faults.blank and not any(word in taught for word in words) and bool(prompt.strip())
        empty = (("no_known_word", "the prompt has no known word; use other, English words"),) if blank else ()
        return PromptReading(known, faults.unknown, (*faults.notes, *empty))


def _vocabulary(pack: Pack) -> WordTokenizer | None:
    """A pack's closed vocabulary. None when its engine reads any words, or its files are not on this machine."""
    if "tokenizer" not in pack.manifest.roles or pack.role("tokenizer").class_name != "WordTokenizer":
        return None
    if pack.missing("tokenizer"):
        return None
    tokenizer = pack.tokenizer()
    assert isinstance(tokenizer, WordTokenizer), "the role's class is WordTokenizer"
    return tokenizer
