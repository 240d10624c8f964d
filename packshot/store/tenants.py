"""Tenants: the agencies and brands that own photos, shots and keys (keys.py)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select

from packshot.store.database import Database, insert, moment, new_id
from packshot.store.records import Tenant
from packshot.store.schema import Now, tenant

LOCAL_TENANT = "local"


class Tenants:
    """Finds tenants by name and creates them on first use."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get_or_create(self, name: str) -> Tenant:
        """Return the tenant called `name`. It is created when it does not exist."""
        with self._database.read() as connection:
            tenant_id = connection.execute(select(tenant.c.id).where(tenant.c.name == name)).scalar_one_or_none()
        if tenant_id is None:
            with self._database.write() as connection:
                tenant_id = tenant_id_of(connection, name)
        return Tenant(tenant_id, name)

    def all(self) -> list[tuple[Tenant, datetime, str | None]]:
        """Return every tenant, oldest first, with its creation and the reason of its legal hold or None."""
        with self._database.read() as connection:
            rows = connection.execute(select(tenant).order_by(tenant.c.created_at, tenant.c.id)).all()
        return [(Tenant(row.id, row.name), moment(row.created_at), row.legal_hold) for row in rows]

    def local(self) -> Tenant:
        """Return the tenant of a server that needs no keys."""
        return self.get_or_create(LOCAL_TENANT)


def tenant_id_of(connection: Connection, name: str) -> str:
    """The id of the tenant called `name`. The tenant is created when it does not exist."""
    statement = insert(connection, tenant).values(id=new_id("tn"), name=name, created_at=Now())
    connection.execute(statement.on_conflict_do_nothing(index_elements=[tenant.c.name]))
    return str(connection.execute(select(tenant.c.id).where(tenant.c.name == name)).scalar_one())
