"""Share links. A link's token is shown once, in its URL; the store keeps only its SHA-256."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import JsonValue
from sqlalchemy import Row, delete, func, select, update

from packshot.errors import Conflict
from packshot.store.audit_rows import Details, record
from packshot.store.database import Database, absent, moment, moment_or_none, new_id, require_id
from packshot.store.pages import page_of
from packshot.store.records import ImageRecord
from packshot.store.reviews import AT_ONCE, ReviewRecord, record_of
from packshot.store.schema import Now, image, shot
from packshot.store.schema_reviews import image_review, share_link
from packshot.store.shot_rows import image_record

MAX_LIVE = 1_000
"""Links of a tenant that have not ended."""

LISTED_S = 30 * 24 * 3600.0
"""How long a link is listed after its end, seconds."""

_TOKEN = re.compile(r"sl_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class ShareRecord:
    """A link under which people without a key see the pictures `image_ids` until `expires_at`. `by` made it."""

    id: str
    tenant: str
    name: str
    image_ids: tuple[str, ...]
    by: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None

    @property
    def author(self) -> str:
        """What the log names as the author of the visitors' comments."""
        return f"share {self.id}"


@dataclass(frozen=True)
class NewShare:
    """A new link. `token` is the visitors' permission; it is available only here."""

    record: ShareRecord
    token: str


@dataclass(frozen=True)
class Shared:
    """A picture of a link, with its SKU and the comments of the link's visitors."""

    image: ImageRecord
    sku: str | None
    comments: tuple[ReviewRecord, ...]


class Shares:
    """A tenant's share links. A token is `sl_` and 256 random bits. A link of another tenant raises NotFound."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, tenant_id: str, image_ids: Sequence[str], *, name: str, life_s: float, by: str) -> NewShare:
        """Make a link to pictures, in their order, each once. It ends after `life_s` seconds.

        Links that ended long ago are deleted. Raises NotFound when a picture does not exist, and Conflict `too_many`
        when the tenant has `MAX_LIVE` links.
        """
        wanted = list(dict.fromkeys(image_ids))
        for image_id in wanted:
            require_id(image_id, "image")
        token = "sl_" + secrets.token_urlsafe(32)
        mine = share_link.c.tenant_id == tenant_id
        live = mine & (share_link.c.expires_at > Now()) & share_link.c.revoked_at.is_(None)
        with self._database.write() as connection:
            connection.execute(delete(share_link).where(mine, share_link.c.expires_at < Now() - LISTED_S))
            if connection.execute(select(func.count()).where(live)).scalar_one() >= MAX_LIVE:
                raise Conflict("too_many", f"a tenant may have {MAX_LIVE} live share links; revoke one first")
            for start in range(0, len(wanted), AT_ONCE):
                some = wanted[start : start + AT_ONCE]
                own = select(image.c.id).where(image.c.tenant_id == tenant_id, image.c.id.in_(some))
                found = set(connection.execute(own).scalars())
                for image_id in some:
                    if image_id not in found:
                        raise absent("image", image_id)
            new = share_link.insert().values(
                id=new_id("sl"),
                tenant_id=tenant_id,
                sha256=_hash(token),
                name=name,
                image_ids=wanted,
                by=by[:200],
                created_at=Now(),
                expires_at=Now() + life_s,
            )
            row = connection.execute(new.returning(*share_link.c)).one()
            details: Details = {"images": list[JsonValue](wanted), "days": round(life_s / 86_400, 3)}
            record(connection, tenant_id, "share.made", row.id, details=details)
        return NewShare(_record(row), token)

    def page(
        self, tenant_id: str, *, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[ShareRecord], str | None]:
        """Return a page of links, newest first, ended ones included, and the cursor of the next page, or None."""
        with self._database.read() as connection:
            rows, next_cursor = page_of(connection, share_link, tenant_id, cursor, limit)
        return [_record(row) for row in rows], next_cursor

    def revoke(self, tenant_id: str, share_id: str) -> None:
        """End a link now. Revoking it again has no effect. Raises NotFound when it does not exist."""
        require_id(share_id, "share link")
        own = (share_link.c.id == share_id) & (share_link.c.tenant_id == tenant_id)
        with self._database.write() as connection:
            change = update(share_link).where(own)
            ended = change.values(revoked_at=func.coalesce(share_link.c.revoked_at, Now()))
            if connection.execute(ended).rowcount == 0:
                raise absent("share link", share_id)
            record(connection, tenant_id, "share.revoked", share_id)

    def opened(self, token: str) -> ShareRecord | None:
        """The link of a token, or None when it has ended, was revoked or never existed."""
        if not _TOKEN.fullmatch(token):
            return None
        live = (share_link.c.expires_at > Now()) & share_link.c.revoked_at.is_(None)
        with self._database.read() as connection:
            row = connection.execute(select(share_link).where(share_link.c.sha256 == _hash(token), live)).first()
        return None if row is None else _record(row)

    def images(self, share: ShareRecord) -> list[Shared]:
        """The link's pictures that still exist, in its order, with the comments that came through it."""
        found: dict[str, Row[Any]] = {}
        comments: dict[str, list[ReviewRecord]] = {}
        with self._database.read() as connection:
            for start in range(0, len(share.image_ids), AT_ONCE):
                some = share.image_ids[start : start + AT_ONCE]
                own = (image.c.tenant_id == share.tenant) & image.c.id.in_(some)
                query = select(*image.c, shot.c.sku).join(shot, shot.c.id == image.c.shot_id).where(own)
                found |= {row.id: row for row in connection.execute(query)}
                lines = select(image_review).where(image_review.c.image_id.in_(some))
                lines = lines.where(image_review.c.by == share.author).order_by(image_review.c.number)
                for line in connection.execute(lines):
                    comments.setdefault(line.image_id, []).append(record_of(line))
        return [
            Shared(image_record(found[one]), found[one].sku, tuple(comments.get(one, ())))
            for one in share.image_ids
            if one in found
        ]


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _record(row: Row[Any]) -> ShareRecord:
    return ShareRecord(
        id=row.id,
        tenant=row.tenant_id,
        name=row.name,
        image_ids=tuple(row.image_ids),
        by=row.by,
        created_at=moment(row.created_at),
        expires_at=moment(row.expires_at),
        revoked_at=moment_or_none(row.revoked_at),
    )
