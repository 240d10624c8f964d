"""Sessions of browsers. A session's token is shown once, in a cookie; the store keeps only its SHA-256."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select

from packshot.store.budgets import has_budget
from packshot.store.database import Database, moment
from packshot.store.keys import Keys
from packshot.store.records import Tenant
from packshot.store.schema import Now, api_key, session, tenant

SESSION_S = 12 * 3600.0
"""The longest life of a session, seconds."""

MAX_SESSIONS = 100
"""Sessions of one key. A new one ends the oldest."""

_TOKEN = re.compile(r"ps_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class NewSession:
    """A new session. `token` is available only here."""

    token: str
    tenant: Tenant
    expires_at: datetime


class Sessions:
    """Opens, checks and ends sessions.

    A token is `ps_` and 256 random bits, and its SHA-256 is looked up. How long that takes tells nothing about a token
    that hashes to a neighbour. A session ends with its key, after `SESSION_S`, or when it is closed; the database's
    clock decides, so all gateways agree.
    """

    def __init__(self, database: Database, keys: Keys) -> None:
        self._database = database
        self._keys = keys

    def open(self, secret: str) -> NewSession | None:
        """Open a session for the key `secret`. None when the key is malformed, unknown or revoked."""
        found = self._keys.find(secret)
        if found is None:
            return None
        key_id, owner = found
        token = "ps_" + secrets.token_urlsafe(32)
        mine = session.c.key_id == key_id
        newest = select(session.c.sha256).where(mine).order_by(session.c.expires_at.desc()).limit(MAX_SESSIONS - 1)
        new = session.insert().values(sha256=_hash(token), key_id=key_id, expires_at=Now() + SESSION_S)
        with self._database.write() as connection:
            connection.execute(delete(session).where(mine, session.c.sha256.not_in(newest)))
            expires_at = connection.execute(new.returning(session.c.expires_at)).scalar_one()
        return NewSession(token, owner, moment(expires_at))

    def tenant_of(self, token: str) -> Tenant | None:
        """The tenant of a session, or None when it has ended, was never opened, or its key was revoked."""
        if not _TOKEN.fullmatch(token):
            return None
        query = (
            select(
                tenant.c.id,
                tenant.c.name,
                session.c.key_id,
                has_budget(tenant.c.id, session.c.key_id).label("has_budget"),
            )
            .join(api_key, api_key.c.tenant_id == tenant.c.id)
            .join(session, session.c.key_id == api_key.c.id)
            .where(session.c.sha256 == _hash(token), session.c.expires_at > Now(), api_key.c.revoked_at.is_(None))
        )
        with self._database.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        return Tenant(row.id, row.name, key_id=row.key_id, has_budget=row.has_budget, by_session=True)

    def close(self, token: str) -> None:
        """End a session. Ending it again, or one that was never opened, has no effect."""
        if _TOKEN.fullmatch(token):
            with self._database.write() as connection:
                connection.execute(delete(session).where(session.c.sha256 == _hash(token)))

    def sweep(self) -> int:
        """Delete the sessions that have ended. Returns their number."""
        with self._database.write() as connection:
            return connection.execute(delete(session).where(session.c.expires_at <= Now())).rowcount


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
