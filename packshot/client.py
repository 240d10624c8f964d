"""A small client of the public API: what `packshot shoot` and tools speak. Synchronous, over httpx.

    client = Client("http://127.0.0.1:8000", key)
    photo = client.upload(Path("mug.jpg").read_bytes(), "image/jpeg")
    mask = client.masks(photo["id"], boxes=[(10, 20, 300, 400)])[0]
    shot = client.shoot({"layers": [{"mask_id": mask["id"]}], "prompt": "on a marble table"})
    for event in client.events([shot["id"]]): …

Problems come back as the `PackshotError` that the server raised.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypedDict, cast

import httpx

from packshot.contract.status import ENDED
from packshot.errors import KINDS, EngineFailed, PackshotError, Unavailable

RECONNECTS = 20
RECONNECT_S = 0.5


class PhotoAnswer(TypedDict):
    id: str
    width: int
    height: int
    format: str
    bytes: int
    sha256: str
    url: str


class MaskAnswer(TypedDict):
    id: str
    score: float
    area: int
    bbox: list[int]
    url: str
    cutout_url: str


class ImageAnswer(TypedDict):
    id: str
    seed: int
    width: int
    height: int
    url: str
    verdict: dict[str, Any]


class AcceptedAnswer(TypedDict):
    id: str
    status: str
    position: int
    url: str
    events_url: str


class ShotAnswer(TypedDict, total=False):
    id: str
    status: str
    position: int
    step: int
    steps: int
    created_at: str
    started_at: str | None
    finished_at: str | None
    images: list[ImageAnswer]
    error: dict[str, str]


@dataclass(frozen=True)
class Event:
    """One server-sent event. `data` names its shot in `shot`."""

    name: str
    data: dict[str, Any]
    id: str


class Client:
    """One connection pool to one server. `key`: None under open access."""

    def __init__(self, base_url: str, key: str | None = None, *, timeout_s: float = 120.0) -> None:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        # trust_env: a proxy of the environment is for the world outside, not for a cluster of one's own.
        self._http = httpx.Client(base_url=base_url, headers=headers, timeout=timeout_s, trust_env=False)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Return once the graph answers. Raises Unavailable after `timeout_s`."""
        give_up_at = time.monotonic() + timeout_s
        while True:
            try:
                self._call("GET", "/readyz")
                return
            except Unavailable as error:
                if time.monotonic() >= give_up_at:
                    raise
                time.sleep(min(error.retry_after_s or 0.5, 0.5))

    def upload(self, data: bytes, media_type: str = "application/octet-stream") -> PhotoAnswer:
        """Upload a photo; the server sniffs its type and holds it against `media_type`."""
        answer = self._call("POST", "/v1/photos", files={"file": ("photo", data, media_type)})
        return cast(PhotoAnswer, answer.json())

    def masks(
        self,
        photo_id: str,
        *,
        points: Sequence[tuple[float, float, int]] = (),
        boxes: Sequence[tuple[float, float, float, float]] = (),
        multimask: bool = True,
    ) -> list[MaskAnswer]:
        """Candidates for what points (x, y, label) and boxes (XYXY) show, best first; neither = automatic."""
        body = {
            "points": [{"x": x, "y": y, "label": label} for x, y, label in points],
            "boxes": [list(box) for box in boxes],
            "multimask": multimask,
        }
        answer = self._call("POST", f"/v1/photos/{photo_id}/masks", json=body)
        return cast(list[MaskAnswer], answer.json()["masks"])

    def shoot(self, request: dict[str, Any], *, idempotency_key: str | None = None) -> AcceptedAnswer:
        """Ask for images: stored when this returns."""
        headers = {"idempotency-key": idempotency_key} if idempotency_key else {}
        return cast(AcceptedAnswer, self._call("POST", "/v1/shots", json=request, headers=headers).json())

    def shot(self, shot_id: str) -> ShotAnswer:
        """A shot as it stands."""
        return cast(ShotAnswer, self._call("GET", f"/v1/shots/{shot_id}").json())

    def cancel(self, shot_id: str) -> AcceptedAnswer:
        """Have a shot end at its next step."""
        return cast(AcceptedAnswer, self._call("DELETE", f"/v1/shots/{shot_id}").json())

    def engines(self) -> list[dict[str, Any]]:
        """The packs and engines served."""
        return cast(list[dict[str, Any]], self._call("GET", "/v1/engines").json()["engines"])

    def download(self, url: str, *, preset: str | None = None) -> bytes:
        """The file at a `url` of an answer; an image's may be delivered to a preset."""
        return self._call("GET", url, params={"preset": preset} if preset else None).content

    def events(self, shot_ids: Sequence[str]) -> Iterator[Event]:
        """What happens to the shots until the last has ended; a connection that breaks is taken up where it stood."""
        live, last_id, silent = set(shot_ids), "", 0
        while live and silent <= RECONNECTS:
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
                    for event in _parsed(answer.iter_lines()):
                        last_id, silent = event.id, 0
                        if event.name in ENDED:
                            live.discard(event.data["shot"])
                        yield event
                    if answer.status_code == httpx.codes.NO_CONTENT:
                        return
            except httpx.TransportError as error:
                if silent == RECONNECTS:
                    raise _unreachable(error) from error
            if live:
                silent += 1
                time.sleep(RECONNECT_S)

    def _call(self, method: str, url: str, **options: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, url, **options)
        except httpx.TransportError as error:
            raise _unreachable(error) from error
        if answer.is_error:
            raise error_of(answer)
        return answer


def _unreachable(error: httpx.TransportError) -> Unavailable:
    return Unavailable(
        "not_ready", f"the server must be reachable, got {type(error).__name__}: {error}; is it running?"
    )


def error_of(answer: httpx.Response) -> PackshotError:
    """The error that a problem document tells of."""
    try:
        body = answer.json()
        code, detail = str(body["code"]), str(body["detail"])
    except (ValueError, KeyError, TypeError):
        return _not_ours(answer)
    retry_after = answer.headers.get("retry-after", "")
    for kind in KINDS:
        if code in kind.codes:
            retry_after_s = float(retry_after) if retry_after.isdigit() else None
            return kind(code, detail, errors=body.get("errors"), retry_after_s=retry_after_s)
    return EngineFailed("internal", f"{code}: {detail}")


def _not_ours(answer: httpx.Response) -> PackshotError:
    told = f"{answer.request.method} {answer.request.url.path} answered {answer.status_code} {answer.text[:200]!r}"
    if answer.status_code in (502, 503, 504):
        return Unavailable("not_ready", told)
    return EngineFailed("internal", told)


def _parsed(lines: Iterator[str]) -> Iterator[Event]:
    name, data, last_id = "message", "", ""
    for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield Event(name, json.loads(data), last_id)
            name, data = "message", ""
        elif field == "event":
            name = value
        elif field == "data":
            data += value
        elif field == "id":
            last_id = value
