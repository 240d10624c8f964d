"""Tenants and their keys. A key's secret is shown once; the store keeps its SHA-256."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

from sqlalchemy import Connection, select, update

from packshot.errors import BadInput
from packshot.store.database import Database, absent, insert, moment, moment_or_none, new_id, require_id
from packshot.store.records import KeyRecord, NewKey, Tenant
from packshot.store.schema import Now, api_key, tenant

LOCAL_TENANT = "local"
_PREFIX_CHARS = 11  # pk_ and 48 of the 256 bits: enough to find one row, useless to guess the rest
_SECRET = re.compile(r"pk_[A-Za-z0-9_-]{43}")
_NO_HASH = "0" * 64


class Keys(Database):
    """`pk_` + 256 random bits; looked up by prefix, compared in constant time."""

    def create_key(self, tenant_name: str) -> NewKey:
        """A new key, and its tenant if there is none of that name. Raises BadInput for an unusable name."""
        name = tenant_name.strip()
        if not 1 <= len(name) <= 100 or not name.isprintable():
            raise BadInput(
                "bad_usage", f"a tenant's name must be 1-100 printable characters, got {tenant_name[:120]!r}"
            )
        secret = "pk_" + secrets.token_urlsafe(32)
        key_id = new_id("ky")
        with self.write() as connection:
            tenant_id = _tenant_id(connection, name)
            connection.execute(
                api_key.insert().values(
                    id=key_id,
                    tenant_id=tenant_id,
                    prefix=secret[:_PREFIX_CHARS],
                    sha256=_hash(secret),
                    created_at=Now(),
                )
            )
        record = next(record for record in self.keys() if record.id == key_id)
        return NewKey(record, secret)

    def keys(self) -> list[KeyRecord]:
        """Every key, revoked ones included, oldest first."""
        query = (
            select(api_key, tenant.c.name.label("tenant_name"))
            .join(tenant, tenant.c.id == api_key.c.tenant_id)
            .order_by(api_key.c.created_at, api_key.c.id)
        )
        with self.read() as connection:
            rows = connection.execute(query).all()
        return [
            KeyRecord(row.id, row.tenant_name, row.prefix, moment(row.created_at), moment_or_none(row.revoked_at))
            for row in rows
        ]

    def revoke_key(self, key_id: str) -> None:
        """Refuse the key from now on; again is no error. Raises NotFound."""
        require_id(key_id, "key")
        with self.write() as connection:
            known = connection.execute(select(api_key.c.id).where(api_key.c.id == key_id)).first()
            if known is None:
                raise absent("key", key_id)
            alive = (api_key.c.id == key_id) & api_key.c.revoked_at.is_(None)
            connection.execute(update(api_key).where(alive).values(revoked_at=Now()))

    def tenant_of(self, secret: str) -> Tenant | None:
        """Whose key this is; None for a wrong, malformed or revoked one."""
        if not _SECRET.fullmatch(secret):
            return None
        query = (
            select(api_key.c.sha256, api_key.c.revoked_at, tenant.c.id, tenant.c.name)
            .join(tenant, tenant.c.id == api_key.c.tenant_id)
            .where(api_key.c.prefix == secret[:_PREFIX_CHARS])
        )
        with self.read() as connection:
            row = connection.execute(query).first()
        same = hmac.compare_digest(_hash(secret), row.sha256 if row else _NO_HASH)
        return Tenant(row.id, row.name) if row and same and row.revoked_at is None else None

    def local_tenant(self) -> Tenant:
        """The one tenant of open access, made on first use."""
        return self.tenant(LOCAL_TENANT)

    def tenant(self, name: str) -> Tenant:
        """The tenant of that name, made if missing."""
        with self.read() as connection:
            tenant_id = connection.execute(select(tenant.c.id).where(tenant.c.name == name)).scalar_one_or_none()
        if tenant_id is None:
            with self.write() as connection:
                tenant_id = _tenant_id(connection, name)
        return Tenant(tenant_id, name)

    def set_retention(self, tenant_id: str, days: float | None) -> None:
        """Keep this tenant's things for `days`; 0 = for ever, None = as the setting says. Raises NotFound, BadInput."""
        require_id(tenant_id, "tenant")
        if days is not None and not 0 <= days <= 36_500:
            raise BadInput("bad_usage", f"retention must be 0-36500 days, got {days}")
        with self.write() as connection:
            changed = connection.execute(update(tenant).where(tenant.c.id == tenant_id).values(retention_days=days))
            if changed.rowcount == 0:
                raise absent("tenant", tenant_id)


def _tenant_id(connection: Connection, name: str) -> str:
    statement = insert(connection, tenant).values(id=new_id("tn"), name=name, created_at=Now())
    connection.execute(statement.on_conflict_do_nothing(index_elements=[tenant.c.name]))
    return str(connection.execute(select(tenant.c.id).where(tenant.c.name == name)).scalar_one())


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
