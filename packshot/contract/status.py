"""The states and priorities of a shot, and the sources of a mask. API, database and metrics use the same names."""

from __future__ import annotations

from typing import Literal, get_args

Status = Literal["queued", "running", "done", "failed", "cancelled"]
Priority = Literal["interactive", "catalogue"]
ShotKind = Literal["shot", "touchup", "clip", "enhancement"]
"""What a row of the queue makes: a shot's pictures, a finished picture painted anew in a part, a clip of one, or a
repainted photo."""
Review = Literal["approved", "rejected"]
"""The decision as `PATCH /v1/images/{id}` names it. `rejected` is the state changes_requested."""
Decision = Literal["in_review", "approved", "changes_requested"]
ReviewState = Literal["draft", "in_review", "approved", "changes_requested"]
"""A picture's state. Nobody has looked at a draft; it never returns to it."""
ReviewReason = Literal[
    "product_changed",
    "cutout_edge",
    "floating",
    "scale",
    "shadow",
    "light",
    "hallucination",
    "text",
    "brand",
    "other",
]
"""Why changes are requested."""
MaskSource = Literal["box", "points", "text", "automatic", "alpha", "upload", "strokes"]
"""What a mask was made from. `text` are words that named the product, `alpha` is the upload's own transparency, and
`upload` a mask that the client sent."""

STATUSES: tuple[Status, ...] = get_args(Status)
PRIORITIES: tuple[Priority, ...] = get_args(Priority)
SHOT_KINDS: tuple[ShotKind, ...] = get_args(ShotKind)
MAKE_PICTURES: tuple[ShotKind, ...] = ("shot", "touchup", "enhancement")
"""The kinds whose rows end with pictures. A list of shots holds these, unless it is asked for one kind."""
ENDED: tuple[Status, ...] = ("done", "failed", "cancelled")
"""The final states: a shot in one of them never changes again. They are also the names of a stream's last event."""
LIVE: tuple[Status, ...] = ("queued", "running")
"""The states of a shot that has not ended."""

CatalogueState = Literal["draft", "running", "paused", "done", "cancelled"]
RowState = Literal["waiting", "running", "done", "failed", "skipped"]
FileState = Literal["waiting", "made", "failed", "held"]
"""The state of a catalogue's file. `held` waits for a person's approval of its picture."""
ROW_STATES: tuple[RowState, ...] = get_args(RowState)
