"""Whether two readings of a line say the same: exactly where a wrong letter matters, nearly elsewhere."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from dataclasses import dataclass

__all__ = ["MAX_CER", "UNITS", "Deviation", "compact", "compare", "find_in", "holds"]

MAX_CER = 0.05
"""Edits for each character up to which two readings of words without digits count as the same."""

UNITS = frozenset(
    (
        "kg",
        "g",
        "mg",
        "mcg",
        "µg",
        "μg",
        "ug",
        "l",
        "ml",
        "cl",
        "dl",
        "oz",
        "fl",
        "floz",
        "lb",
        "lbs",
        "pt",
        "mm",
        "cm",
        "m",
        "%",
        "iu",
        "ie",
        "spf",
        "kcal",
        "kj",
        "cal",
        "vol",
        "abv",
        "alc",
        "ph",
        "ppm",
        "w",
        "v",
    )
)
"""Words that are exact wherever they stand, because a wrong one changes what a label promises."""

SIGNS = frozenset("%+°&$€£@#")
INSIDE_NUMBERS = frozenset(".,:/-x×")
STRICT = 10_000
"""The cost of an edit that no share of others makes up for."""


@dataclass(frozen=True)
class Deviation:
    """How a reading differs: its character error rate, and whether a digit, a unit or a required word differs."""

    cer: float
    exact: bool


@dataclass(frozen=True)
class _Letter:
    """A character that counts, and the number of the exact word that it belongs to; None = nearly is enough."""

    sign: str
    word: int | None


def compact(text: str) -> str:
    """The characters of a text that count: letters and digits without case, signs, and what stands inside a number."""
    return "".join(letter.sign for letter in _letters(text, ()))


def compare(expected: str, found: str, exact_words: Collection[str] = ()) -> Deviation | None:
    """How `found` differs from `expected`, or None if it says the same.

    Words with a digit, units and `exact_words` must be equal; of the other characters at most MAX_CER may differ.
    Spaces, case and punctuation outside of numbers do not count.
    """
    wanted = _letters(expected, exact_words)
    return _deviation(_costs(wanted, compact(found))[-1], len(wanted))


def find_in(text: str, found: str, exact_words: Collection[str] = ()) -> Deviation | None:
    """How `found` differs from the part of a text that is most like it, or None if the text says the same somewhere.

    A part neither begins nor ends inside of an exact word. The rules are those of `compare`.
    """
    seen = compact(found)
    wanted = _letters(text, exact_words)
    return _deviation(_costs(wanted, seen, anywhere=True)[-1], len(seen))


def _deviation(cost: int, length: int) -> Deviation | None:
    exact, edits = divmod(cost, STRICT)
    cer = (exact + edits) / max(1, length)
    return Deviation(cer, bool(exact)) if exact or cer > MAX_CER else None


def holds(text: str, word: str) -> bool:
    """Whether a word, or several, stand in a text as they are, and not as a part of a longer number or word."""
    seen, wanted = compact(text), compact(word)
    at = seen.find(wanted) if wanted else -1
    while at >= 0:
        before, behind = seen[at - 1 : at], seen[at + len(wanted) : at + len(wanted) + 1]
        if not _goes_on(before, wanted[0]) and not _goes_on(behind, wanted[-1]):
            return True
        at = seen.find(wanted, at + 1)
    return False


def _goes_on(outer: str, inner: str) -> bool:
    """Whether a number goes on beyond its end. Letters may, because readers lose the spaces between words."""
    return bool(outer) and inner.isdigit() and (outer.isdigit() or outer in INSIDE_NUMBERS - {"x"})


def _letters(text: str, exact_words: Collection[str]) -> list[_Letter]:
    words = unicodedata.normalize("NFKC", text).casefold().split()
    exact = UNITS | {unicodedata.normalize("NFKC", part).casefold() for one in exact_words for part in one.split()}
    found: list[_Letter] = []
    for number, word in enumerate(words):
        bare = word.strip(".,:;()[]!?*'\"-")
        kept = number if bare in exact or any(sign.isdigit() for sign in word) else None
        for at, sign in enumerate(word):
            inside = word[at - 1 : at].isdigit() and word[at + 1 : at + 2].isdigit()
            if sign.isalnum() or sign in SIGNS or (sign in INSIDE_NUMBERS and inside):
                found.append(_Letter("." if sign == "," else sign, kept))
    return found


def _costs(wanted: list[_Letter], seen: str, *, anywhere: bool = False) -> list[int]:
    """The least sums of edits from what is wanted to each beginning of what is seen.

    An edit of an exact word, or a further digit, costs STRICT. `anywhere` may leave out what is wanted before and
    behind the part that is most like `seen`, up to the ends of exact words.
    """
    row = [0]
    for sign in seen:
        row.append(row[-1] + (STRICT if sign.isdigit() else 1))
    best = row[-1]
    for at, letter in enumerate(wanted):
        before = row
        drop = 1 if letter.word is None else STRICT
        behind = wanted[at + 1].word if at + 1 < len(wanted) else None
        inside = letter.word is not None and letter.word == behind  # a letter more inside of an exact word
        row = [0 if anywhere and not inside else before[0] + drop]
        for place, sign in enumerate(seen, 1):
            add = STRICT if inside or sign.isdigit() else 1
            change = 0 if sign == letter.sign else (STRICT if sign.isdigit() else drop)
            row.append(min(before[place] + drop, row[-1] + add, before[place - 1] + change))
        if not inside:
            best = min(best, row[-1])
    return [*row[:-1], best] if anywhere else row
