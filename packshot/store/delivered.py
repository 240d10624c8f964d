"""Delivered files: what a channel got of a picture. Each is made once and served again byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select

from packshot.contract.verdict import Verdict
from packshot.store.audit_rows import Details, record
from packshot.store.database import Database, absent, insert, moment, new_id, require_id
from packshot.store.delivered_records import DeliveredRecord, NewDelivered
from packshot.store.fingerprints import insert_fingerprint
from packshot.store.named import IDS_AT_ONCE
from packshot.store.references import AssetReferences
from packshot.store.schema import Now, image, shot
from packshot.store.schema_files import delivered_file


class DeliveredFiles:
    """A tenant's delivered files. They are deleted with their picture. A file of another tenant raises NotFound."""

    def __init__(self, database: Database, references: AssetReferences) -> None:
        self._database = database
        self._references = references

    def find(self, tenant_id: str, image_id: str, recipe: str) -> DeliveredRecord | None:
        """The file of a picture that was made by `recipe`, or None when none was made yet."""
        with self._database.read() as connection:
            row = _find(connection, tenant_id, image_id, recipe)
        return None if row is None else _record(row)

    def add(self, tenant_id: str, image_id: str, new: NewDelivered) -> DeliveredRecord:
        """Store a file and return its record; when another call stored one by this recipe first, return that one.

        Raises NotFound when the picture does not exist, and StorageFull when a quota or disk is full.
        """
        require_id(image_id, "image")
        [file] = self._references.write_files([new.data], f".{new.extension}")
        with self._database.write() as connection:
            # retention deletes a shot under its lock, so its pictures stay while this transaction holds it
            own = (image.c.id == image_id) & (image.c.tenant_id == tenant_id)
            locked = select(shot.c.id).join(image, image.c.shot_id == shot.c.id).where(own)
            if connection.execute(locked.with_for_update(of=shot, read=True)).first() is None:
                raise absent("image", image_id)
            values = {
                "id": new_id("df"),
                "tenant_id": tenant_id,
                "image_id": image_id,
                "preset": new.preset,
                "recipe": new.recipe,
                "asset_key": file.key,
                "media_type": new.media_type,
                "width": new.width,
                "height": new.height,
                "bytes": len(new.data),
                "sha256": hashlib.sha256(new.data).hexdigest(),
                "source_type": new.source_type,
                "changes": list(new.changes),
                "findings": Verdict(new.findings).to_json()["findings"],
                "created_at": Now(),
                "mark": new.mark,
                "instance_id": new.instance_id,
                "signed_by": new.signed_by,
            }
            first = _find(connection, tenant_id, image_id, new.recipe)
            if first is not None:
                return _record(first)
            self._references.take(connection, [file])
            statement = insert(connection, delivered_file).values(**values)
            row = connection.execute(statement.on_conflict_do_nothing().returning(*delivered_file.c)).first()
            if row is None:  # stored by another call since
                self._references.drop(connection, [file.key])
                row = _find(connection, tenant_id, image_id, new.recipe)
            else:
                if new.fingerprint is not None:
                    insert_fingerprint(connection, tenant_id, image_id, row.id, new.fingerprint)
                details: Details = {"image_id": image_id, "preset": new.preset, "sha256": row.sha256}
                record(connection, tenant_id, "file.delivered", row.id, details=details)
        if row is None:
            raise absent("image", image_id)
        return _record(row)

    def get(self, tenant_id: str, file_id: str) -> DeliveredRecord:
        """Return the file's record. Raises NotFound when it does not exist."""
        require_id(file_id, "delivered file")
        own = (delivered_file.c.id == file_id) & (delivered_file.c.tenant_id == tenant_id)
        with self._database.read() as connection:
            row = connection.execute(select(delivered_file).where(own)).first()
        if row is None:
            raise absent("delivered file", file_id)
        return _record(row)

    def with_mark(self, mark: int) -> list[DeliveredRecord]:
        """All tenants' files with this watermark, oldest first."""
        return self._with(delivered_file.c.mark == mark)

    def with_instance(self, instance_id: str) -> list[DeliveredRecord]:
        """All tenants' files with this id in their C2PA manifest, oldest first."""
        return self._with(delivered_file.c.instance_id == instance_id)

    def _with(self, wanted: ColumnElement[bool]) -> list[DeliveredRecord]:
        found = select(delivered_file).where(wanted).order_by(delivered_file.c.created_at)
        with self._database.read() as connection:
            return [_record(row) for row in connection.execute(found)]

    def records(self, tenant_id: str, file_ids: Sequence[str]) -> dict[str, DeliveredRecord]:
        """The records of many files, by id. Those that do not exist are left out."""
        found: dict[str, DeliveredRecord] = {}
        with self._database.read() as connection:
            for start in range(0, len(file_ids), IDS_AT_ONCE):
                some = delivered_file.c.id.in_(file_ids[start : start + IDS_AT_ONCE])
                own = select(delivered_file).where(delivered_file.c.tenant_id == tenant_id, some)
                found |= {row.id: _record(row) for row in connection.execute(own)}
        return found


def asset_keys_of(connection: Connection, shot_ids: Sequence[str]) -> list[str]:
    """The keys of all files that were delivered of these shots' pictures, one for each reference."""
    of_shots = select(image.c.id).where(image.c.shot_id.in_(shot_ids))
    keys = select(delivered_file.c.asset_key).where(delivered_file.c.image_id.in_(of_shots))
    return list(connection.execute(keys).scalars())


def _find(connection: Connection, tenant_id: str, image_id: str, recipe: str) -> Row[Any] | None:
    columns = delivered_file.c
    own = (columns.image_id == image_id) & (columns.tenant_id == tenant_id) & (columns.recipe == recipe)
    return connection.execute(select(delivered_file).where(own)).first()


def _record(row: Row[Any]) -> DeliveredRecord:
    return DeliveredRecord(
        id=row.id,
        tenant=row.tenant_id,
        image_id=row.image_id,
        preset=row.preset,
        asset_key=row.asset_key,
        media_type=row.media_type,
        width=row.width,
        height=row.height,
        bytes=row.bytes,
        sha256=row.sha256,
        source_type=row.source_type,
        changes=tuple(row.changes),
        findings=Verdict.from_json({"findings": row.findings}).findings,
        created_at=moment(row.created_at),
        mark=row.mark,
        instance_id=row.instance_id,
        signed_by=row.signed_by,
    )
