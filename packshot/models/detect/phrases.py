"""The names that a `NameFinder` knows, and how it reads words. No network is loaded, so a gateway can ask.

A request's words choose among the phrases of the training: those whose words are all among its own, and that are no
part of another such phrase. `NameFinder.chosen` computes the same for many requests at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from packshot.errors import PackRefused
from packshot.models.engines.word_tokenizer import UNK, WordTokenizer

if TYPE_CHECKING:
    from packshot.models.packs.pack import Pack

__all__ = ["Phrases", "find_phrases", "only_file"]


class Phrases:
    """The phrases of a detector. Each is given by the ids of its words; ids up to `<unk>` are padding."""

    def __init__(self, tokenizer: WordTokenizer, phrases: Iterable[Collection[int]]) -> None:
        self._tokenizer = tokenizer
        self._phrases = [frozenset(index for index in one if index > UNK) for one in phrases]

    def read(self, words: str) -> tuple[list[str], list[str]]:
        """The words of a text that are looked for, and those that are ignored. A word such as "the" is neither."""
        ids = self._tokenizer.known(words)[: self._tokenizer.max_length - 2]  # a longer text is truncated
        inside = [one for one in self._phrases if one.issubset(ids)]
        asked = frozenset[int]().union(*(one for one in inside if not any(one < other for other in inside)))
        known, unknown = list[str](), list[str]()
        for word in self._tokenizer.words(words):
            if meaning := self._tokenizer.ids_of(word):
                (known if asked.intersection(meaning) else unknown).append(word)
        return known, unknown


def find_phrases(pack: Pack) -> Phrases | None:
    """The phrases of a pack's detector. None when it reads any words, or its files are not on this machine.

    Raises PackRefused when the detector has not exactly one file of words and one of weights.
    """
    if "detector" not in pack.manifest.roles or pack.role("detector").class_name != "NameFinder":
        return None
    if pack.missing("detector"):
        return None
    from safetensors import safe_open

    with safe_open(only_file(pack, ".safetensors"), framework="numpy") as stored:
        table = stored.get_tensor("phrases")
    tokenizer = WordTokenizer.from_files(only_file(pack, ".json"))
    return Phrases(tokenizer, [[round(index) for index in row] for row in table.tolist()])


def only_file(pack: Pack, ending: str) -> Path:
    """The detector's one file whose name ends so. Raises PackRefused (pack_mismatch) for none or several."""
    found = [path for name, path in pack.paths("detector").items() if name.endswith(ending)]
    if len(found) != 1:
        rule = f"the detector of pack {pack.name!r} must have one file *{ending}, got {len(found)}"
        raise PackRefused("pack_mismatch", f"{rule}; correct the manifest")
    return found[0]
