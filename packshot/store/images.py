"""Finished pictures as clients see them. The queue writes them, with the shot that they end."""

from __future__ import annotations

from sqlalchemy import select, update

from packshot.contract.status import Review
from packshot.errors import BadInput
from packshot.store.database import Database, absent, require_id
from packshot.store.records import ImageRecord
from packshot.store.schema import image
from packshot.store.shot_rows import image_record


class Images:
    """The images of shots. Another tenant's images do not exist (NotFound)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, tenant_id: str, image_id: str) -> ImageRecord:
        """The image. Raises NotFound."""
        require_id(image_id, "image")
        with self._database.read() as connection:
            row = connection.execute(
                select(image).where(image.c.id == image_id, image.c.tenant_id == tenant_id)
            ).first()
        if row is None:
            raise absent("image", image_id)
        return image_record(row)

    def review(self, tenant_id: str, image_id: str, review: Review | None, note: str | None = None) -> ImageRecord:
        """Keep a person's judgement. Raises NotFound, BadInput.

        `review`: None takes an earlier judgement back. `note`: None leaves the note as it is, "" removes it.
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
    """`text` if every database can hold it. Raises BadInput."""
    for place, character in enumerate(text):
        if character == "\x00" or "\ud800" <= character <= "\udfff":
            rule = "note must be text without NUL characters and lone surrogates"
            raise BadInput("invalid_request", f"{rule}, got U+{ord(character):04X} at {place}; remove it")
    return text
