"""Shots as clients see them: accept, read, list, watch, cancel. queue.py is the workers' view."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, case, func, or_, select, update

from packshot.contract.shot_spec import ShotSpec
from packshot.contract.status import LIVE
from packshot.errors import BadInput, Conflict, NotFound, Overloaded
from packshot.store.audit_rows import record, record_asked
from packshot.store.budgets import check_budgets
from packshot.store.database import Database, absent, is_id, new_id, require_id, to_json
from packshot.store.ended import note_end
from packshot.store.notifications import CHANGED, QUEUED, notify
from packshot.store.pages import MAX_PAGE
from packshot.store.picture_uses import hold_pictures, use_pictures
from packshot.store.positions import Positions
from packshot.store.projects import hold_project
from packshot.store.records import NewJob, ShotRecord, engine_of
from packshot.store.references import AssetReferences
from packshot.store.schema import NEVER, ORIGIN, Now, mask, shot, shot_mask, tenant
from packshot.store.shot_filter import EVERY_SHOT, ShotFilter
from packshot.store.shot_rows import own_shot_row, shot_record, shot_records
from packshot.store.versions import require_newest

RETRY_AFTER_S = 10.0
"""Seconds that a client must wait before a retry when its tenant's queue is full."""

WATCHED_AT_ONCE = 1000
"""Ids in one query. The databases' own limits are a few ten thousand parameters."""


class Shots:
    """The clients' view of shots. A shot of another tenant raises NotFound.

    `references` counts the files that jobs read. `max_queued` limits how many shots of one tenant may be queued.
    """

    def __init__(self, database: Database, references: AssetReferences, *, max_queued: int) -> None:
        self._database = database
        self._references = references
        self._max_queued = max_queued
        self._positions = Positions()

    def add(
        self,
        tenant_id: str,
        spec: ShotSpec,
        *,
        idempotency_key: str | None = None,
        project_id: str | None = None,
        key_id: str | None = None,
        sku: str | None = None,
        meta: Mapping[str, str] | None = None,
        row_steps: int | None = None,
        origin: Mapping[str, str] | None = None,
        sent: Mapping[str, object] | None = None,
        category: str | None = None,
        supersedes: str | None = None,
        job: NewJob | None = None,
        price_device_s: float = 0.0,
    ) -> tuple[ShotRecord, bool]:
        """Accept a shot. It is durable when this returns, and the masks of `spec` no longer expire.

        `project_id` puts the shot into a project. `key_id` is the key that it came with, whose budgets count beside the
        tenant's. `sku` and `meta` are the client's own words on it. `row_steps` is the shot's work for the engine;
        None = `spec.row_steps`. `origin` is the context of the request (`Claim.origin`); it is kept beside the request
        and changes nothing else. `sent` is the request as the client sent it, before an engine's defaults were filled
        in. `category` is one whose pictures a person must approve. `supersedes` is the picture of which the shot makes
        the next version. `job` is another kind of work than a shot; `spec` is then the shot of the picture that it
        works on. `price_device_s` is what a vendor is paid for it, in device-seconds. Returns the shot and True, or the
        earlier shot and False when `idempotency_key` was used before.

        Raises NotFound when a mask, a reference or the project does not exist, Overloaded `queue_full` when the tenant
        has too many queued shots, BudgetSpent when a budget would be exceeded or is needed, and BadInput
        `idempotency_mismatch` when the key was used with another request: one that differs as it was sent, and with its
        defaults filled in. Raises Conflict `superseded` when the picture has a newer version.
        """
        # Without these, the digest is that of version 0.1.0.
        labels = {"project_id": project_id, "sku": sku, "meta": dict(meta or {}), "supersedes": supersedes}
        body = spec.to_json() | {name: value for name, value in labels.items() if value}
        if job is not None:
            file = None if job.file is None else hashlib.sha256(job.file).hexdigest()
            body |= {"kind": job.kind, "job": dict(job.request), "file": file}
        digest = digest_of(body)
        sent_digest = None if sent is None else digest_of(sent)
        if idempotency_key is not None and not (1 <= len(idempotency_key) <= 255 and idempotency_key.isprintable()):
            rule = f"Idempotency-Key must be 1-255 printable characters, got {idempotency_key[:80]!r}; use another one"
            raise BadInput("invalid_request", rule)
        files = [] if job is None or job.file is None else self._references.write_files([job.file])
        with self._database.write() as connection:
            lock_tenant(connection, tenant_id)
            if idempotency_key is not None:
                row = _row_of_key(connection, tenant_id, idempotency_key)
                if row is not None:
                    _refuse_another_body(row, digest, sent_digest)
                    return shot_record(connection, row, self._positions.now), False
            self._refuse_over_limit(connection, tenant_id)
            images = spec.paintings if job is None else job.images
            refusal = check_budgets(connection, tenant_id, key_id, images, price_device_s)
            if refusal is None:
                hold_project(connection, tenant_id, project_id)
                require_newest(connection, tenant_id, supersedes)
                shot_id = insert_shot(
                    connection,
                    tenant_id,
                    spec,
                    request_sha256=digest,
                    sent_sha256=sent_digest,
                    idempotency_key=idempotency_key,
                    project_id=project_id,
                    key_id=key_id,
                    sku=sku,
                    meta=meta,
                    row_steps=row_steps,
                    origin=origin,
                    category=category,
                    supersedes=supersedes,
                    job=job,
                    job_key=files[0].key if files else None,
                )
                self._references.take(connection, files)
        if refusal is not None:
            raise refusal
        # The position is read after the write lock is released.
        return self.get(tenant_id, shot_id), True

    def _refuse_over_limit(self, connection: Connection, tenant_id: str) -> None:
        mine = and_(shot.c.tenant_id == tenant_id, shot.c.status == "queued")
        queued = connection.execute(select(func.count()).select_from(shot).where(mine)).scalar_one()
        if queued >= self._max_queued:
            raise Overloaded(
                "queue_full",
                f"a tenant may have at most {self._max_queued} queued shots, got {queued}; retry later or cancel some",
                retry_after_s=RETRY_AFTER_S,
            )

    def get(self, tenant_id: str, shot_id: str) -> ShotRecord:
        """Return the shot with its images and its position in the queue. Raises NotFound when it does not exist."""
        with self._database.read() as connection:
            return shot_record(connection, own_shot_row(connection, tenant_id, shot_id), self._positions.now)

    def repeated(self, tenant_id: str, idempotency_key: str, sent: Mapping[str, object]) -> ShotRecord | None:
        """Return the shot that was accepted with this key for the same request as sent, in its present state, or None.

        So a repeat finds its shot although engines, defaults or limits have changed since.
        """
        with self._database.read() as connection:
            row = _row_of_key(connection, tenant_id, idempotency_key)
            if row is None or row.sent_sha256 != digest_of(sent):
                return None
            return shot_record(connection, row, self._positions.now)

    def page(
        self, tenant_id: str, wanted: ShotFilter = EVERY_SHOT, *, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[ShotRecord], str | None]:
        """Return a page of shots, newest first, and the cursor of the next page, or None on the last page.

        `wanted` selects shots. `cursor` comes from the previous page. `limit` is clamped to 1..`MAX_PAGE`. Raises
        BadInput when the cursor is unknown.
        """
        limit = min(max(limit, 1), MAX_PAGE)
        query = select(shot).where(shot.c.tenant_id == tenant_id, *wanted.conditions())
        query = query.order_by(shot.c.seq.desc()).limit(limit + 1)
        with self._database.read() as connection:
            if cursor is not None:
                try:
                    query = query.where(shot.c.seq < own_shot_row(connection, tenant_id, cursor).seq)
                except NotFound as error:
                    rule = f"cursor must be a previous page's next_cursor, got {cursor[:80]!r}; start without one"
                    raise BadInput("invalid_request", rule) from error
            rows = connection.execute(query).all()
            page = rows[:limit]
            return shot_records(connection, page, self._positions.now), page[-1].id if len(rows) > limit else None

    def watch(self, wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], ShotRecord]:
        """Return the shots that exist among the `wanted` pairs of tenant id and shot id.

        This is cheap enough for callers that poll. Positions may be half a second old (`positions.WATCH_FRESH_S`);
        everything else is current.
        """
        ids = sorted({shot_id for _, shot_id in wanted if is_id(shot_id)})
        found = {}
        with self._database.read() as connection:
            for start in range(0, len(ids), WATCHED_AT_ONCE):
                query = select(shot).where(shot.c.id.in_(ids[start : start + WATCHED_AT_ONCE]))
                rows = connection.execute(query).all()
                for record in shot_records(connection, rows, self._positions.lately):
                    found[record.tenant, record.id] = record
        return {pair: found[pair] for pair in wanted if pair in found}

    def cancel(self, tenant_id: str, shot_id: str) -> ShotRecord:
        """Cancel a queued shot now, or a running shot at its next step.

        Raises NotFound when the shot does not exist and Conflict `already_finished` when it has ended.
        """
        require_id(shot_id, "shot")
        waiting = shot.c.status == "queued"
        cancelled = (
            update(shot)
            .where(shot.c.id == shot_id, shot.c.tenant_id == tenant_id)
            .where(shot.c.status.in_(LIVE))
            .values(
                status=case((waiting, "cancelled"), else_=shot.c.status),
                finished_at=case((waiting, Now()), else_=None),
                cancel_requested=True,
                version=case((or_(waiting, ~shot.c.cancel_requested), shot.c.version + 1), else_=shot.c.version),
            )
            .returning(*shot.c)
        )
        with self._database.write() as connection:
            row = connection.execute(cancelled).first()
            if row is None:
                status = own_shot_row(connection, tenant_id, shot_id).status
                raise Conflict(
                    "already_finished", f"only a queued or running shot can be cancelled; {shot_id} is {status}"
                )
            notify(connection, CHANGED)
            record(connection, tenant_id, "shot.cancelled", shot_id)
            note_end(connection, row)
            return shot_record(connection, row)


def insert_shot(
    connection: Connection,
    tenant_id: str,
    spec: ShotSpec,
    *,
    request_sha256: str,
    sent_sha256: str | None = None,
    idempotency_key: str | None = None,
    project_id: str | None = None,
    key_id: str | None = None,
    sku: str | None = None,
    meta: Mapping[str, str] | None = None,
    row_steps: int | None = None,
    origin: Mapping[str, str] | None = None,
    category: str | None = None,
    supersedes: str | None = None,
    job: NewJob | None = None,
    job_key: str | None = None,
    catalogue_id: str | None = None,
) -> str:
    """Insert a queued shot in the caller's transaction, pin its masks and tell the workers. Returns its id.

    The caller has locked the tenant and checked key, limits and budgets (`check_budgets`), and takes a reference to the
    file `job_key` of a `job`. `catalogue_id` is the catalogue that asks for the shot. Raises NotFound when a mask, a
    reference or a view of a painted product does not exist.
    """
    request = spec.to_json()
    references = spec.style.references if spec.style is not None and job is None else ()  # other jobs see none
    adapters = spec.adapters if job is None or job.kind != "clip" else ()
    views = spec.product.views if spec.product is not None and job is None else ()
    used = [*(one.picture_id for one in references), *(one.id for one in adapters), *views]
    hold_pictures(connection, tenant_id, used)
    mask_ids = _pin_masks(connection, tenant_id, spec)
    new = shot.insert().values(
        id=new_id("sh"),
        tenant_id=tenant_id,
        status="queued",
        priority=spec.priority,
        request={**request, ORIGIN: dict(origin)} if origin else request,
        request_sha256=request_sha256,
        sent_sha256=sent_sha256,
        idempotency_key=idempotency_key,
        attempt=0,
        crashes=0,
        epoch=0,
        due_at=0.0 if job is None else NEVER,  # and not Now(): it would wait for a clock that is set back
        ready_at=None if job is None else 0.0,
        kind=None if job is None else job.kind,
        job=None if job is None else dict(job.request),
        job_key=job_key,
        cancel_requested=False,
        step=0,
        steps=spec.steps if job is None or job.steps is None else job.steps,
        preview_version=0,
        version=1,
        images=spec.paintings if job is None else job.images,
        row_steps=spec.row_steps if row_steps is None else row_steps,
        engine=engine_of(spec, "shot" if job is None else job.kind),
        project_id=project_id,
        key_id=key_id,
        sku=sku,
        meta=dict(meta) if meta else None,
        category=category,
        supersedes=supersedes,
        created_at=Now(),
    )
    shot_id: str = connection.execute(new.returning(shot.c.id)).scalar_one()
    notify(connection, QUEUED)
    if mask_ids:
        connection.execute(shot_mask.insert(), [{"shot_id": shot_id, "mask_id": mask_id} for mask_id in mask_ids])
    use_pictures(connection, used, shot_id=shot_id)
    record_asked(
        connection,
        tenant_id,
        shot_id,
        spec,
        request_sha256=request_sha256,
        job=job,
        supersedes=supersedes,
        catalogue_id=catalogue_id,
    )
    return shot_id


def job_keys_of(connection: Connection, shot_ids: Sequence[str]) -> list[str]:
    """The keys of the files that the jobs among these rows read, one for each reference."""
    keys = select(shot.c.job_key).where(shot.c.id.in_(shot_ids), shot.c.job_key.is_not(None))
    return list(connection.execute(keys).scalars())


def lock_tenant(connection: Connection, tenant_id: str) -> None:
    """Serialise a tenant's requests until the transaction ends, so that keys and limits are checked without races."""
    locked = select(tenant.c.id).where(tenant.c.id == tenant_id).with_for_update(key_share=True)
    if connection.execute(locked).first() is None:
        raise absent("tenant", tenant_id)


def digest_of(body: Mapping[str, object]) -> str:
    """The SHA-256 of a request, by which two with one idempotency key are compared."""
    return hashlib.sha256(to_json(body).encode()).hexdigest()


def _row_of_key(connection: Connection, tenant_id: str, idempotency_key: str) -> Row[Any] | None:
    """The shot that was accepted with this key, or None."""
    same_key = and_(shot.c.tenant_id == tenant_id, shot.c.idempotency_key == idempotency_key)
    return connection.execute(select(shot).where(same_key)).first()


def _refuse_another_body(row: Row[Any], digest: str, sent_digest: str | None) -> None:
    """Raise BadInput unless the shot was made from this request, as it was sent or with its defaults filled in."""
    if row.request_sha256 != digest and (sent_digest is None or row.sent_sha256 != sent_digest):
        raise BadInput(
            "idempotency_mismatch",
            f"an Idempotency-Key belongs to one body, but this key made {row.id} from another body; use a new key",
        )


def _pin_masks(connection: Connection, tenant_id: str, spec: ShotSpec) -> list[str]:
    """Lock the masks of a shot's layers and remove their expiry. Returns their ids, each once."""
    wanted = sorted(set(spec.mask_ids))
    for mask_id in wanted:
        require_id(mask_id, "mask")
    usable = (
        select(mask.c.id)
        .where(mask.c.tenant_id == tenant_id, mask.c.id.in_(wanted))
        .where(or_(mask.c.expires_at.is_(None), mask.c.expires_at > Now()))
        .order_by(mask.c.id)  # a fixed lock order: two shots with the same masks must not deadlock
        .with_for_update()
    )
    found = set(connection.execute(usable).scalars())
    for index, mask_id in enumerate(spec.mask_ids):
        if mask_id not in found:
            error = absent("mask", mask_id)
            error.errors = [{"loc": ["layers", index, "mask_id"], "msg": "no such mask; cut the photo again"}]
            raise error
    connection.execute(update(mask).where(mask.c.id.in_(wanted)).values(expires_at=None))
    return wanted
