"""The keys of tenants. A key's secret is shown once; the store keeps only its SHA-256."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

from sqlalchemy import select, update

from packshot.errors import BadInput
from packshot.store.audit_rows import record
from packshot.store.budgets import has_budget
from packshot.store.database import Database, absent, moment, moment_or_none, new_id, require_id
from packshot.store.records import KeyRecord, NewKey, Tenant
from packshot.store.schema import Now, api_key, tenant
from packshot.store.tenants import tenant_id_of

_PREFIX_CHARS = 11  # pk_ and 48 of the 256 bits: enough to find one row, too few to guess the rest
_SECRET = re.compile(r"pk_[A-Za-z0-9_-]{43}")
_NO_HASH = "0" * 64


class Keys:
    """Creates, lists, revokes and checks keys.

    A secret is `pk_` and 256 random bits. It is looked up by its prefix and compared in constant time.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, tenant_name: str, *, admin: bool = False) -> NewKey:
        """Create a key, and its tenant when none has that name. Raises BadInput when the name is not valid.

        An `admin` key may also delete tenants.
        """
        name = tenant_name.strip()
        if not 1 <= len(name) <= 100 or not name.isprintable():
            raise BadInput(
                "bad_usage",
                f"a tenant's name must be 1-100 printable characters, got {tenant_name[:120]!r}; choose another",
            )
        secret = "pk_" + secrets.token_urlsafe(32)
        key_id = new_id("ky")
        with self._database.write() as connection:
            tenant_id = tenant_id_of(connection, name)
            connection.execute(
                api_key.insert().values(
                    id=key_id,
                    tenant_id=tenant_id,
                    prefix=secret[:_PREFIX_CHARS],
                    sha256=_hash(secret),
                    created_at=Now(),
                    admin=admin,
                )
            )
            record(connection, tenant_id, "key.made", key_id, details={"admin": admin})
        made = next(one for one in self.all() if one.id == key_id)
        return NewKey(made, secret)

    def all(self) -> list[KeyRecord]:
        """Return every key, revoked ones included, oldest first."""
        query = (
            select(api_key, tenant.c.name.label("tenant_name"))
            .join(tenant, tenant.c.id == api_key.c.tenant_id)
            .order_by(api_key.c.created_at, api_key.c.id)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [
            KeyRecord(
                row.id,
                row.tenant_name,
                row.prefix,
                moment(row.created_at),
                moment_or_none(row.revoked_at),
                bool(row.admin),
            )
            for row in rows
        ]

    def revoke(self, key_id: str) -> None:
        """Revoke a key. Revoking it again has no effect. Raises NotFound when the key does not exist."""
        require_id(key_id, "key")
        with self._database.write() as connection:
            owner = connection.execute(select(api_key.c.tenant_id).where(api_key.c.id == key_id)).scalar()
            if owner is None:
                raise absent("key", key_id)
            alive = (api_key.c.id == key_id) & api_key.c.revoked_at.is_(None)
            if connection.execute(update(api_key).where(alive).values(revoked_at=Now())).rowcount:
                record(connection, owner, "key.revoked", key_id)

    def tenant_of(self, secret: str) -> Tenant | None:
        """Return the tenant that owns the key, or None when the key is malformed, unknown or revoked."""
        found = self.find(secret)
        return found[1] if found else None

    def admin_id_of(self, secret: str) -> str | None:
        """Return the id of an admin key, or None for any other secret."""
        found = self.find(secret)
        if found is None:
            return None
        with self._database.read() as connection:
            admin = connection.execute(select(api_key.c.admin).where(api_key.c.id == found[0])).scalar_one_or_none()
        return found[0] if admin else None

    def find(self, secret: str) -> tuple[str, Tenant] | None:
        """Return the key's id and the tenant that owns it, or None as `tenant_of` does."""
        if not _SECRET.fullmatch(secret):
            return None
        columns = (api_key.c.id.label("key_id"), api_key.c.sha256, api_key.c.revoked_at, tenant.c.id, tenant.c.name)
        query = (
            select(*columns, has_budget(tenant.c.id, api_key.c.id).label("has_budget"))
            .join(tenant, tenant.c.id == api_key.c.tenant_id)
            .where(api_key.c.prefix == secret[:_PREFIX_CHARS])
        )
        with self._database.read() as connection:
            row = connection.execute(query).first()
        same = hmac.compare_digest(_hash(secret), row.sha256 if row else _NO_HASH)
        if row is None or not same or row.revoked_at is not None:
            return None
        return row.key_id, Tenant(row.id, row.name, key_id=row.key_id, has_budget=row.has_budget)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
