"""Adapters: LoRAs and textual inversions that a tenant owns. The file is an asset, and never changes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypedDict

from sqlalchemy import Connection, Row, delete, select, update

from packshot.contract.adapters import AdapterKind
from packshot.errors import Conflict
from packshot.store.audit_rows import Details, record
from packshot.store.database import Database, moment, new_id
from packshot.store.named import own_row, unique_name
from packshot.store.pages import page_of
from packshot.store.picture_uses import user_of
from packshot.store.references import AssetReferences
from packshot.store.schema import Now, adapter

__all__ = ["AdapterChanges", "AdapterRecord", "Adapters", "NewAdapter", "insert_adapter"]

SUFFIX = ".sft"
"""The ending of an adapter's file: safetensors."""


@dataclass(frozen=True, kw_only=True)
class NewAdapter:
    """An adapter to store.

    `engine` is the pack that it was checked against, of `family`. `rank` is a LoRA's largest, or an inversion's number
    of vectors. `trigger` is the word of prompts that it belongs to; empty = none. `trained_from` says in the owner's
    words, or as JSON, what it was trained from. `notes` are (code, detail) pairs.
    """

    name: str
    kind: AdapterKind
    engine: str
    family: str
    rank: int
    trigger: str
    licence: str
    trained_from: str | None = None
    notes: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, kw_only=True)
class AdapterRecord(NewAdapter):
    """A stored adapter. `sha256` and `bytes` are its file's, and `asset_key` names it."""

    id: str
    tenant: str
    sha256: str
    bytes: int
    asset_key: str
    created_at: datetime
    notes: Sequence[tuple[str, str]] = field(default=())


class AdapterChanges(TypedDict, total=False):
    """The fields that a client may change."""

    name: str
    trigger: str
    licence: str
    trained_from: str


class Adapters:
    """A tenant's adapters. An adapter of another tenant raises NotFound."""

    def __init__(self, database: Database, references: AssetReferences) -> None:
        self._database = database
        self._references = references

    def add(self, tenant_id: str, new: NewAdapter, data: bytes) -> AdapterRecord:
        """Store an adapter with its file. Raises Conflict `name_taken`, and StorageFull."""
        files = self._references.write_files([data], SUFFIX)
        with unique_name(adapter, new.name), self._database.write() as connection:
            self._references.take(connection, files)
            return insert_adapter(connection, tenant_id, new, data, files[0].key)

    def get(self, tenant_id: str, adapter_id: str) -> AdapterRecord:
        """Return the adapter. Raises NotFound when it does not exist."""
        with self._database.read() as connection:
            return _record(own_row(connection, adapter, tenant_id, adapter_id))

    def page(
        self, tenant_id: str, *, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[AdapterRecord], str | None]:
        """Return a page of adapters, newest first, and the cursor of the next page, or None on the last page.

        Raises BadInput when the cursor is unknown.
        """
        with self._database.read() as connection:
            rows, next_cursor = page_of(connection, adapter, tenant_id, cursor, limit)
        return [_record(row) for row in rows], next_cursor

    def change(self, tenant_id: str, adapter_id: str, changes: AdapterChanges) -> AdapterRecord:
        """Set some fields of an adapter. Raises NotFound, and Conflict `name_taken`."""
        with unique_name(adapter, changes.get("name", "")), self._database.write() as connection:
            row = own_row(connection, adapter, tenant_id, adapter_id, lock=True)
            if changes:
                change = update(adapter).where(adapter.c.id == adapter_id).values(**changes)
                row = connection.execute(change.returning(*adapter.c)).one()
                record(connection, tenant_id, "adapter.changed", adapter_id, details={"fields": [*sorted(changes)]})
            return _record(row)

    def delete(self, tenant_id: str, adapter_id: str) -> None:
        """Delete an adapter and its file. Pictures that were made with it stay.

        Raises NotFound, and Conflict `in_use` while a style, a live shot or an open catalogue refers to it.
        """
        with self._database.write() as connection:
            row = own_row(connection, adapter, tenant_id, adapter_id, lock=True)
            user = user_of(connection, adapter_id)
            if user is not None:
                rule = f"adapter {adapter_id} must not be one that is still needed, but {user} uses it"
                raise Conflict(
                    "in_use", f"{rule}; change or delete that style, or wait for the shot or catalogue to end"
                )
            connection.execute(delete(adapter).where(adapter.c.id == adapter_id))
            record(connection, tenant_id, "adapter.deleted", adapter_id, details={"sha256": row.sha256})
            self._references.drop(connection, [row.asset_key])
        self._references.purge([row.asset_key])

    def of_shot(self, tenant_id: str, adapter_ids: Sequence[str]) -> list[AdapterRecord]:
        """Return adapters in the order of their ids. Raises NotFound when one does not exist."""
        with self._database.read() as connection:
            mine = select(adapter).where(adapter.c.tenant_id == tenant_id, adapter.c.id.in_(adapter_ids))
            found = {row.id: _record(row) for row in connection.execute(mine)}
            return [
                found[one] if one in found else _record(own_row(connection, adapter, tenant_id, one))
                for one in adapter_ids
            ]


def insert_adapter(
    connection: Connection, tenant_id: str, new: NewAdapter, data: bytes, asset_key: str, *, by: str | None = None
) -> AdapterRecord:
    """Insert an adapter whose file was written, in the caller's transaction, which takes the reference to the file.

    `by` says who acts; None is who sent the request.
    """
    row = adapter.insert().values(
        id=new_id("ad"),
        tenant_id=tenant_id,
        **{name: value for name, value in vars(new).items() if name != "notes"},
        notes=[list(one) for one in new.notes] or None,
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        asset_key=asset_key,
        created_at=Now(),
    )
    added = _record(connection.execute(row.returning(*adapter.c)).one())
    details: Details = {"kind": added.kind, "engine": added.engine, "sha256": added.sha256}
    record(connection, tenant_id, "adapter.added", added.id, details=details, by=by)
    return added


def _record(row: Row[Any]) -> AdapterRecord:
    return AdapterRecord(
        id=row.id,
        tenant=row.tenant_id,
        name=row.name,
        kind=row.kind,
        engine=row.engine,
        family=row.family,
        rank=row.rank,
        trigger=row.trigger,
        licence=row.licence,
        trained_from=row.trained_from,
        notes=tuple((code, detail) for code, detail in row.notes or ()),
        sha256=row.sha256,
        bytes=row.bytes,
        asset_key=row.asset_key,
        created_at=moment(row.created_at),
    )
