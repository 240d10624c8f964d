"""`/v1/verify`: was a file made here, by which shot, and what was done to it since?

    bytes ──sha256──> exact ──C2PA manifest──> c2pa ──pixels──> watermark ──> fingerprint ──> none

The first that finds a picture answers. The decoder's worker process reads the manifest and the pixels, the finisher
reads watermark and fingerprint, and this process looks them up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fastapi import APIRouter, Request

from packshot.api.auth import Asker
from packshot.api.forms import upload_form
from packshot.api.limits import cancel_on_disconnect
from packshot.api.openapi import BODY_PROBLEMS, answer_json, form_json, keyed_problems_json, problems_json
from packshot.api.services import Services, Wired, decode_slot, in_thread
from packshot.contract import verify_examples as examples
from packshot.contract.answers import NoteAnswer
from packshot.contract.recipe_answers import RecipeAnswer
from packshot.contract.verify import C2paAnswer, Match, VerifyAnswer, VerifyRequest
from packshot.delivery.identify import FRAMED, Change, Kept, changes_since
from packshot.delivery.provenance import C2paFound
from packshot.delivery.signing import trust_anchors
from packshot.errors import NotFound
from packshot.shots.stages import Examined
from packshot.store.fingerprints import KnownFile
from packshot.store.lookalikes import Lookalike
from packshot.store.records import Tenant
from packshot.store.store import Store

router = APIRouter(prefix="/v1", tags=["verify"], responses=keyed_problems_json())

ANYONE = "anyone"
"""In whose name files without a key wait for the decoder."""

ALIKE = 0.02
"""Look-alikes whose scores differ by less are equally good: a picture, and the files delivered of it."""


@dataclass(frozen=True)
class _Asked:
    """A file in question."""

    data: bytes
    sha256: str
    c2pa: C2paFound


@dataclass(frozen=True)
class _Pixels:
    """The format of a file in question, and the size of the picture in it: (width, height) in pixels."""

    format: str
    size: tuple[int, int]


@dataclass(frozen=True)
class _Found:
    """What a file was recognised by, as which files, and what was done to it since."""

    match: Match
    files: Sequence[KnownFile] = ()
    changes: tuple[Change, ...] = ()


@router.post(
    "/verify",
    operation_id="verify_file",
    summary="Ask whether a file was made here",
    responses=answer_json(examples.VERIFIED, "Where the file comes from.") | problems_json(*BODY_PROBLEMS),
    openapi_extra=form_json(VerifyRequest),
)
async def verify_file(request: Request, services: Wired, tenant: Asker) -> VerifyAnswer:
    """The multipart part `file` holds an image. Nothing of it is stored but its SHA-256, in the audit trail.

    The owner of the picture learns its ids and its recipe. Others, and people without a key where the operator lets
    them ask, learn only that it was made here. A cropped file has no watermark; its fingerprint finds it while about
    80 % of each side is left.
    """
    async with upload_form(request) as (file, _):
        whose = ANYONE if tenant is None else tenant.id
        asked, found = await cancel_on_disconnect(request, _identified(services, whose, await file.read()))
    _note(services.store, tenant, asked, found)
    return await in_thread(_answer, services.store, tenant, asked, found)


async def _identified(services: Services, whose: str, data: bytes) -> tuple[_Asked, _Found]:
    """Recognise a file. Raises as the decoder does for what is no image."""
    store, asked = services.store, _Asked(data, hashlib.sha256(data).hexdigest(), C2paFound())
    async with decode_slot(services, whose, len(data)):
        if b"c2pa" in data:
            anchors = await in_thread(trust_anchors, services.settings)
            asked = replace(asked, c2pa=await services.decoder.read_manifest(data, anchors))
        if files := await in_thread(store.fingerprints.exact, asked.sha256):
            return asked, _Found("exact", files)
        if files := await in_thread(_signed, store, asked.c2pa):
            return asked, _Found("c2pa", files)
        photo = await services.decoder.normalise(data, None)
    seen = await services.graph.examine(photo.png)
    found = await in_thread(_recognised, store, asked, photo.format, seen)
    if found.match == "none" and seen.within is not None:
        found = await in_thread(_recognised, store, asked, photo.format, seen.within)
        if found.match != "none":
            found = replace(found, changes=(*found.changes, FRAMED))
    return asked, found


def _signed(store: Store, c2pa: C2paFound) -> list[KnownFile]:
    """The files of a manifest that this server signed, and whose hash of the file holds."""
    if not (c2pa.valid and c2pa.trusted and c2pa.instance_id):
        return []
    return store.fingerprints.known([one.id for one in store.delivered.with_instance(c2pa.instance_id)])


def _recognised(store: Store, asked: _Asked, format: str, seen: Examined) -> _Found:
    """Recognise a file by its pixels: by its watermark, and then by what looks alike. `format` is one of `FORMATS`."""
    photo = _Pixels(format, seen.size)
    alike = [] if seen.fingerprint is None else store.lookalikes.search(seen.fingerprint)
    marked = [] if seen.mark is None else store.delivered.with_mark(seen.mark)
    if marked:
        files = store.fingerprints.known([one.id for one in marked])
        pictures = {file.image_id for file in files}
        shown = {one.file_id: one for one in alike}
        of_these = [file for file in store.fingerprints.known(list(shown)) if file.image_id in pictures]
        best = max(of_these, key=lambda file: shown[file.file_id].score, default=None)
        if files:
            like = None if best is None else shown[best.file_id]
            return _Found("watermark", files, _changes(store, asked, photo, best or files[0], like))
    near = {one.file_id: one for one in alike if one.score > alike[0].score - ALIKE}
    # of equally good ones, the file of this size is the one that was changed
    files = store.fingerprints.known(list(near))
    files.sort(key=lambda file: ((file.width, file.height) != photo.size, -near[file.file_id].score))
    if not files:
        return _Found("none")
    return _Found("fingerprint", files, _changes(store, asked, photo, files[0], near[files[0].file_id]))


def _changes(
    store: Store, asked: _Asked, photo: _Pixels, file: KnownFile, like: Lookalike | None
) -> tuple[Change, ...]:
    [made] = store.delivered.records(file.tenant, [file.file_id]).values() or [None]
    kept = Kept(file.media_type, file.width, file.height, made is not None and made.signed_by is not None)
    turned = like is not None and like.mirrored
    return changes_since(kept, photo.format, photo.size, asked.c2pa, like and like.likeness, mirrored=turned)


def _note(store: Store, tenant: Tenant | None, asked: _Asked, found: _Found) -> None:
    """A line in the trail of who asked, and one in the trail of each other owner, who does not learn who asked."""
    details = {"match": found.match, "sha256": asked.sha256}
    pictures = {file.tenant: file.image_id for file in reversed(found.files)}
    if tenant is not None:
        about = pictures.pop(tenant.id, asked.sha256)
        store.audit.reads.note(tenant.id, "file.verified", about, details=details)
    for owner, image_id in pictures.items():
        store.audit.reads.note(owner, "file.verified", image_id, details=details, by="anyone")


def _answer(store: Store, tenant: Tenant | None, asked: _Asked, found: _Found) -> VerifyAnswer:
    """The answer to who asks: with ids only for the owner. A file of several tenants is shown as the asker's own."""
    c2pa = C2paAnswer.model_validate(asked.c2pa, from_attributes=True)
    if found.match == "none":
        return VerifyAnswer(ours=False, match="none", c2pa=c2pa)
    changes = tuple(NoteAnswer(code=one.code, detail=one.detail) for one in found.changes)
    answer = VerifyAnswer(ours=True, match=found.match, changed_since=changes, c2pa=c2pa)
    own = [file for file in found.files if tenant is not None and file.tenant == tenant.id]
    try:
        image = store.images.get(own[0].tenant, own[0].image_id) if own else None
    except NotFound:  # deleted since it was found
        image = None
    if image is None:
        return answer
    recipe = RecipeAnswer.model_validate(image.recipe.to_json())
    return answer.model_copy(update={"image_id": image.id, "shot_id": image.shot_id, "recipe": recipe})
