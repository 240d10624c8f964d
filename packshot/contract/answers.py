"""The bodies of the server's answers. Recipes, engines, presets and events have their own modules.

A field that every answer holds has no default, so that `/openapi.json` lists it as required.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from packshot.contract.base import Answer, Moment, Number, absent
from packshot.contract.clips import ClipAnswer
from packshot.contract.product import ProductSource
from packshot.contract.recipe_answers import (  # noqa: F401 - they can be imported from here, too
    CanvasAnswer,
    ConditionAnswer,
    EnhancementAnswer,
    LayerAnswer,
    MarginsAnswer,
    PaintedAnswer,
    ProofAnswer,
    RecipeAnswer,
    ReflectionAnswer,
    RelightAnswer,
    ResolvedRequest,
    RetryAnswer,
    ShadowAnswer,
    TouchupAnswer,
    TryAnswer,
)
from packshot.contract.status import MaskSource, Review, ReviewReason, ReviewState, ShotKind, Status
from packshot.contract.verdict import Level

KIND = (
    "What it makes: shot (pictures), touchup (a picture's next version, painted anew in a part), clip (of one), or "
    "enhancement (a repainted photo)."
)


class HealthAnswer(Answer):
    """The answer of a health check that passed."""

    status: Literal["ok"]


class SessionAnswer(Answer):
    """A session. The answer's `Set-Cookie` header holds its cookie."""

    tenant: str = Field(description="The name of the tenant that owns the key.")
    expires_at: Moment = Field(description="When the cookie expires.")


class NoteAnswer(Answer):
    """What was assumed, dropped or changed: in an upload by the decoder, of a search's words by the detector."""

    code: str = Field(description="A stable name, such as type_by_bytes, reduced, profile_assumed or words_ignored.")
    detail: str = Field(description="A sentence that says what was done.")


class PhotoAnswer(Answer):
    """An uploaded photo."""

    id: str
    width: int = Field(description="Width of the normalised photo, pixels; boxes and points count in it.")
    height: int = Field(description="Height of the normalised photo, pixels.")
    format: str = Field(description="Format of the upload: jpeg, png, webp, avif, heif, tiff or gif.")
    bytes: int = Field(description="Size of the upload, bytes.")
    sha256: str = Field(description="SHA-256 of the upload's bytes, hexadecimal.")
    url: str = Field(description="Path of the normalised photo.")
    notes: tuple[NoteAnswer, ...] = Field(
        (), description="What the decoder assumed, dropped or changed; often nothing."
    )
    created_at: Moment = Field(description="When these bytes were uploaded first.")
    project_id: str | None = Field(
        None, exclude_if=absent, description="The project that it belongs to; absent without one."
    )


class UploadAnswer(Answer):
    """Where to send a photo's file."""

    id: str = Field(description="The upload's id, for POST /v1/photos.")
    method: Literal["PUT"] = Field(description="The method with which the file is sent.")
    url: str = Field(description="The absolute URL to which the file is sent, without a key.")
    headers: dict[str, str] = Field(description="The headers that must be sent with it, exactly.")
    expires_at: Moment = Field(description="Until when the file must be sent and the photo made.")


class TenantAnswer(Answer):
    """A tenant, as the operator sees it."""

    id: str
    name: str
    weight: float = Field(description="Its share of the workers; with 2 it gets twice as much work done as with 1.")


class DeletionAnswer(Answer):
    """The receipt of a tenant's deletion."""

    tenant_sha256: str = Field(description="SHA-256 of the tenant's id, hexadecimal. The id itself is not kept.")
    counts: dict[str, int] = Field(description="What was deleted, by kind: keys, photos, masks, shots, images, files …")
    by: str = Field(description="Who asked for it: an admin key's id, or the user of the command line.")
    started_at: Moment = Field(description="When the deletion began.")
    finished_at: Moment | None = Field(description="When it ended; null while another request's deletion runs.")


class DeletionPage(Answer):
    """A page of receipts, newest first."""

    deletions: tuple[DeletionAnswer, ...]
    next_cursor: str | None = Field(description="The `cursor` of the next page; null on the last page.")


class HoldAnswer(Answer):
    """A tenant under a legal hold."""

    id: str
    legal_hold: str = Field(description="Why the tenant's data must be kept.")


class PhotoPage(Answer):
    """A page of photos, newest first."""

    photos: tuple[PhotoAnswer, ...]
    next_cursor: str | None = Field(description="The value of `cursor` for the next page; null on the last page.")


class MaskAnswer(Answer):
    """One mask of the product."""

    id: str
    photo_id: str = Field(description="The photo whose product it marks.")
    score: float = Field(
        description="The predicted IoU of the mask with the product, 0 to 1. It is 1 for a mask that a person made."
    )
    area: int = Field(description="Number of product pixels.")
    bbox: tuple[int, int, int, int] = Field(
        description="Tight bounding box of the product [x0, y0, x1, y1] in photo pixels, right and bottom exclusive."
    )
    url: str = Field(description="Path of the mask.")
    cutout_url: str = Field(description="Path of the cutout.")
    source: MaskSource = Field(
        description="What the mask was made from: box, points, text (words), automatic, alpha (the upload's own "
        "transparency), upload (a mask that the client sent) or strokes."
    )
    parent: str | None = Field(
        None, exclude_if=absent, description="The `base_mask_id` from which it was made; absent if there was none."
    )
    cutout_bbox: tuple[int, int, int, int] = Field(
        description="The cutout's place in the photo, its soft edge included: [x0, y0, x1, y1] in photo pixels, right "
        "and bottom exclusive. A layer's centre and scale refer to it."
    )
    lock_px: int = Field(
        description="Inside the mask eroded by so many pixels the cutout is opaque and equals the photo. Around soft "
        "values of the mask itself, only its pixels of 255 are."
    )


class FoundBox(Answer):
    """A product that words named."""

    box: tuple[float, float, float, float] = Field(description="Where it is, [x0, y0, x1, y1] in photo pixels.")
    score: float = Field(description="The detector's confidence, 0 to 1.")
    mask_id: str = Field(description="Its mask.")


class WordsAnswer(Answer):
    """How the words of a request were read."""

    known: tuple[str, ...] = Field(description="The words that were looked for, or that an engine would paint.")
    unknown: tuple[str, ...] = Field(description="The words that the detector, or an engine, does not know.")


class ReadWordsAnswer(Answer):
    """How words would be read, before anything is looked for or painted."""

    words: WordsAnswer
    notes: tuple[NoteAnswer, ...] = Field(
        description="no_known_word (they would find nothing, or paint an empty prompt), words_ignored, or "
        "prompt_truncated (its end does not fit); empty when all words count."
    )


class FoundAnswer(Answer):
    """What the words of a request found."""

    boxes: tuple[FoundBox, ...] = Field(description="The products, likeliest first; empty when nothing fits.")
    words: WordsAnswer
    notes: tuple[NoteAnswer, ...] = Field(
        description="no_known_word or not_found (why there are no masks), words_ignored, several_found."
    )


class MasksAnswer(Answer):
    """The candidate masks of the product, best first."""

    masks: tuple[MaskAnswer, ...]
    found: FoundAnswer | None = Field(
        None, exclude_if=absent, description="What `text` found; absent without it. A mask for each of its boxes."
    )


class FindingAnswer(Answer):
    """The result of one check of an image."""

    check: str = Field(description="The name of the check.")
    level: Level
    detail: str = Field(description="A sentence that describes the result.")
    value: Number | None = Field(description="The number that the check measured; null if it measured none.")
    box: tuple[float, float, float, float] | None = Field(
        None,
        exclude_if=absent,
        description="The place in the picture, left, top, right and bottom as shares of its width and height; absent "
        "where the check is about the whole picture.",
    )


class VerdictAnswer(Answer):
    """The findings about an image."""

    level: Level = Field(description="The worst level of all findings.")
    product: ProductSource = Field(
        "locked",
        exclude_if=lambda product: product == "locked",
        description="generated: an engine painted the product, so the lock does not apply. Absent for a locked one, "
        "the photo's own, as `lock` or `relit_lock` prove.",
    )
    findings: tuple[FindingAnswer, ...]


class ImageAnswer(Answer):
    """A finished picture, as a part of its shot."""

    id: str
    seed: int
    width: int = Field(description="Width, pixels.")
    height: int = Field(description="Height, pixels.")
    url: str = Field(description="Path of the picture.")
    verdict: VerdictAnswer
    review: Review | None = Field(
        description="The decision: approved, rejected (`review_state` is changes_requested), or null."
    )
    review_state: ReviewState = Field(
        description="draft (nobody has looked), in_review, approved or changes_requested, of this version."
    )
    version: int = Field(description="1, or one more than that of the picture that it supersedes.")
    superseded_by: str | None = Field(
        None, exclude_if=absent, description="The next version, which replaced this picture; absent if there is none."
    )
    parent_id: str | None = Field(
        None, exclude_if=absent, description="The picture that was touched up to make this one; else absent."
    )
    recipe: PaintedAnswer


class WholeImageAnswer(ImageAnswer):
    """A finished picture on its own: with its shot, its review's note and its whole recipe."""

    shot_id: str
    supersedes: str | None = Field(
        None, exclude_if=absent, description="The picture that this one replaces; absent if there is none."
    )
    note: str | None = Field(description="The reviewer's own words.")
    review_reason: ReviewReason | None = Field(
        None, exclude_if=absent, description="Why changes are requested; absent in every other state."
    )
    recipe: RecipeAnswer
    created_at: Moment


class ErrorAnswer(Answer):
    """Why a shot failed. `code` is one of the codes that problem documents use."""

    code: str
    detail: str


class AcceptedAnswer(Answer):
    """A shot, or other work on a picture, that the server has accepted and stored."""

    id: str
    kind: ShotKind = Field(description=KIND)
    status: Status
    position: int = Field(description="Shots that would start before this one; 0 = next, running or ended.")
    position_estimated: bool | None = Field(
        None, exclude_if=absent, description="True where `position` is an estimate; absent where it is exact."
    )
    url: str = Field(description="Path of the shot.")
    events_url: str = Field(description="Path of the shot's event stream.")
    request: ResolvedRequest
    sku: str | None = Field(description="The article's number that the client wrote on it; null = none.")
    meta: dict[str, str] = Field(description="The client's own notes on it.")


class ShotAnswer(Answer):
    """A shot, or other work on a picture, in its present state."""

    id: str
    kind: ShotKind = Field(description=KIND)
    status: Status
    position: int = Field(description="Shots that would start before this one; 0 = next, running or ended.")
    position_estimated: bool | None = Field(
        None, exclude_if=absent, description="True where `position` is an estimate; absent where it is exact."
    )
    step: int = Field(description="Denoising steps completed, over all pictures.")
    steps: int = Field(description="Denoising steps of the whole shot.")
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None
    request: ResolvedRequest
    images: tuple[ImageAnswer, ...]
    clip: ClipAnswer | None = Field(None, exclude_if=absent, description="Only in work of kind clip that is done.")
    error: ErrorAnswer | None = Field(None, exclude_if=absent, description="Only in a failed shot.")
    project_id: str | None = Field(
        None, exclude_if=absent, description="The project that it belongs to; absent without one."
    )
    sku: str | None = Field(description="The article's number that the client wrote on it; null = none.")
    meta: dict[str, str] = Field(description="The client's own notes on it.")


class ShotPage(Answer):
    """A page of shots, newest first."""

    shots: tuple[ShotAnswer, ...]
    next_cursor: str | None = Field(description="The value of `cursor` for the next page; null on the last page.")
