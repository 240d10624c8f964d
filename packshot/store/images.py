"""Finished pictures as clients see them. `Queue.commit` writes them together with the end of their shot."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from packshot.contract.proof import TEXT_CHECK
from packshot.contract.verdict import Verdict
from packshot.store.audit_rows import record
from packshot.store.database import Database, absent, require_id
from packshot.store.fingerprints import insert_fingerprint
from packshot.store.records import ImageRecord, MeasuredImage, NewImage
from packshot.store.references import WrittenFile
from packshot.store.schema import Now, image
from packshot.store.shot_rows import image_record
from packshot.store.versions import family, restore

IMAGE_FILES = (image.c.asset_key, image.c.gain_key)
"""The columns that refer to a picture's files."""


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

    def versions(self, tenant_id: str, image_id: str) -> list[ImageRecord]:
        """Return all versions of the image, in the order in which they were made. Raises NotFound."""
        self.get(tenant_id, image_id)
        with self._database.read() as connection:
            return [image_record(row) for row in family(connection, image_id)]

    def restore(self, tenant_id: str, image_id: str, *, by: str) -> ImageRecord:
        """Make the image the newest version again. `by` says who asked for it. Raises NotFound."""
        with self._database.write() as connection:
            row = restore(connection, tenant_id, image_id, by)
            record(connection, tenant_id, "image.restored", image_id)
            return image_record(row)

    def measured(self, tenant_id: str, image_ids: Sequence[str]) -> dict[str, MeasuredImage]:
        """The files and verdicts of images, by id. Images that do not exist, or of another tenant, are missing."""
        wanted = select(image.c.id, image.c.asset_key, image.c.verdict)
        wanted = wanted.where(image.c.id.in_(image_ids), image.c.tenant_id == tenant_id)
        with self._database.read() as connection:
            rows = connection.execute(wanted).all()
        return {row.id: MeasuredImage(row.asset_key, Verdict.from_json(row.verdict)) for row in rows}


def insert_image(
    connection: Connection,
    tenant_id: str,
    shot_id: str,
    image_id: str,
    new: NewImage,
    file: WrittenFile,
    gain: WrittenFile | None,
) -> None:
    """Insert a picture that a row of the queue made. The caller takes the references to its files."""
    statement = image.insert().values(
        id=image_id,
        tenant_id=tenant_id,
        shot_id=shot_id,
        index=new.index,
        seed=new.seed,
        width=new.width,
        height=new.height,
        asset_key=file.key,
        gain_key=gain.key if gain is not None else None,
        verdict=new.verdict.to_json(),
        text_state=new.verdict.level_of(TEXT_CHECK),
        recipe=new.recipe.to_json(),
        created_at=Now(),
    )
    connection.execute(statement)
    if new.fingerprint is not None:
        insert_fingerprint(connection, tenant_id, image_id, image_id, new.fingerprint)
