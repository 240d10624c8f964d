"""Convert rows of `shot` and `image` to records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from packshot.contract.recipe import Recipe
from packshot.contract.shot_spec import ShotSpec
from packshot.contract.status import ENDED
from packshot.contract.verdict import Verdict
from packshot.store.clips import clips_of
from packshot.store.database import absent, moment, moment_or_none, require_id
from packshot.store.positions import Position, Positions
from packshot.store.records import ImageRecord, ShotRecord
from packshot.store.schema import image, shot

PositionsOf = Callable[[Connection, Sequence[Row[Any]]], dict[int, Position]]


def own_shot_row(connection: Connection, tenant_id: str, shot_id: str) -> Row[Any]:
    """Read the row of a tenant's shot. Raises NotFound when it does not exist."""
    require_id(shot_id, "shot")
    row = connection.execute(select(shot).where(shot.c.id == shot_id, shot.c.tenant_id == tenant_id)).first()
    if row is None:
        raise absent("shot", shot_id)
    return row


def shot_records(
    connection: Connection,
    rows: Sequence[Row[Any]],
    positions_of: PositionsOf | None = None,
) -> list[ShotRecord]:
    """Convert rows of `shot`, with their images and positions.

    It runs at most one query for all images and a few for all positions. `positions_of` returns positions by `seq`;
    None reads the present ones.
    """
    images = _images(connection, [row.id for row in rows if row.status == "done"])
    clips = clips_of(connection, [row.id for row in rows if row.status == "done" and row.kind == "clip"])
    queued = [row for row in rows if row.status == "queued"]
    places = (positions_of or Positions().now)(connection, queued) if queued else {}
    nowhere = Position(0)
    return [
        ShotRecord(
            id=row.id,
            tenant=row.tenant_id,
            status=row.status,
            priority=row.priority,
            spec=ShotSpec.from_json(row.request),
            position=places.get(row.seq, nowhere).ahead,
            position_estimated=places.get(row.seq, nowhere).estimated,
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
            project_id=row.project_id,
            sku=row.sku,
            meta=row.meta or {},
            category=row.category,
            supersedes=row.supersedes,
            kind=row.kind or "shot",
            job=row.job or {},
            job_key=row.job_key,
            clip=clips.get(row.id),
        )
        for row in rows
    ]


def shot_record(connection: Connection, row: Row[Any], positions_of: PositionsOf | None = None) -> ShotRecord:
    """Convert one row of `shot`, with its images and position."""
    (record,) = shot_records(connection, [row], positions_of)
    return record


def image_record(row: Row[Any]) -> ImageRecord:
    """Convert a row of `image`."""
    fields = row._mapping  # `row.index` is the tuple's method
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
        reason=row.review_reason,
        review_number=row.review_number or 0,
        version=row.version or 1,
        supersedes=row.supersedes,
        superseded_by=row.superseded_by,
        gain_key=row.gain_key,
    )


def _images(connection: Connection, shot_ids: Iterable[str]) -> dict[str, list[ImageRecord]]:
    wanted = list(shot_ids)
    found: dict[str, list[ImageRecord]] = {}
    if wanted:
        query = select(image).where(image.c.shot_id.in_(wanted)).order_by(image.c.shot_id, image.c.index)
        for row in connection.execute(query):
            found.setdefault(row.shot_id, []).append(image_record(row))
    return found
