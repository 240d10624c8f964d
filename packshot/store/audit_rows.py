"""How an event enters the audit trail: a row in the transaction of what it records, so that both are kept or neither.

Details hold ids, hashes and codes. Prompts, notes, names and `meta` stay out: they are the tenant's own words, may name
people, and are kept as long as what they belong to, while the trail is kept for its own time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from pydantic import JsonValue
from sqlalchemy import Connection

from packshot.contract.audit import AuditAction
from packshot.contract.shot_spec import ShotSpec
from packshot.contract.status import ShotKind
from packshot.store.records import Claim, NewImage, NewJob
from packshot.store.schema_audit import audit_event
from packshot.store.schema_base import Now
from packshot.telemetry import context

SYSTEM = "system"
"""Who acts where no request does: directors, producers and sweeps."""

_INSERT = audit_event.insert().values(at=Now())

Details = Mapping[str, JsonValue]


def record(
    connection: Connection,
    tenant_id: str,
    action: AuditAction,
    object_id: str,
    *,
    details: Details | None = None,
    models: Mapping[str, str] | None = None,
    by: str | None = None,
    request_id: str | None = None,
) -> None:
    """Add an event to the tenant's trail in the caller's transaction. It waits for no other writer.

    `object_id` is what it is about. `details` that are None are left out. `models` maps the roles of the models that
    took part to their hashes. `by` says who acts, and `request_id` for which request; None takes them from the context
    (`packshot.telemetry.context`).
    """
    record_each(
        connection,
        tenant_id,
        action,
        [(object_id, details)],
        models=models,
        by=by,
        request_id=request_id,
    )


def record_each(
    connection: Connection,
    tenant_id: str,
    action: AuditAction,
    objects: Sequence[tuple[str, Details | None]],
    *,
    models: Mapping[str, str] | None = None,
    by: str | None = None,
    request_id: str | None = None,
) -> None:
    """Add the same event for several objects, each with its details. See `record`."""
    if not objects:
        return
    fields = context.fields()
    rows = [
        {
            "tenant_id": tenant_id,
            "by": (by or fields.get("actor", SYSTEM))[:100],
            "action": action,
            "object_id": object_id,
            "request_id": request_id or fields.get("request"),
            "details": {name: value for name, value in (details or {}).items() if value is not None} or None,
            "models": dict(models) if models else None,
        }
        for object_id, details in objects
    ]
    connection.execute(_INSERT, rows)


def action_of(kind: ShotKind) -> AuditAction:
    """The event of a request for work of this kind."""
    return cast(AuditAction, f"{kind}.asked")  # a test compares the two lists


def record_asked(
    connection: Connection,
    tenant_id: str,
    shot_id: str,
    spec: ShotSpec,
    *,
    request_sha256: str,
    job: NewJob | None,
    supersedes: str | None,
    catalogue_id: str | None,
) -> None:
    """Add that a shot, or another kind of work, was asked for: its masks and the hash of its request, not its words.

    A shot of a catalogue is the producer's work; who started the catalogue stands in the trail too.
    """
    asked = {} if job is None else job.request
    picture, photo = asked.get("image_id", supersedes), asked.get("photo_id")
    details: dict[str, JsonValue] = {
        "request_sha256": request_sha256,
        "images": spec.images if job is None else job.images,
        "engine": spec.engine,
        "masks": list[JsonValue](sorted(set(spec.mask_ids))),
        "image_id": None if picture is None else str(picture),
        "photo_id": None if photo is None else str(photo),
        "catalogue_id": catalogue_id,
    }
    record(
        connection,
        tenant_id,
        action_of("shot" if job is None else job.kind),
        shot_id,
        details=details,
        by=SYSTEM if catalogue_id else None,
    )


def record_made(connection: Connection, claim: Claim, image_ids: Sequence[str], images: Sequence[NewImage]) -> None:
    """Add that a shot's pictures were made, with the hashes of the models that painted them."""
    for image_id, new in zip(image_ids, images, strict=True):
        stamp, recipe = new.recipe.engine, new.recipe
        details: dict[str, JsonValue] = {"shot_id": claim.shot_id, "version": recipe.version}
        if stamp is not None:
            details |= {"pack": recipe.spec.engine, "dtype": stamp.dtype}
        if not recipe.locked:
            details["product"] = "generated"
        if recipe.spec.adapters:
            details["adapters"] = [one.sha256 for one in recipe.spec.adapters]
        record(
            connection,
            claim.tenant,
            "image.made",
            image_id,
            details=details,
            models=stamp.pack if stamp else None,
            by=SYSTEM,
            request_id=claim.origin.get("request"),
        )
