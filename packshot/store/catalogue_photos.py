"""The photos and masks that a catalogue's rows name by a path, and what each path stands for."""

from __future__ import annotations

import posixpath
import unicodedata

from sqlalchemy import ColumnElement, select, update

from packshot.store.catalogue_records import MissingPhoto, PathPhoto, PhotoKind
from packshot.store.catalogue_tables import catalogue, catalogue_photo
from packshot.store.database import Database, absent, storable
from packshot.store.named import own_row
from packshot.store.notifications import CATALOGUES, notify
from packshot.store.references import AssetReferences
from packshot.store.schema import photo


class CataloguePhotos:
    """What the paths of catalogues' photos stand for. A catalogue of another tenant raises NotFound."""

    def __init__(self, database: Database, references: AssetReferences) -> None:
        self._database = database
        self._references = references

    def missing(self, tenant_id: str, catalogue_id: str) -> list[MissingPhoto]:
        """The photos and masks that rows name by a path, and that are not there, in the order of their paths."""
        columns = catalogue_photo.c
        query = select(columns.path, columns.kind).where(is_missing(catalogue_id)).order_by(columns.path, columns.kind)
        with self._database.read() as connection:
            own_row(connection, catalogue, tenant_id, catalogue_id)
            return [MissingPhoto(row.path, row.kind) for row in connection.execute(query)]

    def kinds(self, tenant_id: str, catalogue_id: str, path: str) -> frozenset[PhotoKind]:
        """Whether rows name the path as a photo, as a mask, or as both. Raises NotFound when none does."""
        mine = _at_path(catalogue_id, path)
        with self._database.read() as connection:
            own_row(connection, catalogue, tenant_id, catalogue_id)
            kinds = frozenset(connection.execute(select(catalogue_photo.c.kind).where(mine)).scalars())
        if not kinds:
            raise absent("path of a photo", path)
        return kinds

    def put(self, tenant_id: str, catalogue_id: str, path: str, photo_id: str) -> bool:
        """Say which photo a path stands for. Returns False when it did before.

        Raises NotFound when the photo does not exist or no row names the path.
        """
        mine = _at_path(catalogue_id, path, "photo")
        with self._database.write() as connection:
            own_row(connection, catalogue, tenant_id, catalogue_id, lock=True)
            own_row(connection, photo, tenant_id, photo_id)
            before = connection.execute(select(catalogue_photo.c.photo_id).where(mine)).first()
            if before is None:
                raise absent("path of a photo", path)
            if before.photo_id == photo_id:
                return False
            connection.execute(update(catalogue_photo).where(mine).values(photo_id=photo_id, code=None, detail=None))
            notify(connection, CATALOGUES)
        return True

    def put_mask_file(self, tenant_id: str, catalogue_id: str, path: str, png: bytes) -> bool:
        """Keep the file of a mask until its row is cut, when it is read. Returns False when it was kept before.

        Raises NotFound when no row names the path, and StorageFull.
        """
        [file] = self._references.write_files([png])
        mine = _at_path(catalogue_id, path, "mask")
        with self._database.write() as connection:
            own_row(connection, catalogue, tenant_id, catalogue_id, lock=True)
            row = connection.execute(select(catalogue_photo.c.asset_key).where(mine)).first()
            if row is None:
                raise absent("path of a mask", path)
            if row.asset_key == file.key:
                return False
            self._references.take(connection, [file])
            connection.execute(update(catalogue_photo).where(mine).values(asset_key=file.key, code=None, detail=None))
            replaced = [row.asset_key] if row.asset_key else []
            self._references.drop(connection, replaced)
            notify(connection, CATALOGUES)
        self._references.purge(replaced)
        return True

    def failed(self, tenant_id: str, catalogue_id: str, path: str, code: str, detail: str) -> None:
        """Say why a path's photo or mask cannot be read. The catalogue can start, and the path's rows will fail.

        A photo that is there already stays. Raises NotFound when no row names the path.
        """
        with self._database.write() as connection:
            own_row(connection, catalogue, tenant_id, catalogue_id, lock=True)
            mine = _at_path(catalogue_id, path)
            if connection.execute(select(catalogue_photo.c.kind).where(mine)).first() is None:
                raise absent("path of a photo", path)
            unread = _at_path(catalogue_id, path) & is_missing(catalogue_id)
            connection.execute(update(catalogue_photo).where(unread).values(code=code, detail=storable(detail)))

    def at(self, catalogue_id: str, path: str, kind: PhotoKind) -> PathPhoto | None:
        """What a path stands for, or None when no row names it."""
        c = catalogue_photo.c
        query = select(c.photo_id, c.asset_key, c.code, c.detail).where(_at_path(catalogue_id, path, kind))
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else PathPhoto(row.photo_id, row.asset_key, row.code, row.detail)


def clean_path(path: str) -> str:
    """The path in the form in which paths are compared: Unicode NFC, without `./` and doubled slashes."""
    return unicodedata.normalize("NFC", posixpath.normpath(path))


def is_missing(catalogue_id: str) -> ColumnElement[bool]:
    """The condition that a catalogue's path has neither a file nor a reason why it has none."""
    c = catalogue_photo.c
    return (c.catalogue_id == catalogue_id) & c.photo_id.is_(None) & c.asset_key.is_(None) & c.code.is_(None)


def _at_path(catalogue_id: str, path: str, kind: PhotoKind | None = None) -> ColumnElement[bool]:
    if "\x00" in path or any("\ud800" <= one <= "\udfff" for one in path):
        raise absent("path of a photo", path.encode("utf-8", "replace").decode())
    c = catalogue_photo.c
    at = (c.catalogue_id == catalogue_id) & (c.path == clean_path(path))
    return at if kind is None else at & (c.kind == kind)
