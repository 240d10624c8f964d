"""Finished pictures as clients see them. `Queue.commit` writes them together with the end of their shot."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select, update

from packshot.contract.status import Review
from packshot.contract.verdict import Verdict
from packshot.errors import BadInput
from packshot.store.database import Database, absent, require_id
from packshot.store.records import ImageRecord, MeasuredImage
from packshot.store.schema import image
from packshot.store.shot_rows import image_record


class Images:
    """The images of shots. An image of another tenant raises NotFound."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, tenant_id: str, image_id: str) -> ImageRecord:
        """Return the image. Raises NotFound when it does not exist."""
        require_id(image_id, "image")
        with self._database.read() as connection:
            row = connection.execute(
                select(image).where(image.c.id == image_id, image.c.tenant_id == tenant_id)
            ).first()
        if row is None:
            raise absent("image", image_id)
        return image_record(row)

    def measured(self, tenant_id: str, image_ids: Sequence[str]) -> dict[str, MeasuredImage]:
        """The measures of images, by id. Images that do not exist, or of another tenant, are missing."""
        wanted = select(image.c.id, image.c.asset_key, image.c.verdict)
        wanted = wanted.where(image.c.id.in_(image_ids), image.c.tenant_id == tenant_id)
        with self._database.read() as connection:
            rows = connection.execute(wanted).all()
        return {row.id: MeasuredImage(row.asset_key, Verdict.from_json(row.verdict).measures) for row in rows}

    def review(self, tenant_id: str, image_id: str, review: Review | None, note: str | None = None) -> ImageRecord:
        """Store a person's review of an image and return the image.

        A `review` of None withdraws an earlier review. A `note` of None keeps the stored note; "" deletes it. Raises
        NotFound when the image does not exist and BadInput when the review or the note is not valid.
        """
        require_id(image_id, "image")
        if review not in ("approved", "rejected", None):
            rule = f"review must be approved, rejected or null, got {review!r}; use one of these"
            raise BadInput("invalid_request", rule)
        mine = (image.c.id == image_id) & (image.c.tenant_id == tenant_id)
        change = update(image).where(mine).values(review=review)
        if note is not None:
            change = change.values(note=_storable(note) or None)
        with self._database.write() as connection:
            row = connection.execute(change.returning(*image.c)).first()
        if row is None:
            raise absent("image", image_id)
        return image_record(row)


def _storable(text: str) -> str:
    """Return `text`. Raises BadInput when it has characters that a database cannot store."""
    for index, character in enumerate(text):
        if character == "\x00" or "\ud800" <= character <= "\udfff":
            rule = "note must have no NUL character and no lone surrogate"
            raise BadInput("invalid_request", f"{rule}, got U+{ord(character):04X} at index {index}; remove it")
    return text
