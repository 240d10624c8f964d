"""Reviews of pictures: decisions and comments, one log for each picture, and the gate of approval."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, func, or_, select, update

from packshot.contract.audit import AuditAction
from packshot.contract.proof import PROVEN_CATEGORIES
from packshot.contract.reviews import MarkAnswer
from packshot.contract.status import Decision, Review, ReviewReason, ReviewState
from packshot.contract.webhooks import ImageReviewed
from packshot.errors import BadInput, Conflict, PreconditionFailed
from packshot.store.audit_rows import Details, record
from packshot.store.catalogue_follow import image_approved
from packshot.store.database import Database, absent, is_id, moment, require_id
from packshot.store.outbox import publish
from packshot.store.records import ImageRecord
from packshot.store.schema import Now, image, shot, tenant
from packshot.store.schema_reviews import image_review
from packshot.store.shot_rows import image_record

AT_ONCE = 500
"""Ids in one query."""

_TEXT_FAILED = image.c.text_state == "failed"
_TEXT_BLOCKS = and_(_TEXT_FAILED, shot.c.category.in_(PROVEN_CATEGORIES))

_STORED: dict[Decision, Review | None] = {"approved": "approved", "changes_requested": "rejected", "in_review": None}

_RECORDED: dict[Decision, AuditAction] = {
    "approved": "image.approved",
    "changes_requested": "image.changes_requested",
    "in_review": "image.in_review",
}


@dataclass(frozen=True)
class ReviewRecord:
    """A line of a picture's log. `state` is None for a comment. `by` is a key or a link, `reviewer` a person's name."""

    number: int
    state: ReviewState | None
    reason: ReviewReason | None
    note: str | None
    marks: tuple[MarkAnswer, ...]
    by: str
    reviewer: str | None
    created_at: datetime


class Reviews:
    """Decides about pictures and keeps the log. A picture of another tenant raises NotFound."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def decide(
        self,
        tenant_id: str,
        image_id: str,
        state: Decision,
        *,
        by: str,
        reason: ReviewReason | None = None,
        note: str | None = None,
        keep_note: bool = False,
        marks: Sequence[MarkAnswer] = (),
        reviewer: str | None = None,
        expected: Collection[str] | None = None,
    ) -> ImageRecord:
        """Store a decision and its line in the log, and return the picture. Webhooks get `image.reviewed`.

        `by` says who decided. `keep_note` keeps the picture's present note. `expected` are the tags
        (`ImageRecord.etag`) of which the picture must have one; None allows any. Raises NotFound, BadInput when a text
        cannot be stored, and PreconditionFailed when the picture has another tag.
        """
        with self._database.write() as connection:
            before = image_record(_locked(connection, tenant_id, image_id))
            if expected is not None and before.etag not in expected:
                raise PreconditionFailed(
                    "version_changed",
                    f"If-Match must name the picture's present state, which is {before.state} ({before.etag}); look at "
                    f"it again (GET /v1/images/{image_id}/reviews) and decide anew",
                    state=before.state,
                    etag=before.etag,
                )
            number = _add(connection, before, by=by, state=state, reason=reason, note=note, marks=marks, name=reviewer)
            kept = before.note if keep_note else storable(note)
            change = (
                update(image)
                .where(image.c.id == image_id)
                .values(review=_STORED[state], review_reason=reason, note=kept, review_number=number)
            )
            after = image_record(connection.execute(change.returning(*image.c)).one())
            if state == "approved":
                image_approved(connection, image_id)
            details: Details = {"version": after.version, "number": number, "reason": reason}
            record(connection, tenant_id, _RECORDED[state], image_id, details=details)
            publish(
                connection,
                tenant_id,
                ImageReviewed(
                    id=after.id,
                    url=f"/v1/images/{after.id}",
                    shot_id=after.shot_id,
                    version=after.version,
                    state=after.state,
                    reason=reason,
                    note=after.note,
                ),
            )
            return after

    def comment(
        self,
        tenant_id: str,
        image_id: str,
        note: str,
        *,
        by: str,
        marks: Sequence[MarkAnswer] = (),
        reviewer: str | None = None,
        at_most: int | None = None,
    ) -> ReviewRecord:
        """Add a comment to the log. The state and its tag stay. `at_most` limits the comments of `by` on a picture.

        Raises NotFound, BadInput when the text cannot be stored, and Conflict `comments_full`.
        """
        with self._database.write() as connection:
            on = image_record(_locked(connection, tenant_id, image_id))
            if at_most is not None:
                mine = select(func.count()).where(image_review.c.image_id == image_id, image_review.c.by == by)
                if connection.execute(mine).scalar_one() >= at_most:
                    rule = f"a link's visitors may leave {at_most} comments on a picture, and it has as many"
                    raise Conflict("comments_full", f"{rule}; tell the sender of the link")
            number = _add(connection, on, by=by, note=note, marks=marks, name=reviewer)
            record(connection, tenant_id, "image.commented", image_id, details={"number": number})
            line = (image_review.c.image_id == image_id) & (image_review.c.number == number)
            return record_of(connection.execute(select(image_review).where(line)).one())

    def log(self, tenant_id: str, image_id: str) -> tuple[ImageRecord, list[ReviewRecord]]:
        """Return the picture and every line of its log, oldest first. Raises NotFound."""
        require_id(image_id, "image")
        own = select(image).where(image.c.id == image_id, image.c.tenant_id == tenant_id)
        lines = select(image_review).where(image_review.c.image_id == image_id).order_by(image_review.c.number)
        with self._database.read() as connection:
            row = connection.execute(own).first()
            if row is None:
                raise absent("image", image_id)
            return image_record(row), [record_of(line) for line in connection.execute(lines)]

    def require_approved(self, tenant_id: str, image_ids: Collection[str]) -> None:
        """Raise Conflict when one of the pictures may not leave: `text_changed` for one of `with_changed_text`, and
        `not_approved` for another one of `unapproved`."""
        with self._database.read() as connection:
            changed = with_changed_text(connection, tenant_id, image_ids)
            held = unapproved(connection, tenant_id, image_ids)
        if changed:
            raise Conflict(
                "text_changed",
                f"the text of a product in a category must be proven before its picture leaves, and that of "
                f"{_some(changed)} differs from its photo or lacks a required word; read the findings `text` of its "
                "verdict, and redo it or touch it up",
            )
        if held:
            raise Conflict(
                "not_approved",
                f"a person must approve this version of a picture before it leaves, and {_some(held)} "
                f"{'is' if len(held) == 1 else 'are'} not; POST /v1/images/{{id}}/reviews with the state approved",
            )


def _some(image_ids: Sequence[str]) -> str:
    return ", ".join(image_ids[:5]) + (f" and {len(image_ids) - 5} more" if len(image_ids) > 5 else "")


def with_changed_text(connection: Connection, tenant_id: str, image_ids: Collection[str]) -> list[str]:
    """The pictures among `image_ids` whose text must be proven and failed the proof, in their order.

    An approval does not let these leave, because their category demands both: only another version does.
    """
    return _those(connection, tenant_id, image_ids, _TEXT_BLOCKS)


def unapproved(connection: Connection, tenant_id: str, image_ids: Collection[str]) -> list[str]:
    """The pictures among `image_ids` that may not leave yet, in their order.

    A picture needs approval when its tenant requires it, when its shot has a category, or when its text failed the
    proof; those of `with_changed_text` may not even then. Deliveries, archives, routes, feeds and signed downloads ask
    this; the picture itself, without a preset, is the tenant's working copy.
    """
    needs_approval = or_(tenant.c.require_approval.is_(True), shot.c.category.is_not(None), _TEXT_FAILED)
    unapproved_yet = and_(needs_approval, image.c.review.is_distinct_from("approved"))
    return _those(connection, tenant_id, image_ids, or_(unapproved_yet, _TEXT_BLOCKS))


def _those(
    connection: Connection, tenant_id: str, image_ids: Collection[str], condition: ColumnElement[bool]
) -> list[str]:
    """The pictures among `image_ids` for which a condition on picture, shot and tenant holds, in their order."""
    wanted = [image_id for image_id in dict.fromkeys(image_ids) if is_id(image_id)]
    held = set[str]()
    rest = iter(wanted)
    while batch := list(islice(rest, AT_ONCE)):
        query = (
            select(image.c.id)
            .join(shot, shot.c.id == image.c.shot_id)
            .join(tenant, tenant.c.id == image.c.tenant_id)
            .where(image.c.tenant_id == tenant_id, image.c.id.in_(batch))
            .where(condition)
        )
        held.update(connection.execute(query).scalars())
    return [image_id for image_id in wanted if image_id in held]


def _locked(connection: Connection, tenant_id: str, image_id: str) -> Row[Any]:
    require_id(image_id, "image")
    own = select(image).where(image.c.id == image_id, image.c.tenant_id == tenant_id)
    row = connection.execute(own.with_for_update()).first()
    if row is None:
        raise absent("image", image_id)
    return row


def _add(
    connection: Connection,
    on: ImageRecord,
    *,
    by: str,
    state: ReviewState | None = None,
    reason: ReviewReason | None = None,
    note: str | None = None,
    marks: Sequence[MarkAnswer] = (),
    name: str | None = None,
) -> int:
    """Add a line to the log of a picture whose row is locked, and return its number."""
    last = select(func.coalesce(func.max(image_review.c.number), 0)).where(image_review.c.image_id == on.id)
    number = int(connection.execute(last).scalar_one()) + 1
    connection.execute(
        image_review.insert().values(
            image_id=on.id,
            number=number,
            tenant_id=on.tenant,
            state=state,
            reason=reason,
            note=storable(note),
            marks=[mark.model_dump(mode="json") for mark in marks],
            by=by[:200],
            reviewer=storable(name, "reviewer"),
            created_at=Now(),
        )
    )
    return number


def storable(text: str | None, what: str = "note") -> str | None:
    """Return `text`, None for an empty one. Raises BadInput when it has characters that a database cannot store."""
    for index, character in enumerate(text or ""):
        if character == "\x00" or "\ud800" <= character <= "\udfff":
            rule = f"{what} must have no NUL character and no lone surrogate"
            raise BadInput("invalid_request", f"{rule}, got U+{ord(character):04X} at index {index}; remove it")
    return text or None


def record_of(row: Row[Any]) -> ReviewRecord:
    """Convert a row of `image_review`."""
    return ReviewRecord(
        number=row.number,
        state=row.state,
        reason=row.reason,
        note=row.note,
        marks=tuple(MarkAnswer.model_validate(mark) for mark in row.marks),
        by=row.by,
        reviewer=row.reviewer,
        created_at=moment(row.created_at),
    )
