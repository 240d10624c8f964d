"""The records of files for channels."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from packshot.contract.verdict import Finding
from packshot.imaging.fingerprint import Fingerprint


@dataclass(frozen=True)
class NewDelivered:
    """A file for a channel, to store. `recipe` names the preset, the date of its rules and the options.

    `data` is the file and `extension` its suffix without a dot. `changes`, `findings`, `mark` and `signed_by` are
    described in `packshot.delivery.deliver`, and `instance_id` in `packshot.delivery.marks`. `fingerprint` is
    what the file is found by; with None it is looked for later.
    """

    preset: str
    recipe: str
    data: bytes
    extension: str
    media_type: str
    width: int
    height: int
    source_type: str | None
    changes: tuple[str, ...]
    findings: tuple[Finding, ...]
    mark: int | None = None
    instance_id: str | None = None
    signed_by: str | None = None
    fingerprint: Fingerprint | None = None


@dataclass(frozen=True)
class DeliveredRecord:
    """A stored file of a channel. `width` and `height` are in pixels; `asset_key` names its bytes.

    `mark`, `instance_id` and `signed_by` are those of `NewDelivered`; None for a file that has none.
    """

    id: str
    tenant: str
    image_id: str
    preset: str
    asset_key: str
    media_type: str
    width: int
    height: int
    bytes: int
    sha256: str
    source_type: str | None
    changes: tuple[str, ...]
    findings: tuple[Finding, ...]
    created_at: datetime
    mark: int | None = None
    instance_id: str | None = None
    signed_by: str | None = None

    @property
    def extension(self) -> str:
        """The file's suffix without a dot."""
        return self.asset_key.rpartition(".")[2]

    @property
    def notes(self) -> tuple[str, ...]:
        """The changes, and the rules and recommendations of the channel that the file does not follow."""
        return (*self.changes, *(finding.detail for finding in self.findings if finding.level != "ok"))
