"""One arrival, acting for a tenant: the calls of the API, each answer timed and checked. Part of the Locust child."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any

import gevent

from loadtest.checks.layout import Size, place
from loadtest.checks.png import png_size
from loadtest.generator.http_client import Answer, HttpClient, HttpError, multipart
from loadtest.run.job import Job, Tenant
from loadtest.scenarios.photos import DrawnPhoto
from loadtest.scenarios.scenario import ShotSettings
from loadtest.scenarios.traffic import Arrival

ENDINGS = ("done", "failed", "cancelled")
RETRY_S = 0.5
STRANGER_SHARE = 0.1
"""Share of shots that another tenant then requests, and must not get."""
PROMPTS = (
    "on a marble table, soft morning light",
    "on a dark wooden table in front of a brick wall, warm evening light",
    "on white paper, in front of a plain white wall",
    "on a stone, green garden behind",
    "on sand, blue sky behind",
)

Record = dict[str, Any]


class WrongAnswer(Exception):
    """Raised when an answer does not follow the API's contract. Its text is a short code that the report counts."""


@dataclass
class World:
    """What the personas of one worker share.

    `photos` are the photos to upload. `now` gives the present time, and `sleep_until` returns at a given time, both in
    seconds of the schedule. `note` keeps a record for the report.
    """

    plan: Job
    http: HttpClient
    photos: list[DrawnPhoto]
    now: Callable[[], float]
    sleep_until: Callable[[float], None]
    note: Callable[[Record], None]


@dataclass
class Op:
    """One timed operation of a persona.

    `record` goes to the recorder, and callers may add keys to it. The operation fails at `deadline_s`. `answered_s` is
    when the last byte of the latest answer was received; it is None while an answer is outstanding. Both are in seconds
    of the schedule. `retries` counts repeated calls, and `stages_ms` holds the server's stage times in milliseconds.
    """

    record: Record
    deadline_s: float
    answered_s: float | None = None
    retries: int = 0
    stages_ms: dict[str, float] = field(default_factory=dict)


class Person:
    """One arrival, acting for one tenant. The arrival's seed determines all random choices."""

    def __init__(self, world: World, arrival: Arrival) -> None:
        self.world, self.arrival = world, arrival
        self.rng = Random(arrival.seed)
        self.tenant: Tenant = world.plan.tenants[arrival.tenant]
        self.headers = {"authorization": f"Bearer {self.tenant.key}"} if self.tenant.key else {}

    @contextmanager
    def op(self, name: str, at_s: float) -> Iterator[Op]:
        """Time one operation of class `name` from `at_s`, when it was due. A failure is recorded and raised again."""
        world = self.world
        op = Op(
            {"k": "op", "c": name, "n": self.arrival.number, "t": self.arrival.tenant, "at": at_s},
            at_s + world.plan.scenario.patience_s,
        )
        op.record["sent"] = world.now()
        why = "abandoned"
        try:
            yield op
            why = ""
        except (WrongAnswer, HttpError) as error:
            why = str(error)
            raise
        except gevent.GreenletExit:
            why = "unfinished"
            raise
        except (KeyError, IndexError, TypeError, ValueError) as error:
            why = "malformed_answer"
            raise WrongAnswer(why) from error
        finally:
            # The time to process an answer is not the server's delay.
            ended_s = world.now() if op.answered_s is None else op.answered_s
            op.record |= {"ms": (ended_s - at_s) * 1000, "ok": not why, "why": why, "st": op.stages_ms}
            if op.retries:
                op.record["retries"] = op.retries
            world.note(op.record)

    def record_abandoned(self, name: str, at_s: float) -> None:
        """Record an operation that was never sent, because an earlier step failed."""
        record = {"k": "op", "c": name, "n": self.arrival.number, "t": self.arrival.tenant, "at": at_s}
        self.world.note(record | {"sent": None, "ms": None, "ok": False, "why": "abandoned", "st": {}})

    def think(self, seconds: float) -> float:
        """Pause for about `seconds`. Returns when the next step is due, in seconds of the schedule."""
        at_s = self.world.now() + self.rng.uniform(0.5, 1.5) * seconds
        self.world.sleep_until(at_s)
        return at_s

    def call(
        self, op: Op, method: str, path: str, *, body: bytes = b"", headers: dict[str, str] | None = None, expect: int
    ) -> Answer:
        """Send a request that is safe to repeat. It is retried when the connection is refused or reset, and on 503.

        Raises WrongAnswer when the status is not `expect`, and HttpError when no answer is received by the deadline.
        """
        world = self.world
        while True:
            left_s = max(0.05, op.deadline_s - world.now())
            op.answered_s = None
            try:
                answer = world.http.request(method, path, body, {**self.headers, **(headers or {})}, left_s)
                op.answered_s = answer.at_s
                if answer.status == expect:
                    return answer
                lost = answer.status == 503
                error: Exception = WrongAnswer(_code(answer))
            except HttpError as http_error:
                error, lost = http_error, str(http_error) in ("refused", "reset")
            if not lost or world.now() + RETRY_S > op.deadline_s:
                raise error
            op.retries += 1
            gevent.sleep(RETRY_S)

    def json(self, op: Op, method: str, path: str, payload: Any = None, *, expect: int = 200, **headers: str) -> Any:
        """`call` with a JSON body and a JSON answer. The server's stage times go into the record.

        `headers` are named with underscores: `idempotency_key` becomes `idempotency-key`.
        """
        body = json.dumps(payload).encode() if payload is not None else b""
        found = {name.replace("_", "-"): value for name, value in headers.items()}
        if body:
            found["content-type"] = "application/json"
        answer = self.call(op, method, path, body=body, headers=found, expect=expect)
        op.stages_ms |= answer.stages_ms()
        try:
            return answer.json()
        except ValueError:
            raise WrongAnswer("not_json") from None

    def chance(self, share: float) -> bool:
        """Whether this arrival is one of a share of them. A share of 0 leaves all other random choices as they were."""
        return share > 0 and self.rng.random() < share

    @property
    def name(self) -> str:
        """A name that is unique to this arrival and this run."""
        return f"lt-{self.world.plan.run}-{self.arrival.number}"

    def upload(self, op: Op, photo: DrawnPhoto) -> str:
        """Upload a photo as bytes that are new to the server, and return its id.

        Raises WrongAnswer when the answer describes another photo.
        """
        data = photo.unique(self.name)
        body, content_type = multipart(data, "image/jpeg")
        answer = self.call(op, "POST", "/v1/photos", body=body, headers={"content-type": content_type}, expect=201)
        op.stages_ms |= answer.stages_ms()
        found = answer.json()
        if (found["width"], found["height"]) != (photo.width, photo.height):
            raise WrongAnswer("wrong_photo_size")
        if found["sha256"] != hashlib.sha256(data).hexdigest():
            raise WrongAnswer("somebody_elses_photo")
        return str(found["id"])

    def click(self, op: Op, photo_id: str, photo: DrawnPhoto) -> str:
        """Prompt with the product's box, enlarged by a few random pixels, and return the id of the best mask.

        Raises WrongAnswer when the masks are not best first, or when the best lies outside the photo.
        """
        left, top, right, bottom = photo.box_xyxy
        loose = [self.rng.uniform(0, 6) for _ in range(4)]
        box = [
            max(0, left - loose[0]),
            max(0, top - loose[1]),
            min(photo.width, right + loose[2]),
            min(photo.height, bottom + loose[3]),
        ]
        found = self.json(op, "POST", f"/v1/photos/{photo_id}/masks", {"boxes": [box]})
        masks = found["masks"]
        if not masks or [mask["score"] for mask in masks] != sorted((mask["score"] for mask in masks), reverse=True):
            raise WrongAnswer("masks_not_best_first")
        x0, y0, x1, y1 = masks[0]["bbox"]
        if not (0 <= x0 < x1 <= photo.width and 0 <= y0 < y1 <= photo.height and masks[0]["area"] > 0):
            raise WrongAnswer("mask_outside_photo")
        return str(masks[0]["id"])

    def cutout(self, op: Op, mask_id: str, photo: DrawnPhoto) -> Size:
        """Fetch the cutout, as the studio does, and return its size in pixels.

        Raises WrongAnswer when the file is broken or larger than the photo.
        """
        size = self.picture_size(self.call(op, "GET", f"/v1/masks/{mask_id}/cutout", expect=200).body)
        if size[0] > photo.width or size[1] > photo.height:
            raise WrongAnswer("cutout_larger_than_photo")
        return size

    def picture_size(self, data: bytes) -> Size:
        """The size of a PNG, pixels. The file is checked in a thread, so that the check does not delay the schedule.

        Raises WrongAnswer when the file is broken.
        """
        try:
            size: Size = gevent.get_hub().threadpool.apply(png_size, (data,))
        except ValueError:
            raise WrongAnswer("picture_broken") from None
        return size

    def shot_request(
        self, settings: ShotSettings, mask_id: str, cutout_px: Size | None, seed: int, priority: str
    ) -> dict[str, Any]:
        """The body of a shot request."""
        placed = place(mask_id, cutout_px, settings.canvas_px)
        request: dict[str, Any] = {
            "canvas": {"width": settings.canvas_px, "height": settings.canvas_px},
            "layers": [placed.layer],
            "prompt": self.rng.choice(PROMPTS),
            "images": settings.images,
            "seed": seed,
            "priority": priority,
        }
        return request | ({"steps": settings.steps} if settings.steps is not None else {})

    def ordered(self, op: Op, path: str, request: dict[str, Any], key: str) -> dict[str, Any]:
        """Order a shot, or other work on a picture, and follow its events until it has ended. Returns its answer.

        `key` is the request's Idempotency-Key. The reported queue position goes into the record.
        """
        accepted = self.json(op, "POST", path, request, expect=202, idempotency_key=key)
        op.record["position"] = accepted["position"]
        self.follow(op, [accepted["id"]])
        work: dict[str, Any] = self.json(op, "GET", accepted["url"])
        return work

    def follow(self, op: Op, shot_ids: list[str], on_end: Callable[[str], None] = lambda shot_id: None) -> None:
        """Follow the event stream of the shots until every shot has ended, and call `on_end` for each.

        A stream that breaks is resumed after its last event. Raises HttpError("timeout") at the operation's deadline,
        and WrongAnswer on an unexpected status or another tenant's event.
        """
        live, last_id = set(shot_ids), ""
        op.answered_s = None
        while live:
            left_s = op.deadline_s - self.world.now()
            if left_s <= 0:
                raise HttpError("timeout")
            headers = {**self.headers, **({"last-event-id": last_id} if last_id else {})}
            try:
                name = ""
                for line in self.world.http.lines(f"/v1/events?shots={','.join(shot_ids)}", headers, left_s):
                    if isinstance(line, Answer):
                        if line.status == 204:  # the server sent every ending, but one was lost in transit
                            for shot in live:
                                on_end(shot)
                            return
                        if line.status != 503:
                            raise WrongAnswer(_code(line))
                        break
                    key, _, value = line.partition(": ")
                    if key == "event":
                        name = value
                    elif key == "id":
                        last_id = value
                    elif key == "data" and name in ENDINGS:
                        shot = json.loads(value)["shot"]
                        if shot not in shot_ids:
                            raise WrongAnswer("somebody_elses_event")
                        if shot in live:
                            on_end(shot)
                        live.discard(shot)
                        if not live:
                            return
            except HttpError as error:
                if str(error) == "timeout":
                    raise
            op.retries += 1
            gevent.sleep(RETRY_S)

    def finished(self, op: Op, shot: dict[str, Any], request: dict[str, Any], photo_id: str) -> None:
        """Check a shot that has ended, and fetch and check its pictures.

        Raises WrongAnswer when the shot failed, when a picture is broken, of the wrong size or another shot's, or when
        nothing is said of the light that the request asked for.
        """
        require_done(shot, "shot")
        images, side = shot["images"], request["canvas"]["width"]
        if [image["seed"] for image in images] != [request["seed"] + index for index in range(request["images"])]:
            raise WrongAnswer("somebody_elses_images")
        pictures = []
        for image in images:
            checks = {row["check"] for row in image["verdict"]["findings"]}
            if "relight" in request and "relight" not in checks:
                raise WrongAnswer("not_relit")
            if request.get("shadow") == {"mode": "cast"} and "light" not in checks:
                raise WrongAnswer("no_cast_shadow")
            pictures.append([image["url"], self.picture(op, image, (side, side))])
        self.record_files(op, shot, pictures)
        op.record |= {"request": request, "photo": photo_id}

    def picture(self, op: Op, image: dict[str, Any], size: Size) -> str:
        """Fetch a picture and return its SHA-256. Raises WrongAnswer when it is broken or of another size."""
        if (image["width"], image["height"]) != size:
            raise WrongAnswer("wrong_picture_size")
        data = self.call(op, "GET", image["url"], expect=200).body
        if self.picture_size(data) != size:
            raise WrongAnswer("wrong_picture_size")
        return hashlib.sha256(data).hexdigest()

    def record_files(self, op: Op, work: dict[str, Any], files: list[list[str]]) -> None:
        """Record finished work with its times, and its files as [url, SHA-256] pairs."""
        times = [_epoch(work[name]) for name in ("created_at", "started_at", "finished_at")]
        op.record |= {"shot": work["id"], "pictures": files, "times": times}

    def request_as_other_tenant(self, shot_id: str) -> None:
        """Request the shot as another tenant, for a share of the shots. The server must not return it."""
        others = [tenant for tenant in self.world.plan.tenants if tenant.key != self.tenant.key]
        if not others or self.rng.random() >= STRANGER_SHARE:
            return
        headers = {"authorization": f"Bearer {self.rng.choice(others).key}"}
        try:
            status = self.world.http.request("GET", f"/v1/shots/{shot_id}", headers=headers, timeout_s=30).status
        except HttpError:
            return  # no answer, so nothing was disclosed
        self.world.note({"k": "stranger", "ok": status != 200, "at": self.world.now(), "status": status})


def require_done(work: dict[str, Any], kind: str) -> None:
    """Raise WrongAnswer when work is of another kind or not done. Work of an older server without kinds is a shot."""
    if work.get("kind", "shot") != kind:
        raise WrongAnswer("wrong_kind")
    if work["status"] != "done":
        raise WrongAnswer(work.get("error", {}).get("code", work["status"]))


def _code(answer: Answer) -> str:
    try:
        return f"{answer.status} {answer.json()['code']}"
    except (ValueError, KeyError, TypeError):
        return str(answer.status)


def _epoch(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
