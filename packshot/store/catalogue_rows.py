"""Convert rows of catalogues' tables to records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, func, select

from packshot.store.catalogue_records import CatalogueCounts, CatalogueRecord, CatalogueRow, RowFile, RowShot
from packshot.store.catalogue_tables import catalogue_file, catalogue_row, catalogue_shot
from packshot.store.database import moment, moment_or_none

NO_ROWS = CatalogueCounts()

PLACES_AT_ONCE = 500
"""Rows in one query. The databases' own limits are a few ten thousand parameters."""


def with_counts(connection: Connection, rows: Sequence[Row[Any]]) -> list[CatalogueRecord]:
    c = catalogue_row.c
    query = select(c.catalogue_id, c.state, func.count()).where(c.catalogue_id.in_([row.id for row in rows]))
    counts: dict[str, dict[str, int]] = {}
    for catalogue_id, state, count in connection.execute(query.group_by(c.catalogue_id, c.state)):
        counts.setdefault(catalogue_id, {})[state] = count
    return [catalogue_record(row, CatalogueCounts(**counts.get(row.id, {}))) for row in rows]


def catalogue_record(row: Row[Any], counts: CatalogueCounts = NO_ROWS) -> CatalogueRecord:
    """Convert a row of `catalogue`."""
    return CatalogueRecord(
        id=row.id,
        tenant=row.tenant_id,
        name=row.name,
        state=row.state,
        version=row.version,
        frame=row.frame,
        largest_mm=row.largest_mm,
        pause_reason=row.pause_reason,
        allowed_images=row.allowed_images,
        allowed_device_s=row.allowed_device_s,
        spent_images=row.spent_images,
        spent_device_s=row.spent_device_s,
        created_at=moment(row.created_at),
        started_at=moment_or_none(row.started_at),
        ended_at=moment_or_none(row.ended_at),
        counts=counts,
        key_id=row.key_id,
    )


def row_records(connection: Connection, catalogue_id: str, rows: Sequence[Row[Any]]) -> list[CatalogueRow]:
    """Convert rows of `catalogue_row` of one catalogue, with their shots and files."""
    places = [row.place for row in rows]
    shots: dict[int, list[RowShot]] = {}
    files: dict[int, list[RowFile]] = {}
    for start in range(0, len(places), PLACES_AT_ONCE):
        some = places[start : start + PLACES_AT_ONCE]
        for one in connection.execute(_of_rows(catalogue_shot, catalogue_id, some).order_by("nth")):
            shots.setdefault(one.place, []).append(_shot_record(one))
        for one in connection.execute(_of_rows(catalogue_file, catalogue_id, some).order_by("entry", "n")):
            files.setdefault(one.place, []).append(_file_record(one))
    return [
        CatalogueRow(
            place=row.place,
            row=row.row,
            sku=row.sku,
            item=row.item,
            state=row.state,
            code=row.code,
            detail=row.detail,
            attempt=row.attempt,
            shots_left=row.shots_left,
            pictures=row.pictures,
            masks=None if row.masks is None else tuple(row.masks),
            ended_at=moment_or_none(row.ended_at),
            shots=tuple(shots.get(row.place, ())),
            files=tuple(files.get(row.place, ())),
        )
        for row in rows
    ]


def _of_rows(table: Table, catalogue_id: str, places: Sequence[int]) -> Select[Any]:
    return select(table).where(table.c.catalogue_id == catalogue_id, table.c.place.in_(places))


def _shot_record(row: Row[Any]) -> RowShot:
    return RowShot(
        key=row.key,
        nth=row.nth,
        view=row.view,
        scene=row.scene,
        shot_id=row.shot_id,
        state=row.state,
        image_id=row.image_id,
        code=row.code,
        detail=row.detail,
    )


def _file_record(row: Row[Any]) -> RowFile:
    return RowFile(
        entry=row.entry,
        n=row.n,
        image_id=row.image_id,
        state=row.state,
        delivered_id=row.delivered_id,
        to=row.to,
        name=row.name,
        code=row.code,
        detail=row.detail,
    )
