"""Every error that Packshot raises on purpose, and the codes that outsiders rely on.

    PackshotError
    ├── BadInput          the request cannot be served as it stands; the caller can mend it
    ├── TooLarge          the body or a part of it is over a limit
    ├── UnsupportedMedia  not a format that we read
    ├── Unauthorized      no key, or a key that is not valid
    ├── Forbidden         a key or origin that may not do this
    ├── NotFound          no such thing for this tenant
    ├── MethodNotAllowed  the route exists, but not with this method
    ├── Conflict          the thing is in a state that does not allow this
    ├── Overloaded        too much work is waiting; try again after `retry_after_s`
    ├── Unavailable       the graph does not answer yet, or no longer
    ├── StorageFull       the tenant's or the machine's disk quota is used up
    ├── PackRefused       a pack's files or manifest do not fit; the operator can mend it
    ├── LeaseLost         a worker's claim on a shot is no longer its own (never reaches a client)
    └── EngineFailed      the engine could not finish a shot (`retryable` says whether another try may)

A code belongs to exactly one kind; `packshot.api.problems` maps kinds to HTTP statuses in one table. `detail` states
the rule, the value received and the remedy.
"""

from __future__ import annotations

from typing import ClassVar, TypedDict


class FieldError(TypedDict):
    """One offending field. `loc`: the path to it. `msg`: the rule and the value received."""

    loc: list[str | int]
    msg: str


class PackshotError(Exception):
    """Base of the tree. `errors` lists one entry per offending field."""

    codes: ClassVar[dict[str, str]] = {}

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: list[FieldError] | None = None,
        retry_after_s: float | None = None,
        retryable: bool = False,
    ) -> None:
        if code not in self.codes:
            raise ValueError(f"{type(self).__name__} has no code {code!r}; it has {sorted(self.codes)}")
        super().__init__(code, detail)  # exactly these two: pickling rebuilds from args, then restores __dict__
        self.code = code
        self.detail = detail
        self.errors = errors
        self.retry_after_s = retry_after_s
        self.retryable = retryable

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


class BadInput(PackshotError):
    codes: ClassVar[dict[str, str]] = {
        "invalid_request": "A field is missing, unknown, of the wrong type or out of its range.",
        "invalid_json": "The body is not JSON, is nested too deep, or holds a number that is not finite.",
        "photo_empty": "The upload holds no bytes, or no pixel that shows.",
        "photo_unreadable": "The bytes are not a whole, valid image (truncated, corrupt).",
        "photo_type_mismatch": "The bytes are of another type than the upload claims.",
        "photo_animated": "The image has more than one frame.",
        "photo_too_many_pixels": "The image has more pixels, or a longer side, than the limits allow.",
        "photo_too_small": "The image is smaller than the smallest size that can be cut.",
        "photo_timeout": "Decoding took longer than the limit.",
        "point_outside": "A point lies outside the photo.",
        "box_invalid": "A box is empty, inverted or outside the photo.",
        "mask_empty": "The mask holds no product pixel.",
        "mask_too_small": "The product in the mask is smaller than the smallest size that can be placed.",
        "prompt_invalid": "The prompt is too long or holds control or bidirectional characters.",
        "unknown_engine": "No engine of that name is served.",
        "unknown_preset": "No delivery preset of that name exists.",
        "preset_unmet": "The picture cannot meet a rule of the preset.",
        "idempotency_mismatch": "The Idempotency-Key was used before with another body.",
        "layer_outside": "A layer lies outside the canvas or vanishes at its scale.",
        "bad_usage": "A command was called with arguments that do not fit together.",
    }


class TooLarge(PackshotError):
    codes: ClassVar[dict[str, str]] = {"body_too_large": "The body is larger than the limit."}


class UnsupportedMedia(PackshotError):
    codes: ClassVar[dict[str, str]] = {"photo_format": "The bytes are not a JPEG, PNG or WebP image."}


class Unauthorized(PackshotError):
    codes: ClassVar[dict[str, str]] = {"unauthorized": "A valid key is needed: `Authorization: Bearer <key>`."}


class Forbidden(PackshotError):
    codes: ClassVar[dict[str, str]] = {"origin_refused": "The request's Origin or Host may not do this."}


class NotFound(PackshotError):
    codes: ClassVar[dict[str, str]] = {"not_found": "No such thing exists for this tenant."}


class MethodNotAllowed(PackshotError):
    codes: ClassVar[dict[str, str]] = {"method_not_allowed": "The route does not take this method."}


class Conflict(PackshotError):
    codes: ClassVar[dict[str, str]] = {
        "in_use": "A live shot needs it.",
        "already_finished": "The shot has ended.",
    }


class Overloaded(PackshotError):
    codes: ClassVar[dict[str, str]] = {
        "queue_full": "The tenant has as many waiting shots as it may have.",
        "busy": "Every worker of this stage is taken.",
    }


class Unavailable(PackshotError):
    codes: ClassVar[dict[str, str]] = {
        "not_ready": "The graph does not answer (starting, or a stage is down).",
        "schema_mismatch": "The database's schema is of another version of packshot.",
    }


class StorageFull(PackshotError):
    codes: ClassVar[dict[str, str]] = {"storage_full": "The disk quota is used up."}


class PackRefused(PackshotError):
    codes: ClassVar[dict[str, str]] = {
        "pack_unknown": "No pack of that name is known.",
        "pack_missing": "A file of the pack is neither on disk nor in the cache, and the hub is off or out of reach.",
        "pack_corrupt": "A file of the pack has another sha256 than its manifest says.",
        "pack_mismatch": "Parts of the pack do not fit together.",
        "pack_not_renderable": "The pack is declared, but this version cannot render with it.",
        "pack_licence": "The pack's licence needs an explicit flag.",
    }


class LeaseLost(PackshotError):
    codes: ClassVar[dict[str, str]] = {"lease_lost": "Another worker holds, or has ended, the shot."}


class EngineFailed(PackshotError):
    codes: ClassVar[dict[str, str]] = {
        "engine_failed": "The engine raised while it rendered.",
        "engine_crash": "A replica died twice while it ran this shot.",
        "engine_out_of_memory": "The engine ran out of memory.",
        "engine_nan": "The engine produced values that are not numbers.",
        "timeout": "The shot ran longer than the limit.",
        "internal": "A fault of ours; the request id finds it in the logs.",
    }


class EngineCrashed(EngineFailed):
    """A replica died while it ran a shot: the shot is tried again, alone."""

    def __init__(self, detail: str) -> None:
        super().__init__("engine_crash", detail, retryable=True)

    def __reduce__(self) -> tuple[type[EngineCrashed], tuple[str]]:
        return type(self), (self.detail,)


KINDS: tuple[type[PackshotError], ...] = tuple(PackshotError.__subclasses__())
"""Every kind, in the order of the drawing."""

__all__ = ["KINDS", "FieldError", "PackshotError", *sorted(kind.__name__ for kind in KINDS)]
