"""The audit trail: what happened to a tenant's photos and pictures, who asked for it, and with which models."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Literal, get_args

from pydantic import Field, JsonValue

from packshot.contract.base import Answer, Moment, absent

AuditAction = Literal[
    "photo.uploaded",
    "photo.deleted",
    "mask.put",
    "mask.deleted",
    "shot.asked",
    "shot.cancelled",
    "touchup.asked",
    "clip.asked",
    "enhancement.asked",
    "image.made",
    "image.approved",
    "image.changes_requested",
    "image.in_review",
    "image.commented",
    "image.restored",
    "clip.made",
    "file.delivered",
    "file.read",
    "file.verified",
    "catalogue.created",
    "catalogue.started",
    "catalogue.paused",
    "catalogue.resumed",
    "catalogue.cancelled",
    "catalogue.retried",
    "style.added",
    "style.changed",
    "style.deleted",
    "adapter.added",
    "adapter.changed",
    "adapter.deleted",
    "training.asked",
    "training.cancelled",
    "training.ended",
    "training.deleted",
    "share.made",
    "share.revoked",
    "key.made",
    "key.revoked",
    "tenant.changed",
    "tenant.held",
    "tenant.released",
]
"""What happened, as `object.verb`."""

AUDIT_ACTIONS: tuple[AuditAction, ...] = get_args(AuditAction)

FIRST_SHA256 = "0" * 64
"""The `previous_sha256` of a chain's first line."""


class AuditLine(Answer):
    """One line of the audit trail: one event.

    `number` counts a tenant's events from 1, without gaps. `by` is `key ID`, `session ID` (of a key), `share ID`,
    `local` (a server without keys), `command line`, `anyone` (somebody who is not the owner asked about a file) or
    `system`. `object` is the id of what the event is about, or the sha256 of a file that is not the tenant's.
    `request` is the `x-request-id` of the request that caused it. `models` maps each role of a model to a sha256, and
    `previous_sha256` is that of the line before, as it is written here.
    """

    number: int
    at: Moment
    tenant: str
    by: str
    action: str
    object: str
    request: str | None = Field(None, exclude_if=absent)
    details: Mapping[str, JsonValue] | None = Field(None, exclude_if=absent)
    models: Mapping[str, str] | None = Field(None, exclude_if=absent)
    previous_sha256: str


def line_sha256(line: bytes) -> str:
    """The sha256 of a line as the export writes it, without its line break: the next line's `previous_sha256`."""
    return hashlib.sha256(line.rstrip(b"\n")).hexdigest()


def line_json(values: Mapping[str, object]) -> bytes:
    """A line of the export: canonical JSON without what is None, and a line break.

    It must never change for values that exist: the next line holds its hash.
    """
    given = {name: value for name, value in values.items() if value is not None}
    return json.dumps(given, sort_keys=True, separators=(",", ":"), allow_nan=False).encode() + b"\n"
