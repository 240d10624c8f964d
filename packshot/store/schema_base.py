"""What all tables share: their metadata, the columns of an id and of a tenant, and the database's clock."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Double, ForeignKey, MetaData, String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class Now(FunctionElement[float]):
    """The database's clock in seconds since 1970. It is the present time, not the transaction's start."""

    type = Double()
    inherit_cache = True


@compiles(Now, "sqlite")
def _now_sqlite(element: Now, compiler: Any, **options: Any) -> str:
    # SQLite's clock counts milliseconds; a Julian day holds 40 µs, and would be off from the time that answers show.
    return "ROUND((julianday('now') - 2440587.5) * 86400.0, 3)"


@compiles(Now, "postgresql")
def _now_postgresql(element: Now, compiler: Any, **options: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)"


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

ID = String(80)


def tenant_column() -> Column[str]:
    """The column that names the tenant. A table with it is emptied when the tenant is deleted."""
    return Column("tenant_id", ID, ForeignKey("tenant.id"), nullable=False)
