"""Answers about stored catalogues: what each is doing, its rows, its photos, and why a manifest was refused."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from packshot.contract.base import Answer, Moment, absent
from packshot.contract.status import CatalogueState, FileState, RowState

MAX_MISSING = 1_000
"""Most missing photos that one answer lists."""


class MissingPhotoAnswer(Answer):
    """A photo or a mask that rows name by a path, and that was not uploaded yet."""

    path: str = Field(description="The path below the manifest: the value of `path` of the upload.")
    kind: Literal["photo", "mask"]
    rows: tuple[int, ...] | None = Field(
        None, exclude_if=absent, description="The rows that name it, the first 20; only when the catalogue is made."
    )


class CountsAnswer(Answer):
    """How many rows are in each state."""

    waiting: int = Field(description="Rows that no shot was made for yet.")
    running: int
    done: int
    failed: int = Field(description="Rows that ended with an error; `retry` opens them again.")
    skipped: int = Field(description="Rows that were left out, each with its reason.")


class SpentAnswer(Answer):
    """What the catalogue may spend until it pauses, and what it has spent. A limit of null is none."""

    images: int
    device_s: float = Field(description="Seconds of a device.")
    allowed_images: int | None
    allowed_device_s: float | None


class CatalogueAnswer(Answer):
    """A catalogue. `missing_photos` are listed while it is a draft."""

    id: str
    name: str
    state: CatalogueState
    url: str = Field(description="Path of the catalogue.")
    rows: int
    counts: CountsAnswer
    version: int = Field(description="Grows with each change of the state; the ETag holds it.")
    pause_reason: Literal["person", "budget"] | None = Field(None, exclude_if=absent, description="Why it is paused.")
    spent: SpentAnswer
    missing_photos: tuple[MissingPhotoAnswer, ...] | None = Field(
        None, exclude_if=absent, description=f"Photos that must come before the start, the first {MAX_MISSING:,}."
    )
    missing_photos_total: int | None = Field(None, exclude_if=absent)
    created_at: Moment
    started_at: Moment | None
    ended_at: Moment | None


class CataloguePage(Answer):
    """A page of catalogues, newest first."""

    catalogues: tuple[CatalogueAnswer, ...]
    next_cursor: str | None = Field(description="The value of `cursor` for the next page; null on the last page.")


class RowShotAnswer(Answer):
    """One shot of a row: a view on a scene or a plain background."""

    shot_id: str
    view: str
    scene: str = Field(description="The scene's name; empty on a plain background.")
    state: Literal["live", "done", "failed", "cancelled"]
    image_id: str | None = Field(description="The picture that was chosen; null until there is one.")
    code: str | None = Field(None, exclude_if=absent, description="Why it failed.")
    detail: str | None = Field(None, exclude_if=absent)


class RowFileAnswer(Answer):
    """One delivered file of a row."""

    preset: str
    entry: int = Field(description="The place of its `deliver` entry, from 0.")
    n: int = Field(description="Its number among the row's files of the entry, from 1.")
    state: FileState = Field(description="waiting, made, failed, or held (until a person approves the picture).")
    image_id: str
    name: str | None = Field(None, exclude_if=absent, description="The file's name.")
    url: str | None = Field(None, exclude_if=absent, description="Path of the file.")
    to: str | None = Field(None, exclude_if=absent, description="The route that it went to, besides the archive.")
    code: str | None = Field(None, exclude_if=absent, description="Why it failed.")
    detail: str | None = Field(None, exclude_if=absent)


class RowAnswer(Answer):
    """One SKU of a catalogue."""

    row: int = Field(description="The row as a spreadsheet numbers it, or the item's place from 1.")
    sku: str
    state: RowState
    code: str | None = Field(
        None,
        exclude_if=absent,
        description="Why it failed or was skipped, or, of a row that is cut, several_found; a stable code.",
    )
    detail: str | None = Field(None, exclude_if=absent, description="The rule, the value and the remedy.")
    attempt: int = Field(description="1, and one more after each retry.")
    shots: tuple[RowShotAnswer, ...]
    files: tuple[RowFileAnswer, ...]
    ended_at: Moment | None


class RowsPage(Answer):
    """A page of rows, in the manifest's order."""

    rows: tuple[RowAnswer, ...]
    next_cursor: str | None = Field(description="The value of `cursor` for the next page; null on the last page.")


class PutPhotoAnswer(Answer):
    """A photo or a mask of a catalogue."""

    path: str
    stored: bool = Field(description="False when it was there already.")
    photo_id: str | None = Field(None, exclude_if=absent, description="The photo; absent for a mask.")


class RefusedPhoto(Answer):
    """A photo of an archive that cannot be used. Its rows fail with this code."""

    path: str
    code: str
    detail: str


class PhotosZipAnswer(Answer):
    """What was taken from an archive of photos."""

    stored: int = Field(description="Photos and masks that are there now and were missing before.")
    refused: tuple[RefusedPhoto, ...] = Field(description="Photos that cannot be read; their rows will fail.")
    unused: tuple[str, ...] = Field(description="Entries that are not missing, the first 1,000.")
    missing_photos_total: int = Field(description="How many are missing still.")
