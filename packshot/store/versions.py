"""Versions of a picture: a redo makes the next one, which supersedes the one before."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from packshot.errors import Conflict
from packshot.store.catalogue_follow import image_superseded
from packshot.store.database import absent, require_id
from packshot.store.schema import Now, image
from packshot.store.schema_reviews import image_review

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


def family(connection: Connection, image_id: str) -> list[Row[Any]]:
    """The rows of all versions of a picture that exist, in the order in which they were made."""
    root: str = image_id
    above: str | None = image_id
    while above is not None:
        root, above = above, connection.execute(select(image.c.supersedes).where(image.c.id == above)).scalar()
    found = list(connection.execute(select(image).where(image.c.id == root)))
    made_of = [root]
    while made_of:
        rows = connection.execute(select(image).where(image.c.supersedes.in_(made_of))).all()
        found += rows
        made_of = [row.id for row in rows]
    return sorted(found, key=lambda row: (row.version or 1, row.created_at))


def restore(connection: Connection, tenant_id: str, image_id: str, by: str) -> Row[Any]:
    """Make a picture the newest version again, in place of the one that is. Returns its row.

    What was made since stays, superseded by it, and can be restored in the same way. Raises NotFound.
    """
    require_id(image_id, "image")
    own = select(image).where(image.c.id == image_id, image.c.tenant_id == tenant_id)
    row = newest = connection.execute(own.with_for_update()).first()
    if row is None:
        raise absent("image", image_id)
    while newest is not None and newest.superseded_by is not None:
        after = select(image).where(image.c.id == newest.superseded_by).with_for_update()
        following = connection.execute(after).first()
        if following is None:  # it was deleted, so the picture before it counts
            break
        newest = following
    if newest is None or newest.id == image_id:
        return row
    connection.execute(update(image).where(image.c.id == newest.id).values(superseded_by=image_id))
    change = update(image).where(image.c.id == image_id).values(superseded_by=None).returning(*image.c)
    row = connection.execute(change).one()
    last = select(func.coalesce(func.max(image_review.c.number), 0)).where(image_review.c.image_id == image_id)
    connection.execute(
        image_review.insert().values(
            image_id=image_id,
            number=int(connection.execute(last).scalar_one()) + 1,
            tenant_id=tenant_id,
            state=None,
            note=f"restored in place of {newest.id}",
            marks=[],
            by=by[:200],
            created_at=Now(),
        )
    )
    image_superseded(connection, newest.id, image_id)
    return row


def supersede(connection: Connection, image_id: str, by: str, maker: str = REDO) -> None:
    """Make the new picture `by` the next version of a picture, or of its newest version by now. Its review is open.

    `maker` opens its review.

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
    versions = family(connection, image_id)
    new = new.values(version=1 + max(one.version or 1 for one in versions), supersedes=image_id, review_number=1)
    tenant_id = connection.execute(new.returning(image.c.tenant_id)).scalar_one()
    connection.execute(
        image_review.insert().values(
            image_id=by, number=1, tenant_id=tenant_id, state="in_review", marks=[], by=maker, created_at=Now()
        )
    )
    image_superseded(connection, image_id, by)
