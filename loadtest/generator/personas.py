"""The personas: a designer at a screen, a shop's backend, an operator with a catalogue, and a probe.

The schedule starts a persona, never an answer. The steps inside a session are sequential, because a click needs its
photo; each is timed from the moment at which it was due. Part of the Locust child.

    designer     upload, k × click, cutout, shot (followed on its event stream), download
    integrator   [upload, click,] one call that waits for the picture, download
    catalogue    n shots submitted at once as catalogue work, followed on streams of 100 shots each, download
"""

from __future__ import annotations

import json
from typing import Any

import gevent
from gevent.event import AsyncResult

from loadtest.checks.layout import Size
from loadtest.generator.http_client import HttpError
from loadtest.generator.person import MAX_FOLLOWED, Op, Person, WrongAnswer


def designer(person: Person) -> None:
    """Upload a photo, click with pauses, and follow a shot until its picture is ready."""
    settings = person.world.plan.scenario.personas.designer
    photo = person.rng.choice(person.world.photos)
    clicks = person.rng.randint(*settings.clicks)
    rest = ["upload", *["click"] * clicks, "cutout", "shot"]
    at_s = person.arrival.at_s
    try:
        with person.op(rest.pop(0), at_s) as op:
            photo_id = person.upload(op, photo)
        for _ in range(clicks):
            at_s = person.think(settings.think_s)
            with person.op(rest.pop(0), at_s) as op:
                mask_id = person.click(op, photo_id, photo)
        at_s = person.world.now()
        with person.op(rest.pop(0), at_s) as op:
            cutout_px = person.cutout(op, mask_id, photo)
        at_s = person.think(settings.think_s)
        request = person.shot_request(settings, mask_id, cutout_px, person.arrival.seed, "interactive")
        with person.op(rest.pop(0), at_s) as op:
            accepted = person.json(op, "POST", "/v1/shots", request, expect=202, idempotency_key=person.name)
            op.record["position"] = accepted["position"]
            person.follow(op, [accepted["id"]])
            person.finished(op, person.json(op, "GET", accepted["url"]), request, photo_id)
    except (WrongAnswer, HttpError):
        for name in rest:
            person.record_abandoned(name, at_s)
        return
    person.request_as_other_tenant(accepted["id"])


def integrator(person: Person) -> None:
    """Order a picture in one call that waits for it, with a new photo or with the tenant's."""
    settings = person.world.plan.scenario.personas.integrator
    at_s, tenant = person.arrival.at_s, person.tenant
    photo_id, mask_id = tenant.photo_id, tenant.mask_id
    cutout_px: Size | None = tenant.cutout_px
    fresh = person.rng.random() < settings.fresh
    rest = ["upload", "click", "api_shot"] if fresh else ["api_shot"]
    try:
        if fresh:
            photo = person.rng.choice(person.world.photos)
            with person.op(rest.pop(0), at_s) as op:
                photo_id = person.upload(op, photo)
            at_s = person.world.now()
            with person.op(rest.pop(0), at_s) as op:
                mask_id, cutout_px = person.click(op, photo_id, photo), None
            at_s = person.world.now()
        request = person.shot_request(settings, mask_id, cutout_px, person.arrival.seed, "interactive")
        with person.op(rest.pop(0), at_s) as op:
            shot = _waited_for(person, op, request)
            person.finished(op, shot, request, photo_id)
    except (WrongAnswer, HttpError):
        for name in rest:
            person.record_abandoned(name, at_s)
        return
    person.request_as_other_tenant(shot["id"])


def _waited_for(person: Person, op: Op, request: dict[str, Any]) -> dict[str, Any]:
    """Request the shot with `Prefer: wait`, and repeat the request with the same key until the shot has ended."""
    body = json.dumps(request).encode()
    headers = {"content-type": "application/json", "idempotency-key": person.name, "prefer": "wait=60"}
    while True:
        try:
            answer = person.call(op, "POST", "/v1/shots", body=body, headers=headers, expect=200)
        except WrongAnswer as error:
            if not str(error).startswith("202") or person.world.now() >= op.deadline_s:
                raise
            continue  # the shot still waits or runs
        op.stages_ms |= answer.stages_ms()
        shot: dict[str, Any] = answer.json()
        return shot


def catalogue(person: Person) -> None:
    """Submit a batch of SKUs, and follow them once all are accepted. Each is timed from when the batch was due."""
    settings = person.world.plan.scenario.personas.catalogue
    at_s, tenant = person.arrival.at_s, person.tenant

    count = person.rng.randint(*settings.skus)
    accepted: dict[str, AsyncResult] = {}  # by shot: set when the shot has ended
    answers = [AsyncResult() for _ in range(count)]  # by SKU: set when its 202 was received, or will not be

    def one(index: int) -> None:
        seed = person.arrival.seed + index * settings.images
        request = person.shot_request(settings, tenant.mask_id, tenant.cutout_px, seed, "catalogue")
        key = f"{person.name}-{index}"
        try:
            with person.op("catalogue_shot", at_s) as op:
                try:
                    found = person.json(op, "POST", "/v1/shots", request, expect=202, idempotency_key=key)
                    ended = accepted[found["id"]] = AsyncResult()
                finally:
                    answers[index].set(True)
                op.record["position"] = found["position"]
                op.answered_s = None  # the end of the shot is outstanding
                ended.get()
                person.finished(op, person.json(op, "GET", found["url"]), request, tenant.photo_id)
        except (WrongAnswer, HttpError):
            return

    def follow(ids: list[str]) -> None:
        watching = Op({}, at_s + person.world.plan.scenario.patience_s)
        try:
            person.follow(watching, ids, lambda shot_id: accepted[shot_id].set(True))
            error: Exception = HttpError("stream_ended")
        except (WrongAnswer, HttpError) as broken:
            error = broken
        for shot_id in ids:
            if not accepted[shot_id].ready():
                accepted[shot_id].set_exception(error)

    orders = [gevent.spawn(one, index) for index in range(count)]
    try:
        for answer in answers:
            answer.get()
        ids = list(accepted)
        streams = [ids[first : first + MAX_FOLLOWED] for first in range(0, len(ids), MAX_FOLLOWED)]
        orders += [gevent.spawn(follow, stream) for stream in streams]
        gevent.joinall(orders)
    finally:
        gevent.killall(orders)


def probe(person: Person) -> None:
    """Send one small GET."""
    try:
        with person.op("probe", person.arrival.at_s) as op:
            person.call(op, "GET", person.world.plan.scenario.personas.probe.path, expect=200)
    except (WrongAnswer, HttpError):
        return
