"""Convert the store's records to the contract's response models."""

from __future__ import annotations

from packshot.contract.answers import (
    AcceptedAnswer,
    ErrorAnswer,
    ImageAnswer,
    MaskAnswer,
    NoteAnswer,
    PhotoAnswer,
    ShotAnswer,
    VerdictAnswer,
    WholeImageAnswer,
)
from packshot.contract.clips import ClipAnswer
from packshot.contract.recipe_answers import PaintedAnswer, RecipeAnswer, ResolvedRequest
from packshot.contract.reviews import CommentAnswer, ReviewEntry, ShareAnswer, SharedImage
from packshot.imaging.decoding.results import NormalisedPhoto, OwnAlpha, UploadedMask
from packshot.imaging.lock import EXACT_LOCK_PX, cutout_bbox_of
from packshot.store.clip_records import ClipRecord
from packshot.store.records import ImageRecord, MaskRecord, NewMask, PhotoRecord, ShotRecord
from packshot.store.reviews import ReviewRecord
from packshot.store.shares import Shared, ShareRecord


def photo_answer(photo: PhotoRecord) -> PhotoAnswer:
    """A photo. The key of its file stays internal."""
    return PhotoAnswer(
        id=photo.id,
        width=photo.width,
        height=photo.height,
        format=photo.format,
        bytes=photo.bytes,
        sha256=photo.sha256,
        url=f"/v1/photos/{photo.id}",
        notes=tuple(NoteAnswer(code=code, detail=detail) for code, detail in photo.notes),
        created_at=photo.created_at,
        project_id=photo.project_id,
    )


def exact_mask(found: OwnAlpha | UploadedMask, png: bytes, width: int, height: int) -> NewMask:
    """A mask that a person made, for a photo of `width` x `height` pixels. It is exact, so its score is 1."""
    lock_px = EXACT_LOCK_PX
    place = cutout_bbox_of(found.shown_xyxy, lock_px, width, height)
    return NewMask(1.0, found.area_px, found.bbox_xyxy, png, lock_px=lock_px, cutout_bbox_xyxy=place)


def own_alpha_mask(photo: NormalisedPhoto) -> tuple[NewMask, bytes] | None:
    """The upload's own alpha as the store takes it, with the PNG of its colours. It is exact, so its score is 1."""
    own = photo.own_alpha
    return None if own is None else (exact_mask(own, own.mask_png, photo.width, photo.height), own.rgba_png)


def mask_answer(mask: MaskRecord) -> MaskAnswer:
    """A mask. The key of its file stays internal."""
    return MaskAnswer(
        id=mask.id,
        photo_id=mask.photo_id,
        score=mask.score,
        area=mask.area_px,
        bbox=mask.bbox_xyxy,
        url=f"/v1/masks/{mask.id}",
        cutout_url=f"/v1/masks/{mask.id}/cutout",
        source=mask.source or "automatic",
        parent=mask.parent_id,
        # Rows of version 0.1.0 alone lack these two and `source`. Their cutouts are about as large as the box.
        lock_px=EXACT_LOCK_PX if mask.lock_px is None else mask.lock_px,
        cutout_bbox=mask.cutout_bbox_xyxy or mask.bbox_xyxy,
    )


def image_answer(image: ImageRecord) -> ImageAnswer:
    """An image as an item of its shot."""
    return ImageAnswer(
        id=image.id,
        seed=image.seed,
        width=image.width,
        height=image.height,
        url=f"/v1/images/{image.id}",
        verdict=VerdictAnswer.model_validate(image.verdict, from_attributes=True),
        review=image.review,
        review_state=image.state,
        version=image.version,
        superseded_by=image.superseded_by,
        parent_id=image.recipe.touchup.parent_id if image.recipe.touchup else None,
        recipe=PaintedAnswer.model_validate(image.recipe.to_json()),
    )


def whole_image_answer(image: ImageRecord) -> WholeImageAnswer:
    """An image on its own, with its review and its recipe."""
    as_item = dict(image_answer(image))
    as_item["recipe"] = RecipeAnswer.model_validate(image.recipe.to_json())
    return WholeImageAnswer(
        **as_item,
        shot_id=image.shot_id,
        supersedes=image.supersedes,
        note=image.note,
        review_reason=image.reason if image.state == "changes_requested" else None,
        created_at=image.created_at,
    )


def review_entry(line: ReviewRecord) -> ReviewEntry:
    """A line of a picture's log."""
    return ReviewEntry(
        number=line.number,
        at=line.created_at,
        by=line.by,
        reviewer=line.reviewer,
        state=line.state,
        reason=line.reason,
        note=line.note,
        marks=line.marks,
    )


def comment_answer(line: ReviewRecord) -> CommentAnswer:
    """A comment as the visitors of a share link see it."""
    return CommentAnswer(at=line.created_at, reviewer=line.reviewer, note=line.note, marks=line.marks)


def share_answer(share: ShareRecord, url: str | None = None) -> ShareAnswer:
    """A share link. `url` is known only to the answer that makes it."""
    return ShareAnswer(
        id=share.id,
        name=share.name,
        image_ids=share.image_ids,
        created_at=share.created_at,
        expires_at=share.expires_at,
        revoked_at=share.revoked_at,
        url=url,
    )


def shared_image(shared: Shared) -> SharedImage:
    """A picture as the visitors of a share link see it."""
    image = shared.image
    return SharedImage(
        id=image.id,
        width=image.width,
        height=image.height,
        version=image.version,
        state=image.state,
        sku=shared.sku,
        verdict=VerdictAnswer.model_validate(image.verdict, from_attributes=True),
        url=f"/v1/share/images/{image.id}",
        comments=tuple(comment_answer(line) for line in shared.comments),
    )


def clip_answer(clip: ClipRecord) -> ClipAnswer:
    """A clip. The key of its file stays internal."""
    return ClipAnswer(
        id=clip.id,
        image_id=clip.image_id,
        shot_id=clip.shot_id,
        url=f"/v1/clips/{clip.id}",
        move=clip.move,
        seconds=clip.seconds,
        fps=clip.fps,
        width=clip.width,
        height=clip.height,
        format=clip.format,
        media_type=clip.media_type,
        bytes=clip.bytes,
        sha256=clip.sha256,
        created_at=clip.created_at,
    )


def _request_answer(shot: ShotRecord) -> ResolvedRequest:
    return ResolvedRequest.model_validate(shot.spec.to_json())


def accepted_answer(shot: ShotRecord) -> AcceptedAnswer:
    """The short form of a shot, for one that was just accepted or cancelled."""
    return AcceptedAnswer(
        id=shot.id,
        kind=shot.kind,
        status=shot.status,
        position=shot.position,
        position_estimated=shot.position_estimated or None,
        url=f"/v1/shots/{shot.id}",
        events_url=f"/v1/shots/{shot.id}/events",
        request=_request_answer(shot),
        sku=shot.sku,
        meta=dict(shot.meta),
    )


def shot_answer(shot: ShotRecord) -> ShotAnswer:
    """A shot with its status, progress and images."""
    return ShotAnswer(
        id=shot.id,
        kind=shot.kind,
        status=shot.status,
        position=shot.position,
        position_estimated=shot.position_estimated or None,
        step=shot.step,
        steps=shot.steps,
        created_at=shot.created_at,
        started_at=shot.started_at,
        finished_at=shot.finished_at,
        request=_request_answer(shot),
        images=tuple(image_answer(image) for image in shot.images),
        clip=None if shot.clip is None else clip_answer(shot.clip),
        error=error_answer(shot),
        project_id=shot.project_id,
        sku=shot.sku,
        meta=dict(shot.meta),
    )


def error_answer(shot: ShotRecord) -> ErrorAnswer | None:
    """Why a shot failed, or None when it has no error."""
    if shot.error_code is None:
        return None
    return ErrorAnswer(code=shot.error_code, detail=shot.error_detail or "")
