"""Which shots of a tenant a list holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import ColumnElement, exists, func, select

from packshot.contract.status import MAKE_PICTURES, Review, ShotKind, Status
from packshot.store.catalogue_tables import catalogue_shot
from packshot.store.schema import image, shot


@dataclass(frozen=True, kw_only=True)
class ShotFilter:
    """Selects shots. A shot must meet every condition; None and empty ones select all.

    `kind` selects one kind of work; None selects the kinds that make pictures. `words` must each be a part of the
    prompt, in any order; databases compare letters without their case, SQLite only those of ASCII. `catalogue_id`
    selects shots with a picture that the catalogue has chosen. `meta` are (name, value) pairs that the shot's own
    `meta` must hold. `review` is the review that a picture of the shot must have; "none" is a picture that nobody has
    reviewed. Pictures that a newer version replaced do not count. Shots were accepted at or
    after `created_after`, and before `created_before`.
    """

    status: Status | None = None
    kind: ShotKind | None = None
    project_id: str | None = None
    catalogue_id: str | None = None
    words: str = ""
    sku: str | None = None
    meta: tuple[tuple[str, str], ...] = ()
    review: Review | Literal["none"] | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """The conditions on the table of shots."""
        found: list[ColumnElement[bool]] = []
        if self.status is not None:
            found.append(shot.c.status == self.status)
        kinds = MAKE_PICTURES if self.kind is None else (self.kind,)
        found.append(func.coalesce(shot.c.kind, "shot").in_(kinds))
        if self.project_id is not None:
            found.append(shot.c.project_id == self.project_id)
        if self.catalogue_id is not None:
            # by the chosen pictures, of which redos make the next versions in other shots
            chosen = select(catalogue_shot.c.image_id).where(catalogue_shot.c.catalogue_id == self.catalogue_id)
            found.append(shot.c.id.in_(select(image.c.shot_id).where(image.c.id.in_(chosen))))
        if self.sku is not None:
            found.append(shot.c.sku == self.sku)
        found += [shot.c.request["prompt"].as_string().icontains(word, autoescape=True) for word in self.words.split()]
        found += [shot.c.meta[name].as_string() == value for name, value in self.meta]
        if self.review is not None:
            reviewed = image.c.review.is_(None) if self.review == "none" else image.c.review == self.review
            newest = image.c.superseded_by.is_(None)
            found.append(exists(select(image.c.id).where(image.c.shot_id == shot.c.id, newest, reviewed)))
        if self.created_after is not None:
            found.append(shot.c.created_at >= self.created_after.timestamp())
        if self.created_before is not None:
            found.append(shot.c.created_at < self.created_before.timestamp())
        return found


EVERY_SHOT = ShotFilter()
