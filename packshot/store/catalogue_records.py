"""The records of catalogues: frozen copies of rows. Times are aware UTC datetimes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from packshot.contract.shot_spec import ShotSpec
from packshot.contract.status import CatalogueState, FileState, RowState, Status

PhotoKind = Literal["photo", "mask"]
PauseReason = Literal["person", "budget"]


@dataclass(frozen=True)
class NewRow:
    """A row to store. `row` is its number in the sheet, and `item` the manifest's item as JSON, None if unreadable.

    `shots`, `pictures`, `row_steps` and `device_s` are its work. `photos` and `masks` are the paths that it names. A
    row with a `code` is stored as skipped; `detail` says why.
    """

    row: int
    sku: str
    item: str | None
    shots: int = 0
    pictures: int = 0
    row_steps: int = 0
    device_s: float = 0.0
    photos: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()
    code: str | None = None
    detail: str | None = None


@dataclass(frozen=True)
class CatalogueCounts:
    """How many rows of a catalogue are in each state."""

    waiting: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    skipped: int = 0

    @property
    def total(self) -> int:
        """All rows."""
        return self.waiting + self.running + self.done + self.failed + self.skipped


@dataclass(frozen=True)
class CatalogueRecord:
    """A catalogue. `frame` is its manifest without the items, as JSON; `packshot.catalogue.rows.manifest_of` reads it.

    `version` grows with each change of the state. `largest_mm` is the largest true size of its products, millimetres.
    `allowed_images` and `allowed_device_s` (seconds of a device) are what it may spend until it pauses; None = no
    limit. What was spent is counted when a shot is accepted. `key_id` is the key that made it, if one did.
    """

    id: str
    tenant: str
    name: str
    state: CatalogueState
    version: int
    frame: str
    largest_mm: float | None
    pause_reason: PauseReason | None
    allowed_images: int | None
    allowed_device_s: float | None
    spent_images: int
    spent_device_s: float
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    counts: CatalogueCounts = CatalogueCounts()
    key_id: str | None = None


@dataclass(frozen=True)
class RowShot:
    """A shot of a row. `image_id` is the picture that was chosen of it. `scene` is "" for a plain background."""

    key: str
    nth: int
    view: str
    scene: str
    shot_id: str
    state: Literal["live", "done", "failed", "cancelled"]
    image_id: str | None
    code: str | None
    detail: str | None


@dataclass(frozen=True)
class RowFile:
    """A file of a row for the `deliver` entry number `entry`; `n` counts the row's files of this entry from 1."""

    entry: int
    n: int
    image_id: str
    state: FileState
    delivered_id: str | None
    to: str | None
    name: str | None
    code: str | None
    detail: str | None


@dataclass(frozen=True)
class CatalogueRow:
    """A row with its shots and files, in order. `item` is the manifest's item as JSON, None if it was unreadable.

    `masks` has the mask id of each photo, in the order of the item's photos; it is None before they are cut.
    """

    place: int
    row: int
    sku: str
    item: str | None
    state: RowState
    code: str | None
    detail: str | None
    attempt: int
    shots_left: int
    pictures: int
    masks: tuple[str, ...] | None
    ended_at: datetime | None
    shots: tuple[RowShot, ...] = field(default=())
    files: tuple[RowFile, ...] = field(default=())


@dataclass(frozen=True)
class MissingPhoto:
    """A photo or a mask that rows name by a path, and that is not there yet."""

    path: str
    kind: PhotoKind


@dataclass(frozen=True)
class PathPhoto:
    """What a path stands for: a photo's id, the asset of a mask's file, or why its rows fail."""

    photo_id: str | None
    asset_key: str | None
    code: str | None
    detail: str | None


@dataclass(frozen=True)
class ShotOfRow:
    """A shot to accept for a row. `key` names it within the row, and `device_s` is what it costs, seconds.

    `price_device_s` is what of it a vendor is paid, in device-seconds.
    """

    key: str
    nth: int
    view: str
    scene: str
    spec: ShotSpec
    row_steps: int
    device_s: float
    sku: str
    meta: dict[str, str]
    category: str | None = None
    price_device_s: float = 0.0


@dataclass(frozen=True)
class LiveShot:
    """A shot of a running row as its producer sees it: `status` is the shot's, None when it was deleted."""

    place: int
    key: str
    nth: int
    shot_id: str
    status: Status | None
    code: str | None
    detail: str | None
    item: str | None


@dataclass(frozen=True)
class EndedShot:
    """How a shot of a row ended: with the chosen picture and the (entry, n) of the files to make of it, or a code."""

    place: int
    key: str
    image_id: str | None = None
    files: tuple[tuple[int, int, str | None], ...] = ()
    code: str | None = None
    detail: str | None = None


@dataclass(frozen=True)
class OpenFile:
    """A file to make: of the picture `image_id`, for the `deliver` entry number `entry`. `item` is its row's, JSON.

    `earlier_id` is the delivered file of the version that the picture supersedes.
    """

    place: int
    entry: int
    n: int
    image_id: str
    to: str | None
    earlier_id: str | None = None
    item: str = ""
