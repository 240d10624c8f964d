"""The client for asyncio. Its methods are those of `Client`, which describes them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Literal

from packshot.client import calls
from packshot.client.call import async_pages
from packshot.client.calls import Sent
from packshot.client.catalogues import AsyncCatalogues
from packshot.client.connection import AsyncConnection
from packshot.client.errors import require_painted
from packshot.client.events import Event
from packshot.client.trainings import AsyncTrainings
from packshot.client.webhooks import AsyncWebhooks
from packshot.contract.adapters import AdapterAnswer, AdapterChange
from packshot.contract.answers import (
    AcceptedAnswer,
    MaskAnswer,
    MasksAnswer,
    PhotoAnswer,
    ReadWordsAnswer,
    ShotAnswer,
    WholeImageAnswer,
)
from packshot.contract.audit import AuditLine
from packshot.contract.clips import ClipAnswer, ClipRequest
from packshot.contract.deliveries import DeliverIn, DeliveryAnswer
from packshot.contract.engines import EngineInfo
from packshot.contract.enhancements import EnhancementRequest
from packshot.contract.presets import PresetInfo
from packshot.contract.projects import ProjectAnswer, StyleAnswer, StyleChange, StyleRequest
from packshot.contract.requests import ShotRequest, StrokeIn
from packshot.contract.reviews import RedoRequest, ReviewIn, ReviewsAnswer
from packshot.contract.shot_style import PaletteAnswer, ReferenceIn
from packshot.contract.status import Review, Status
from packshot.contract.touchups import TouchupRequest, VersionsAnswer
from packshot.contract.usage import BudgetAnswer, BudgetRequest, UsageAnswer
from packshot.contract.verify import VerifyAnswer


class AsyncClient(AsyncConnection):
    """A client of one server for asyncio, with a connection pool.

    The arguments and the errors are those of `Client`. Each of its methods is awaited; lists and events are iterated
    with `async for`. Cancelling a call ends the upload or the click that it waits for, but no shot.
    """

    def __init__(self, base_url: str, key: str | None = None, *, timeout_s: float = 120.0) -> None:
        super().__init__(base_url, key, timeout_s=timeout_s)
        self.catalogues = AsyncCatalogues(self._do, self._save)
        self.webhooks = AsyncWebhooks(self._do)
        self.trainings = AsyncTrainings(self._do, self._follow_trainings)

    async def upload(
        self,
        data: bytes,
        media_type: str = "application/octet-stream",
        *,
        project_id: str | None = None,
        sent: Sent | None = None,
        direct: bool = False,
    ) -> PhotoAnswer:
        """Upload a photo. Its bytes decide the format; a wrong `media_type` gives a note in the answer's `notes`.

        `project_id` puts the photo into a project; None leaves it in the one that it has. `sent` is called while the
        file is sent, with the bytes that were sent and those of the whole file. `direct` sends the file past the server
        into its bucket, if it has one; `sent` is then called once, at the end.
        """
        if direct:
            offer = await self._do(calls.offer_upload(data, media_type))
            await self._put_past_the_server(offer, data)
            if sent is not None:
                sent(len(data), len(data))
            return await self._do(calls.photo_of_upload(offer.id, project_id))
        return await self._do(calls.upload(data, media_type, project_id, sent))

    async def photo(self, photo_id: str) -> PhotoAnswer:
        """Get what is known about a photo."""
        return await self._do(calls.photo(photo_id))

    async def photos(self, *, project_id: str | None = None, sha256: str | None = None) -> AsyncIterator[PhotoAnswer]:
        """Yield the photos, newest first: those of one project, or the upload with this hash."""
        async for page in async_pages(self._do, calls.photos(project_id, sha256)):
            for one in page.photos:
                yield one

    async def masks(
        self,
        photo_id: str,
        *,
        points: Sequence[tuple[float, float, int]] = (),
        boxes: Sequence[tuple[float, float, float, float]] = (),
        multimask: bool = True,
        base_mask_id: str | None = None,
    ) -> tuple[MaskAnswer, ...]:
        """Segment what the prompts mark. Returns candidate masks, best first."""
        return (await self._do(calls.masks(photo_id, points, boxes, multimask, base_mask_id))).masks

    async def find(
        self,
        photo_id: str,
        text: str,
        *,
        not_text: str | None = None,
        points: Sequence[tuple[float, float, int]] = (),
        boxes: Sequence[tuple[float, float, float, float]] = (),
    ) -> MasksAnswer:
        """Find what words name, and cut it. The answer's `found` says what was found, and why nothing was."""
        return await self._do(calls.find(photo_id, text, not_text, points, boxes))

    async def paint_strokes(
        self, photo_id: str, strokes: Sequence[StrokeIn], *, base_mask_id: str | None = None
    ) -> MaskAnswer:
        """Paint brush strokes on a mask of the photo, or on an empty one. Returns the new mask; the base stays."""
        return (await self._do(calls.strokes(photo_id, strokes, base_mask_id))).masks[0]

    async def put_mask(self, photo_id: str, png: bytes) -> MaskAnswer:
        """Send a mask of the photo: a PNG of its size, whose alpha or grey marks the product with 255."""
        return await self._do(calls.put_mask(photo_id, png))

    async def mask(self, mask_id: str) -> MaskAnswer:
        """Get what is known about a mask."""
        return await self._do(calls.mask(mask_id))

    async def shoot(
        self, request: ShotRequest | Mapping[str, object], *, idempotency_key: str | None = None
    ) -> AcceptedAnswer:
        """Create a shot. It is stored when this returns."""
        return await self._do(calls.shoot(request, idempotency_key))

    async def shot(self, shot_id: str) -> ShotAnswer:
        """Get a shot with its status, progress and images."""
        return await self._do(calls.shot(shot_id))

    async def shots(
        self,
        *,
        status: Status | None = None,
        sku: str | None = None,
        meta: Mapping[str, str] | None = None,
        review: Review | Literal["none"] | None = None,
        project_id: str | None = None,
        words: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> AsyncIterator[ShotAnswer]:
        """Yield the shots that meet every filter, newest first.

        `meta` are values that the shot's own `meta` must hold. `review` is that of at least one picture; "none" is a
        picture that nobody has reviewed. `words` are parts of the prompt.
        """
        filters = (status, sku, meta or {}, review, project_id, words, created_after, created_before)
        async for page in async_pages(self._do, calls.shots(*filters)):
            for one in page.shots:
                yield one

    async def wait(self, shot_id: str, *, progress: Callable[[Event], None] | None = None) -> ShotAnswer:
        """Return the shot when it has ended. `progress` is called with each event until then."""
        async for event in self.events([shot_id]):
            if progress is not None:
                progress(event)
        return await self.shot(shot_id)

    async def cancel(self, shot_id: str) -> AcceptedAnswer:
        """Cancel a shot at its next step. Raises Conflict when it has ended."""
        return await self._do(calls.cancel(shot_id))

    async def image(self, image_id: str) -> WholeImageAnswer:
        """Get a picture's review, version and recipe."""
        return await self._do(calls.image(image_id))

    async def review(self, image_id: str, decision: Review | None, *, note: str | None = None) -> WholeImageAnswer:
        """Approve or reject a picture; None withdraws the decision. A `note` of None keeps the stored note."""
        return await self._do(calls.review(image_id, decision, note))

    async def reviews(self, image_id: str) -> ReviewsAnswer:
        """Read a picture's state, its tag and its log."""
        return await self._do(calls.reviews(image_id))

    async def decide(self, image_id: str, decision: ReviewIn, *, if_match: str | None = None) -> WholeImageAnswer:
        """Decide about a picture, with reason, note and marks. `if_match` is the tag of the state that was seen.

        Raises PreconditionFailed `version_changed`, with the present `state` and `etag`, when it is another one by now.
        """
        return await self._do(calls.decide(image_id, decision, if_match))

    async def touch_up(
        self, image_id: str, request: TouchupRequest | Mapping[str, object], *, idempotency_key: str | None = None
    ) -> AcceptedAnswer:
        """Paint a part of a picture anew, or make it larger. It runs like a shot and makes the next version.

        Raises BadInput `region_empty`, `region_product` and `nothing_painted`, and Conflict `superseded`.
        """
        return await self._do(calls.touch_up(image_id, request, idempotency_key))

    async def enhance(
        self, photo_id: str, request: EnhancementRequest | Mapping[str, object], *, idempotency_key: str | None = None
    ) -> AcceptedAnswer:
        """Repaint the product of a photo, its scene, or all of it. It runs like a shot and makes a picture.

        Raises BadInput `no_product` when the request's words name nothing in the photo, and `mask_of_other_photo`.
        """
        return await self._do(calls.enhance(photo_id, request, idempotency_key))

    async def versions(self, image_id: str) -> VersionsAnswer:
        """Read all versions of a picture, oldest first, and which one counts."""
        return await self._do(calls.versions(image_id))

    async def restore(self, image_id: str) -> WholeImageAnswer:
        """Make this version of a picture count again, in place of the one that does."""
        return await self._do(calls.restore(image_id))

    async def redo(
        self, image_id: str, request: RedoRequest | None = None, *, idempotency_key: str | None = None
    ) -> AcceptedAnswer:
        """Make the next version of a picture, changed by the reason of its last review. None changes nothing else.

        Raises BadInput `redo_needs_change` when the reason needs other layers or words.
        """
        return await self._do(calls.redo(image_id, request or RedoRequest(), idempotency_key))

    async def projects(self) -> AsyncIterator[ProjectAnswer]:
        """Yield the projects, newest first."""
        async for page in async_pages(self._do, calls.projects()):
            for one in page.projects:
                yield one

    async def create_project(self, name: str) -> ProjectAnswer:
        """Create a project. Raises Conflict `name_taken` when there is one of this name."""
        return await self._do(calls.create_project(name))

    async def rename_project(self, project_id: str, name: str) -> ProjectAnswer:
        """Rename a project. Raises Conflict `name_taken` when there is one of this name."""
        return await self._do(calls.rename_project(project_id, name))

    async def delete_project(self, project_id: str) -> None:
        """Delete a project. Its photos and shots stay."""
        await self._do(calls.delete_project(project_id))

    async def styles(self) -> AsyncIterator[StyleAnswer]:
        """Yield the styles, newest first."""
        async for page in async_pages(self._do, calls.styles()):
            for one in page.styles:
                yield one

    async def create_style(self, request: StyleRequest) -> StyleAnswer:
        """Create a style. Raises Conflict `name_taken` when there is one of this name."""
        return await self._do(calls.create_style(request))

    async def change_style(self, style_id: str, change: StyleChange) -> StyleAnswer:
        """Set the fields of a style that `change` sets."""
        return await self._do(calls.change_style(style_id, change))

    async def verify(self, data: bytes) -> VerifyAnswer:
        """Ask whether a file was made by this server, by which shot, and what was done to it since."""
        return await self._do(calls.verify(data))

    async def find_palette(self, references: Sequence[ReferenceIn]) -> PaletteAnswer:
        """Find the palette and the light of pictures, as a shot's style does."""
        return await self._do(calls.find_palette(references))

    async def delete_style(self, style_id: str) -> None:
        """Delete a style."""
        await self._do(calls.delete_style(style_id))

    async def adapters(self) -> AsyncIterator[AdapterAnswer]:
        """Yield the adapters, newest first."""
        async for page in async_pages(self._do, calls.adapters()):
            for one in page.adapters:
                yield one

    async def add_adapter(
        self,
        data: bytes,
        name: str,
        *,
        licence: str | None = None,
        trigger: str | None = None,
        trained_from: str | None = None,
        engine: str | None = None,
    ) -> AdapterAnswer:
        """Add an adapter: a safetensors file. None = as the file says.

        Raises BadInput `adapter_invalid` and `adapter_mismatch`, and Conflict `name_taken`.
        """
        texts = {"licence": licence, "trigger": trigger, "trained_from": trained_from, "engine": engine}
        return await self._do(calls.add_adapter(data, name, texts))

    async def change_adapter(self, adapter_id: str, change: AdapterChange) -> AdapterAnswer:
        """Set the fields of an adapter that `change` sets."""
        return await self._do(calls.change_adapter(adapter_id, change))

    async def delete_adapter(self, adapter_id: str) -> None:
        """Delete an adapter. Raises Conflict `in_use`."""
        await self._do(calls.delete_adapter(adapter_id))

    async def read_words(self, text: str) -> ReadWordsAnswer:
        """Read words that name a product: which ones `find` would look for, and which it would ignore."""
        return await self._do(calls.read_words(text))

    async def read_prompt(
        self, text: str, *, engine: str | None = None, adapters: Sequence[str] = ()
    ) -> ReadWordsAnswer:
        """Read a prompt: which words an engine would paint, and which it would leave out. None = the first engine.

        `adapters` are ids, whose triggers count as known. Raises BadInput, and NotFound for an adapter.
        """
        return await self._do(calls.read_prompt(text, engine, adapters))

    async def engines(self) -> tuple[EngineInfo, ...]:
        """List the engines. The first one is the default."""
        return (await self._do(calls.engines())).engines

    async def presets(self) -> tuple[PresetInfo, ...]:
        """List the delivery presets."""
        return (await self._do(calls.presets())).presets

    async def deliver(self, image_id: str, entries: Sequence[DeliverIn]) -> tuple[DeliveryAnswer, ...]:
        """Make channels' files of a picture, in the order of `entries`. Download them at their `url`.

        Entries with `reframe` wait until their sides are painted. Raises BadInput with an entry of `errors` for each
        refused file, and EngineFailed when the sides could not be painted.
        """
        while (answer := await self._do(calls.deliver(image_id, entries))).painting:
            for one in answer.painting:
                require_painted(await self.wait(one.shot_id))
        return answer.deliveries

    async def film(
        self, image_id: str, request: ClipRequest | None = None, *, idempotency_key: str | None = None
    ) -> AcceptedAnswer:
        """Make a clip of a picture. It is work like a shot: `wait` for it, and download its `clip`'s `url`.

        None is a push-in of four seconds, as WebP. Raises BadInput `not_filmable` when the picture has no background or
        its photos were deleted, and `video_not_installed` when the server cannot write the format.
        """
        return await self._do(calls.film(image_id, request or ClipRequest(), idempotency_key))

    async def clip(self, clip_id: str) -> ClipAnswer:
        """Get what is known about a clip."""
        return await self._do(calls.clip(clip_id))

    async def usage(
        self, group: Literal["sku", "key", "day"] = "day", *, since: date | None = None, until: date | None = None
    ) -> UsageAnswer:
        """Sum up the shots that are done, by SKU, key or day, with the rows of all pages. The days are UTC.

        They are those on which shots ended: from the month's first to today unless `since` and `until` say otherwise.
        """
        pages = [page async for page in async_pages(self._do, calls.usage(group, since, until))]
        return pages[-1].model_copy(update={"rows": tuple(row for page in pages for row in page.rows)})

    async def audit(
        self,
        *,
        after: datetime | None = None,
        before: datetime | None = None,
        object_id: str | None = None,
        tenant_id: str | None = None,
        cursor: int = 0,
    ) -> AsyncIterator[AuditLine]:
        """Yield the lines of the audit trail, oldest first. See `Client.audit`."""
        while page := await self._do(calls.audit(after, before, object_id, tenant_id, cursor)):
            for line in page:
                yield line
            cursor = page[-1].number

    async def budget(self, owner_id: str) -> BudgetAnswer:
        """Get the budgets of a tenant or key, with what is spent of them. It needs an admin key."""
        return await self._do(calls.budget(owner_id))

    async def set_budget(self, owner_id: str, limits: BudgetRequest) -> BudgetAnswer:
        """Set the budgets of a tenant or key as a whole; an unset field has no limit. It needs an admin key."""
        return await self._do(calls.set_budget(owner_id, limits))

    async def download(self, url: str, *, preset: str | None = None) -> bytes:
        """Download the file at a `url` of a response. With `preset`, an image is delivered to that preset's rules."""
        return await self._do(calls.download(url, preset))
