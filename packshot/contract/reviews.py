"""Reviews: what people decide about a picture, why, and where. Share links: pictures that people without a key see."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from packshot.contract.answers import VerdictAnswer
from packshot.contract.base import Answer, Moment, absent
from packshot.contract.request_base import Fraction
from packshot.contract.requests import LayerIn, Request
from packshot.contract.status import Decision, ReviewReason, ReviewState

MAX_NOTE_CHARS = 2_000
MAX_NAME_CHARS = 80
MAX_MARKS = 50
MAX_MARK_POINTS = 500
MAX_SHARED = 500
"""Pictures of one share link."""
MAX_SHARE_DAYS = 90
SHARED_PX = 1024
"""Longest side of a picture that a share link shows, pixels."""

Note = Annotated[str, Field(max_length=MAX_NOTE_CHARS)]
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS)]
MarkKind = Literal["rect", "pen", "point"]
_POINTS: dict[MarkKind, tuple[int, int]] = {"rect": (2, 2), "pen": (2, MAX_MARK_POINTS), "point": (1, 1)}


class MarkIn(Request):
    """A place in the picture. Points are [x, y], as fractions of its width and height from the top left corner."""

    kind: MarkKind = Field(description="rect (two opposite corners), pen (a line) or point.")
    points: list[tuple[Fraction, Fraction]] = Field(
        min_length=1, max_length=MAX_MARK_POINTS, description=f"2 points of a rect, 2 to {MAX_MARK_POINTS} of a pen, 1."
    )

    @model_validator(mode="after")
    def _as_many_points_as_its_kind(self) -> MarkIn:
        fewest, most = _POINTS[self.kind]
        if not fewest <= len(self.points) <= most:
            wanted = f"{fewest}" if fewest == most else f"{fewest} to {most}"
            raise ValueError(f"a {self.kind} must have {wanted} points; send as many")
        return self


class MarkAnswer(Answer):
    """A place in the picture, as it was sent."""

    kind: MarkKind
    points: tuple[tuple[float, float], ...]


class ReviewIn(Request):
    """A person's decision about a picture."""

    state: Decision = Field(description="in_review (it is open again), approved or changes_requested.")
    reason: ReviewReason | None = Field(
        None, description="Why changes are requested; required for changes_requested, and only allowed there."
    )
    note: Note | None = Field(None, description=f"What to change, or why, at most {MAX_NOTE_CHARS:,} characters.")
    marks: list[MarkIn] = Field(default_factory=list, max_length=MAX_MARKS, description="Where in the picture.")
    reviewer: Name | None = Field(None, description="Who decides, in your own words. The log has the key besides.")

    @model_validator(mode="after")
    def _reason_of_changes(self) -> ReviewIn:
        if (self.reason is not None) != (self.state == "changes_requested"):
            raise ValueError("changes_requested needs a reason, and no other state has one; send both or neither")
        return self


class RedoRequest(Request):
    """How to make the next version of a picture. What is left out follows from the reason."""

    reason: ReviewReason | None = Field(None, description="The reason to mend; null = that of the last review.")
    layers: list[LayerIn] | None = Field(
        None, min_length=1, description="Other masks or places; needed for the reasons cutout_edge and scale."
    )
    prompt: str | None = Field(None, description="Another prompt; needed for the reason brand.")
    seed: int | None = Field(None, ge=0, le=2**31 - 1, description="Another seed; null = one that was not used here.")


class ReviewEntry(Answer):
    """One line of a picture's log. Lines are added and never changed."""

    number: int = Field(description="1 for the first line.")
    at: Moment
    by: str = Field(description="The key, `share` and the link's id, or redo or touchup for a new version.")
    reviewer: str | None = Field(description="Who it was, in that person's own words.")
    state: ReviewState | None = Field(description="The state that was decided; null for a comment.")
    reason: ReviewReason | None
    note: str | None
    marks: tuple[MarkAnswer, ...]


class ReviewsAnswer(Answer):
    """A picture's state and its whole log, oldest line first."""

    image_id: str
    etag: str = Field(description="The state's tag, for `If-Match`. It changes with every decision.")
    version: int
    state: ReviewState
    superseded_by: str | None = Field(
        None, exclude_if=absent, description="The next version, which replaced it; absent if there is none."
    )
    reviews: tuple[ReviewEntry, ...]


class ShareRequest(Request):
    """A link under which people without a key see pictures and comment on them."""

    image_ids: list[str] = Field(
        min_length=1, max_length=MAX_SHARED, description=f"1 to {MAX_SHARED} pictures, in the order shown."
    )
    name: Name = Field(description="What the visitors read above the pictures.")
    days: float = Field(14.0, gt=0, le=MAX_SHARE_DAYS, description=f"Days until it ends, up to {MAX_SHARE_DAYS}.")


class ShareAnswer(Answer):
    """A share link."""

    id: str
    name: str
    image_ids: tuple[str, ...]
    created_at: Moment
    expires_at: Moment
    revoked_at: Moment | None = Field(None, exclude_if=absent, description="When it was revoked; absent if it was not.")
    url: str | None = Field(
        None, exclude_if=absent, description="The link, path and fragment. Only the answer that makes it has it."
    )


class SharePage(Answer):
    """A page of share links, newest first."""

    shares: tuple[ShareAnswer, ...]
    next_cursor: str | None = Field(description="The value of `cursor` for the next page; null on the last page.")


class CommentIn(Request):
    """A visitor's comment on a shared picture."""

    reviewer: Name = Field(description="The visitor's name.")
    note: str = Field(min_length=1, max_length=MAX_NOTE_CHARS, description="The comment.")
    marks: list[MarkIn] = Field(default_factory=list, max_length=MAX_MARKS, description="Where in the picture.")


class CommentAnswer(Answer):
    """A comment that was made through the same link."""

    at: Moment
    reviewer: str | None
    note: str | None
    marks: tuple[MarkAnswer, ...]


class SharedImage(Answer):
    """A picture as a visitor sees it."""

    id: str
    width: int = Field(description="Width of the finished picture, pixels. The link shows a smaller copy.")
    height: int = Field(description="Height of the finished picture, pixels.")
    version: int
    state: ReviewState
    sku: str | None
    verdict: VerdictAnswer
    url: str = Field(description=f"Path of a copy of at most {SHARED_PX} px, for requests with the link's token.")
    comments: tuple[CommentAnswer, ...]


class SharedAnswer(Answer):
    """What a share link shows. Pictures that were deleted are left out."""

    name: str
    expires_at: Moment
    images: tuple[SharedImage, ...]


REVIEW_BODIES: tuple[type[Request], ...] = (ReviewIn, RedoRequest, ShareRequest, CommentIn)
"""The request bodies of this module, for the OpenAPI document."""
