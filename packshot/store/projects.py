"""Projects: names under which a tenant keeps photos and shots together."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from packshot.store.database import Database, absent, moment, new_id, require_id
from packshot.store.named import own_row, unique_name
from packshot.store.pages import page_of
from packshot.store.records import ProjectRecord
from packshot.store.schema import Now, photo, project, shot


class Projects:
    """A tenant's projects. A project of another tenant raises NotFound."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, tenant_id: str, name: str) -> ProjectRecord:
        """Create a project. Raises Conflict `name_taken` when the tenant has one of this name."""
        new = project.insert().values(id=new_id("pj"), tenant_id=tenant_id, name=name, created_at=Now())
        with unique_name(project, name), self._database.write() as connection:
            return _record(connection.execute(new.returning(*project.c)).one())

    def get(self, tenant_id: str, project_id: str) -> ProjectRecord:
        """Return the project. Raises NotFound when it does not exist."""
        with self._database.read() as connection:
            return _record(own_row(connection, project, tenant_id, project_id))

    def page(
        self, tenant_id: str, *, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[ProjectRecord], str | None]:
        """Return a page of projects, newest first, and the cursor of the next page, or None on the last page.

        Raises BadInput when the cursor is unknown.
        """
        with self._database.read() as connection:
            rows, next_cursor = page_of(connection, project, tenant_id, cursor, limit)
        return [_record(row) for row in rows], next_cursor

    def rename(self, tenant_id: str, project_id: str, name: str) -> ProjectRecord:
        """Rename a project. Raises NotFound when it does not exist, and Conflict `name_taken`."""
        require_id(project_id, "project")
        mine = (project.c.id == project_id) & (project.c.tenant_id == tenant_id)
        with unique_name(project, name), self._database.write() as connection:
            row = connection.execute(update(project).where(mine).values(name=name).returning(*project.c)).first()
        if row is None:
            raise absent("project", project_id)
        return _record(row)

    def delete(self, tenant_id: str, project_id: str) -> None:
        """Delete a project. Its photos and shots stay, without one. Raises NotFound when it does not exist."""
        with self._database.write() as connection:
            own_row(connection, project, tenant_id, project_id, lock=True)
            for table in (photo, shot):
                connection.execute(update(table).where(table.c.project_id == project_id).values(project_id=None))
            connection.execute(delete(project).where(project.c.id == project_id))


def hold_project(connection: Connection, tenant_id: str, project_id: str | None) -> None:
    """Keep a project from being deleted until the transaction ends; None needs nothing. Raises NotFound."""
    if project_id is None:
        return
    require_id(project_id, "project")
    mine = (project.c.id == project_id) & (project.c.tenant_id == tenant_id)
    if connection.execute(select(project.c.id).where(mine).with_for_update(read=True, key_share=True)).first() is None:
        raise absent("project", project_id)


def _record(row: Row[Any]) -> ProjectRecord:
    return ProjectRecord(id=row.id, tenant=row.tenant_id, name=row.name, created_at=moment(row.created_at))
