"""Duties: periodic work that one process of the cluster does at a time."""

from __future__ import annotations

from sqlalchemy import case, select, update

from packshot.store.database import Database, insert
from packshot.store.schema import Now, duty


def take_duty(database: Database, name: str, *, every_s: float, pages: int, of_pages: int) -> range | None:
    """Take a duty that is due. Returns the pages to work on, or None when it is not due.

    The duty is due again after `every_s` seconds, so that until then no other process takes it. Its work is divided
    into `of_pages` pages, of which each turn does the next `pages`; after the last page comes the first.
    """
    with database.read() as connection:  # most calls come too early; they write nothing
        due = connection.execute(select(duty.c.due_at <= Now()).where(duty.c.name == name)).scalar()
    if due is not None and not due:
        return None
    after = duty.c.page + pages
    turn = (
        update(duty)
        .where(duty.c.name == name, duty.c.due_at <= Now())
        .values(due_at=Now() + every_s, page=case((after >= of_pages, 0), else_=after))
    )
    with database.write() as connection:
        row = insert(connection, duty).values(name=name, due_at=0.0, page=0)
        connection.execute(row.on_conflict_do_nothing())
        locked = select(duty.c.page).where(duty.c.name == name).with_for_update()
        first = int(connection.execute(locked).scalar_one())
        if connection.execute(turn).rowcount == 0:
            return None
    return range(first, min(first + pages, of_pages))
