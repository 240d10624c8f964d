"""Uploads past the gateway: photos that clients put into the asset root themselves, until a photo is made of them."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Any

from sqlalchemy import Row, delete, func, select, update

from packshot.errors import Overloaded
from packshot.store.asset_keys import upload_key
from packshot.store.assets import Assets
from packshot.store.database import Database, absent, moment, new_id, require_id
from packshot.store.records import NewUpload, UploadRecord
from packshot.store.schema import Now, upload

LIFETIME_S = 3600
"""Seconds within which an upload must be sent and confirmed. Then it is swept."""

MAX_OPEN = 1_000
"""How many uploads of a tenant may wait for their confirmation. The next is refused."""


class Uploads:
    """The uploads that wait for their confirmation. An upload of another tenant raises NotFound."""

    def __init__(self, database: Database, assets: Assets) -> None:
        self._database = database
        self._assets = assets

    def add(self, tenant_id: str, *, bytes: int, sha256: str, content_type: str) -> NewUpload:
        """Announce a file of `bytes` bytes with this hash (hexadecimal).

        Raises Overloaded `queue_full` when MAX_OPEN uploads of the tenant wait, and StorageFull.
        """
        self._assets.require_room(bytes)
        token = secrets.token_urlsafe(32)
        open_ones = select(func.count()).where(
            upload.c.tenant_id == tenant_id, upload.c.expires_at > Now(), upload.c.photo_id.is_(None)
        )
        new = upload.insert().values(
            id=new_id("up"),
            tenant_id=tenant_id,
            bytes=bytes,
            sha256=sha256,
            content_type=content_type,
            token_sha256=_hash(token),
            created_at=Now(),
            expires_at=Now() + LIFETIME_S,
        )
        with self._database.write() as connection:
            if connection.execute(open_ones).scalar_one() >= MAX_OPEN:
                raise Overloaded(
                    "queue_full",
                    f"a tenant may have {MAX_OPEN} unconfirmed uploads, and has as many; confirm some, or wait an hour",
                    retry_after_s=60,
                )
            return NewUpload(_record(connection.execute(new.returning(*upload.c)).one()), token)

    def get(self, tenant_id: str, upload_id: str) -> UploadRecord:
        """Return the upload. Raises NotFound when it does not exist or has expired."""
        row = self._row(upload_id)
        if row.tenant_id != tenant_id:
            raise absent("upload", upload_id)
        return _record(row)

    def of_token(self, upload_id: str, token: str) -> UploadRecord:
        """Return the upload whose URL holds `token`. Raises NotFound when the two do not belong together."""
        row = self._row(upload_id)
        if not hmac.compare_digest(row.token_sha256, _hash(token)):
            raise absent("upload", upload_id)
        return _record(row)

    def confirm(self, upload_id: str, photo_id: str) -> None:
        """Note the photo that was made of an upload, and delete the uploaded file."""
        with self._database.write() as connection:
            connection.execute(update(upload).where(upload.c.id == upload_id).values(photo_id=photo_id))
        self._assets.delete(upload_key(upload_id))

    def sweep(self) -> int:
        """Delete the uploads that have expired. Returns how many."""
        with self._database.write() as connection:
            expired = delete(upload).where(upload.c.expires_at <= Now()).returning(upload.c.id)
            ids = connection.execute(expired).scalars().all()
        for upload_id in ids:
            self._assets.delete(upload_key(upload_id))
        return len(ids)

    def _row(self, upload_id: str) -> Row[Any]:
        require_id(upload_id, "upload")
        with self._database.read() as connection:
            row = connection.execute(
                select(upload).where(upload.c.id == upload_id, upload.c.expires_at > Now())
            ).first()
        if row is None:
            raise absent("upload", upload_id)
        return row


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _record(row: Row[Any]) -> UploadRecord:
    return UploadRecord(
        id=row.id,
        tenant=row.tenant_id,
        bytes=row.bytes,
        sha256=row.sha256,
        content_type=row.content_type,
        key=upload_key(row.id),
        photo_id=row.photo_id,
        expires_at=moment(row.expires_at),
    )
