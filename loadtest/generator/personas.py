"""Who sends what: a designer at a screen, a shop's backend, an operator with a catalogue, and a probe.

A persona is begun by the schedule, never by an answer; inside one, a step follows the one before, as it must (no click
before its photo is there), and is timed from when it was due. Part of the Locust child.

    designer     upload, k × click, cutout, place + shot (followed by its events), download
    integrator   [upload, click,] one call that waits for the picture, download
    catalogue    n shots dropped at once as catalogue work, followed on a stream of 100 each, downloads
"""

from __future__ import annotations

import json
from typing import Any

import gevent
from gevent.event import AsyncResult

from loadtest.checks.layout import Size
from loadtest.generator.http_client import HttpError
from loadtest.generator.person import MAX_FOLLOWED, Op, Person, Wrong


def designer(person: Person) -> None:
    """Upload, clicks with pauses, then a shot that is watched until its picture is there."""
    asked = person.world.plan.scenario.personas.designer
    photo = person.rng.choice(person.world.photos)
    clicks = person.rng.randint(*asked.clicks)
    rest = ["upload", *["click"] * clicks, "cutout", "shot"]
    at_s = person.arrival.at_s
    try:
        with person.op(rest.pop(0), at_s) as op:
            photo_id = person.upload(op, photo)
        for _ in range(clicks):
            at_s = person.think(asked.think_s)
            with person.op(rest.pop(0), at_s) as op:
                mask_id = person.click(op, photo_id, photo)
        at_s = person.world.now()
        with person.op(rest.pop(0), at_s) as op:
            cutout_px = person.cutout(op, mask_id, photo)
        at_s = person.think(asked.think_s)
        request = person.shot_request(asked, mask_id, cutout_px, person.arrival.seed, "interactive")
        with person.op(rest.pop(0), at_s) as op:
            accepted = person.json(op, "POST", "/v1/shots", request, expect=202, idempotency_key=person.name)
            op.record["position"] = accepted["position"]
            person.follow(op, [accepted["id"]])
            person.finished(op, person.json(op, "GET", accepted["url"]), request, photo_id)
    except (Wrong, HttpError):
        for name in rest:
            person.given_up(name, at_s)
        return
    person.stranger_asks(accepted["id"])


def integrator(person: Person) -> None:
    """A backend's order: with a photo of its own or the tenant's, in one call that waits for the picture."""
    asked = person.world.plan.scenario.personas.integrator
    at_s, tenant = person.arrival.at_s, person.tenant
    photo_id, mask_id = tenant.photo_id, tenant.mask_id
    cutout_px: Size | None = tenant.cutout_px
    fresh = person.rng.random() < asked.fresh
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
        request = person.shot_request(asked, mask_id, cutout_px, person.arrival.seed, "interactive")
        with person.op(rest.pop(0), at_s) as op:
            shot = _waited_for(person, op, request)
            person.finished(op, shot, request, photo_id)
    except (Wrong, HttpError):
        for name in rest:
            person.given_up(name, at_s)
        return
    person.stranger_asks(shot["id"])


def _waited_for(person: Person, op: Op, request: dict[str, Any]) -> dict[str, Any]:
    """The shot under `Prefer: wait`, asked again with the same key until it has ended."""
    body = json.dumps(request).encode()
    headers = {"content-type": "application/json", "idempotency-key": person.name, "prefer": "wait=60"}
    while True:
        try:
            answer = person.call(op, "POST", "/v1/shots", body=body, headers=headers, expect=200)
        except Wrong as error:
            if not str(error).startswith("202") or person.world.now() >= op.deadline_s:
                raise
            continue  # it waits still: join the wait again
        op.stages_ms |= answer.stages_ms()
        shot: dict[str, Any] = answer.json()
        return shot


def catalogue(person: Person) -> None:
    """A dump of SKUs: all accepted first, then followed; each is timed from when the dump was due."""
    asked = person.world.plan.scenario.personas.catalogue
    at_s, tenant = person.arrival.at_s, person.tenant

    count = person.rng.randint(*asked.skus)
    accepted: dict[str, AsyncResult] = {}  # shot -> its end
    answers = [AsyncResult() for _ in range(count)]  # who has its 202, or will not get one

    def one(index: int) -> None:
        seed = person.arrival.seed + index * asked.images
        request = person.shot_request(asked, tenant.mask_id, tenant.cutout_px, seed, "catalogue")
        key = f"{person.name}-{index}"
        try:
            with person.op("catalogue_shot", at_s) as op:
                try:
                    found = person.json(op, "POST", "/v1/shots", request, expect=202, idempotency_key=key)
                    ended = accepted[found["id"]] = AsyncResult()
                finally:
                    answers[index].set(True)
                op.record["position"] = found["position"]
                op.answered_s = None  # its end is awaited
                ended.get()
                person.finished(op, person.json(op, "GET", found["url"]), request, tenant.photo_id)
        except (Wrong, HttpError):
            return

    def follow(ids: list[str]) -> None:
        watching = Op({}, at_s + person.world.plan.scenario.patience_s)
        try:
            person.follow(watching, ids, lambda shot_id: accepted[shot_id].set(True))
            error: Exception = HttpError("stream_ended")
        except (Wrong, HttpError) as broken:
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
    """One small GET."""
    try:
        with person.op("probe", person.arrival.at_s) as op:
            person.call(op, "GET", person.world.plan.scenario.personas.probe.path, expect=200)
    except (Wrong, HttpError):
        return
