"""Styles: scenes that a tenant uses again, each with a name and a thumbnail."""

from __future__ import annotations

from typing import Any, TypedDict

from sqlalchemy import Row, delete, update

from packshot.contract.light import ShadowKind
from packshot.store.database import Database, moment, new_id
from packshot.store.named import own_row, unique_name
from packshot.store.pages import page_of
from packshot.store.records import StyleRecord
from packshot.store.references import AssetReferences
from packshot.store.schema import Now, style


class StyleFields(TypedDict, total=False):
    """The fields of a style that a client sets. `shadow` is None when the style leaves the shadow to the shot."""

    name: str
    prompt: str
    negative_prompt: str
    shadow: ShadowKind | None


class Styles:
    """A tenant's styles. A style of another tenant raises NotFound."""

    def __init__(self, database: Database, references: AssetReferences) -> None:
        self._database = database
        self._references = references

    def add(
        self,
        tenant_id: str,
        *,
        name: str,
        prompt: str = "",
        negative_prompt: str = "",
        shadow: ShadowKind | None = None,
        thumbnail: bytes | None = None,
    ) -> StyleRecord:
        """Create a style. `thumbnail` is a small PNG.

        Raises Conflict `name_taken` when the tenant has a style of this name, and StorageFull.
        """
        files = [] if thumbnail is None else self._references.write_files([thumbnail])
        new = style.insert().values(
            id=new_id("st"),
            tenant_id=tenant_id,
            name=name,
            prompt=prompt,
            negative_prompt=negative_prompt,
            shadow=shadow,
            thumbnail_key=files[0].key if files else None,
            created_at=Now(),
        )
        with unique_name(style, name), self._database.write() as connection:
            self._references.take(connection, files)
            return _record(connection.execute(new.returning(*style.c)).one())

    def get(self, tenant_id: str, style_id: str) -> StyleRecord:
        """Return the style. Raises NotFound when it does not exist."""
        with self._database.read() as connection:
            return _record(own_row(connection, style, tenant_id, style_id))

    def page(
        self, tenant_id: str, *, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[StyleRecord], str | None]:
        """Return a page of styles, newest first, and the cursor of the next page, or None on the last page.

        Raises BadInput when the cursor is unknown.
        """
        with self._database.read() as connection:
            rows, next_cursor = page_of(connection, style, tenant_id, cursor, limit)
        return [_record(row) for row in rows], next_cursor

    def change(
        self, tenant_id: str, style_id: str, fields: StyleFields, *, thumbnail: bytes | None = None
    ) -> StyleRecord:
        """Set some fields of a style. `thumbnail` replaces its thumbnail; None keeps it.

        Raises NotFound when the style does not exist, Conflict `name_taken`, and StorageFull.
        """
        files = [] if thumbnail is None else self._references.write_files([thumbnail])
        change = update(style).where(style.c.id == style_id).values(**fields)
        if files:
            change = change.values(thumbnail_key=files[0].key)
        with unique_name(style, fields.get("name", "")), self._database.write() as connection:
            row = before = own_row(connection, style, tenant_id, style_id, lock=True)
            self._references.take(connection, files)
            if fields or files:
                row = connection.execute(change.returning(*style.c)).one()
            replaced = [before.thumbnail_key] if files and before.thumbnail_key else []
            self._references.drop(connection, replaced)
        self._references.purge(replaced)
        return _record(row)

    def delete(self, tenant_id: str, style_id: str) -> None:
        """Delete a style and its thumbnail. Raises NotFound when it does not exist."""
        with self._database.write() as connection:
            row = own_row(connection, style, tenant_id, style_id, lock=True)
            connection.execute(delete(style).where(style.c.id == style_id))
            keys = [row.thumbnail_key] if row.thumbnail_key else []
            self._references.drop(connection, keys)
        self._references.purge(keys)


def _record(row: Row[Any]) -> StyleRecord:
    return StyleRecord(
        id=row.id,
        tenant=row.tenant_id,
        name=row.name,
        prompt=row.prompt,
        negative_prompt=row.negative_prompt,
        shadow=row.shadow,
        thumbnail_key=row.thumbnail_key,
        created_at=moment(row.created_at),
    )
