"""Clips as they enter and leave the store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from packshot.contract.clips import MEDIA_TYPES, ClipFormat, ClipJob, Move


@dataclass(frozen=True)
class NewClip:
    """A finished clip to commit with its row of the queue. `data` is the file; `width` and `height` are in pixels."""

    job: ClipJob
    data: bytes
    width: int
    height: int


@dataclass(frozen=True)
class ClipRecord:
    """A stored clip of the picture `image_id`, which the row `shot_id` made. `asset_key` names its bytes."""

    id: str
    tenant: str
    image_id: str
    shot_id: str
    asset_key: str
    format: ClipFormat
    move: Move
    seconds: float
    fps: int
    width: int
    height: int
    bytes: int
    sha256: str
    created_at: datetime

    @property
    def media_type(self) -> str:
        """The file's media type."""
        return MEDIA_TYPES[self.format]
