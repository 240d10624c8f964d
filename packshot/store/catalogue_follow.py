"""What catalogues do when somebody decides about a picture: make the files that waited for it, or make them anew."""

from __future__ import annotations

from sqlalchemy import Connection, select, tuple_, update

from packshot.store.catalogue_tables import catalogue, catalogue_file, catalogue_shot
from packshot.store.notifications import CATALOGUES, notify


def image_approved(connection: Connection, image_id: str) -> None:
    """Let the files be made that waited for this picture's approval, in the transaction that approves it."""
    held = (catalogue_file.c.state == "held") & (catalogue_file.c.image_id == image_id)
    if connection.execute(update(catalogue_file).where(held).values(state="waiting")).rowcount:
        notify(connection, CATALOGUES)


def image_superseded(connection: Connection, image_id: str, by: str) -> None:
    """Let the picture `by` take the place of `image_id` in its catalogue, and its files be made anew.

    Call it in the transaction that makes the new version. A catalogue that was cancelled keeps its files.
    """
    links, files = catalogue_shot.c, catalogue_file.c
    change = update(catalogue_shot).where(links.image_id == image_id).values(image_id=by)
    rows = connection.execute(change.returning(links.catalogue_id, links.place)).all()
    if not rows:
        return
    kept = select(catalogue.c.id).where(catalogue.c.state == "cancelled")
    mine = tuple_(files.catalogue_id, files.place).in_([tuple(row) for row in rows]) & (files.image_id == image_id)
    again = update(catalogue_file).where(mine, files.catalogue_id.not_in(kept))
    connection.execute(again.values(image_id=by, state="waiting", code=None, detail=None))
    notify(connection, CATALOGUES)
