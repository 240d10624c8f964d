"""Which photos and finished pictures are references, and which adapters are used: of styles, shots and catalogues.

A picture or an adapter that a style, a live shot or an open catalogue refers to is not deleted: a client gets 409, and
retention spares it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, delete, exists, insert, or_, select, update

from packshot.contract.status import LIVE
from packshot.errors import Conflict
from packshot.store.catalogue_tables import catalogue
from packshot.store.database import absent, require_id
from packshot.store.schema import Now, adapter, image, photo, picture_use, shot

__all__ = ["forget_uses", "hold_pictures", "refuse_used", "use_pictures", "used_as_reference", "user_of"]

_TABLES = {"im_": (image, "image"), "ad_": (adapter, "adapter")}
_OPEN = ("draft", "running", "paused")
"""The states of a catalogue that may still paint."""


def hold_pictures(connection: Connection, tenant_id: str, picture_ids: Iterable[str]) -> None:
    """Lock pictures that will be references, and adapters that will be used, until the transaction ends.

    Raises NotFound when one does not exist.

    The order is fixed, and they come before masks, as in the deletion of a photo.
    """
    for picture_id in sorted(set(picture_ids)):
        table, name = next((one for begin, one in _TABLES.items() if picture_id.startswith(begin)), (photo, "photo"))
        require_id(picture_id, name)
        mine = (table.c.id == picture_id) & (table.c.tenant_id == tenant_id)
        if table is photo:
            found = connection.execute(update(photo).where(mine).values(used_at=Now())).rowcount > 0
        else:
            locked = select(table.c.id).where(mine).with_for_update(read=True, key_share=True)
            found = connection.execute(locked).first() is not None
        if not found:
            raise absent(name, picture_id)


def use_pictures(
    connection: Connection,
    picture_ids: Iterable[str],
    *,
    style_id: str | None = None,
    shot_id: str | None = None,
    catalogue_id: str | None = None,
) -> None:
    """Write that a style, a shot or a catalogue refers to pictures, which the caller holds (`hold_pictures`)."""
    user = {"style_id": style_id, "shot_id": shot_id, "catalogue_id": catalogue_id}
    rows = [{"picture_id": picture_id, **user} for picture_id in sorted(set(picture_ids))]
    if rows:
        connection.execute(insert(picture_use), rows)


def forget_uses(connection: Connection, style_id: str) -> None:
    """Forget the references of a style, before it gets others."""
    connection.execute(delete(picture_use).where(picture_use.c.style_id == style_id))


def used_as_reference(picture_id: Column[str]) -> ColumnElement[bool]:
    """Whether a style, a live shot or an open catalogue refers to the picture of a row, whose id the column has."""
    this = picture_use.c.picture_id == picture_id
    user, work = shot.alias(), catalogue.alias()  # the statement around may be about shots or catalogues itself
    return or_(
        exists().where(this, picture_use.c.style_id.is_not(None)),
        exists().where(this, picture_use.c.shot_id == user.c.id, user.c.status.in_(LIVE)),
        exists().where(this, picture_use.c.catalogue_id == work.c.id, work.c.state.in_(_OPEN)),
    )


def refuse_used(connection: Connection, photo_id: str) -> None:
    """Raise Conflict `in_use` when a photo, which the caller has locked, is a reference that is still needed."""
    user = user_of(connection, photo_id)
    if user is not None:
        rule = f"photo {photo_id} must not be a reference that is still needed, but {user} refers to it"
        raise Conflict("in_use", f"{rule}; change or delete that style, or wait for the shot or catalogue to end")


def user_of(connection: Connection, picture_id: str) -> str | None:
    """The style, live shot or open catalogue that refers to a picture or uses an adapter, or None."""
    this = picture_use.c.picture_id == picture_id
    users: tuple[Any, ...] = (
        select(picture_use.c.style_id).where(this, picture_use.c.style_id.is_not(None)),
        select(shot.c.id).join(picture_use, picture_use.c.shot_id == shot.c.id).where(this, shot.c.status.in_(LIVE)),
        select(catalogue.c.id)
        .join(picture_use, picture_use.c.catalogue_id == catalogue.c.id)
        .where(this, catalogue.c.state.in_(_OPEN)),
    )
    found = (connection.execute(one.limit(1)).scalar_one_or_none() for one in users)
    return next((one for one in found if one is not None), None)
