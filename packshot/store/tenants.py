"""Tenants: the agencies and brands that own photos, shots and keys (keys.py)."""

from __future__ import annotations

from sqlalchemy import Connection, null, select, update

from packshot.contract.requests import MAX_WEIGHT, MIN_WEIGHT
from packshot.errors import BadInput
from packshot.store.audit_rows import record
from packshot.store.budgets import has_budget
from packshot.store.database import Database, absent, insert, new_id, require_id
from packshot.store.records import Tenant
from packshot.store.schema import Now, tenant

LOCAL_TENANT = "local"


class Tenants:
    """Finds tenants by name and creates them on first use."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get_or_create(self, name: str) -> Tenant:
        """Return the tenant called `name`. It is created when it does not exist."""
        query = select(tenant, has_budget(tenant.c.id, null()).label("has_budget")).where(tenant.c.name == name)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        if row is not None:
            return Tenant(row.id, name, row.weight, has_budget=row.has_budget)
        with self._database.write() as connection:
            return Tenant(tenant_id_of(connection, name), name)

    def set_weight(self, tenant_id: str, weight: float) -> Tenant:
        """Set the tenant's share of the workers: one of weight 2 gets twice as much work done as one of weight 1.

        Raises BadInput when `weight` is not from 0.01 to 100, and NotFound when there is no such tenant.
        """
        require_id(tenant_id, "tenant")
        if not MIN_WEIGHT <= weight <= MAX_WEIGHT:
            rule = f"a tenant's weight must be {MIN_WEIGHT:g} to {MAX_WEIGHT:g}, got {weight:g}; 1 is the usual one"
            raise BadInput("bad_usage", rule)
        with self._database.write() as connection:
            changed = update(tenant).where(tenant.c.id == tenant_id).values(weight=weight)
            row = connection.execute(changed.returning(tenant.c.name)).first()
            if row is None:
                raise absent("tenant", tenant_id)
            record(connection, tenant_id, "tenant.changed", tenant_id, details={"weight": weight})
        return Tenant(tenant_id, row.name, weight)

    def set_require_approval(self, tenant_id: str, required: bool) -> None:
        """Say whether the tenant's pictures leave only when a person has approved them.

        Raises NotFound when there is no such tenant.
        """
        require_id(tenant_id, "tenant")
        with self._database.write() as connection:
            change = update(tenant).where(tenant.c.id == tenant_id).values(require_approval=required)
            if connection.execute(change).rowcount == 0:
                raise absent("tenant", tenant_id)
            record(connection, tenant_id, "tenant.changed", tenant_id, details={"require_approval": required})

    def all(self) -> list[Tenant]:
        """Return every tenant, by name."""
        with self._database.read() as connection:
            rows = connection.execute(select(tenant).order_by(tenant.c.name)).all()
        return [Tenant(row.id, row.name, row.weight, bool(row.require_approval)) for row in rows]

    def local(self) -> Tenant:
        """Return the tenant of a server that needs no keys."""
        return self.get_or_create(LOCAL_TENANT)


def tenant_id_of(connection: Connection, name: str) -> str:
    """The id of the tenant called `name`. The tenant is created when it does not exist."""
    statement = insert(connection, tenant).values(id=new_id("tn"), name=name, created_at=Now())
    connection.execute(statement.on_conflict_do_nothing(index_elements=[tenant.c.name]))
    return str(connection.execute(select(tenant.c.id).where(tenant.c.name == name)).scalar_one())
