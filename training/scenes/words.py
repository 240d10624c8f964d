"""The closed vocabulary of scenes, with which captions describe what is rendered.

A scene is described by ten small integers, the attributes (`FIELDS`). A caption is one of many ways to express some of
them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

SURFACES = (
    "wood",
    "walnut",
    "marble",
    "slate",
    "concrete",
    "linen",
    "sand",
    "paper",
    "terrazzo",
    "black_marble",
    "grass",
    "steel",
)
BACKDROPS = ("plain", "brick", "tile", "foliage", "night", "room", "sea", "curtain")
SIDES = ("left", "right")
QUALITIES = ("soft", "hard")
TINTS = ("neutral", "warm", "cool")
COLOURS = ("white", "grey", "beige", "pink", "blue", "green", "yellow", "orange")
COLOUR_RGB = (
    (0.94, 0.94, 0.93),
    (0.56, 0.57, 0.59),
    (0.85, 0.77, 0.65),
    (0.92, 0.66, 0.70),
    (0.42, 0.60, 0.83),
    (0.46, 0.66, 0.45),
    (0.93, 0.80, 0.34),
    (0.85, 0.48, 0.28),
)
FAMILIES = (
    "bottle",
    "jar",
    "mug",
    "cup",
    "can",
    "tube",
    "box",
    "vase",
    "bowl",
    "perfume",
    "soap",
    "glass",
    "lamp",
    "ball",
    "bag",
    "watch",
    "shoe",
)
MATERIALS = ("matte", "gloss", "metal", "glass", "translucent")
UNSEEN_FAMILIES = ("lamp", "bag", "shoe")
UNSEEN_MATERIALS = ("translucent",)
"""Reserved for evaluation. Captions do not contain the names of these families."""
FIELDS = (
    "surface",
    "backdrop",
    "side",
    "quality",
    "tint",
    "paper_colour",
    "wall_colour",
    "family",
    "texture_seed",
    "material",
)

_SURFACE_SAYINGS: tuple[tuple[str, ...], ...] = (
    ("wood table", "wood surface", "wood floor", "light wood"),
    ("walnut table", "dark wood table", "walnut surface", "dark walnut wood"),
    ("marble table", "white marble surface", "marble", "white marble table"),
    ("slate", "dark stone surface", "slate table", "dark stone table"),
    ("concrete", "concrete table", "grey concrete surface"),
    ("linen", "linen cloth", "linen fabric", "linen surface"),
    ("sand", "beach sand", "sand surface"),
    ("{c} paper", "{c} paper surface", "{c} sweep", "{c} paper table"),
    ("terrazzo", "terrazzo table", "terrazzo surface"),
    ("black marble", "black marble table", "dark marble surface"),
    ("grass", "green grass", "a lawn"),
    ("brushed steel", "steel table", "brushed metal surface"),
)
_BACKDROP_SAYINGS: tuple[tuple[str, ...], ...] = (
    ("{c} wall", "plain {c} backdrop", "{c} studio backdrop", "{c} background"),
    ("brick wall", "red brick wall", "brick backdrop"),
    ("tile wall", "white tile wall", "tile backdrop"),
    ("green foliage", "garden foliage", "garden backdrop", "green garden"),
    ("night lights", "city lights at night", "dark night backdrop", "night bokeh"),
    ("bright room", "blurred room", "room with window", "room backdrop"),
    ("blue sea and sky", "sea backdrop", "ocean and sky", "sea horizon"),
    ("{c} curtain", "draped {c} curtain", "{c} fabric backdrop"),
)
_TINT_WORDS: tuple[tuple[str, ...], ...] = (
    ("daylight", "neutral", "bright"),
    ("warm", "golden", "sunset"),
    ("cool", "cold"),
)


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def in_full(attributes: Mapping[str, int]) -> str:
    """The caption that says surface, backdrop and all of the light, each in its first form."""
    surface = _SURFACE_SAYINGS[attributes["surface"]][0].format(c=COLOURS[attributes["paper_colour"]])
    backdrop = _BACKDROP_SAYINGS[attributes["backdrop"]][0].format(c=COLOURS[attributes["wall_colour"]])
    tint, side = _TINT_WORDS[attributes["tint"]][0], SIDES[attributes["side"]]
    return f"product on {surface}, {backdrop}, {QUALITIES[attributes['quality']]} {tint} light from the {side}"


def describe(attributes: Mapping[str, int], rng: np.random.Generator, *, whole: bool = False) -> str:
    """A random caption of a scene, in lower case. Parts are sometimes left out, so that short prompts work too.

    With `whole`, no part is left out, and the light is described completely. A backdrop of -1 (not seen) is not said.
    """
    surface = _pick(rng, _SURFACE_SAYINGS[attributes["surface"]]).format(c=COLOURS[attributes["paper_colour"]])
    backdrop = _pick(rng, _BACKDROP_SAYINGS[attributes["backdrop"]]).format(c=COLOURS[attributes["wall_colour"]])
    quality = QUALITIES[attributes["quality"]]
    tint = _pick(rng, _TINT_WORDS[attributes["tint"]])
    side = SIDES[attributes["side"]]
    light = _pick(
        rng,
        (
            f"{quality} {tint} light from the {side}",
            f"{tint} {quality} light from {side}",
            f"{quality} {tint} light",
            f"{quality} light from the {side}",
            f"{tint} light",
        )[: 3 if whole else 5],
    )
    family = FAMILIES[attributes["family"]]
    named = ("product", "a product") if family in UNSEEN_FAMILIES else ("product", "a product", family, "a " + family)
    subject = _pick(rng, named)
    parts = [
        _pick(rng, (f"{subject} on {surface}", f"on {surface}", f"{subject} on a {surface}", surface)),
        _pick(rng, (f"in front of {backdrop}", backdrop, f"with {backdrop}", f"{backdrop} behind")),
        light,
    ]
    kept = [
        part for part, drop in zip(parts, (0.06, 0.10, 0.12), strict=True) if whole or rng.random() > drop
    ] or parts[:1]
    if attributes["backdrop"] < 0:
        kept = [part for part in kept if part != parts[1]] or parts[:1]
    if rng.random() < 0.2:
        kept = [kept[i] for i in rng.permutation(len(kept))]
    if rng.random() < 0.15:
        kept.insert(0, _pick(rng, ("studio photo", "photo", "product photo")))
    return ", ".join(kept)


def all_words() -> list[str]:
    """Every word that a caption can contain, sorted. It is the tokenizer's vocabulary."""
    said = [s for group in (_SURFACE_SAYINGS, _BACKDROP_SAYINGS, _TINT_WORDS) for options in group for s in options]
    said += [
        *SIDES,
        *QUALITIES,
        *COLOURS,
        *(family for family in FAMILIES if family not in UNSEEN_FAMILIES),
        "product",
        "a",
        "on",
        "in front of",
        "with",
        "behind",
        "light from the",
    ]
    said += ["studio photo"]
    return sorted({word for text in said for word in text.replace("{c}", " ").split()})
