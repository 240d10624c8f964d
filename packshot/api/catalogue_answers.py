"""Build the answers about catalogues from the store's records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import quote

from packshot.contract.catalogue import Deliver
from packshot.contract.catalogue_answers import (
    MAX_MISSING,
    CatalogueAnswer,
    CountsAnswer,
    MissingPhotoAnswer,
    RowAnswer,
    RowFileAnswer,
    RowShotAnswer,
    SpentAnswer,
)
from packshot.store.catalogue_photos import clean_path
from packshot.store.catalogue_records import (
    CatalogueRecord,
    CatalogueRow,
    MissingPhoto,
    NewRow,
    PhotoKind,
    RowFile,
    RowShot,
)

MAX_ROWS_OF_PATH = 20


def catalogue_answer(
    record: CatalogueRecord, missing: Sequence[MissingPhoto | MissingPhotoAnswer] | None = None
) -> CatalogueAnswer:
    """A catalogue. `missing` are the photos that are not there, None when it is no draft."""
    counts = record.counts
    first = None if missing is None else tuple(_missing(one) for one in missing[:MAX_MISSING])
    return CatalogueAnswer(
        id=record.id,
        name=record.name,
        state=record.state,
        url=f"/v1/catalogues/{record.id}",
        rows=counts.total,
        counts=CountsAnswer.model_validate(counts, from_attributes=True),
        version=record.version,
        pause_reason=record.pause_reason,
        spent=SpentAnswer(
            images=record.spent_images,
            device_s=round(record.spent_device_s, 1),
            allowed_images=record.allowed_images,
            allowed_device_s=record.allowed_device_s,
        ),
        missing_photos=first,
        missing_photos_total=None if missing is None else len(missing),
        created_at=record.created_at,
        started_at=record.started_at,
        ended_at=record.ended_at,
    )


def _missing(one: MissingPhoto | MissingPhotoAnswer) -> MissingPhotoAnswer:
    return one if isinstance(one, MissingPhotoAnswer) else MissingPhotoAnswer(path=one.path, kind=one.kind)


def missing_of_rows(rows: Sequence[NewRow]) -> list[MissingPhotoAnswer]:
    """The photos and masks that a new catalogue's rows name by a path, each with its rows."""
    found: dict[tuple[str, PhotoKind], list[int]] = {}
    kinds: tuple[tuple[PhotoKind, Callable[[NewRow], tuple[str, ...]]], ...] = (
        ("photo", lambda row: row.photos),
        ("mask", lambda row: row.masks),
    )
    for row in rows:
        for kind, paths_of in kinds:
            for path in paths_of(row):
                named_by = found.setdefault((clean_path(path), kind), [])
                if len(named_by) < MAX_ROWS_OF_PATH:
                    named_by.append(row.row)
    return [MissingPhotoAnswer(path=path, kind=kind, rows=tuple(rows)) for (path, kind), rows in sorted(found.items())]


def row_answer(row: CatalogueRow, deliver: Sequence[Deliver]) -> RowAnswer:
    """A row. `deliver` are the entries of its catalogue."""
    return RowAnswer(
        row=row.row,
        sku=row.sku,
        state=row.state,
        code=row.code,
        detail=row.detail,
        attempt=row.attempt,
        shots=tuple(_shot(shot) for shot in row.shots),
        files=tuple(_file(file, deliver) for file in row.files),
        ended_at=row.ended_at,
    )


def _shot(shot: RowShot) -> RowShotAnswer:
    return RowShotAnswer.model_validate(shot, from_attributes=True)


def _file(file: RowFile, deliver: Sequence[Deliver]) -> RowFileAnswer:
    return RowFileAnswer(
        preset=deliver[file.entry].preset,
        entry=file.entry,
        n=file.n,
        state=file.state,
        image_id=file.image_id,
        name=file.name,
        url=file_url(file),
        to=deliver[file.entry].to,
        code=file.code,
        detail=file.detail,
    )


def file_url(file: RowFile) -> str | None:
    """The path of a made file, or None."""
    if file.delivered_id is None or file.name is None:
        return None
    return f"/v1/deliveries/{file.delivered_id}/{quote(file.name)}"
