"""The events of catalogues for webhooks, written in the transaction that ends a row or a catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from sqlalchemy import Connection, select

from packshot.contract.webhooks import CatalogueEnded, CatalogueRowEnded, PictureOfEvent
from packshot.store.catalogue_records import CatalogueRecord, CatalogueRow
from packshot.store.catalogue_rows import row_records
from packshot.store.catalogue_tables import catalogue_row
from packshot.store.outbox import publish


def rows_ended(connection: Connection, tenant_id: str, catalogue_id: str, places: Sequence[int]) -> None:
    """Publish `catalogue.row_ended` for each of these rows. Call it last in the transaction that ended them."""
    c = catalogue_row.c
    query = select(catalogue_row).where(c.catalogue_id == catalogue_id, c.place.in_(places)).order_by(c.place)
    rows = row_records(connection, catalogue_id, connection.execute(query).all())
    publish(connection, tenant_id, *(event for row in rows if (event := _row_ended(catalogue_id, row))))


def _row_ended(catalogue_id: str, row: CatalogueRow) -> CatalogueRowEnded | None:
    if row.state not in ("done", "failed", "skipped"):
        return None
    images = [one.image_id for one in row.shots if one.image_id]
    made = [one for one in row.files if one.state == "made"]
    return CatalogueRowEnded(
        catalogue_id=catalogue_id,
        row=row.row,
        sku=row.sku,
        state=row.state,
        code=row.code,
        reason=row.detail,
        images=tuple(PictureOfEvent(id=image_id, url=f"/v1/images/{image_id}") for image_id in images),
        deliveries=tuple(f"/v1/deliveries/{one.delivered_id}/{quote(one.name or '')}" for one in made),
    )


def catalogue_ended(connection: Connection, record: CatalogueRecord) -> None:
    """Publish `catalogue.ended`. Rows that a cancellation skipped have no event of their own."""
    if record.state not in ("done", "cancelled"):
        return
    event = CatalogueEnded(
        id=record.id,
        url=f"/v1/catalogues/{record.id}",
        name=record.name,
        state=record.state,
        counts=dict(vars(record.counts)),
    )
    publish(connection, record.tenant, event)
