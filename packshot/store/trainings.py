"""Trainings as clients see them: accept, read, list, cancel, delete. training_work.py is the workers' view."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection, Row, delete, func, or_, select, update

from packshot.contract.status import LIVE
from packshot.errors import BadInput, BudgetSpent, Conflict, Overloaded
from packshot.store.audit_rows import Details, record
from packshot.store.budgets import spendings
from packshot.store.catalogue_tables import catalogue, catalogue_shot
from packshot.store.database import Database, absent, is_id, new_id
from packshot.store.named import IDS_AT_ONCE, own_row
from packshot.store.pages import page_of
from packshot.store.periods import DAY_S, day_of, month_of, next_month, start_of
from packshot.store.references import AssetReferences
from packshot.store.schema import Now, adapter, image, photo, project, shot
from packshot.store.schema_trainings import training, training_usage
from packshot.store.shots import digest_of, lock_tenant
from packshot.store.training_events import training_ended
from packshot.store.training_records import NewTraining, TrainingMark, TrainingRecord, training_record

__all__ = ["FILES", "Trainings", "seconds_left"]

MAX_LIVE = 8
"""Trainings of a tenant that may wait or run. One of them runs at a time."""
BUSY_RETRY_S = 60.0
FILES = ("sheet_key", "loss_key", "state_key")
"""The columns that name a training's files."""

Pictures = list[tuple[str, str]]
"""Pairs of a picture's id and its prompt."""


class Trainings:
    """A tenant's trainings. A training of another tenant raises NotFound.

    `budget_s` is how many seconds of a device a tenant's trainings may take in a month; 0 = no limit.
    """

    def __init__(self, database: Database, references: AssetReferences, *, budget_s: float) -> None:
        self._database = database
        self._references = references
        self._budget_s = budget_s

    def add(
        self,
        tenant_id: str,
        new: NewTraining,
        *,
        key_id: str | None = None,
        idempotency_key: str | None = None,
        sent: Mapping[str, object],
    ) -> tuple[TrainingRecord, bool]:
        """Accept a training. It is durable when this returns.

        `sent` is the request as the client sent it. Returns the training and True, or the earlier one and False when
        `idempotency_key` was used before. Raises BadInput `idempotency_mismatch`, Conflict `name_taken`, Overloaded
        `queue_full`, and BudgetSpent `budget_spent`.
        """
        digest = digest_of(sent)
        with self._database.write() as connection:
            lock_tenant(connection, tenant_id)
            if idempotency_key is not None:
                mine = (training.c.tenant_id == tenant_id) & (training.c.idempotency_key == idempotency_key)
                row = connection.execute(select(training).where(mine)).first()
                if row is not None:
                    return _repeated(row, digest), False
            self._refuse(connection, tenant_id, key_id, new.name)
            order = new.order
            values = {
                "id": new_id("tr"),
                "tenant_id": tenant_id,
                "name": new.name,
                "kind": order.kind,
                "engine": new.engine,
                "tag": order.tag,
                "status": "queued",
                "job": order.to_json(),
                "pictures": len(order.pictures),
                "steps": new.steps,
                "step": 0,
                "device_s": 0.0,
                "max_s": new.max_s,
                "key_id": key_id,
                "idempotency_key": idempotency_key,
                "request_sha256": digest,
                "epoch": 0,
                "attempt": 0,
                "due_at": 0.0,
                "cancel_requested": False,
                "partial": False,
                "created_at": Now(),
            }
            row = connection.execute(training.insert().values(**values).returning(*training.c)).one()
            details: Details = {
                "request_sha256": digest,
                "kind": order.kind,
                "engine": new.engine,
                "pictures": len(order.pictures),
            }
            record(connection, tenant_id, "training.asked", row.id, details=details)
            return training_record(row), True

    def repeated(self, tenant_id: str, idempotency_key: str, sent: Mapping[str, object]) -> TrainingRecord | None:
        """The training that was accepted with this key for the same request as sent, in its present state, or None."""
        mine = (training.c.tenant_id == tenant_id) & (training.c.idempotency_key == idempotency_key)
        with self._database.read() as connection:
            row = connection.execute(select(training).where(mine)).first()
        return None if row is None or row.request_sha256 != digest_of(sent) else training_record(row)

    def _refuse(self, connection: Connection, tenant_id: str, key_id: str | None, name: str) -> None:
        """Raise the error of a training that may not be accepted now. The tenant is locked."""
        c = training.c
        mine = (c.tenant_id == tenant_id) & c.status.in_(LIVE)
        names = connection.execute(select(c.name).where(mine)).scalars().all()
        if len(names) >= MAX_LIVE:
            rule = f"a tenant may have {MAX_LIVE} trainings that wait or run, got {len(names)}"
            raise Overloaded("queue_full", f"{rule}; wait until one ends, or cancel one", retry_after_s=BUSY_RETRY_S)
        same = (adapter.c.tenant_id == tenant_id) & (adapter.c.name == name)
        if name in names or connection.execute(select(adapter.c.id).where(same)).first() is not None:
            rule = f"a training's adapter needs a name of its own, but {name!r} is that of an adapter or a training"
            raise Conflict("name_taken", f"{rule}; choose another name")
        left_s = seconds_left(connection, tenant_id, key_id, self._budget_s)
        if left_s is not None and left_s <= 0:
            now: float = connection.execute(select(Now())).scalar_one()
            following = next_month(day_of(now))
            rule = "a training needs seconds of its device, and the tenant's or key's budget of this month is used up"
            raise BudgetSpent(
                "budget_spent",
                f"{rule}; it resets at {start_of(following):%Y-%m-%dT%H:%M:%SZ}, or ask the operator for more",
                retry_after_s=following * DAY_S - now,
            )

    def get(self, tenant_id: str, training_id: str) -> TrainingRecord:
        """Return the training. Raises NotFound when it does not exist."""
        with self._database.read() as connection:
            return training_record(own_row(connection, training, tenant_id, training_id))

    def watch(self, wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], TrainingMark]:
        """Return the marks of the trainings that exist among the `wanted` pairs of tenant id and training id.

        This is cheap enough for callers that poll: no pictures and captions are read.
        """
        ids = sorted({training_id for _, training_id in wanted if is_id(training_id)})
        c = training.c
        found = {}
        with self._database.read() as connection:
            for start in range(0, len(ids), IDS_AT_ONCE):
                query = select(c.id, c.tenant_id, c.status, c.version)
                for row in connection.execute(query.where(c.id.in_(ids[start : start + IDS_AT_ONCE]))):
                    found[row.tenant_id, row.id] = TrainingMark(row.id, row.tenant_id, row.status, row.version or 0)
        return {pair: found[pair] for pair in wanted if pair in found}

    def page(
        self, tenant_id: str, *, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[TrainingRecord], str | None]:
        """Return a page of trainings, newest first, and the cursor of the next page, or None on the last page.

        Raises BadInput when the cursor is unknown.
        """
        with self._database.read() as connection:
            rows, next_cursor = page_of(connection, training, tenant_id, cursor, limit)
        return [training_record(row) for row in rows], next_cursor

    def cancel(self, tenant_id: str, training_id: str) -> TrainingRecord:
        """Cancel a waiting training now, or a running one after its step. A repeat changes nothing.

        Raises NotFound, and Conflict `already_finished` when it ended otherwise.
        """
        with self._database.write() as connection:
            row = own_row(connection, training, tenant_id, training_id, lock=True)
            if row.status == "cancelled" or (row.status in LIVE and row.cancel_requested):
                return training_record(row)
            if row.status not in LIVE:
                rule = f"only a waiting or running training can be cancelled; {training_id} is {row.status}"
                raise Conflict("already_finished", f"{rule}; delete it")
            ended = {"status": "cancelled", "finished_at": Now()} if row.status == "queued" and row.step == 0 else {}
            # one that waits to be resumed is cancelled by its next worker, which keeps what it has learned
            change = update(training).where(training.c.id == training_id)
            values = {
                "cancel_requested": True,
                "due_at": training.c.due_at if row.status == "running" else 0.0,
                **ended,
            }
            row = connection.execute(change.values(values).returning(*training.c)).one()
            record(connection, tenant_id, "training.cancelled", training_id)
            cancelled = training_record(row)
            training_ended(connection, cancelled)
            return cancelled

    def delete(self, tenant_id: str, training_id: str) -> None:
        """Delete a training that has ended, and its files. Its adapter stays.

        Raises NotFound, and Conflict `in_use` while it waits or runs.
        """
        with self._database.write() as connection:
            row = own_row(connection, training, tenant_id, training_id, lock=True)
            if row.status in LIVE:
                raise Conflict(
                    "in_use", f"a training must have ended, and {training_id} is {row.status}; cancel it first"
                )
            keys = [key for name in FILES if (key := row._mapping[name]) is not None]
            connection.execute(delete(training).where(training.c.id == training_id))
            record(connection, tenant_id, "training.deleted", training_id)
            self._references.drop(connection, keys)
        self._references.purge(keys)

    def approved(self, tenant_id: str, *, catalogue_id: str = "", project_id: str = "", most: int) -> Pictures:
        """Up to `most` approved pictures that no newer version replaced, oldest first, each with its shot's prompt.

        They are those of a catalogue or a project, of which one is given. Raises NotFound when that does not exist.
        """
        with self._database.read() as connection:
            if catalogue_id:
                own_row(connection, catalogue, tenant_id, catalogue_id)
                of = catalogue_shot.c.catalogue_id == catalogue_id
                chosen, made = (select(one).where(of) for one in (catalogue_shot.c.image_id, catalogue_shot.c.shot_id))
                wanted = or_(image.c.id.in_(chosen), image.c.shot_id.in_(made))
            else:
                own_row(connection, project, tenant_id, project_id)
                wanted = shot.c.project_id == project_id
            newest = (image.c.review == "approved") & image.c.superseded_by.is_(None)
            query = select(image.c.id, shot.c.request["prompt"].as_string().label("prompt"))
            query = query.join(shot, shot.c.id == image.c.shot_id).where(image.c.tenant_id == tenant_id, newest, wanted)
            rows = connection.execute(query.order_by(image.c.created_at, image.c.id).limit(most))
            return [(row.id, row.prompt or "") for row in rows]

    def prompts(self, tenant_id: str, image_ids: Sequence[str]) -> Pictures:
        """These pictures in their order, each with its shot's prompt.

        Raises NotFound for one that does not exist, and Conflict `not_approved` for one that nobody approved.
        """
        found: dict[str, tuple[str | None, str]] = {}
        with self._database.read() as connection:
            for start in range(0, len(image_ids), IDS_AT_ONCE):
                some = image_ids[start : start + IDS_AT_ONCE]
                query = select(image.c.id, image.c.review, shot.c.request["prompt"].as_string().label("prompt"))
                query = query.join(shot, shot.c.id == image.c.shot_id)
                query = query.where(image.c.tenant_id == tenant_id, image.c.id.in_(some))
                found |= {row.id: (row.review, row.prompt or "") for row in connection.execute(query)}
        for image_id in image_ids:
            if image_id not in found:
                raise absent("image", image_id)
            if found[image_id][0] != "approved":
                rule = f"a training learns from pictures that a person approved, and {image_id} is not"
                raise Conflict("not_approved", f"{rule}; approve it, or leave it out")
        return [(image_id, found[image_id][1]) for image_id in image_ids]

    def require_photos(self, tenant_id: str, photo_ids: Sequence[str]) -> None:
        """Raise NotFound when one of these photos does not exist."""
        known = self.files_of(tenant_id, photo_ids)
        for photo_id in photo_ids:
            if photo_id not in known:
                raise absent("photo", photo_id)

    def files_of(self, tenant_id: str, ids: Sequence[str]) -> dict[str, str]:
        """The asset keys of those pictures and photos that still exist, by id."""
        found: dict[str, str] = {}
        with self._database.read() as connection:
            for table in (image, photo):
                for start in range(0, len(ids), IDS_AT_ONCE):
                    some = ids[start : start + IDS_AT_ONCE]
                    query = select(table.c.id, table.c.asset_key)
                    query = query.where(table.c.tenant_id == tenant_id, table.c.id.in_(some))
                    found |= {row.id: row.asset_key for row in connection.execute(query)}
        return found


def seconds_left(connection: Connection, tenant_id: str, key_id: str | None, budget_s: float) -> float | None:
    """The seconds of a device that the tenant's trainings may still take this month; None = without a limit.

    `budget_s` is the setting's, 0 = none. A budget of device-seconds of the tenant or the key counts too.
    """
    left = [one.left for one in spendings(connection, tenant_id, key_id) if one.name == "device_s_per_month"]
    if budget_s:
        now: float = connection.execute(select(Now())).scalar_one()
        c = training_usage.c
        month = (c.tenant_id == tenant_id) & (c.month == month_of(day_of(now)))
        spent = connection.execute(select(func.coalesce(func.sum(c.device_s), 0.0)).where(month)).scalar_one()
        left.append(max(0.0, budget_s - float(spent)))
    return min(left, default=None)


def _repeated(row: Row[tuple[object, ...]], digest: str) -> TrainingRecord:
    found = training_record(row)
    if row._mapping["request_sha256"] != digest:
        rule = f"an Idempotency-Key belongs to one request, and this one was used for another, {found.id}"
        raise BadInput("idempotency_mismatch", f"{rule}; use a new key")
    return found
