"""The seed of each picture of a catalogue.

    per_set      one seed a scene, for all SKUs: the scenes of a set look alike
    per_sku      one seed a SKU, for all its scenes
    per_image    a seed of its own for each picture

A seed follows from the manifest's base and from names. So a row that is added changes no other row's seed, and a
catalogue that is made again gives the same pictures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from packshot.catalogue.plan import Scene
from packshot.contract.catalogue import MAX_BEST_OF, Seeds, View
from packshot.contract.requests import MAX_SEED

__all__ = ["seed_of"]

PLACES = (MAX_SEED + 1) // MAX_BEST_OF
"""Seeds lie so far apart that the further pictures of one shot, with the next seeds, share none with another's."""


def seed_of(seeds: Seeds, scenes: Sequence[Scene], scene: Scene, sku: str, view: View, canvas: tuple[int, int]) -> int:
    """The seed of the first picture of a shot, 0 to MAX_SEED - MAX_BEST_OF + 1; further pictures use the next ones.

    `scenes` are all scenes of the catalogue, in its order: the first has the seed `base` under `per_set`. A plain scene
    has that seed too. The seeds of a set that `choose.best_of` paints more of begin with the same pictures.
    """
    if seeds.policy == "per_set":
        place = scenes.index(scene) if scene in scenes else 0
    elif seeds.policy == "per_sku":
        place = _of_name(sku)
    else:
        place = _of_name(sku, view, *(f"{axis}={value}" for axis, value in scene.values), "{}x{}".format(*canvas))
    return (seeds.base + place * MAX_BEST_OF) % (MAX_SEED - MAX_BEST_OF + 2)


def _of_name(*names: str) -> int:
    """A number below PLACES that follows from names."""
    digest = hashlib.sha256("\n".join(names).encode()).digest()
    return int.from_bytes(digest[:8], "big") % PLACES
