"""The calls of the API: what each sends, and how its response is read. `Client` and `AsyncClient` send them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Literal, TypeVar

import httpx
from pydantic import ValidationError

from packshot.client.call import Call, Options, given, nothing, reading, set_fields
from packshot.client.errors import foreign_answer
from packshot.contract.adapters import AdapterAnswer, AdapterChange, AdapterPage
from packshot.contract.answers import (
    AcceptedAnswer,
    MaskAnswer,
    MasksAnswer,
    PhotoAnswer,
    PhotoPage,
    ReadWordsAnswer,
    ShotAnswer,
    ShotPage,
    UploadAnswer,
    WholeImageAnswer,
)
from packshot.contract.audit import AuditLine
from packshot.contract.base import Answer
from packshot.contract.clips import ClipAnswer, ClipRequest
from packshot.contract.deliveries import DeliveriesAnswer, DeliverIn
from packshot.contract.engines import EnginesAnswer
from packshot.contract.enhancements import EnhancementRequest
from packshot.contract.presets import PresetsAnswer
from packshot.contract.projects import ProjectAnswer, ProjectPage, StyleAnswer, StyleChange, StylePage, StyleRequest
from packshot.contract.requests import Request, ShotRequest, StrokeIn
from packshot.contract.reviews import RedoRequest, ReviewIn, ReviewsAnswer
from packshot.contract.shot_style import PaletteAnswer, PaletteRequest, ReferenceIn
from packshot.contract.status import Review, Status
from packshot.contract.touchups import TouchupRequest, VersionsAnswer
from packshot.contract.usage import BudgetAnswer, BudgetRequest, UsageAnswer
from packshot.contract.verify import VerifyAnswer

T = TypeVar("T")
Read = TypeVar("Read", bound=Answer)

AUDIT_PAGE = 1_000

Sent = Callable[[int, int], None]
"""Called while a photo is sent, with the bytes that were sent and those of the whole file."""


class _Counted(io.BytesIO):
    """A file that reports how much of it has been read."""

    def __init__(self, data: bytes, sent: Sent) -> None:
        super().__init__(data)
        self._sent, self._total = sent, len(data)

    def read(self, size: int | None = -1, /) -> bytes:
        chunk = super().read(size)
        if chunk:
            self._sent(self.tell(), self._total)
        return chunk


def ready() -> Call[None]:
    return Call("GET", "/readyz", nothing)


def upload(data: bytes, media_type: str, project_id: str | None, sent: Sent | None) -> Call[PhotoAnswer]:
    file = io.BytesIO(data) if sent is None else _Counted(data, sent)
    options = Options(files={"file": ("photo", file, media_type)})
    if project_id is not None:
        options["data"] = {"project_id": project_id}
    return Call("POST", "/v1/photos", reading(PhotoAnswer), options)


def verify(data: bytes) -> Call[VerifyAnswer]:
    file = ("file", io.BytesIO(data), "application/octet-stream")
    return Call("POST", "/v1/verify", reading(VerifyAnswer), Options(files={"file": file}))


def offer_upload(data: bytes, media_type: str) -> Call[UploadAnswer]:
    body = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "content_type": media_type}
    return Call("POST", "/v1/uploads", reading(UploadAnswer), Options(json=body))


def photo_of_upload(upload_id: str, project_id: str | None) -> Call[PhotoAnswer]:
    body = {"upload_id": upload_id, **given(project_id=project_id)}
    return Call("POST", "/v1/photos", reading(PhotoAnswer), Options(json=body))


def photo(photo_id: str) -> Call[PhotoAnswer]:
    return Call("GET", f"/v1/photos/{photo_id}.json", reading(PhotoAnswer))


def photos(project_id: str | None, sha256: str | None) -> Call[PhotoPage]:
    params = given(project_id=project_id, sha256=sha256)
    return Call("GET", "/v1/photos", reading(PhotoPage), Options(params=params))


def masks(
    photo_id: str,
    points: Sequence[tuple[float, float, int]],
    boxes: Sequence[tuple[float, float, float, float]],
    multimask: bool,
    base_mask_id: str | None,
) -> Call[MasksAnswer]:
    body: dict[str, object] = {
        "points": [{"x": x, "y": y, "label": label} for x, y, label in points],
        "boxes": [list(box) for box in boxes],
        "multimask": multimask,
    }
    if base_mask_id is not None:
        body["base_mask_id"] = base_mask_id
    return Call("POST", f"/v1/photos/{photo_id}/masks", reading(MasksAnswer), Options(json=body))


def find(
    photo_id: str,
    text: str,
    not_text: str | None,
    points: Sequence[tuple[float, float, int]],
    boxes: Sequence[tuple[float, float, float, float]],
) -> Call[MasksAnswer]:
    body: dict[str, object] = {
        "text": text,
        "points": [{"x": x, "y": y, "label": label} for x, y, label in points],
        "boxes": [list(box) for box in boxes],
    }
    if not_text is not None:
        body["not_text"] = not_text
    return Call("POST", f"/v1/photos/{photo_id}/masks", reading(MasksAnswer), Options(json=body))


def strokes(photo_id: str, painted: Sequence[StrokeIn], base_mask_id: str | None) -> Call[MasksAnswer]:
    body: dict[str, object] = {"strokes": [stroke.model_dump(mode="json") for stroke in painted]}
    if base_mask_id is not None:
        body["base_mask_id"] = base_mask_id
    return Call("POST", f"/v1/photos/{photo_id}/masks", reading(MasksAnswer), Options(json=body))


def put_mask(photo_id: str, png: bytes) -> Call[MaskAnswer]:
    options = Options(content=png, headers={"content-type": "image/png"})
    return Call("PUT", f"/v1/photos/{photo_id}/masks", reading(MaskAnswer), options)


def mask(mask_id: str) -> Call[MaskAnswer]:
    return Call("GET", f"/v1/masks/{mask_id}.json", reading(MaskAnswer))


def shoot(request: ShotRequest | Mapping[str, object], idempotency_key: str | None) -> Call[AcceptedAnswer]:
    return _work("/v1/shots", request, idempotency_key)


def shot(shot_id: str) -> Call[ShotAnswer]:
    return Call("GET", f"/v1/shots/{shot_id}", reading(ShotAnswer))


def shots(
    status: Status | None,
    sku: str | None,
    meta: Mapping[str, str],
    review: Review | Literal["none"] | None,
    project_id: str | None,
    words: str | None,
    created_after: datetime | None,
    created_before: datetime | None,
) -> Call[ShotPage]:
    params: dict[str, str | list[str]] = {
        **given(status=status, sku=sku, review=review, project_id=project_id, q=words)
    }
    if meta:
        params["meta"] = [f"{name}:{value}" for name, value in meta.items()]
    for name, moment in (("created_after", created_after), ("created_before", created_before)):
        if moment is not None:
            params[name] = moment.astimezone().isoformat()
    return Call("GET", "/v1/shots", reading(ShotPage), Options(params=params))


def cancel(shot_id: str) -> Call[AcceptedAnswer]:
    return Call("DELETE", f"/v1/shots/{shot_id}", reading(AcceptedAnswer))


def image(image_id: str) -> Call[WholeImageAnswer]:
    return Call("GET", f"/v1/images/{image_id}.json", reading(WholeImageAnswer))


def review(image_id: str, decision: Review | None, note: str | None) -> Call[WholeImageAnswer]:
    body = {"review": decision, **given(note=note)}
    return Call("PATCH", f"/v1/images/{image_id}", reading(WholeImageAnswer), Options(json=body))


def reviews(image_id: str) -> Call[ReviewsAnswer]:
    return Call("GET", f"/v1/images/{image_id}/reviews", reading(ReviewsAnswer))


def decide(image_id: str, decision: ReviewIn, if_match: str | None) -> Call[WholeImageAnswer]:
    headers = {"if-match": if_match} if if_match else {}
    options = Options(json=set_fields(decision), headers=headers)
    return Call("POST", f"/v1/images/{image_id}/reviews", reading(WholeImageAnswer), options)


def touch_up(
    image_id: str, request: TouchupRequest | Mapping[str, object], idempotency_key: str | None
) -> Call[AcceptedAnswer]:
    return _work(f"/v1/images/{image_id}/touchups", request, idempotency_key)


def enhance(
    photo_id: str, request: EnhancementRequest | Mapping[str, object], idempotency_key: str | None
) -> Call[AcceptedAnswer]:
    return _work(f"/v1/photos/{photo_id}/enhancements", request, idempotency_key)


def _work(path: str, request: Request | Mapping[str, object], idempotency_key: str | None) -> Call[AcceptedAnswer]:
    """Ask for work that runs like a shot."""
    body = set_fields(request) if isinstance(request, Request) else dict(request)
    headers = {"idempotency-key": idempotency_key} if idempotency_key else {}
    return Call("POST", path, reading(AcceptedAnswer), Options(json=body, headers=headers))


def versions(image_id: str) -> Call[VersionsAnswer]:
    return Call("GET", f"/v1/images/{image_id}/versions", reading(VersionsAnswer))


def restore(image_id: str) -> Call[WholeImageAnswer]:
    return Call("POST", f"/v1/images/{image_id}/restore", reading(WholeImageAnswer))


def redo(image_id: str, request: RedoRequest, idempotency_key: str | None) -> Call[AcceptedAnswer]:
    return _work(f"/v1/images/{image_id}/redo", request, idempotency_key)


def projects() -> Call[ProjectPage]:
    return Call("GET", "/v1/projects", reading(ProjectPage))


def create_project(name: str) -> Call[ProjectAnswer]:
    return Call("POST", "/v1/projects", reading(ProjectAnswer), Options(json={"name": name}))


def rename_project(project_id: str, name: str) -> Call[ProjectAnswer]:
    return Call("PATCH", f"/v1/projects/{project_id}", reading(ProjectAnswer), Options(json={"name": name}))


def delete_project(project_id: str) -> Call[None]:
    return Call("DELETE", f"/v1/projects/{project_id}", nothing)


def styles() -> Call[StylePage]:
    return Call("GET", "/v1/styles", reading(StylePage))


def create_style(request: StyleRequest) -> Call[StyleAnswer]:
    return Call("POST", "/v1/styles", reading(StyleAnswer), Options(json=set_fields(request)))


def change_style(style_id: str, change: StyleChange) -> Call[StyleAnswer]:
    return Call("PATCH", f"/v1/styles/{style_id}", reading(StyleAnswer), Options(json=set_fields(change)))


def find_palette(references: Sequence[ReferenceIn]) -> Call[PaletteAnswer]:
    body = set_fields(PaletteRequest(references=list(references)))
    return Call("POST", "/v1/palettes", reading(PaletteAnswer), Options(json=body))


def delete_style(style_id: str) -> Call[None]:
    return Call("DELETE", f"/v1/styles/{style_id}", nothing)


def adapters() -> Call[AdapterPage]:
    return Call("GET", "/v1/adapters", reading(AdapterPage))


def add_adapter(data: bytes, name: str, texts: Mapping[str, str | None]) -> Call[AdapterAnswer]:
    options = Options(files={"file": ("adapter.safetensors", io.BytesIO(data), "application/octet-stream")})
    options["data"] = {"name": name, **{field: text for field, text in texts.items() if text is not None}}
    return Call("POST", "/v1/adapters", reading(AdapterAnswer), options)


def change_adapter(adapter_id: str, change: AdapterChange) -> Call[AdapterAnswer]:
    return Call("PATCH", f"/v1/adapters/{adapter_id}", reading(AdapterAnswer), Options(json=set_fields(change)))


def delete_adapter(adapter_id: str) -> Call[None]:
    return Call("DELETE", f"/v1/adapters/{adapter_id}", nothing)


def read_words(text: str) -> Call[ReadWordsAnswer]:
    return Call("GET", "/v1/words", reading(ReadWordsAnswer), Options(params={"text": text}))


def read_prompt(text: str, engine: str | None, adapters: Sequence[str]) -> Call[ReadWordsAnswer]:
    params: dict[str, str | list[str]] = {
        "text": text,
        "use": "prompt",
        "adapter": list(adapters),
        **given(engine=engine),
    }
    return Call("GET", "/v1/words", reading(ReadWordsAnswer), Options(params=params))


def engines() -> Call[EnginesAnswer]:
    return Call("GET", "/v1/engines", reading(EnginesAnswer))


def presets() -> Call[PresetsAnswer]:
    return Call("GET", "/v1/presets", reading(PresetsAnswer))


def deliver(image_id: str, entries: Sequence[DeliverIn]) -> Call[DeliveriesAnswer]:
    body = {"deliver": [set_fields(entry) for entry in entries]}
    return Call("POST", f"/v1/images/{image_id}/deliveries", reading(DeliveriesAnswer), Options(json=body))


def film(image_id: str, request: ClipRequest, idempotency_key: str | None) -> Call[AcceptedAnswer]:
    return _work(f"/v1/images/{image_id}/clips", request, idempotency_key)


def clip(clip_id: str) -> Call[ClipAnswer]:
    return Call("GET", f"/v1/clips/{clip_id}.json", reading(ClipAnswer))


def usage(group: Literal["sku", "key", "day"], since: date | None, until: date | None) -> Call[UsageAnswer]:
    days = {"from": since, "to": until}
    params = {"group": group, "limit": "100", **{name: day.isoformat() for name, day in days.items() if day}}
    return Call("GET", "/v1/usage", reading(UsageAnswer), Options(params=params))


def audit(
    after: datetime | None, before: datetime | None, object_id: str | None, tenant_id: str | None, cursor: int
) -> Call[list[AuditLine]]:
    """One page of the audit trail: at most AUDIT_PAGE lines after the one with the number `cursor`."""
    moments = {"after": after, "before": before}
    params = {"limit": str(AUDIT_PAGE), "cursor": str(cursor), **given(object=object_id, tenant=tenant_id)}
    params |= {name: moment.astimezone().isoformat() for name, moment in moments.items() if moment is not None}
    return Call("GET", "/v1/audit", _audit_lines, Options(params=params))


def _audit_lines(answer: httpx.Response) -> list[AuditLine]:
    try:
        return [AuditLine.model_validate_json(line) for line in answer.content.splitlines()]
    except ValidationError as error:
        raise foreign_answer(answer) from error


def budget(owner_id: str) -> Call[BudgetAnswer]:
    return Call("GET", _budget_url(owner_id), reading(BudgetAnswer))


def set_budget(owner_id: str, limits: BudgetRequest) -> Call[BudgetAnswer]:
    return Call("PUT", _budget_url(owner_id), reading(BudgetAnswer), Options(json=set_fields(limits)))


def _budget_url(owner_id: str) -> str:
    return f"/v1/{'keys' if owner_id.startswith('ky_') else 'tenants'}/{owner_id}/budget"


def download(url: str, preset: str | None) -> Call[bytes]:
    return Call("GET", url, lambda answer: answer.content, Options(params=given(preset=preset)))
