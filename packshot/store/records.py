"""The store's records: frozen copies of rows, independent of any database session. Times are aware UTC datetimes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from packshot.contract.adapters import AdapterUse
from packshot.contract.light import ShadowKind
from packshot.contract.recipe import Recipe
from packshot.contract.shot_spec import ShotSpec
from packshot.contract.status import MaskSource, Priority, Review, ReviewReason, ReviewState, ShotKind, Status
from packshot.contract.style import Reference
from packshot.contract.verdict import Verdict
from packshot.imaging.fingerprint import Fingerprint
from packshot.store.clip_records import ClipRecord
from packshot.types import BoxXYXY


@dataclass(frozen=True)
class Tenant:
    """An agency or brand that owns its data.

    `weight` is its share of the workers, relative to the others'. Under `require_approval` its pictures leave only when
    a person has approved them. Only the list of all tenants reads these two. Of the sender of a request, `key_id` is
    the key that it came with, None without keys, `by_session` whether a session of that key sent it, and `has_budget`
    whether the tenant or this key has a budget.
    """

    id: str
    name: str
    weight: float = 1.0
    require_approval: bool = False
    key_id: str | None = field(default=None, compare=False)
    has_budget: bool = field(default=False, compare=False)
    by_session: bool = field(default=False, compare=False)

    @property
    def author(self) -> str:
        """What a log names as the author of the tenant's request."""
        return "local" if self.key_id is None else f"key {self.key_id}"

    @property
    def actor(self) -> str:
        """Who acts by the tenant's request, as log lines and the audit trail name it."""
        return f"session {self.key_id}" if self.by_session else self.author


@dataclass(frozen=True)
class KeyRecord:
    """A key without its secret.

    `tenant` is the tenant's name; other records have its id. `prefix` is the part of the secret that finds the row.
    An `admin` key may also delete tenants.
    """

    id: str
    tenant: str
    prefix: str
    created_at: datetime
    revoked_at: datetime | None = None
    admin: bool = False


@dataclass(frozen=True)
class NewKey:
    """A new key. `secret` is available only here; the store keeps its SHA-256."""

    record: KeyRecord
    secret: str


@dataclass(frozen=True)
class DeletionRecord:
    """The receipt of a tenant's deletion: the SHA-256 of its id, what was deleted by kind, and who asked for it.

    `finished_at` is None while the deletion runs, or when it died before its end.
    """

    tenant_sha256: str
    counts: Mapping[str, int]
    by: str
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True)
class ProjectRecord:
    """A project: a name under which a tenant keeps photos and shots together."""

    id: str
    tenant: str
    name: str
    created_at: datetime


@dataclass(frozen=True)
class StyleRecord:
    """A style: a scene that a tenant uses again.

    `shadow` is None when it leaves the shadow to the shot. `thumbnail_key` names a small PNG, or is None. The prompts
    of its shots must have none of its `forbidden_words`. `palette` has colours `#rrggbb`. `light_deg` is where its
    light comes from, degrees; None = as the references show it.
    """

    id: str
    tenant: str
    name: str
    prompt: str
    negative_prompt: str
    shadow: ShadowKind | None
    thumbnail_key: str | None
    created_at: datetime
    forbidden_words: tuple[str, ...] = ()
    palette: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()
    light_deg: float | None = None
    adapters: tuple[AdapterUse, ...] = ()


@dataclass(frozen=True)
class PhotoRecord:
    """An uploaded photo.

    `width` and `height` are pixels of the normalised photo. `asset_key` names its PNG. `format`, `bytes` and `sha256`
    describe the file as it was uploaded. `notes` are (code, detail) pairs: what its last upload's decoding assumed.
    `project_id` is the project that it belongs to.
    """

    id: str
    tenant: str
    width: int
    height: int
    format: str
    bytes: int
    sha256: str
    asset_key: str
    created_at: datetime
    notes: tuple[tuple[str, str], ...] = ()
    project_id: str | None = None


@dataclass(frozen=True)
class UploadRecord:
    """A photo that its client puts into the asset root at `key`, or the photo `photo_id` that was made of it.

    `bytes`, `sha256` (hexadecimal) and `content_type` are what the client announced.
    """

    id: str
    tenant: str
    bytes: int
    sha256: str
    content_type: str
    key: str
    expires_at: datetime
    photo_id: str | None = None


@dataclass(frozen=True)
class NewUpload:
    """A new upload. `token` is the permission to send it through this server; it is available only here."""

    record: UploadRecord
    token: str


@dataclass(frozen=True)
class NewMask:
    """A mask to store.

    `bbox_xyxy` is in pixels of the photo. `png` is a bilevel or 8-bit PNG of the photo's size. `parent_id` is the mask
    that it was made from. `rgba_key` names the asset from which the cutout takes its colours (see MaskRecord).
    `lock_px` and `cutout_bbox_xyxy` are described in `packshot.imaging.lock`. Without them, the mask is cut as in
    version 0.1.0.
    """

    score: float
    area_px: int
    bbox_xyxy: BoxXYXY
    png: bytes
    source: MaskSource | None = None
    parent_id: str | None = None
    rgba_key: str | None = None
    lock_px: int | None = None
    cutout_bbox_xyxy: BoxXYXY | None = None


@dataclass(frozen=True)
class MaskRecord:
    """A stored mask of a photo.

    `source` is None for a mask of version 0.1.0. `parent_id` is the mask that this one was made from, which may have
    been deleted since. `rgba_key` is set for an upload's own alpha and for masks painted on it: it names an RGBA PNG of
    the upload's straight colours. The cutout of such a mask has these colours and the mask's values as its alpha.
    `lock_px` and `cutout_bbox_xyxy` are None for a mask of version 0.1.0. `cutout_key` names its cutout, which is kept
    when it is first made. `expires_at` is None for an upload's own alpha, and when a shot has used the mask.
    """

    id: str
    tenant: str
    photo_id: str
    score: float
    area_px: int
    bbox_xyxy: BoxXYXY
    asset_key: str
    created_at: datetime
    expires_at: datetime | None
    source: MaskSource | None = None
    parent_id: str | None = None
    rgba_key: str | None = None
    lock_px: int | None = None
    cutout_bbox_xyxy: BoxXYXY | None = None
    cutout_key: str | None = None


@dataclass(frozen=True)
class NewImage:
    """A finished picture to commit with its shot. `png` is the file. `recipe` says how to reproduce the picture.

    `gain_png` is the gain over a relit product, else None. `fingerprint` is what the picture is found by; with
    None it is looked for later.
    """

    index: int
    seed: int
    width: int
    height: int
    png: bytes
    verdict: Verdict
    recipe: Recipe
    gain_png: bytes | None = None
    fingerprint: Fingerprint | None = None


@dataclass(frozen=True)
class NewJob:
    """Another kind of work than a shot, to accept with the shot of the picture that it works on.

    `request` is what it does, in the JSON form of its kind. `file` is a PNG that it reads, or None. `images` is how
    many pictures it counts for in budgets. `steps` is how many steps its progress has; None = the shot's.
    """

    kind: ShotKind
    request: Mapping[str, object]
    file: bytes | None = None
    images: int = 1
    steps: int | None = None


@dataclass(frozen=True)
class ImageRecord:
    """A stored image. `index` is its place in the shot.

    `review`, `reason` and `note` are a person's decision, None before it. `review_number` is that decision's line in
    the log, 0 before it. `version` is 1, or one more than that of the picture `supersedes`; `superseded_by` is the next
    version. `gain_key` is the asset of the gain over a relit product.
    """

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
    reason: ReviewReason | None = None
    review_number: int = 0
    version: int = 1
    supersedes: str | None = None
    superseded_by: str | None = None
    gain_key: str | None = None

    @property
    def state(self) -> ReviewState:
        """The state of the review. Columns that code of an earlier version does not write may be behind `review`."""
        if self.review is not None:
            return "approved" if self.review == "approved" else "changes_requested"
        return "in_review" if self.review_number else "draft"

    @property
    def etag(self) -> str:
        """The tag of the state; it changes with every decision, and not with comments."""
        return f'"{self.review_number}-{self.state}"'


@dataclass(frozen=True)
class MeasuredImage:
    """An image's file and its verdict, whose measures a set report compares."""

    asset_key: str
    verdict: Verdict


@dataclass(frozen=True)
class ShotRecord:
    """A shot as clients see it.

    `position` counts the shots that would be claimed before this one now; it is 0 for the next shot and for shots that
    run or have ended. `position_estimated` says that the shot is far behind and that the number is an estimate. `step`
    of `steps` denoising steps are done, over all images of the shot. `version` grows with every change of the row and
    is part of event ids. `preview_version` is 0 before the first preview.
    `cancel_requested` is true while the shot still runs and will be cancelled at its next step. `project_id` is the
    project that it belongs to. `sku` and `meta` are what the client wrote on it. `category` is one whose pictures a
    person must approve. `supersedes` is the picture of which it makes the next version. `kind`, `job` and `job_key` are
    described in `Claim`. `clip` is what a row of kind clip made.
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
    project_id: str | None = None
    sku: str | None = None
    meta: Mapping[str, str] = field(default_factory=dict)
    position_estimated: bool = False
    category: str | None = None
    supersedes: str | None = None
    kind: ShotKind = "shot"
    job: Mapping[str, object] = field(default_factory=dict)
    job_key: str | None = None
    clip: ClipRecord | None = None


@dataclass(frozen=True)
class Claim:
    """A worker's claim on a shot. Writes with it are refused when the row has another `epoch`.

    `worker` names the process that holds the claim. `attempt` is 1 on the first try. `crashes` counts the replicas that
    died of a fault while this shot ran. A shot with `crashes` above 0 must run unbatched, so that the next crash can be
    attributed to it. `interruptions` counts the replicas, nodes and workers that were stopped while it ran.
    `postponed_s` is how long outages have held it up, in seconds.
    `origin` is the context of the request that the shot came with (packshot/telemetry/context.py). A row of another
    `kind` than a shot has a `job`: what it does, in the JSON form of its kind. `job_key` names an asset that it reads.
    `spec` is then the shot of the picture that it works on.
    """

    shot_id: str
    tenant: str
    worker: str
    epoch: int
    attempt: int
    crashes: int
    spec: ShotSpec
    created_at: datetime
    interruptions: int = 0
    postponed_s: float = 0.0
    origin: Mapping[str, str] = field(default_factory=dict)
    kind: ShotKind = "shot"
    job: Mapping[str, object] = field(default_factory=dict)
    job_key: str | None = None

    @property
    def engine(self) -> str | None:
        """The engine that the work needs, or None."""
        return engine_of(self.spec, self.kind)


def engine_of(spec: ShotSpec, kind: ShotKind) -> str | None:
    """The engine that a shot, or another kind of work on its picture, needs; None when it paints nothing."""
    return None if kind == "clip" or not spec.background.generated else spec.engine
