"""Shots and images as clients see them: accepting, reading, listing, cancelling, reviewing."""

from __future__ import annotations

import hashlib
import hmac
import math
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, get_args

from sqlalchemy import Connection, Row, and_, case, func, or_, select, update

from packshot.contract.recipe import Recipe
from packshot.contract.shot_spec import ShotSpec
from packshot.contract.status import ENDED, Review, Status
from packshot.contract.verdict import Verdict
from packshot.errors import BadInput, Conflict, NotFound, Overloaded
from packshot.settings import Settings
from packshot.store.assets import Assets
from packshot.store.database import absent, is_id, moment, moment_or_none, new_id, require_id, to_json
from packshot.store.ledger import Ledger
from packshot.store.line import line
from packshot.store.records import ImageRecord, ShotRecord
from packshot.store.schema import Now, image, mask, shot, shot_mask, tenant

RETRY_AFTER_S = 10.0
"""What a client is told to wait when its tenant's line is full."""

MAX_PAGE = 200

WATCH_FRESH_S = 0.5
"""How old the positions that `watch` reports may be: ranking a long line costs 10 µs a shot."""
WATCHED_AT_ONCE = 1000
"""Ids of one query; a database takes a few ten thousand."""


class Shots(Ledger):
    """The client's side of a shot. Another tenant's things do not exist (NotFound)."""

    def __init__(self, database_url: str, assets: Assets, settings: Settings | None = None) -> None:
        super().__init__(database_url, assets, settings)
        self._line_lock = threading.Lock()
        self._line: dict[int, int] = {}
        self._line_read_at = -math.inf

    def add_shot(
        self, tenant_id: str, spec: ShotSpec, *, idempotency_key: str | None = None
    ) -> tuple[ShotRecord, bool]:
        """Accept a shot: durable on return. Gives it and whether it is new (False: that key was used before).

        The masks of `spec` are pinned. Raises NotFound (a mask), Overloaded `queue_full`, BadInput `idempotency_mismatch`.
        """
        request = spec.to_json()
        digest = hashlib.sha256(to_json(request).encode()).hexdigest()
        if idempotency_key is not None and not (1 <= len(idempotency_key) <= 255 and idempotency_key.isprintable()):
            raise BadInput("invalid_request", "Idempotency-Key must be 1-255 printable characters")
        with self.write() as connection:
            # One tenant's shots are accepted one after another: its key is new or not, its line full or not.
            locked = select(tenant.c.id).where(tenant.c.id == tenant_id).with_for_update(key_share=True)
            if connection.execute(locked).first() is None:
                raise absent("tenant", tenant_id)
            if idempotency_key is not None:
                same_key = and_(shot.c.tenant_id == tenant_id, shot.c.idempotency_key == idempotency_key)
                row = connection.execute(select(shot).where(same_key)).first()
                if row is not None:
                    if not hmac.compare_digest(row.request_sha256, digest):
                        raise BadInput(
                            "idempotency_mismatch",
                            f"an Idempotency-Key belongs to one body; this one made {row.id} from another: use a new key",
                        )
                    return shot_records(connection, [row])[0], False  # may be done: with its images
            self._refuse_over_limit(connection, tenant_id)
            mask_ids = _pin_masks(connection, tenant_id, spec)
            accepted = {
                "id": new_id("sh"),
                "tenant_id": tenant_id,
                "status": "queued",
                "priority": spec.priority,
                "request": request,
                "request_sha256": digest,
                "idempotency_key": idempotency_key,
                "attempt": 0,
                "crashes": 0,
                "epoch": 0,
                "due_at": Now(),
                "cancel_requested": False,
                "step": 0,
                "steps": spec.steps,
                "preview_version": 0,
                "version": 1,
                "created_at": Now(),
            }
            row = connection.execute(shot.insert().values(accepted).returning(*shot.c)).one()
            if mask_ids:
                connection.execute(shot_mask.insert(), [{"shot_id": row.id, "mask_id": one} for one in mask_ids])
        # Ranking a long line takes a while: not under the write lock.
        return self.shot(tenant_id, row.id), True

    def _refuse_over_limit(self, connection: Connection, tenant_id: str) -> None:
        mine = and_(shot.c.tenant_id == tenant_id, shot.c.status == "queued")
        queued = connection.execute(select(func.count()).select_from(shot).where(mine)).scalar_one()
        if queued >= self.settings.max_queued_shots:
            raise Overloaded(
                "queue_full",
                f"at most {self.settings.max_queued_shots} shots of a tenant may wait, {queued} do; try again later",
                retry_after_s=RETRY_AFTER_S,
            )

    def shot(self, tenant_id: str, shot_id: str) -> ShotRecord:
        """The shot as it stands, with its images and its place in line. Raises NotFound."""
        with self.read() as connection:
            return shot_records(connection, [_mine(connection, tenant_id, shot_id)])[0]

    def shots(
        self, tenant_id: str, *, status: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[ShotRecord], str | None]:
        """A page of shots, newest first, and the next page's cursor (None: this is the last). Raises BadInput."""
        if status is not None and status not in get_args(Status):
            raise BadInput("invalid_request", f"status must be one of {', '.join(get_args(Status))}, got {status!r}")
        limit = min(max(limit, 1), MAX_PAGE)
        query = select(shot).where(shot.c.tenant_id == tenant_id).order_by(shot.c.seq.desc()).limit(limit + 1)
        if status is not None:
            query = query.where(shot.c.status == status)
        with self.read() as connection:
            if cursor is not None:
                try:
                    query = query.where(shot.c.seq < _mine(connection, tenant_id, cursor).seq)
                except NotFound as error:
                    rule = f"cursor must be the next_cursor of an earlier page, got {cursor[:80]!r}; start without one"
                    raise BadInput("invalid_request", rule) from error
            rows = connection.execute(query).all()
            page = rows[:limit]
            return shot_records(connection, page), page[-1].id if len(rows) > limit else None

    def watch(self, wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], ShotRecord]:
        """What is there of the wanted (tenant, shot) ids: a cheap look, for those who look again and again.

        Positions may be `WATCH_FRESH_S` old; everything else is as it stands.
        """
        known = sorted({shot_id for _, shot_id in wanted if is_id(shot_id)})
        found = {}
        with self.read() as connection:
            for start in range(0, len(known), WATCHED_AT_ONCE):
                query = select(shot).where(shot.c.id.in_(known[start : start + WATCHED_AT_ONCE]))
                rows = connection.execute(query).all()
                for record in shot_records(connection, rows, self._recent_positions):
                    found[record.tenant, record.id] = record
        return {pair: found[pair] for pair in wanted if pair in found}

    def _recent_positions(self, connection: Connection, seqs: Sequence[int]) -> dict[int, int]:
        with self._line_lock:  # one thread reads, the others use what it read
            stale = time.monotonic() - self._line_read_at > WATCH_FRESH_S
            if stale or not self._line.keys() >= set(seqs):
                self._line = _positions(connection)
                self._line_read_at = time.monotonic()
            return self._line

    def cancel_shot(self, tenant_id: str, shot_id: str) -> ShotRecord:
        """End a waiting shot now, a running one at its next step. Raises NotFound, Conflict `already_finished`."""
        require_id(shot_id, "shot")
        waiting = shot.c.status == "queued"
        wish = (
            update(shot)
            .where(shot.c.id == shot_id, shot.c.tenant_id == tenant_id)
            .where(shot.c.status.in_(("queued", "running")))
            .values(
                status=case((waiting, "cancelled"), else_=shot.c.status),
                finished_at=case((waiting, Now()), else_=None),
                cancel_requested=True,
                version=case((or_(waiting, ~shot.c.cancel_requested), shot.c.version + 1), else_=shot.c.version),
            )
            .returning(*shot.c)
        )
        with self.write() as connection:
            row = connection.execute(wish).first()
            if row is None:
                status = _mine(connection, tenant_id, shot_id).status
                raise Conflict(
                    "already_finished", f"only a queued or running shot can be cancelled; {shot_id} is {status}"
                )
            return shot_records(connection, [row])[0]

    def image(self, tenant_id: str, image_id: str) -> ImageRecord:
        """Raises NotFound."""
        require_id(image_id, "image")
        with self.read() as connection:
            row = connection.execute(
                select(image).where(image.c.id == image_id, image.c.tenant_id == tenant_id)
            ).first()
        if row is None:
            raise absent("image", image_id)
        return _image_record(row)

    def review_image(
        self, tenant_id: str, image_id: str, review: Review | None, note: str | None = None
    ) -> ImageRecord:
        """Keep a person's judgement. `note`: None leaves the note that is there, "" removes it. Raises NotFound, BadInput."""
        require_id(image_id, "image")
        if review not in ("approved", "rejected", None):
            raise BadInput("invalid_request", f"review must be approved, rejected or null, got {review!r}")
        values: dict[str, Any] = {"review": review}
        if note is not None:
            values["note"] = _storable(note) or None
        mine = (image.c.id == image_id) & (image.c.tenant_id == tenant_id)
        with self.write() as connection:
            row = connection.execute(update(image).where(mine).values(values).returning(*image.c)).first()
        if row is None:
            raise absent("image", image_id)
        return _image_record(row)

    def queued_count(self) -> int:
        """Shots that wait, of every tenant."""
        return self.counts_by_status()["queued"]

    def counts_by_status(self) -> dict[Status, int]:
        """Shots of every tenant, by status; every status is named."""
        with self.read() as connection:
            rows = connection.execute(select(shot.c.status, func.count()).group_by(shot.c.status)).all()
        found: dict[Status, int] = {row[0]: row[1] for row in rows}
        return {status: found.get(status, 0) for status in get_args(Status)}


def _mine(connection: Connection, tenant_id: str, shot_id: str) -> Row[Any]:
    require_id(shot_id, "shot")
    row = connection.execute(select(shot).where(shot.c.id == shot_id, shot.c.tenant_id == tenant_id)).first()
    if row is None:
        raise absent("shot", shot_id)
    return row


def _pin_masks(connection: Connection, tenant_id: str, spec: ShotSpec) -> list[str]:
    """Lock the masks of a request's layers and take their expiry away; gives each id once."""
    wanted = sorted(set(spec.mask_ids))
    for one in wanted:
        require_id(one, "mask")
    usable = (
        select(mask.c.id)
        .where(mask.c.tenant_id == tenant_id, mask.c.id.in_(wanted))
        .where(or_(mask.c.expires_at.is_(None), mask.c.expires_at > Now()))
        .order_by(mask.c.id)  # always in one order: two shots of the same masks must not wait for each other
        .with_for_update()
    )
    found = set(connection.execute(usable).scalars())
    for index, one in enumerate(spec.mask_ids):
        if one not in found:
            error = absent("mask", one)
            error.errors = [{"loc": ["layers", index, "mask_id"], "msg": "no such mask; cut the photo again"}]
            raise error
    connection.execute(update(mask).where(mask.c.id.in_(wanted)).values(expires_at=None))
    return wanted


def _positions(connection: Connection, seqs: Sequence[int] | None = None) -> dict[int, int]:
    """Places in line, of all that wait or of those named: seq -> position."""
    waiting = line()
    query = select(waiting.c.seq, waiting.c.position)
    if seqs is not None:
        query = query.where(waiting.c.seq.in_(seqs))
    return {row.seq: row.position for row in connection.execute(query)}


def shot_records(
    connection: Connection,
    rows: Sequence[Row[Any]],
    positions_of: Callable[[Connection, Sequence[int]], dict[int, int]] = _positions,
) -> list[ShotRecord]:
    """Rows of `shot` with their images and positions, by one query for each, and none where none is needed."""
    images = _images(connection, [row.id for row in rows if row.status == "done"])
    queued = [row.seq for row in rows if row.status == "queued"]
    positions = positions_of(connection, queued) if queued else {}
    return [
        ShotRecord(
            id=row.id,
            tenant=row.tenant_id,
            status=row.status,
            priority=row.priority,
            spec=ShotSpec.from_json(row.request),
            position=positions.get(row.seq, 0),
            step=row.step,
            steps=row.steps,
            version=row.version,
            preview_version=row.preview_version,
            attempt=row.attempt,
            created_at=moment(row.created_at),
            started_at=moment_or_none(row.started_at),
            finished_at=moment_or_none(row.finished_at),
            error_code=row.error_code,
            error_detail=row.error_detail,
            cancel_requested=row.cancel_requested and row.status not in ENDED,
            images=tuple(images.get(row.id, ())),
        )
        for row in rows
    ]


def _images(connection: Connection, shot_ids: Iterable[str]) -> dict[str, list[ImageRecord]]:
    wanted = list(shot_ids)
    found: dict[str, list[ImageRecord]] = {}
    if wanted:
        query = select(image).where(image.c.shot_id.in_(wanted)).order_by(image.c.shot_id, image.c.index)
        for row in connection.execute(query):
            found.setdefault(row.shot_id, []).append(_image_record(row))
    return found


def _image_record(row: Row[Any]) -> ImageRecord:
    fields = row._mapping  # `row.index` would be the tuple's own method
    return ImageRecord(
        id=row.id,
        tenant=row.tenant_id,
        shot_id=row.shot_id,
        index=fields["index"],
        seed=row.seed,
        width=row.width,
        height=row.height,
        asset_key=row.asset_key,
        verdict=Verdict.from_json(row.verdict),
        recipe=Recipe.from_json(row.recipe),
        review=row.review,
        note=row.note,
        created_at=moment(row.created_at),
    )


def _storable(text: str) -> str:
    """`text` if every database can hold it. Raises BadInput."""
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise BadInput("invalid_request", "note must be text without NUL characters and lone surrogates")
    return text
