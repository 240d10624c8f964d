"""Styles: scenes that a tenant uses again, each with a name and a thumbnail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict, Unpack

from sqlalchemy import Row, delete, update

from packshot.contract.adapters import AdapterUse
from packshot.contract.light import ShadowKind
from packshot.contract.style import Reference
from packshot.store.audit_rows import record
from packshot.store.database import Database, moment, new_id
from packshot.store.named import own_row, unique_name
from packshot.store.pages import page_of
from packshot.store.picture_uses import forget_uses, hold_pictures, use_pictures
from packshot.store.records import StyleRecord
from packshot.store.references import AssetReferences
from packshot.store.schema import Now, style


class StyleFields(TypedDict, total=False):
    """The fields of a style that a client sets. `shadow` is None when the style leaves the shadow to the shot."""

    name: str
    prompt: str
    negative_prompt: str
    shadow: ShadowKind | None
    forbidden_words: Sequence[str]
    palette: Sequence[str]
    references: Sequence[Reference]
    light_deg: float | None
    adapters: Sequence[AdapterUse]


class Styles:
    """A tenant's styles. A style of another tenant raises NotFound."""

    def __init__(self, database: Database, references: AssetReferences) -> None:
        self._database = database
        self._references = references

    def add(
        self,
        tenant_id: str,
        *,
        thumbnail: bytes | None = None,
        **fields: Unpack[StyleFields],
    ) -> StyleRecord:
        """Create a style; it needs a name. `thumbnail` is a small PNG.

        Raises Conflict `name_taken` when the tenant has a style of this name, NotFound when a reference does not exist,
        and StorageFull.
        """
        files = [] if thumbnail is None else self._references.write_files([thumbnail])
        name, values = fields["name"], StyleFields(prompt="", negative_prompt="") | fields
        new = style.insert().values(
            id=new_id("st"),
            tenant_id=tenant_id,
            **_columns_json(values),
            thumbnail_key=files[0].key if files else None,
            created_at=Now(),
        )
        with unique_name(style, name), self._database.write() as connection:
            used = _used(fields)
            hold_pictures(connection, tenant_id, used)
            self._references.take(connection, files)
            row = connection.execute(new.returning(*style.c)).one()
            use_pictures(connection, used, style_id=row.id)
            record(connection, tenant_id, "style.added", row.id)
            return _record(row)

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

        Raises NotFound when the style or a reference does not exist, Conflict `name_taken`, and StorageFull.
        """
        files = [] if thumbnail is None else self._references.write_files([thumbnail])
        change = update(style).where(style.c.id == style_id).values(**_columns_json(fields))
        if files:
            change = change.values(thumbnail_key=files[0].key)
        with unique_name(style, fields.get("name", "")), self._database.write() as connection:
            row = before = own_row(connection, style, tenant_id, style_id, lock=True)
            if "references" in fields or "adapters" in fields:
                stored = _record(before)
                forget_uses(connection, style_id)
                used = _used(StyleFields(references=stored.references, adapters=stored.adapters) | fields)
                hold_pictures(connection, tenant_id, used)
                use_pictures(connection, used, style_id=style_id)
            self._references.take(connection, files)
            if fields or files:
                row = connection.execute(change.returning(*style.c)).one()
                changed = sorted([*fields, *(["thumbnail"] if files else [])])
                record(connection, tenant_id, "style.changed", style_id, details={"fields": changed})
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
            record(connection, tenant_id, "style.deleted", style_id)
        self._references.purge(keys)


def _used(fields: StyleFields) -> list[str]:
    """The ids of the pictures and adapters that a style of these fields refers to."""
    pictures = [one.picture_id for one in fields.get("references", ())]
    return pictures + [one.id for one in fields.get("adapters", ())]


def _columns_json(fields: StyleFields) -> dict[str, Any]:
    """The fields as columns. An empty list is NULL, as in rows of an earlier version."""
    values: dict[str, Any] = dict(fields)
    if "references" in fields:
        values["references"] = [one.to_json() for one in fields["references"]]
    if "adapters" in fields:
        values["adapters"] = [{"id": one.id, "scale": one.scale} for one in fields["adapters"]]
    for name in ("forbidden_words", "palette", "references", "adapters"):
        if name in values:
            values[name] = list(values[name]) or None
    return values


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
        forbidden_words=tuple(row.forbidden_words or ()),
        palette=tuple(row.palette or ()),
        references=tuple(Reference.from_json(one) for one in row.references or ()),
        light_deg=row.light_deg,
        adapters=tuple(AdapterUse.from_json(one) for one in row.adapters or ()),
    )
