"""Finished pictures as clients see them. `Queue.commit` writes them together with the end of their shot."""

from __future__ import annotations

from sqlalchemy import select

from packshot.store.database import Database, absent, require_id
from packshot.store.records import ImageRecord
from packshot.store.schema import image
from packshot.store.shot_rows import image_record


class Images:
    """The images of shots. An image of another tenant raises NotFound."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, tenant_id: str, image_id: str) -> ImageRecord:
        """Return the image. Raises NotFound when it does not exist."""
        return self._versions(tenant_id, image_id, newest=False)

    def newest(self, tenant_id: str, image_id: str) -> ImageRecord:
        """Return the newest version of the image: itself, unless a redo has superseded it. Raises NotFound."""
        return self._versions(tenant_id, image_id, newest=True)

    def _versions(self, tenant_id: str, image_id: str, *, newest: bool) -> ImageRecord:
        require_id(image_id, "image")
        found: ImageRecord | None = None
        following: str | None = image_id
        with self._database.read() as connection:
            while following is not None:
                own = select(image).where(image.c.id == following, image.c.tenant_id == tenant_id)
                row = connection.execute(own).first()
                if row is None:  # the newer version was deleted
                    break
                found = image_record(row)
                following = found.superseded_by if newest else None
        if found is None:
            raise absent("image", image_id)
        return found
