"""Catalogues as clients see them: create, read, give photos, start, pause, resume, cancel, retry.

    draft ──start──> running <──resume── paused          a repeat of a change answers with the same state
                        │ └────pause──────┘ │
                        ├──> done           │            the producer ends it (catalogue_work.py)
                        └──cancel──> cancelled <──┘

Rows wait here, not in the queue: a catalogue of 50,000 rows is 50,000 small rows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

from sqlalchemy import Connection, Row, Update, case, delete, func, select, update

from packshot.contract.audit import AuditAction
from packshot.contract.catalogue import Budget, Manifest
from packshot.contract.status import LIVE, CatalogueState, RowState
from packshot.errors import BadInput, Conflict, PreconditionFailed
from packshot.store.audit_rows import record
from packshot.store.catalogue_events import catalogue_ended
from packshot.store.catalogue_photos import clean_path, is_missing
from packshot.store.catalogue_records import CatalogueRecord, CatalogueRow, NewRow
from packshot.store.catalogue_rows import row_records, with_counts
from packshot.store.catalogue_tables import (
    catalogue,
    catalogue_file,
    catalogue_photo,
    catalogue_row,
    catalogue_shot,
)
from packshot.store.database import Database, new_id, storable
from packshot.store.ended import note_end
from packshot.store.load_records import Load
from packshot.store.named import own_row
from packshot.store.notifications import CATALOGUES, CHANGED, notify
from packshot.store.pages import page_of
from packshot.store.picture_uses import hold_pictures, use_pictures
from packshot.store.queue_load import unopened_of
from packshot.store.schema import Now, shot

MAX_ROWS_OF_PAGE = 1000
CANCELLED = "the catalogue was cancelled before this row ended"

Change = Literal["start", "pause", "resume", "cancel"]

_CHANGES: dict[Change, tuple[tuple[CatalogueState, ...], CatalogueState]] = {
    "start": (("draft",), "running"),
    "pause": (("running",), "paused"),
    "resume": (("paused",), "running"),
    "cancel": (("draft", "running", "paused"), "cancelled"),
}
"""The states from which a client's request leads to which other state."""

_RECORDED: dict[Change, AuditAction] = {
    "start": "catalogue.started",
    "pause": "catalogue.paused",
    "resume": "catalogue.resumed",
    "cancel": "catalogue.cancelled",
}


class Catalogues:
    """A tenant's catalogues. A catalogue of another tenant raises NotFound.

    Changes of the state take a `version`: that of the record which the caller has seen, or None for any. They raise
    PreconditionFailed when the catalogue has another version by now, and Conflict `catalogue_state` when its state does
    not allow the change. A change to the state that it has is none.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        tenant_id: str,
        manifest: Manifest,
        rows: Sequence[NewRow],
        *,
        key_id: str | None = None,
        used: Sequence[str] = (),
    ) -> CatalogueRecord:
        """Store a catalogue as a draft, with all its rows: those of `packshot.catalogue.rows.new_rows`.

        `key_id` is the key with which it was sent. `used` are the ids of the pictures and adapters that its shots use
        (`packshot.catalogue.looks.pictures_of`). Raises NotFound when one of them does not exist.
        """
        catalogue_id, budget = new_id("ct"), manifest.budget
        sizes = [item.size_mm for item in manifest.items if item.size_mm]
        stated = [side for size in sizes for side in (size.height, size.width) if side is not None]
        new = catalogue.insert().values(
            id=catalogue_id,
            tenant_id=tenant_id,
            key_id=key_id,
            name=manifest.name,
            state="draft",
            version=1,
            frame=manifest.model_dump_json(exclude={"items"}),
            engine=manifest.defaults.engine,
            largest_mm=max(stated, default=None),
            allowed_images=budget.images,
            allowed_device_s=budget.device_s,
            spent_images=0,
            spent_device_s=0.0,
            created_at=Now(),
        )
        own = {"catalogue_id": catalogue_id, "tenant_id": tenant_id}
        with self._database.write() as connection:
            hold_pictures(connection, tenant_id, used)
            connection.execute(new)
            use_pictures(connection, used, catalogue_id=catalogue_id)
            values = [_row_values(place, row) | own for place, row in enumerate(rows)]
            connection.execute(catalogue_row.insert(), values)
            paths = {("photo", clean_path(path)): None for row in rows for path in row.photos}
            paths |= {("mask", clean_path(path)): None for row in rows for path in row.masks}
            if paths:
                connection.execute(
                    catalogue_photo.insert(), [own | {"kind": kind, "path": path} for kind, path in paths]
                )
            if any(row.code for row in rows):
                connection.execute(_skipped_at_once(catalogue_id))
            record(connection, tenant_id, "catalogue.created", catalogue_id, details={"rows": len(rows)})
            return with_counts(connection, [own_row(connection, catalogue, tenant_id, catalogue_id)])[0]

    def get(self, tenant_id: str, catalogue_id: str) -> CatalogueRecord:
        """Return the catalogue with its counts. Raises NotFound when it does not exist."""
        with self._database.read() as connection:
            return with_counts(connection, [own_row(connection, catalogue, tenant_id, catalogue_id)])[0]

    def page(
        self, tenant_id: str, *, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[CatalogueRecord], str | None]:
        """Return a page of catalogues, newest first, and the cursor of the next page, or None on the last page.

        Raises BadInput when the cursor is unknown.
        """
        with self._database.read() as connection:
            rows, next_cursor = page_of(connection, catalogue, tenant_id, cursor, limit)
            return with_counts(connection, rows), next_cursor

    def rows(
        self,
        tenant_id: str,
        catalogue_id: str,
        *,
        state: RowState | None = None,
        cursor: str | None = None,
        limit: int = 200,
    ) -> tuple[list[CatalogueRow], str | None]:
        """Return a page of rows in the manifest's order, and the cursor of the next page, or None on the last page.

        `state` selects rows. `limit` is clamped to 1..`MAX_ROWS_OF_PAGE`. Raises NotFound when there is no such
        catalogue, and BadInput when the cursor is none.
        """
        limit = min(max(limit, 1), MAX_ROWS_OF_PAGE)
        query = select(catalogue_row).where(catalogue_row.c.catalogue_id == catalogue_id)
        if state is not None:
            query = query.where(catalogue_row.c.state == state)
        if cursor is not None:
            if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 9):
                rule = f"cursor must be a previous page's next_cursor, got {cursor[:80]!r}; start without one"
                raise BadInput("invalid_request", rule)
            query = query.where(catalogue_row.c.place > int(cursor))
        with self._database.read() as connection:
            own_row(connection, catalogue, tenant_id, catalogue_id)
            found = connection.execute(query.order_by(catalogue_row.c.place).limit(limit + 1)).all()
            page = row_records(connection, catalogue_id, found[:limit])
        return page, str(page[-1].place) if len(found) > limit else None

    def row_of_image(self, tenant_id: str, image_id: str) -> tuple[str, int] | None:
        """The catalogue and the row's place to which a chosen picture belongs, or None."""
        mine = (catalogue_shot.c.image_id == image_id) & (catalogue_shot.c.tenant_id == tenant_id)
        with self._database.read() as connection:
            row = connection.execute(select(catalogue_shot.c.catalogue_id, catalogue_shot.c.place).where(mine)).first()
        return None if row is None else (row.catalogue_id, row.place)

    def start(self, tenant_id: str, catalogue_id: str, *, version: int | None = None) -> CatalogueRecord:
        """Let the producer open rows of a draft. Raises Conflict `photos_missing` while a path has no photo."""
        return self._change(tenant_id, catalogue_id, "start", version)

    def pause(self, tenant_id: str, catalogue_id: str, *, version: int | None = None) -> CatalogueRecord:
        """Accept no further shots. Those that were accepted end, and their files are made."""
        return self._change(tenant_id, catalogue_id, "pause", version)

    def resume(self, tenant_id: str, catalogue_id: str, *, version: int | None = None) -> CatalogueRecord:
        """Go on. A catalogue that its budget paused may spend the budget once more."""
        return self._change(tenant_id, catalogue_id, "resume", version)

    def cancel(self, tenant_id: str, catalogue_id: str, *, version: int | None = None) -> CatalogueRecord:
        """End the catalogue. Its live shots are cancelled and rows that have not ended are skipped. Files stay."""
        return self._change(tenant_id, catalogue_id, "cancel", version)

    def retry(
        self,
        tenant_id: str,
        catalogue_id: str,
        *,
        only: Literal["failed", "skipped"] = "failed",
        version: int | None = None,
    ) -> CatalogueRecord:
        """Open the failed or skipped rows again. What was made of them stays. A catalogue that is done runs again.

        A row that could not be read stays skipped.
        """
        with self._database.write() as connection:
            row = self._locked(connection, tenant_id, catalogue_id, version)
            if row.state not in ("running", "paused", "done"):
                raise _refused("retry", row)
            if self._reopen(connection, catalogue_id, only):
                state = "running" if row.state == "done" else row.state
                row = _moved(connection, catalogue_id, state=state, ended_at=None)
                record(connection, tenant_id, "catalogue.retried", catalogue_id, details={"only": only})
            return with_counts(connection, [row])[0]

    def _reopen(self, connection: Connection, catalogue_id: str, only: str) -> int:
        c, shots, files = catalogue_row.c, catalogue_shot.c, catalogue_file.c
        chosen = (c.catalogue_id == catalogue_id) & (c.state == only) & c.item.is_not(None)
        places = select(c.place).where(chosen).scalar_subquery()
        lost = (shots.catalogue_id == catalogue_id) & shots.place.in_(places) & shots.state.in_(("failed", "cancelled"))
        again = select(func.count()).select_from(catalogue_shot).where(lost, shots.place == c.place)
        change = update(catalogue_row).where(chosen).values(shots_left=c.shots_left + again.scalar_subquery())
        connection.execute(change)
        connection.execute(delete(catalogue_shot).where(lost))
        unmade = (files.catalogue_id == catalogue_id) & files.place.in_(places) & (files.state == "failed")
        again_files = update(catalogue_file).where(unmade)
        connection.execute(again_files.values(state="waiting", code=None, detail=None, name=None, name_key=None))
        reopened = update(catalogue_row).where(chosen)
        reopened = reopened.values(
            state="waiting", attempt=c.attempt + 1, code=None, detail=None, masks=None, ended_at=None
        )
        return connection.execute(reopened).rowcount

    def _change(self, tenant_id: str, catalogue_id: str, change: Change, version: int | None) -> CatalogueRecord:
        before, target = _CHANGES[change]
        with self._database.write() as connection:
            row = self._locked(connection, tenant_id, catalogue_id, version)
            if row.state == target:
                return with_counts(connection, [row])[0]
            if row.state not in before:
                raise _refused(change, row)
            values: dict[str, object] = {"pause_reason": "person" if target == "paused" else None}
            if change == "start":
                self._refuse_missing(connection, catalogue_id)
                values["started_at"] = func.coalesce(catalogue.c.started_at, Now())
            elif change == "resume" and row.pause_reason == "budget":
                values |= _once_more(row)
            elif change == "cancel":
                values["ended_at"] = Now()
                _cancel_rows(connection, catalogue_id)
            moved = with_counts(connection, [_moved(connection, catalogue_id, state=target, **values)])[0]
            catalogue_ended(connection, moved)
            record(connection, tenant_id, _RECORDED[change], catalogue_id)
            return moved

    def _locked(self, connection: Connection, tenant_id: str, catalogue_id: str, version: int | None) -> Row[Any]:
        row = own_row(connection, catalogue, tenant_id, catalogue_id, lock=True)
        if version is not None and row.version != version:
            rule = f"the catalogue must be of version {version}, as If-Match says, but it is {row.state} now"
            detail = f"{rule}, version {row.version}; read it again and decide anew"
            raise PreconditionFailed("version_changed", detail, state=row.state, etag=f'"{row.version}"')
        return row

    def _refuse_missing(self, connection: Connection, catalogue_id: str) -> None:
        query = select(catalogue_photo.c.path).where(is_missing(catalogue_id)).order_by(catalogue_photo.c.path)
        first = connection.execute(query.limit(1)).scalar()
        if first is not None:
            counted = select(func.count()).select_from(catalogue_photo).where(is_missing(catalogue_id))
            count = connection.execute(counted).scalar_one()
            rule = f"every path must have its photo before the start, {count} have none, such as {first[:80]!r}"
            raise Conflict("photos_missing", f"{rule}; PUT them to the catalogue's photos, or drop their rows")

    def unopened_work(self) -> dict[str, Load]:
        """The work of rows that wait in running catalogues, by tenant: what the queue does not hold yet."""
        found: dict[str, Load] = {}
        with self._database.read() as connection:
            for (tenant_id, _), work in unopened_of(connection).items():
                found[tenant_id] = found.get(tenant_id, Load()) + work
        return found


def _row_values(place: int, row: NewRow) -> dict[str, object]:
    return {
        "place": place,
        "row": row.row,
        "sku": row.sku,
        "item": row.item,
        "state": "waiting" if row.code is None else "skipped",
        "code": row.code,
        "detail": None if row.detail is None else storable(row.detail),
        "attempt": 1,
        "shots_left": row.shots,
        "pictures": row.pictures,
        "row_steps": row.row_steps,
        "device_s": row.device_s,
    }


def _skipped_at_once(catalogue_id: str) -> Update:
    mine = (catalogue_row.c.catalogue_id == catalogue_id) & (catalogue_row.c.state == "skipped")
    return update(catalogue_row).where(mine).values(ended_at=Now())


def _moved(connection: Connection, catalogue_id: str, **values: object) -> Row[Any]:
    """Change the catalogue, raise its version, and wake the producer."""
    change = update(catalogue).where(catalogue.c.id == catalogue_id)
    changed = change.values(version=catalogue.c.version + 1, **values).returning(*catalogue.c)
    notify(connection, CATALOGUES)
    return connection.execute(changed).one()


def _once_more(row: Row[Any]) -> dict[str, object]:
    """Limits that let a catalogue spend its budget once more. The budget is the manifest's."""
    budget = Budget.model_validate(json.loads(row.frame)["budget"])
    return {
        "allowed_images": None if budget.images is None else row.spent_images + budget.images,
        "allowed_device_s": None if budget.device_s is None else row.spent_device_s + budget.device_s,
    }


def _refused(change: str, row: Row[Any]) -> Conflict:
    return Conflict("catalogue_state", f"a catalogue that is {row.state} has no {change}; {row.id} is {row.state}")


def _cancel_rows(connection: Connection, catalogue_id: str) -> None:
    """Skip the rows that have not ended, and cancel their shots."""
    rows, shots, files = catalogue_row.c, catalogue_shot.c, catalogue_file.c
    live = (shots.catalogue_id == catalogue_id) & (shots.state == "live")
    ids = select(shots.shot_id).where(live)
    waiting = shot.c.status == "queued"
    cancelled = update(shot).where(shot.c.id.in_(ids), shot.c.status.in_(LIVE))
    cancelled = cancelled.values(
        status=case((waiting, "cancelled"), else_=shot.c.status),
        finished_at=case((waiting, Now()), else_=None),
        cancel_requested=True,
        version=shot.c.version + 1,
    )
    ended = connection.execute(cancelled.returning(*shot.c)).all()
    notify(connection, CHANGED)
    connection.execute(update(catalogue_shot).where(live).values(state="cancelled"))
    unmade = (files.catalogue_id == catalogue_id) & files.state.in_(("waiting", "held"))
    connection.execute(update(catalogue_file).where(unmade).values(state="failed", code="cancelled", detail=CANCELLED))
    open_rows = (rows.catalogue_id == catalogue_id) & rows.state.in_(("waiting", "running"))
    skipped = update(catalogue_row).where(open_rows)
    connection.execute(skipped.values(state="skipped", code="cancelled", detail=CANCELLED, ended_at=Now()))
    for row in ended:
        note_end(connection, row)
