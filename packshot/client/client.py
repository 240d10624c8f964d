"""The client: one method for each API call that tools use. It is synchronous and uses httpx."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

import httpx
from pydantic import ValidationError

from packshot.client.errors import error_of, foreign_answer, unreachable
from packshot.client.events import Event, events_of
from packshot.contract.answers import AcceptedAnswer, MaskAnswer, MasksAnswer, PhotoAnswer, ShotAnswer
from packshot.contract.base import Answer
from packshot.contract.engines import EngineInfo, EnginesAnswer
from packshot.contract.projects import (
    ProjectAnswer,
    ProjectPage,
    StyleAnswer,
    StyleChange,
    StylePage,
    StyleRequest,
)
from packshot.contract.requests import ShotRequest, StrokeIn
from packshot.contract.status import ENDED
from packshot.errors import Unavailable

RECONNECTS = 20
"""How often an event stream is reconnected without a new event before the client gives up."""

RECONNECT_S = 0.5

Read = TypeVar("Read", bound=Answer)
Page = TypeVar("Page", ProjectPage, StylePage)


class Client:
    """A client of one server, with a connection pool.

    `base_url` is the server's address, such as `http://127.0.0.1:8000`. `key` is an API key; None works under open
    access only. `timeout_s` limits the connection, each read and each write, in seconds.

    Every method raises the `PackshotError` that the server raised, or Unavailable when the server cannot be reached.
    """

    def __init__(self, base_url: str, key: str | None = None, *, timeout_s: float = 120.0) -> None:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        # trust_env=False: the environment's proxy is for the internet, not for the user's own cluster.
        self._http = httpx.Client(base_url=base_url, headers=headers, timeout=timeout_s, trust_env=False)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Return when every stage answers. Raises Unavailable when that takes more than `timeout_s` seconds."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                self._call("GET", "/readyz")
                return
            except Unavailable as error:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(min(error.retry_after_s or 0.5, 0.5))

    def upload(
        self, data: bytes, media_type: str = "application/octet-stream", *, project_id: str | None = None
    ) -> PhotoAnswer:
        """Upload a photo. Its bytes decide the format; a wrong `media_type` gives a note in the answer's `notes`.

        `project_id` puts the photo into a project.
        """
        files = {"file": ("photo", data, media_type)}
        fields = {"project_id": project_id} if project_id else None
        return self._read(PhotoAnswer, "POST", "/v1/photos", files=files, data=fields)

    def masks(
        self,
        photo_id: str,
        *,
        points: Sequence[tuple[float, float, int]] = (),
        boxes: Sequence[tuple[float, float, float, float]] = (),
        multimask: bool = True,
        base_mask_id: str | None = None,
    ) -> tuple[MaskAnswer, ...]:
        """Segment what the prompts mark. Returns candidate masks, best first.

        `points` are (x, y, label) in pixels of the photo, with label 1 on the product and 0 on the background. `boxes`
        are XYXY in pixels. Without points and boxes, the server finds the product itself; a photo that is already cut
        out brings its own transparency as the first candidate. `multimask` asks for up to three candidates instead of
        one. `base_mask_id` is an earlier mask of the photo that the points and boxes improve.
        """
        body: dict[str, object] = {
            "points": [{"x": x, "y": y, "label": label} for x, y, label in points],
            "boxes": [list(box) for box in boxes],
            "multimask": multimask,
        }
        if base_mask_id is not None:
            body["base_mask_id"] = base_mask_id
        return self._read(MasksAnswer, "POST", f"/v1/photos/{photo_id}/masks", json=body).masks

    def paint_strokes(
        self, photo_id: str, strokes: Sequence[StrokeIn], *, base_mask_id: str | None = None
    ) -> MaskAnswer:
        """Paint brush strokes on a mask of the photo, or on an empty one. Returns the new mask; the base stays."""
        body: dict[str, object] = {"strokes": [stroke.model_dump(mode="json") for stroke in strokes]}
        if base_mask_id is not None:
            body["base_mask_id"] = base_mask_id
        return self._read(MasksAnswer, "POST", f"/v1/photos/{photo_id}/masks", json=body).masks[0]

    def put_mask(self, photo_id: str, png: bytes) -> MaskAnswer:
        """Send a mask of the photo: a PNG of its size, whose alpha or grey marks the product with 255."""
        headers = {"content-type": "image/png"}
        return self._read(MaskAnswer, "PUT", f"/v1/photos/{photo_id}/masks", content=png, headers=headers)

    def shoot(
        self, request: ShotRequest | Mapping[str, object], *, idempotency_key: str | None = None
    ) -> AcceptedAnswer:
        """Create a shot. It is stored when this returns.

        A mapping is sent unchanged and only the server validates it, so that a client can use fields of a newer server.
        A repeated call with the same `idempotency_key` returns the same shot.
        """
        body = request.model_dump(mode="json") if isinstance(request, ShotRequest) else dict(request)
        headers = {"idempotency-key": idempotency_key} if idempotency_key else {}
        return self._read(AcceptedAnswer, "POST", "/v1/shots", json=body, headers=headers)

    def shot(self, shot_id: str) -> ShotAnswer:
        """Get a shot with its status, progress and images."""
        return self._read(ShotAnswer, "GET", f"/v1/shots/{shot_id}")

    def cancel(self, shot_id: str) -> AcceptedAnswer:
        """Cancel a shot at its next step. Raises Conflict when it has ended."""
        return self._read(AcceptedAnswer, "DELETE", f"/v1/shots/{shot_id}")

    def projects(self) -> Iterator[ProjectAnswer]:
        """Yield the projects, newest first."""
        for page in self._pages(ProjectPage, "/v1/projects"):
            yield from page.projects

    def create_project(self, name: str) -> ProjectAnswer:
        """Create a project. Raises Conflict `name_taken` when there is one of this name."""
        return self._read(ProjectAnswer, "POST", "/v1/projects", json={"name": name})

    def rename_project(self, project_id: str, name: str) -> ProjectAnswer:
        """Rename a project. Raises Conflict `name_taken` when there is one of this name."""
        return self._read(ProjectAnswer, "PATCH", f"/v1/projects/{project_id}", json={"name": name})

    def delete_project(self, project_id: str) -> None:
        """Delete a project. Its photos and shots stay."""
        self._call("DELETE", f"/v1/projects/{project_id}")

    def styles(self) -> Iterator[StyleAnswer]:
        """Yield the styles, newest first."""
        for page in self._pages(StylePage, "/v1/styles"):
            yield from page.styles

    def create_style(self, request: StyleRequest) -> StyleAnswer:
        """Create a style. Raises Conflict `name_taken` when there is one of this name."""
        return self._read(StyleAnswer, "POST", "/v1/styles", json=request.model_dump(mode="json"))

    def change_style(self, style_id: str, change: StyleChange) -> StyleAnswer:
        """Set the fields of a style that `change` sets."""
        body = change.model_dump(mode="json", exclude_unset=True)
        return self._read(StyleAnswer, "PATCH", f"/v1/styles/{style_id}", json=body)

    def delete_style(self, style_id: str) -> None:
        """Delete a style."""
        self._call("DELETE", f"/v1/styles/{style_id}")

    def engines(self) -> tuple[EngineInfo, ...]:
        """List the engines. The first one is the default."""
        return self._read(EnginesAnswer, "GET", "/v1/engines").engines

    def download(self, url: str, *, preset: str | None = None) -> bytes:
        """Download the file at a `url` of a response. With `preset`, an image is delivered to that preset's rules."""
        return self._call("GET", url, params={"preset": preset} if preset else None).content

    def events(self, shot_ids: Sequence[str]) -> Iterator[Event]:
        """Yield the events of the shots until the last one has ended. A broken connection is resumed without loss.

        Raises Unavailable when the server cannot be reached, or keeps closing the stream without an event.
        """
        live, last_id, failures = set(shot_ids), "", 0
        while live and failures <= RECONNECTS:
            try:
                with self._http.stream(
                    "GET",
                    "/v1/events",
                    params={"shots": ",".join(shot_ids)},
                    headers={"last-event-id": last_id} if last_id else {},
                ) as answer:
                    if answer.is_error:
                        answer.read()
                        raise error_of(answer)
                    if answer.status_code == httpx.codes.NO_CONTENT:
                        return
                    for event in events_of(answer):
                        last_id, failures = event.id, 0
                        if event.name in ENDED:
                            live.discard(event.data.shot)
                        yield event
            except httpx.TransportError as error:
                if failures == RECONNECTS:
                    raise unreachable(error) from error
            if live:
                failures += 1
                time.sleep(RECONNECT_S)
        if live:
            raise Unavailable(
                "not_ready",
                f"the event stream must last until every shot has ended, the server closed it {failures} times running "
                f"without an event and {len(live)} shots are live; get the shots one by one",
            )

    def _pages(self, model: type[Page], url: str) -> Iterator[Page]:
        cursor: str | None = ""
        while cursor is not None:
            page = self._read(model, "GET", url, params={"cursor": cursor} if cursor else None)
            yield page
            cursor = page.next_cursor

    def _read(self, model: type[Read], method: str, url: str, **options: Any) -> Read:
        answer = self._call(method, url, **options)
        try:
            return model.model_validate_json(answer.content)
        except ValidationError as error:
            raise foreign_answer(answer) from error

    def _call(self, method: str, url: str, **options: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, url, **options)
        except httpx.TransportError as error:
            raise unreachable(error) from error
        if answer.is_error:
            raise error_of(answer)
        return answer
