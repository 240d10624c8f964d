"""Versions of a picture: a redo makes the next one, which supersedes the one before."""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from packshot.errors import Conflict
from packshot.store.catalogue_follow import image_superseded
from packshot.store.database import absent, require_id
from packshot.store.schema import Now, image, image_review

REDO = "redo"
"""Who opens the review of a new version."""


def require_newest(connection: Connection, tenant_id: str, image_id: str | None) -> None:
    """Raise Conflict `superseded` when a picture has a newer version, and NotFound when it does not exist.

    None needs nothing.
    """
    if image_id is None:
        return
    require_id(image_id, "image")
    own = select(image.c.superseded_by).where(image.c.id == image_id, image.c.tenant_id == tenant_id)
    row = connection.execute(own).first()
    if row is None:
        raise absent("image", image_id)
    if row.superseded_by is not None:
        rule = f"only the newest version of a picture can be made anew, and {row.superseded_by} has replaced {image_id}"
        raise Conflict("superseded", f"{rule}; redo that one")


def supersede(connection: Connection, image_id: str, by: str) -> None:
    """Make the new picture `by` the next version of a picture, or of its newest version by now. Its review is open.

    Two redos of one picture that run at the same time so make two versions, one after the other. When the picture was
    deleted meanwhile, the new one is a first version.
    """
    while True:
        locked = select(image.c.superseded_by, image.c.version).where(image.c.id == image_id).with_for_update()
        row = connection.execute(locked).first()
        if row is None:
            return
        if row.superseded_by is None:
            break
        image_id = row.superseded_by
    connection.execute(update(image).where(image.c.id == image_id).values(superseded_by=by))
    new = update(image).where(image.c.id == by)
    new = new.values(version=(row.version or 1) + 1, supersedes=image_id, review_number=1)
    tenant_id = connection.execute(new.returning(image.c.tenant_id)).scalar_one()
    connection.execute(
        image_review.insert().values(
            image_id=by, number=1, tenant_id=tenant_id, state="in_review", marks=[], by=REDO, created_at=Now()
        )
    )
    image_superseded(connection, image_id, by)
