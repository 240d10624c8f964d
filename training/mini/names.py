"""What the products are called: each object's words, and the phrases that find it.

An object's words are those of its name in the catalogue, and more that people use for such a thing. Some of them say
what it is ("cup" of a coffee cup, and "mug"); the others describe it. A phrase finds an object when its last word says
what the object is and its other words are the object's: "cup" and "coffee cup" find the coffee cup, "coffee" does not.
"""

from __future__ import annotations

import functools

from packshot.models.engines.word_tokenizer import WordTokenizer
from training.path_traced.catalogue import read_table

MADE = {
    "bottle": "bottle", "jar": "jar pot", "tube": "tube", "box": "box carton package", "can": "can tin",
    "perfume": "perfume flacon bottle", "soap": "soap bar",
}  # fmt: skip
"""The packages that are made here."""
_MORE = {
    "bottle": "flacon", "shoe": "bootie sneakers slippers mocassin", "bag": "handbag", "camera": "reflex",
    "computer": "apple laptop tablet", "phone": "mobile", "lamp": "lantern", "plant": "cactus orchids bamboo bonsai",
    "flower": "flowers tulips orchids lily", "cup": "mug", "mug": "coffee_cup",
    "pot": "pan kettle teapot creamer cooker", "tool": "hammer screwdriver drill saw grinder pliers",
    "toy": "doll biplane train horse cube teddy car", "chair": "armchair stool", "knife": "kitchen_knife",
    "cake": "cupcake", "food": "hamburger fries steak chicken bread hotdog", "ball": "basketball soccer",
    "bin": "dustbin", "clothes": "jacket skirt short", "hat": "cap", "case": "briefcase",
    "speaker": "stereo station base", "machine": "coffee_maker coffee_brewer", "vase": "pottery", "bowl": "bowl",
}  # fmt: skip
"""Further words by what they are added to: names that hold one of these words, or this whole name (with _)."""
_COMPOUNDS = {
    "cup cake": "cupcake", "hot dog": "hotdog", "lip stick": "lipstick", "trash can": "bin",
    "folded clothes": "clothes",
    "rubik's": "rubik", ":": " ", ",": " ", "tv 16": "tv", "old jar": "jug", "piano bench": "bench",
}  # fmt: skip
"""Names that are one word, or read better otherwise."""
_LEFT_OUT = frozenset(("1998", "2004", "16", "9", "and", "with", "little", "large", "old", "modern", "rigged"))
_SYNONYMS = {
    "shoes": "shoe", "boot": "bootie", "boots": "bootie", "trainers": "sneakers", "sneaker": "sneakers",
    "slipper": "slippers", "loafer": "mocassin", "moccasin": "mocassin", "purse": "handbag", "cupcake": "cup cake",
    "smartphone": "mobile phone", "cellphone": "mobile phone", "notebook": "laptop", "television": "tv",
    "tumbler": "glass", "saucepan": "pan", "rucksack": "bag", "headset": "headphones", "earphones": "headphones",
    "teacup": "cup", "carafe": "creamer", "dish": "plate", "flask": "bottle", "package": "box",
    "fragrance": "perfume", "cologne": "perfume", "burger": "hamburger", "torch": "flashlight", "bulb": "lamp",
    "trash": "bin", "cubes": "cube",
    "the": "", "a": "", "an": "", "of": "", "my": "", "product": "", "with": "", "and": "",
}  # fmt: skip
MAX_LENGTH = 10


def _own(name: str) -> list[str]:
    """The words of a catalogue's name, without those that say nothing."""
    low = name.lower()
    for compound, word in _COMPOUNDS.items():
        low = low.replace(compound, word)
    return [word for word in low.split() if word not in _LEFT_OUT]


def kinds_of(name: str) -> frozenset[str]:
    """The words that say what an object is. Packages (MADE) are named by their kind."""
    if name in MADE:
        return frozenset(MADE[name].split())
    own = _own(name)
    whole = "_".join(own)
    more = [
        added
        for added, holders in _MORE.items()
        if any(holder == whole if "_" in holder else holder in own[-1:] for holder in holders.split())
    ]
    before_with = _own(name.lower().partition(" with ")[0])[-1:]
    return frozenset(own[-1:]) | frozenset(more) | frozenset(before_with)


def words_of(name: str) -> frozenset[str]:
    """All words of an object."""
    return kinds_of(name) | frozenset(() if name in MADE else _own(name))


def finds(phrase: str, name: str) -> bool:
    """Whether a phrase names the object."""
    *others, last = phrase.split()
    return last in kinds_of(name) and set(others) <= words_of(name)


@functools.cache
def known_names() -> tuple[str, ...]:
    """The names of all training products, sorted."""
    things = {thing.name.lower() for thing in read_table() if thing.role == "product" and not thing.held_out}
    return tuple(sorted(things | set(MADE)))


@functools.cache
def phrases() -> tuple[str, ...]:
    """What the training asks for: every name, and every word that says what a thing is, sorted."""
    asked = {kind for name in known_names() for kind in kinds_of(name)}
    return tuple(sorted(asked | {" ".join(_own(name)) for name in known_names() if name not in MADE}))


@functools.cache
def tokenizer() -> WordTokenizer:
    """The detector's words, with synonyms."""
    words = sorted({word for phrase in phrases() for word in phrase.split()})
    vocab = {word: number for number, word in enumerate(words, start=3)}
    synonyms = {
        word: meaning
        for word, meaning in _SYNONYMS.items()
        if word not in vocab and all(part in vocab for part in meaning.split())
    }
    return WordTokenizer(vocab, synonyms, MAX_LENGTH)
