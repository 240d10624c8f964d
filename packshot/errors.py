"""The exceptions that Packshot raises on purpose, and the stable codes that clients rely on.

    PackshotError
    ├── BadInput          the request cannot be served as sent; the caller can correct it
    ├── TooLarge          the request body exceeds the size limit
    ├── TooSlow           the request body does not arrive
    ├── UnsupportedMedia  the upload is not in a supported format
    ├── Unauthorized      the key is missing, invalid or revoked
    ├── Forbidden         the request's origin or host is not allowed, or its key is no admin key
    ├── NotFound          the tenant owns no object with this id
    ├── MethodNotAllowed  the route exists, but not with this method
    ├── Conflict          the object's state does not allow the request
    ├── BudgetSpent       a budget of the key or the tenant is used up; `retry_after_s` is the time to its next period
    ├── PreconditionFailed the object changed since the client read it (`If-Match`)
    ├── Overloaded        too much work is waiting; retry after `retry_after_s`
    ├── Unavailable       the graph or the database cannot serve requests
    ├── StorageFull       the disk quota is used up
    ├── PackRefused       a pack's files or manifest are unusable; the operator can correct it
    ├── LeaseLost         a worker no longer holds the lease on its shot (never reaches a client)
    └── EngineFailed      the engine could not finish a shot (`retryable`: whether the shot may be retried)
        ├── EngineCrashed a replica died of a fault while it ran the shot
        └── Interrupted   a replica or its node was stopped while it ran the shot

Each code belongs to exactly one class. `packshot.api.problems` maps classes to HTTP statuses in one table. `detail`
states the rule, the value received and the remedy.
"""

from __future__ import annotations

from typing import ClassVar, TypedDict


class FieldError(TypedDict):
    """One field that broke a rule.

    `loc` is the path to the field, for example `["layers", 0, "x"]`. `msg` states the rule and the value received.
    """

    loc: list[str | int]
    msg: str


class PackshotError(Exception):
    """Base class of every error that Packshot raises on purpose.

    `code` is one of the class's `codes`. `detail` states the rule, the value received and the remedy. `errors` has one
    entry for each field that broke a rule. `retry_after_s` is the number of seconds after which the caller may retry.
    `retryable` is True when the same shot may succeed in another attempt. The constructor raises ValueError for a code
    that the class does not have.
    """

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
        super().__init__(code, detail)  # exactly these two: unpickling calls cls(*args), then restores __dict__
        self.code = code
        self.detail = detail
        self.errors = errors
        self.retry_after_s = retry_after_s
        self.retryable = retryable

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


class BadInput(PackshotError):
    """Raised when a request or a command cannot be served as sent, and the caller can correct it."""

    codes: ClassVar[dict[str, str]] = {
        "invalid_request": "A field is missing, unknown, of the wrong type or out of its range.",
        "invalid_json": "The body is not JSON, is nested too deep, or holds a number that is not finite.",
        "photo_empty": "The upload holds no bytes, or no visible pixel.",
        "photo_unreadable": "The bytes are not a complete, valid image (truncated or corrupt).",
        "photo_type_mismatch": "Retired: the bytes decide, and a wrong type gives a note.",
        "photo_animated": "The image has more than one frame, or more than four pages.",
        "photo_too_many_pixels": "The image has more pixels, or a longer side, than the limits allow.",
        "photo_too_many_scans": "The JPEG has more scans than are decoded at its size.",
        "photo_too_small": "The image is smaller than the smallest size that can be cut.",
        "photo_timeout": "Decoding took longer than the limit.",
        "point_outside": "A point lies outside the photo.",
        "box_invalid": "A box is empty, inverted or outside the photo.",
        "upload_mismatch": "The uploaded file is missing, or has another size or hash than announced.",
        "mask_empty": "The mask holds no product pixel.",
        "mask_too_small": "The product in the mask is smaller than the smallest size that can be placed.",
        "mask_unreadable": "The bytes are not a complete, valid PNG that can be read as a mask.",
        "mask_size": "The mask has another size than its photo.",
        "mask_inverted": "The mask marks the photo's border as product, so it seems to be inverted.",
        "mask_of_other_photo": "The mask belongs to another photo.",
        "stroke_outside": "A brush stroke touches no pixel of the photo.",
        "region_empty": "A touch-up's region holds no pixel.",
        "region_product": "A touch-up's region holds only pixels of the locked product.",
        "nothing_painted": "The picture has no painted scene that could be touched up.",
        "canvas_too_large": "A picture would grow beyond the largest canvas.",
        "strokes_too_large": "The brush strokes paint more pixels than one request may.",
        "prompt_invalid": "The prompt is too long or holds control or bidirectional characters.",
        "name_invalid": "A name is empty, too long, or holds control or bidirectional characters.",
        "filename_invalid": "A delivered file's name lacks a value, is too long, or is not one plain file name.",
        "template_invalid": "A template of file names has an unknown field, a separator, or no extension.",
        "gtin_invalid": "A GTIN has not 8, 12, 13 or 14 digits, or its check digit is wrong.",
        "unknown_engine": "No engine with that name is served.",
        "engine_cannot": "The engine lacks what a value of the shot needs. GET /v1/engines lists its capabilities.",
        "unknown_preset": "No delivery preset with that name exists.",
        "preset_unmet": "The picture cannot meet a rule of the preset.",
        "product_generated": "An engine painted the picture's product, and the preset takes only a locked one.",
        "idempotency_mismatch": "The Idempotency-Key was used before with another body.",
        "layer_outside": "A layer lies outside the canvas, or its scale leaves no pixel of it.",
        "manifest_unreadable": "The bytes are no manifest: no YAML, JSON or CSV, or with aliases, tags or double keys.",
        "url_not_allowed": "A URL does not lie under a prefix that the operator allowed.",
        "zip_refused": "A ZIP archive is damaged, encrypted, or has paths that leave its folder.",
        "manifest_refused": "Rows of a catalogue's manifest have problems. `problems` lists them.",
        "product_not_found": "No product was found in the photo of a catalogue's row.",
        "no_product": "The photo does not show what the words name.",
        "photo_missing": "A catalogue's row names a photo or a mask that is not there.",
        "axes_too_large": "A catalogue's axes have more combinations than the limit.",
        "not_served": "A field needs a stage that is not served.",
        "relight_refused": "Relight needs a painted scene and a channel that takes a relit product.",
        "style_refused": "A style needs a painted scene, and references that show what is asked of them.",
        "adapter_invalid": "The file is no safetensors file with a plain LoRA or a textual inversion.",
        "adapter_mismatch": "The adapter is for another family of networks than the engine's.",
        "reference_too_small": "A reference picture is too small to show a scene.",
        "reference_cutout": "Most of a reference picture is transparent, so it shows no scene.",
        "word_forbidden": "The prompt holds a word that the style forbids.",
        "layers_too_large": "The layers together are more pixels than one shot may show or cut out.",
        "not_filmable": "A picture cannot become a clip: no background, or its masks or photos were deleted.",
        "video_not_installed": "A clip's format needs ffmpeg, which this server does not have.",
        "content_refused": "The vendor of a remote engine refuses the prompt or the product's picture.",
        "redo_needs_change": "A reason cannot be mended by itself; the request must say what to change.",
        "url_refused": "A webhook's URL is not https, or leads to an address that is not public.",
        "signing_refused": "The certificate or the key that signs delivered files cannot be used.",
        "dataset_refused": "A training's dataset has too few or too many pictures, or faulty or silent ones.",
        "tag_refused": "A training's activation tag is a word that the pack knows.",
        "bad_usage": "A command was called with arguments that do not fit together.",
    }


class TooLarge(PackshotError):
    """Raised when a request body exceeds `max_body_bytes`, or that of an upload `max_photo_bytes`."""

    codes: ClassVar[dict[str, str]] = {"body_too_large": "The body is larger than the limit."}


class TooSlow(PackshotError):
    """Raised when a request's body stops before its end."""

    codes: ClassVar[dict[str, str]] = {"body_timeout": "The body stopped before its end, or came too slowly."}


class UnsupportedMedia(PackshotError):
    """Raised when an upload's bytes are not of a format that is decoded, or a body has another type than its route."""

    codes: ClassVar[dict[str, str]] = {
        "photo_format": "The bytes are not a JPEG, PNG, WebP, AVIF, HEIC, TIFF or GIF image.",
        "mask_format": "The bytes of a mask are not a PNG image.",
        "body_type": "The body's media type is not the one that the route takes.",
    }


class Unauthorized(PackshotError):
    """Raised when a request has no key or session, or one that is invalid, expired or revoked."""

    codes: ClassVar[dict[str, str]] = {"unauthorized": "A valid key is needed: `Authorization: Bearer <key>`."}


class Forbidden(PackshotError):
    """Raised when a request's Origin or Host header is not allowed, or its key is no admin key."""

    codes: ClassVar[dict[str, str]] = {
        "origin_refused": "The request's Origin or Host is not allowed.",
        "admin_only": "The route needs an admin key.",
    }


class NotFound(PackshotError):
    """Raised when the tenant owns no object with the requested id, or the route does not exist."""

    codes: ClassVar[dict[str, str]] = {"not_found": "The tenant has no object with this id, or the route is unknown."}


class MethodNotAllowed(PackshotError):
    """Raised when a route exists, but not with the request's method."""

    codes: ClassVar[dict[str, str]] = {"method_not_allowed": "The route does not support this method."}


class Conflict(PackshotError):
    """Raised when an object's state does not allow the request."""

    codes: ClassVar[dict[str, str]] = {
        "in_use": "A queued or running shot, a style or an open catalogue needs the object.",
        "already_finished": "The shot has ended.",
        "legal_hold": "The tenant is under a legal hold and must be kept.",
        "file_taken": "A catalogue's route has another file of this name.",
        "name_taken": "The tenant has another object of this kind with the name.",
        "photos_missing": "A catalogue cannot start before the photos that its rows name are there.",
        "catalogue_state": "The catalogue's state does not allow the change.",
        "not_approved": "The picture may leave only when a person has approved this version of it.",
        "text_changed": "The picture's product is in a category, and its text differs or is not proven.",
        "superseded": "A newer version has replaced the picture.",
        "comments_full": "The visitors of a share link have left as many comments on the picture as they may.",
        "gain_altered": "The gain file of a relit picture is not the one that was stored with it.",
        "too_many": "The tenant has as many objects of this kind as it may.",
        "too_many_webhooks": "The tenant has reached its limit of webhooks.",
        "webhook_disabled": "The webhook's receiver answered 410 Gone; nothing is sent to it.",
    }


class BudgetSpent(PackshotError):
    """Raised when a shot would exceed a budget of its key or tenant, until `retry_after_s` seconds have passed.

    Also raised for a shot of an engine that is paid for each picture when there is no budget.
    """

    codes: ClassVar[dict[str, str]] = {
        "budget_spent": "A budget of the key or the tenant is used up.",
        "budget_needed": "The engine costs money for each picture, and neither the key nor its tenant has a budget.",
    }


class PreconditionFailed(PackshotError):
    """Raised when an object is not in the state that the request's `If-Match` names.

    `state` is its present state, and `etag` that state's tag.
    """

    codes: ClassVar[dict[str, str]] = {"version_changed": "Somebody has changed the object since it was read."}

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        state: str = "",
        etag: str = "",
        errors: list[FieldError] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(code, detail, errors=errors, retry_after_s=retry_after_s)
        self.state = state
        self.etag = etag


class Overloaded(PackshotError):
    """Raised when a queue is full; the caller may retry after `retry_after_s` seconds."""

    codes: ClassVar[dict[str, str]] = {
        "queue_full": "The tenant has reached its limit of waiting shots.",
        "busy": "Every worker of this stage is busy.",
    }


class Unavailable(PackshotError):
    """Raised when the graph does not answer, or the database belongs to another version of Packshot."""

    codes: ClassVar[dict[str, str]] = {
        "not_ready": "The graph does not answer: it is starting or stopping, or a stage is down.",
        "engine_not_served": "The engine of an accepted shot or of a picture is not served; the shot waits for it.",
        "remote_unavailable": "The vendor of a remote engine does not answer or asks to wait; the shot waits.",
        "signing_unavailable": "The key that signs delivered files does not answer, or its certificate has expired.",
        "schema_mismatch": "The database's schema belongs to another version of packshot.",
    }


class StorageFull(PackshotError):
    """Raised when a new file would exceed `max_asset_bytes`, or the disk is full."""

    codes: ClassVar[dict[str, str]] = {"storage_full": "The disk quota is used up."}


class PackRefused(PackshotError):
    """Raised when a pack cannot be found, read, verified or loaded on this machine."""

    codes: ClassVar[dict[str, str]] = {
        "pack_unknown": "No pack with that name was found.",
        "pack_missing": "A file of the pack is neither on disk nor in the cache, and the hub is off or unreachable.",
        "pack_corrupt": "A file of the pack has another sha256 than its manifest states.",
        "pack_mismatch": "Parts of the pack do not fit together.",
        "pack_not_renderable": "The pack is declared, but this version cannot render with it.",
        "pack_licence": "The pack's licence needs an explicit flag.",
        "pack_key": "The pack calls a vendor's service, and there is no key for it.",
    }


class LeaseLost(PackshotError):
    """Raised when a worker writes to a shot that another worker has claimed, or that has ended."""

    codes: ClassVar[dict[str, str]] = {"lease_lost": "Another worker has claimed the shot, or the shot has ended."}


class EngineFailed(PackshotError):
    """Raised when a stage could not finish a shot, and the request is not the cause."""

    codes: ClassVar[dict[str, str]] = {
        "engine_failed": "The engine raised an error while it rendered.",
        "engine_crash": "A replica crashed twice while it ran this shot.",
        "interrupted": "The processes that ran this shot were stopped too often.",
        "engine_out_of_memory": "The engine ran out of memory.",
        "engine_nan": "The engine produced values that are not finite (NaN or infinity).",
        "timeout": "The shot ran longer than the limit.",
        "remote_answer": "The vendor of a remote engine answered with no picture of the size that was asked for.",
        "remote_refused": "The vendor of a remote engine refused the call.",
        "internal": "An internal error. The logs hold its cause under the request id.",
    }


class EngineCrashed(EngineFailed):
    """Raised when a replica died of a fault while it ran a shot. The director retries the shot once, unbatched."""

    def __init__(self, detail: str) -> None:
        super().__init__("engine_crash", detail, retryable=True)

    def __reduce__(self) -> tuple[type[EngineCrashed], tuple[str]]:
        return type(self), (self.detail,)


class Interrupted(EngineFailed):
    """Raised when a replica or its node was stopped while it ran a shot, and nothing shows a fault of the replica."""

    def __init__(self, detail: str) -> None:
        super().__init__("interrupted", detail, retryable=True)

    def __reduce__(self) -> tuple[type[Interrupted], tuple[str]]:
        return type(self), (self.detail,)


KINDS: tuple[type[PackshotError], ...] = tuple(PackshotError.__subclasses__())
"""Every direct subclass of PackshotError, in the order of the tree above."""

__all__ = ["KINDS", "FieldError", "PackshotError", *sorted(kind.__name__ for kind in KINDS)]
