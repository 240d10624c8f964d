"""Catalogues as their producer sees them: claim one, open rows, accept shots, collect what ended, settle.

Every step is one transaction that a repeat does not change: after a crash, the next producer finds each row where it
was. A shot's link is inserted with the shot, so no shot of a catalogue is made twice. Locks are taken in the order
catalogue, tenant, masks, shots.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, exists, func, or_, select, update

from packshot.contract.status import RowState
from packshot.delivery.naming import collision_key
from packshot.errors import BadInput
from packshot.store.budgets import check_budgets
from packshot.store.catalogue_events import catalogue_ended, rows_ended
from packshot.store.catalogue_records import (
    CatalogueRecord,
    CatalogueRow,
    EndedShot,
    LiveShot,
    OpenFile,
    PauseReason,
    ShotOfRow,
)
from packshot.store.catalogue_rows import catalogue_record, row_records, with_counts
from packshot.store.catalogue_tables import catalogue, catalogue_file, catalogue_row, catalogue_shot
from packshot.store.database import Database, insert, storable
from packshot.store.notifications import CATALOGUES, notify
from packshot.store.schema import Now, shot
from packshot.store.shots import digest_of, insert_shot, lock_tenant

_WORKING = ("running", "paused")


class CatalogueWork:
    """The producers' view of all tenants' catalogues."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, worker: str, lease_s: float) -> list[CatalogueRecord]:
        """The catalogues that this producer works on now, oldest start first: its own, and those that nobody holds.

        A lease lasts `lease_s` seconds, and is renewed when half of it is over. Without a catalogue that has work,
        nothing is written.
        """
        c = catalogue.c
        free = or_(c.worker.is_(None), c.worker == worker, c.lease_until <= Now())
        unmade = select(catalogue_file.c.catalogue_id).where(catalogue_file.c.state == "waiting")
        work = or_(c.state.in_(_WORKING), c.id.in_(unmade))
        with self._database.read() as connection:
            now, *_ = connection.execute(select(Now())).one()
            rows = connection.execute(select(catalogue).where(work, free).order_by(c.started_at, c.id)).all()
        mine = {row.id: row for row in rows if row.worker == worker and row.lease_until > now + lease_s / 2}
        wanted = [row.id for row in rows if row.id not in mine]
        if wanted:
            taken = update(catalogue).where(c.id.in_(wanted), free)
            taken = taken.values(worker=worker, lease_until=Now() + lease_s).returning(*c)
            with self._database.write() as connection:
                mine |= {row.id: row for row in connection.execute(taken)}
        return [catalogue_record(mine[row.id]) for row in rows if row.id in mine]

    def release(self, worker: str) -> None:
        """Give all catalogues back, for a producer that stops."""
        change = update(catalogue).where(catalogue.c.worker == worker).values(worker=None, lease_until=None)
        with self._database.write() as connection:
            connection.execute(change)
            notify(connection, CATALOGUES)

    def open_rows(self, catalogue_id: str, window: int) -> int:
        """Open waiting rows, in order, while the tenant's window of live shots has room. Returns how many.

        The last one may have more shots than fit now. Nothing is opened unless the catalogue is running.
        """
        c = catalogue_row.c
        with self._database.write() as connection:
            own = _locked(connection, catalogue_id)
            if own is None or own.state != "running":
                return 0
            running = select(catalogue.c.id).where(
                catalogue.c.tenant_id == own.tenant_id, catalogue.c.state == "running"
            )
            left = select(func.coalesce(func.sum(c.shots_left), 0)).where(
                c.catalogue_id.in_(running), c.state == "running"
            )
            room = window - _live_count(connection, own.tenant_id) - int(connection.execute(left).scalar_one())
            if room <= 0:
                return 0
            first = select(c.place, c.shots_left).where(c.catalogue_id == catalogue_id, c.state == "waiting")
            places: list[int] = []
            for row in connection.execute(first.order_by(c.place).limit(room)):
                if room <= 0:
                    break
                places.append(row.place)
                room -= row.shots_left
            if places:
                opened = update(catalogue_row).where(c.catalogue_id == catalogue_id, c.place.in_(places))
                connection.execute(opened.values(state="running"))
            return len(places)

    def rows_to_cut(self, catalogue_id: str) -> list[CatalogueRow]:
        """The running rows that need masks before their shots can be accepted, in order."""
        return self._running_rows(catalogue_id, catalogue_row.c.masks.is_(None))

    def rows_to_shoot(self, catalogue_id: str) -> list[CatalogueRow]:
        """The running rows with masks and with shots that were not accepted yet, in order."""
        return self._running_rows(catalogue_id, catalogue_row.c.masks.is_not(None))

    def _running_rows(self, catalogue_id: str, condition: ColumnElement[bool]) -> list[CatalogueRow]:
        c = catalogue_row.c
        query = select(catalogue_row).where(c.catalogue_id == catalogue_id, c.state == "running", c.shots_left > 0)
        with self._database.read() as connection:
            rows = connection.execute(query.where(condition).order_by(c.place)).all()
            return row_records(connection, catalogue_id, rows)

    def set_masks(
        self, catalogue_id: str, place: int, masks: Sequence[str] | None, note: tuple[str, str] | None = None
    ) -> None:
        """Keep the masks of a running row, one for each of its photos; None lets it be cut again.

        `note` is (code, detail) of what a person should know about them. A row that is done keeps it.
        """
        kept, (code, detail) = None if masks is None else list(masks), note or (None, None)
        values = {"masks": kept, "code": code, "detail": None if detail is None else storable(detail)}
        with self._database.write() as connection:
            connection.execute(update(catalogue_row).where(_running(catalogue_id, place)).values(values))

    def accept(
        self, catalogue_id: str, place: int, attempt: int, shots: Sequence[ShotOfRow], window: int
    ) -> tuple[int, PauseReason | None]:
        """Accept the row's shots that are not accepted yet, as many as fit into the tenant's window.

        A shot and its link to the row are one transaction; a repeat accepts nothing twice. The budget is checked
        before each shot: when it would be exceeded, the catalogue is paused. While a budget of the tenant or the
        catalogue's key is used up, no shot is accepted. Returns how many were accepted, and why the catalogue was
        paused. Raises NotFound when a mask does not exist; then none is accepted.
        """
        with self._database.write() as connection:
            own = _locked(connection, catalogue_id)
            if own is None or own.state != "running":
                return 0, None
            lock_tenant(connection, own.tenant_id)
            row = connection.execute(select(catalogue_row).where(_running(catalogue_id, place))).first()
            if row is None or row.attempt != attempt:
                return 0, None
            links = catalogue_shot.c
            linked = (links.catalogue_id == catalogue_id) & (links.place == place)
            known = set(connection.execute(select(links.key).where(linked)).scalars())
            room = window - _live_count(connection, own.tenant_id)
            images, device_s, accepted = own.spent_images, own.spent_device_s, 0
            paused: PauseReason | None = None
            for new in shots:
                if new.key in known or accepted >= room:
                    continue
                if _exceeds(own, images + new.spec.paintings, device_s + new.device_s):
                    paused = "budget"
                    break
                asked = (new.spec.paintings, new.price_device_s)
                if check_budgets(connection, own.tenant_id, own.key_id, *asked) is not None:
                    break  # the row waits for the next day or month, or for a shot's end
                self._insert(connection, own, place, attempt, new)
                images, device_s, accepted = images + new.spec.paintings, device_s + new.device_s, accepted + 1
            if accepted:
                less = update(catalogue_row).where(_running(catalogue_id, place))
                connection.execute(less.values(shots_left=catalogue_row.c.shots_left - accepted))
            if accepted or paused:
                change = update(catalogue).where(catalogue.c.id == catalogue_id)
                connection.execute(change.values(spent_images=images, spent_device_s=device_s))
            if paused:
                connection.execute(
                    update(catalogue)
                    .where(catalogue.c.id == catalogue_id)
                    .values(state="paused", pause_reason=paused, version=catalogue.c.version + 1)
                )
            return accepted, paused

    def _insert(self, connection: Connection, own: Row[Any], place: int, attempt: int, new: ShotOfRow) -> None:
        shot_id = insert_shot(
            connection,
            own.tenant_id,
            new.spec,
            request_sha256=digest_of({**new.spec.to_json(), "sku": new.sku, "meta": new.meta}),
            idempotency_key=f"{own.id}/{new.key}/{attempt}",
            sku=new.sku,
            meta=new.meta,
            key_id=own.key_id,
            row_steps=new.row_steps,
            category=new.category,
            catalogue_id=own.id,
        )
        connection.execute(
            catalogue_shot.insert().values(
                catalogue_id=own.id,
                place=place,
                key=new.key,
                tenant_id=own.tenant_id,
                nth=new.nth,
                view=new.view,
                scene=new.scene,
                shot_id=shot_id,
                state="live",
            )
        )

    def live_shots(self, catalogue_id: str) -> list[LiveShot]:
        """The catalogue's shots whose end was not collected yet, with their present status."""
        links = catalogue_shot.c
        ended = shot.c.status, shot.c.error_code, shot.c.error_detail
        columns = links.place, links.key, links.nth, links.shot_id, *ended, catalogue_row.c.item
        query = select(*columns).outerjoin(shot, shot.c.id == links.shot_id)
        query = query.join(catalogue_row, _row_of(catalogue_shot))
        query = query.where(links.catalogue_id == catalogue_id, links.state == "live").order_by(links.place, links.nth)
        with self._database.read() as connection:
            return [LiveShot(*row) for row in connection.execute(query)]

    def shots_ended(self, catalogue_id: str, ended: Sequence[EndedShot]) -> None:
        """Keep how shots ended, with the pictures that were chosen, and add the files to make of these.

        Shots whose end was kept before are left as they are.
        """
        links = catalogue_shot.c
        with self._database.write() as connection:
            own = _locked(connection, catalogue_id)
            if own is None:
                return
            for one in ended:
                at = (links.catalogue_id == catalogue_id) & (links.place == one.place) & (links.key == one.key)
                change = update(catalogue_shot).where(at, links.state == "live")
                if one.image_id is None:
                    detail = None if one.detail is None else storable(one.detail)
                    connection.execute(change.values(state="failed", code=one.code, detail=detail))
                    continue
                if connection.execute(change.values(state="done", image_id=one.image_id)).rowcount == 0:
                    continue
                for entry, n, to in one.files:
                    new = insert(connection, catalogue_file).values(
                        catalogue_id=catalogue_id,
                        place=one.place,
                        entry=entry,
                        n=n,
                        tenant_id=own.tenant_id,
                        image_id=one.image_id,
                        state="waiting",
                        to=to,
                    )
                    connection.execute(new.on_conflict_do_nothing())

    def files_to_make(self, catalogue_id: str, most: int) -> list[OpenFile]:
        """The first `most` files of the catalogue that wait to be made."""
        c = catalogue_file.c
        query = select(c.place, c.entry, c.n, c.image_id, c.to, c.delivered_id, catalogue_row.c.item)
        query = (
            query.join(catalogue_row, _row_of(catalogue_file))
            .where(c.catalogue_id == catalogue_id, c.state == "waiting")
            .order_by(c.place, c.entry, c.n)
        )
        with self._database.read() as connection:
            return [OpenFile(*row) for row in connection.execute(query.limit(most))]

    def file_made(self, catalogue_id: str, file: OpenFile, delivered_id: str) -> None:
        """Keep that a file was made and written, under the name that was reserved."""
        self._file(catalogue_id, file, state="made", delivered_id=delivered_id)

    def reserve_name(self, catalogue_id: str, file: OpenFile, name: str) -> None:
        """Give a file its name before it is written. Raises BadInput `filename_invalid` when another one has it."""
        c, key = catalogue_file.c, collision_key(name)
        same = (c.catalogue_id == catalogue_id) & (c.name_key == key) & (func.coalesce(c.to, "") == (file.to or ""))
        others = same & ~_is_file(catalogue_id, file)
        with self._database.write() as connection:
            _locked(connection, catalogue_id)
            if connection.execute(select(c.place).where(others).limit(1)).first() is not None:
                rule = f"two files of one place may not have one name, got {name!r} twice"
                raise BadInput("filename_invalid", f"{rule}; add {{sku}}, {{scene}} or {{image_id}} to the template")
            connection.execute(
                update(catalogue_file).where(_is_file(catalogue_id, file)).values(name=name, name_key=key)
            )

    def file_failed(self, catalogue_id: str, file: OpenFile, code: str, detail: str) -> None:
        """Keep why a file cannot be made. Its row will fail."""
        self._file(catalogue_id, file, state="failed", code=code, detail=storable(detail), name=None, name_key=None)

    def file_held(self, catalogue_id: str, file: OpenFile) -> None:
        """Keep that a file waits for a person's approval of its picture. Its row ends without it."""
        self._file(catalogue_id, file, state="held")

    def _file(self, catalogue_id: str, file: OpenFile, **values: object) -> None:
        waits = _is_file(catalogue_id, file) & (catalogue_file.c.state == "waiting")
        with self._database.write() as connection:
            connection.execute(update(catalogue_file).where(waits).values(**values))

    def end_row(self, catalogue_id: str, place: int, state: RowState, code: str, detail: str) -> None:
        """End a running row that cannot be shot, as failed or skipped. A row that has ended is left as it is."""
        with self._database.write() as connection:
            own = _locked(connection, catalogue_id)
            if own is not None and _end_row(connection, catalogue_id, place, state, (code, detail)):
                rows_ended(connection, own.tenant_id, catalogue_id, [place])

    def settle(self, catalogue_id: str) -> bool:
        """End the rows whose shots and files have all ended. Returns whether the catalogue can end now."""
        c, links, files = catalogue_row.c, catalogue_shot.c, catalogue_file.c
        live = exists().where(_row_of(catalogue_shot), links.state == "live")
        unmade = exists().where(_row_of(catalogue_file), files.state == "waiting")
        over = select(c.place).where(c.catalogue_id == catalogue_id, c.state == "running", c.shots_left == 0)
        over = over.where(~live, ~unmade).order_by(c.place)
        with self._database.read() as connection:
            if not connection.execute(over.limit(1)).all():
                return self._can_end(connection, catalogue_id)
        with self._database.write() as connection:
            own = _locked(connection, catalogue_id)
            if own is None:
                return False
            places = connection.execute(over).scalars().all()
            for place in places:
                why = _first_failure(connection, catalogue_id, place)
                _end_row(connection, catalogue_id, place, "done" if why is None else "failed", why)
            if places:
                rows_ended(connection, own.tenant_id, catalogue_id, places)
            return self._can_end(connection, catalogue_id)

    def _can_end(self, connection: Connection, catalogue_id: str) -> bool:
        c = catalogue_row.c
        going = select(c.place).where(c.catalogue_id == catalogue_id, c.state.in_(("waiting", "running"))).limit(1)
        state = connection.execute(select(catalogue.c.state).where(catalogue.c.id == catalogue_id)).scalar()
        return state in _WORKING and not connection.execute(going).all()

    def end(self, catalogue_id: str) -> None:
        """End a catalogue as done, unless a row waits or runs by now."""
        with self._database.write() as connection:
            if _locked(connection, catalogue_id) is None or not self._can_end(connection, catalogue_id):
                return
            ended = update(catalogue).where(catalogue.c.id == catalogue_id)
            values = {"state": "done", "ended_at": Now(), "version": catalogue.c.version + 1, "pause_reason": None}
            row = connection.execute(ended.values(values).returning(*catalogue.c)).one()
            catalogue_ended(connection, with_counts(connection, [row])[0])


def _row_of(table: Table) -> ColumnElement[bool]:
    return and_(catalogue_row.c.catalogue_id == table.c.catalogue_id, catalogue_row.c.place == table.c.place)


def _locked(connection: Connection, catalogue_id: str) -> Row[Any] | None:
    return connection.execute(select(catalogue).where(catalogue.c.id == catalogue_id).with_for_update()).first()


def _live_count(connection: Connection, tenant_id: str) -> int:
    live = (catalogue_shot.c.tenant_id == tenant_id) & (catalogue_shot.c.state == "live")
    return int(connection.execute(select(func.count()).select_from(catalogue_shot).where(live)).scalar_one())


def _running(catalogue_id: str, place: int) -> ColumnElement[bool]:
    c = catalogue_row.c
    return (c.catalogue_id == catalogue_id) & (c.place == place) & (c.state == "running")


def _is_file(catalogue_id: str, file: OpenFile) -> ColumnElement[bool]:
    c = catalogue_file.c
    at = (c.catalogue_id == catalogue_id) & (c.place == file.place) & (c.entry == file.entry) & (c.n == file.n)
    return at & (c.image_id == file.image_id)


def _exceeds(own: Row[Any], images: int, device_s: float) -> bool:
    return (own.allowed_images is not None and images > own.allowed_images) or (
        own.allowed_device_s is not None and device_s > own.allowed_device_s
    )


def _first_failure(connection: Connection, catalogue_id: str, place: int) -> tuple[str, str] | None:
    """(code, detail) of the row's first shot, or else file, that failed."""
    for table, order in ((catalogue_shot, "nth"), (catalogue_file, "entry")):
        c = table.c
        failed = (c.catalogue_id == catalogue_id) & (c.place == place) & c.state.in_(("failed", "cancelled"))
        row = connection.execute(select(c.code, c.detail).where(failed).order_by(order).limit(1)).first()
        if row is not None:
            return row.code or "internal", row.detail or ""
    return None


def _end_row(
    connection: Connection, catalogue_id: str, place: int, state: RowState, why: tuple[str, str] | None
) -> bool:
    """End a running row. Returns False when it does not run. Without `why` the row keeps its note."""
    values: dict[str, object] = {"state": state, "ended_at": Now()}
    if why is not None:
        values |= {"code": why[0], "detail": storable(why[1])}
    return connection.execute(update(catalogue_row).where(_running(catalogue_id, place)).values(values)).rowcount > 0
