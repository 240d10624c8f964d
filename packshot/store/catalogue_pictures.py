"""What reviews and redos of pictures mean for their catalogues. Both run in the transaction of the review or redo."""

from __future__ import annotations

from sqlalchemy import Connection, update

from packshot.store.catalogue_tables import catalogue_file, catalogue_shot


def picture_approved(connection: Connection, image_id: str) -> None:
    """Let the files be made that waited for the approval of a picture."""
    held = (catalogue_file.c.image_id == image_id) & (catalogue_file.c.state == "held")
    connection.execute(update(catalogue_file).where(held).values(state="waiting"))


def picture_superseded(connection: Connection, image_id: str, by: str) -> None:
    """Put the next version of a picture in its place, and let its files be made anew.

    Each file keeps the id of the one that was delivered of the earlier version until the new one is made.
    """
    chosen = update(catalogue_shot).where(catalogue_shot.c.image_id == image_id)
    rows = connection.execute(
        chosen.values(image_id=by).returning(catalogue_shot.c.catalogue_id, catalogue_shot.c.place)
    )
    for catalogue_id, place in rows.all():
        c = catalogue_file.c
        files = (c.catalogue_id == catalogue_id) & (c.place == place) & (c.image_id == image_id)
        anew = update(catalogue_file).where(files)
        connection.execute(anew.values(image_id=by, state="waiting", code=None, detail=None))
