"""Which stored picture or delivered file is this? By the hash of its bytes, by its id, or by its fingerprint.

Nothing here asks for a tenant: whoever holds a file may learn that it was made here. Callers show ids to the owner
only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, exists, literal, select

from packshot.imaging.fingerprint import Fingerprint
from packshot.store.database import Database, insert
from packshot.store.named import IDS_AT_ONCE
from packshot.store.schema import image
from packshot.store.schema_files import delivered_file
from packshot.store.schema_fingerprints import fingerprint

__all__ = ["Fingerprints", "KnownFile", "Sketched", "insert_fingerprint"]


@dataclass(frozen=True)
class KnownFile:
    """A file that was made here. `file_id` is the id of the picture `image_id`, or of a file delivered of it.

    `width` and `height` are in pixels.
    """

    file_id: str
    tenant: str
    image_id: str
    shot_id: str
    asset_key: str
    media_type: str
    width: int
    height: int


class Sketched(NamedTuple):
    """A file and the sketch of its fingerprint."""

    seq: int
    file_id: str
    sketch: bytes


_IMAGE = (
    image.c.id,
    image.c.tenant_id,
    image.c.id,
    image.c.shot_id,
    image.c.asset_key,
    literal("image/png"),
    image.c.width,
    image.c.height,
)
_DELIVERED = (
    delivered_file.c.id,
    delivered_file.c.tenant_id,
    image.c.id,
    image.c.shot_id,
    delivered_file.c.asset_key,
    delivered_file.c.media_type,
    delivered_file.c.width,
    delivered_file.c.height,
)


class Fingerprints:
    """The fingerprints of stored pictures and delivered files, of all tenants."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def exact(self, sha256: str) -> list[KnownFile]:
        """The files with these bytes. `sha256` is hexadecimal; a stored picture's name holds its own."""
        pictures = image.c.asset_key == f"{sha256[:2]}/{sha256}.png"
        with self._database.read() as connection:
            return _known(connection, pictures, delivered_file.c.sha256 == sha256)

    def known(self, file_ids: Sequence[str]) -> list[KnownFile]:
        """The files with these ids, of pictures or of deliveries. Those that do not exist are left out."""
        found: list[KnownFile] = []
        with self._database.read() as connection:
            for start in range(0, len(file_ids), IDS_AT_ONCE):
                some = file_ids[start : start + IDS_AT_ONCE]
                found += _known(connection, image.c.id.in_(some), delivered_file.c.id.in_(some))
        return found

    def missing(self, most: int) -> list[KnownFile]:
        """At most `most` files for which no fingerprint was looked for yet, by this version: see `fingerprint`."""
        known = fingerprint.c.hashes.is_not(None)
        has = [exists().where(fingerprint.c.file_id == table.c.id, known) for table in (image, delivered_file)]
        with self._database.read() as connection:
            return _known(connection, ~has[0], ~has[1], most=most)[:most]

    def add(self, file: KnownFile, found: Fingerprint | None) -> None:
        """Store a file's fingerprint; None is that of a plain picture. It does nothing when the file was deleted."""
        with self._database.write() as connection:
            locked = select(image.c.id).where(image.c.id == file.image_id).with_for_update(read=True, key_share=True)
            if connection.execute(locked).first() is not None:
                of_before = (fingerprint.c.file_id == file.file_id) & fingerprint.c.hashes.is_(None)
                connection.execute(delete(fingerprint).where(of_before))  # the new row is read after all others
                insert_fingerprint(connection, file.tenant, file.image_id, file.file_id, found)

    def hashes_after(self, seq: int, most: int) -> list[tuple[int, bytes]]:
        """(seq, hashes) of at most `most` fingerprints after `seq`, in their order. Plain pictures have empty ones."""
        columns = fingerprint.c
        wanted = select(columns.seq, columns.hashes).where(columns.seq > seq, columns.hashes.is_not(None))
        with self._database.read() as connection:
            rows = connection.execute(wanted.order_by(columns.seq).limit(most)).all()
        return [(row.seq, bytes(row.hashes)) for row in rows]

    def sketches(self, seqs: Sequence[int]) -> list[Sketched]:
        """The sketches of fingerprints. Those that were deleted are left out."""
        columns = fingerprint.c
        wanted = select(columns.seq, columns.file_id, columns.sketch).where(columns.seq.in_(seqs))
        with self._database.read() as connection:
            rows = connection.execute(wanted.where(columns.sketch.is_not(None))).all()
        return [Sketched(row.seq, row.file_id, bytes(row.sketch)) for row in rows]


def insert_fingerprint(
    connection: Connection, tenant_id: str, image_id: str, file_id: str, found: Fingerprint | None
) -> None:
    """Write a file's fingerprint, if it has none yet. The caller's transaction holds the picture."""
    values = {
        "tenant_id": tenant_id,
        "image_id": image_id,
        "file_id": file_id,
        "hashes": b"" if found is None else found.hashes,
        "sketch": found and found.sketch,
    }
    connection.execute(insert(connection, fingerprint).values(**values).on_conflict_do_nothing())


def _known(connection: Connection, pictures: Any, deliveries: Any, most: int | None = None) -> list[KnownFile]:
    """The pictures and the delivered files that meet a condition each."""
    made = select(*_IMAGE).where(pictures).limit(most)
    sent = select(*_DELIVERED).join(image, delivered_file.c.image_id == image.c.id).where(deliveries).limit(most)
    rows: list[Any] = [*connection.execute(made), *connection.execute(sent)]
    return [KnownFile(*row) for row in rows]
