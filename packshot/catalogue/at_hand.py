"""Whether the files that a manifest names by paths are there, before any is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from packshot.catalogue.manifest import Read
from packshot.catalogue.proving import proof_of_item
from packshot.catalogue.rows import is_path
from packshot.catalogue.sheet import problem
from packshot.contract.catalogue import Item, Look, RowProblem

__all__ = ["missing_files"]


def missing_files(read: Read, has: Callable[[str], bool]) -> Iterator[RowProblem]:
    """The problem `photo_missing` of each photo, mask and master of a proof whose path leads to no file.

    `has` says whether there is a file at a path. Places that have a problem already are left out.
    """
    if read.manifest is None:
        return
    reported = {(one.row, one.column) for one in read.problems}
    known: dict[str, bool] = {}
    for item, row in zip(read.manifest.items, read.rows, strict=True):
        for column, place, own_prefix in _places(item, read.manifest.defaults):
            if (row, column) in reported or not is_path(place, own_prefix):
                continue
            if place not in known:
                known[place] = has(place)
            if not known[place]:
                rule = "a path must lead to a file below the manifest"
                yield problem(row, item.sku, column, place, rule, "Correct the path, or add the file.", "photo_missing")


def _places(item: Item, look: Look) -> Iterator[tuple[str, str, str]]:
    """(column, place, prefix of ids) of everything that an item names."""
    for view, photo in item.views():
        yield "photo" if item.photo else f"photos.{view}", photo, "ph_"
    if item.mask:
        yield "mask", item.mask, "mk_"
    proof = proof_of_item(look, item)
    if proof is not None and proof.master is not None:
        yield "proof.master", proof.master, "ph_"
