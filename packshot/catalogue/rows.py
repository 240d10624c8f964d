"""From a manifest to the rows that are stored, and from a stored row to its shots.

Read, problems ──new_rows──> NewRow: small, with the row's work and the paths that it names
frame, item ──shots_of──> PlannedShot: variant x photo, with the files that it feeds and a key that never changes
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from packshot.catalogue.manifest import Read
from packshot.catalogue.plan import Costs, Scene, Variant, combinations, variants
from packshot.catalogue.proving import proof_of_item
from packshot.contract.catalogue import Item, Manifest, RowProblem, View
from packshot.contract.requests import ShadowIn
from packshot.store.catalogue_records import NewRow
from packshot.store.database import to_json

__all__ = ["PlannedShot", "item_of", "manifest_of", "new_rows", "scenes_of", "shots_of"]

_PLACEHOLDER = '{"sku": "-", "photo": "-"}'


@dataclass(frozen=True)
class PlannedShot:
    """A shot of a row: the photo number `photo` of its item, on a variant.

    `key` follows from SKU, axis values, canvas, look and view, so it is the same after a crash, a restart or an
    upgrade. `files` are (entry, n) of the files that its picture feeds; `n` counts a row's files of one entry.
    """

    key: str
    nth: int
    photo: int
    view: View
    variant: Variant
    files: tuple[tuple[int, int], ...]


def new_rows(read: Read, costs: Costs, problems: Sequence[RowProblem] = ()) -> list[NewRow]:
    """The rows of a manifest that was read, in its order.

    `problems` are those of its plan: the rows that they name are stored as skipped, with the first problem's code.
    """
    manifest = read.manifest
    skipped: dict[int, RowProblem] = {}
    for one in problems:
        if one.row is not None:
            skipped.setdefault(one.row, one)
    found: list[NewRow] = []
    work: dict[tuple[tuple[str, ...], bool], tuple[int, int, int, float]] = {}
    kept = set(read.rows)
    for item, row in zip(manifest.items if manifest else (), read.rows, strict=True):
        assert manifest is not None
        text = item.model_dump_json(exclude_defaults=True)
        if row in skipped:
            found.append(_skipped(skipped[row], text))
            continue
        proof = proof_of_item(manifest.defaults, item)
        choice = tuple(item.scenes), proof is not None
        if choice not in work:
            work[choice] = _work_of_a_photo(manifest, *choice, costs)
        shots, pictures, row_steps, device_s = work[choice]
        photos = [photo for _, photo in item.views()]
        masters = [proof.master] if proof is not None and proof.master is not None else []
        mask = [item.mask] if item.mask else []
        found.append(
            NewRow(
                row=row,
                sku=item.sku,
                item=text,
                shots=shots * len(photos),
                pictures=pictures * len(photos),
                row_steps=row_steps * len(photos),
                device_s=device_s * len(photos),
                photos=tuple(photo for photo in dict.fromkeys((*photos, *masters)) if is_path(photo, "ph_")),
                masks=tuple(one for one in mask if is_path(one, "mk_")),
            )
        )
    found += [_skipped(one, None) for row, one in skipped.items() if row not in kept]
    return sorted(found, key=lambda one: one.row)


def _skipped(why: RowProblem, item: str | None) -> NewRow:
    detail = f"{why.column}: {why.rule}, got {why.value!r}; {why.remedy}"
    return NewRow(why.row or 0, (why.sku or "")[:100], item, code=why.code, detail=detail)


def _work_of_a_photo(
    manifest: Manifest, choice: tuple[str, ...], proven: bool, costs: Costs
) -> tuple[int, int, int, float]:
    """(shots, pictures, row-steps, seconds of a device) of one photo of a row with this choice of scenes."""
    pictures = row_steps = 0
    device_s = 0.0
    wanted = variants(manifest, combinations(manifest.axes, choice))
    for variant in wanted:
        each = manifest.paintings if variant.generated else 1
        pictures += each
        row_steps += each * costs.row_steps(variant, manifest.defaults)
        device_s += each * costs.of(variant, manifest.defaults, proven=proven)
    return len(wanted), pictures, row_steps, device_s


def is_path(place: str, own_prefix: str) -> bool:
    """Whether a photo's or mask's place is a path below the manifest: neither a URL nor an id."""
    is_id = place.startswith(own_prefix) and "/" not in place and "." not in place
    return "://" not in place and not is_id


@lru_cache(maxsize=64)
def _frame(frame: str) -> Manifest:
    return Manifest.model_validate_json(f'{frame[:-1]}, "items": [{_PLACEHOLDER}]}}')


def manifest_of(frame: str, items: Sequence[Item]) -> Manifest:
    """The manifest of a stored catalogue (`CatalogueRecord.frame`) with these items."""
    return _frame(frame).model_copy(update={"items": list(items)})


@lru_cache(maxsize=512)
def item_of(stored: str) -> Item:
    """The item of a stored row (`CatalogueRow.item`)."""
    return Item.model_validate_json(stored)


@lru_cache(maxsize=256)
def _variants(frame: str, choice: tuple[str, ...]) -> tuple[tuple[Variant, tuple[int, ...]], ...]:
    manifest = _frame(frame)
    found = variants(manifest, combinations(manifest.axes, choice))
    return tuple((variant, tuple(entries)) for variant, entries in found.items())


@lru_cache(maxsize=64)
def scenes_of(frame: str) -> tuple[Scene, ...]:
    """All scenes of a stored catalogue, in its order."""
    return tuple(combinations(_frame(frame).axes))


def shots_of(frame: str, item: Item) -> list[PlannedShot]:
    """The shots of a row in a fixed order. `frame` is the stored catalogue's."""
    return list(_shots_of(frame, item))


def _shots_of(frame: str, item: Item) -> Iterator[PlannedShot]:
    counts: dict[int, int] = {}
    nth = 0
    for variant, entries in _variants(frame, tuple(item.scenes)):
        for photo, (view, _) in enumerate(item.views()):
            files = []
            for entry in entries:
                counts[entry] = counts.get(entry, 0) + 1
                files.append((entry, counts[entry]))
            yield PlannedShot(_key(item.sku, variant, view, photo), nth, photo, view, variant, tuple(files))
            nth += 1


def _key(sku: str, variant: Variant, view: str, photo: int) -> str:
    scene = [list(pair) for pair in variant.scene.values]
    plain = variant.shadow == ShadowIn(mode=variant.shadow.mode)
    shadow = variant.shadow.mode if plain else variant.shadow.model_dump()
    made_of = [sku, scene, variant.background, variant.canvas, shadow, variant.fill, view, photo]
    return hashlib.sha256(to_json(made_of).encode()).hexdigest()
