"""What the store hands out: frozen rows, free of any database session. Times are aware UTC datetimes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from packshot.contract.recipe import Recipe
from packshot.contract.shot_spec import ShotSpec
from packshot.contract.status import Priority, Review, Status
from packshot.contract.verdict import Verdict
from packshot.types import BoxXYXY


@dataclass(frozen=True)
class Tenant:
    """An agency or brand that owns its data."""

    id: str
    name: str


@dataclass(frozen=True)
class KeyRecord:
    """A key as it is listed: never its secret.

    `tenant`: its name, where other records hold the id. `prefix`: the part of the secret by which it is looked up.
    """

    id: str
    tenant: str
    prefix: str
    created_at: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True)
class NewKey:
    """A key just made; `secret` is shown this once and stored only as SHA-256."""

    record: KeyRecord
    secret: str


@dataclass(frozen=True)
class PhotoRecord:
    """An uploaded photo. `asset_key` holds the normalised PNG; `sha256` and `bytes` are the upload's own."""

    id: str
    tenant: str
    width: int
    height: int
    format: str
    bytes: int
    sha256: str
    asset_key: str
    created_at: datetime


@dataclass(frozen=True)
class NewMask:
    """A decoded mask to keep. `png`: a bilevel or 8-bit PNG, photo-sized."""

    score: float
    area_px: int
    bbox_xyxy: BoxXYXY
    png: bytes


@dataclass(frozen=True)
class MaskRecord:
    """A kept mask of a photo; expires at `expires_at` unless a shot has used it (then None)."""

    id: str
    tenant: str
    photo_id: str
    score: float
    area_px: int
    bbox_xyxy: BoxXYXY
    asset_key: str
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True)
class NewImage:
    """A finished picture to commit with its shot. `png`: the file; `recipe`: what it takes to make it again."""

    index: int
    seed: int
    width: int
    height: int
    png: bytes
    verdict: Verdict
    recipe: Recipe


@dataclass(frozen=True)
class ImageRecord:
    """A finished picture."""

    id: str
    tenant: str
    shot_id: str
    index: int
    seed: int
    width: int
    height: int
    asset_key: str
    verdict: Verdict
    recipe: Recipe
    review: Review | None
    note: str | None
    created_at: datetime


@dataclass(frozen=True)
class ShotRecord:
    """A shot as clients see it.

    `position`: shots that would be claimed before this one now; 0 = next, running or ended. `version`: grows with every
    change of the row, and is the event id. `preview_version`: 0 = none yet. `cancel_requested`: it still runs, and will
    end at its next step.
    """

    id: str
    tenant: str
    status: Status
    priority: Priority
    spec: ShotSpec
    position: int
    step: int
    steps: int
    version: int
    preview_version: int
    attempt: int
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error_code: str | None = None
    error_detail: str | None = None
    cancel_requested: bool = False
    images: tuple[ImageRecord, ...] = field(default=())


@dataclass(frozen=True)
class Claim:
    """A worker's fenced hold on a shot: changes nothing once `epoch` is no longer the row's.

    `attempt`: 1 on the first try. `crashes`: replicas that died, and leases that ran out, while this shot ran; above 0
    it must run alone, so that the next crash has one suspect.
    """

    shot_id: str
    tenant: str
    worker: str
    epoch: int
    attempt: int
    crashes: int
    spec: ShotSpec
    created_at: datetime


@dataclass(frozen=True)
class Load:
    """What some shots ask for. `row_steps`: denoising steps, counted for each row of the networks' batch."""

    shots: int = 0
    pictures: int = 0
    row_steps: int = 0


@dataclass(frozen=True)
class Flow:
    """The shots of one priority: queued, running, and accepted since the caller last asked."""

    waiting: Load = Load()
    running: Load = Load()
    arrived: Load = Load()


@dataclass(frozen=True)
class QueueLoad:
    """The load of the queue. `last_seq`: what to ask with next time, so that `arrived` counts each shot once."""

    last_seq: int
    interactive: Flow
    catalogue: Flow
