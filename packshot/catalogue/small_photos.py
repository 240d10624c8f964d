"""Warnings of photos that are too small for a channel, before anything is painted.

    photo's size ──Stand.factor──> the least enlargement of its product ──> warning above the channel's limit

A product is at most as large as its photo. So what its layout would enlarge the whole photo by, it enlarges the product
by at least.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from packshot.catalogue.placement import Stand, largest_mm_of, stand_of_variant
from packshot.catalogue.plan import combinations, variants
from packshot.catalogue.sheet import problem
from packshot.contract.catalogue import Item, Manifest, RowProblem
from packshot.contract.verdict import MAX_ENLARGEMENT
from packshot.delivery.presets import preset_named
from packshot.errors import BadInput

if TYPE_CHECKING:
    from packshot.catalogue.folder import LocalCatalogue
    from packshot.contract.catalogue import DryRunAnswer

Size = tuple[int, int]
"""A photo's (width, height) in pixels."""


def warned(answer: DryRunAnswer, local: LocalCatalogue) -> DryRunAnswer:
    """The plan with the warnings of photos on this machine, whose sizes a server does not know yet."""
    if local.read.manifest is None:
        return answer
    found = small_photos(local.read.manifest, local.read.rows, lambda place: _size_of(local.folder / place))
    return answer.model_copy(update={"warnings": (*answer.warnings, *found)})


def _size_of(path: Path) -> Size | None:
    """The size in a photo's header; None where there is no file that Pillow reads."""
    try:
        with Image.open(path) as photo:
            return photo.size
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


def small_photos(
    manifest: Manifest, rows: Sequence[int], size_of: Callable[[str], Size | None]
) -> Iterator[RowProblem]:
    """A warning for each photo whose product a channel's file would enlarge by more than MAX_ENLARGEMENT.

    `rows` are the items' row numbers. `size_of` gives the size of a photo by its place in the manifest; None = not
    known, and then nothing is said of it.
    """
    stands = _Stands(manifest)
    for item, row in zip(manifest.items, rows, strict=True):
        for view, place in item.views():
            size = size_of(place)
            if size is None or not all(size):
                continue
            factors = ((stand.factor(size, item.size_mm, view), preset) for stand, preset in stands.of(item))
            factor, name = max(factors, default=(0.0, ""))
            if factor > MAX_ENLARGEMENT:
                column = "photo" if item.photo else f"photos.{view}"
                yield _too_small(row, item.sku, column, size, factor, name)


def _too_small(row: int, sku: str, column: str, size: Size, factor: float, name: str) -> RowProblem:
    preset = preset_named(name)
    does = "refuses" if preset.severity_of("enlargement") == "refuse" else "warns of"
    width, height = size
    rule = f"{name} {does} products that are enlarged more than {MAX_ENLARGEMENT:g}x, this one at least {factor:.2f}x"
    least = -(-max(size) * factor // MAX_ENLARGEMENT)
    remedy = f"Use a photo whose longer side has at least {least:.0f} px, or a smaller canvas or fill."
    return problem(row, sku, column, f"{width}x{height} px", rule, remedy, "preset_unmet")


class _Stands:
    """Where products stand in the files of each channel, by the scenes that a row chooses."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._largest_mm = largest_mm_of(manifest.items)
        self._known: dict[tuple[str, ...], list[tuple[Stand, str]]] = {}

    def of(self, item: Item) -> list[tuple[Stand, str]]:
        """(stand, preset) of every file of the row; none where the plan has a problem instead."""
        choice = tuple(item.scenes)
        if choice not in self._known:
            self._known[choice] = list(self._made(choice))
        return self._known[choice]

    def _made(self, choice: tuple[str, ...]) -> Iterator[tuple[Stand, str]]:
        try:
            found = variants(self._manifest, combinations(self._manifest.axes, choice))
            for variant, entries in found.items():
                if entries:
                    stand = stand_of_variant(self._manifest, self._largest_mm, variant, entries)
                    yield from ((stand, self._manifest.deliver[entry].preset) for entry in entries)
        except BadInput:  # an unknown preset, or axes that are too large: the plan says it
            return
