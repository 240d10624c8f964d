"""The personas: a designer at a screen, a shop's backend, an operator with a catalogue, and a probe.

The schedule starts a persona, never an answer. The steps inside a session are sequential, because a click needs its
photo; each is timed from the moment at which it was due. Part of the Locust child.

    designer     upload, k × click, cutout, shot (followed on its event stream), download[, touch-up][, clip]
    integrator   [upload, click,] one call that waits for the picture, download
    catalogue    a catalogue of n SKUs made and started, its rows watched, every picture downloaded
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import gevent
from gevent.event import AsyncResult

from loadtest.checks.layout import Size
from loadtest.generator.http_client import HttpError
from loadtest.generator.person import PROMPTS, Op, Person, WrongAnswer
from loadtest.generator.pictures import make_clip, touch_up
from loadtest.scenarios.scenario import Catalogue

ENDED_ROWS = ("done", "failed", "skipped")
ROWS_EVERY_S = 1.0


def designer(person: Person) -> None:
    """Upload a photo, click with pauses, and follow a shot until its picture is ready; then touch it up and film it."""
    settings = person.world.plan.scenario.personas.designer
    photo = person.rng.choice(person.world.photos)
    clicks = person.rng.randint(*settings.clicks)
    relit, cast = person.chance(settings.relit), person.chance(settings.cast)
    later = [name for name, share in settings.after_the_shot.items() if person.chance(share)]
    rest = ["upload", *["click"] * clicks, "cutout", "shot", *later]
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
        if relit:
            request["relight"] = {"mode": "match"}
        if cast:
            request["shadow"] = {"mode": "cast"}
        with person.op(rest.pop(0), at_s) as op:
            shot = person.ordered(op, "/v1/shots", request, person.name)
            person.finished(op, shot, request, photo_id)
        person.request_as_other_tenant(shot["id"])
        image = shot["images"][0]
        if "touchup" in rest:
            at_s = person.think(settings.think_s)
            with person.op(rest.pop(0), at_s) as op:
                image = touch_up(person, op, image)
        if "clip" in rest:
            at_s = person.think(settings.think_s)
            with person.op(rest.pop(0), at_s) as op:
                make_clip(person, op, image)
    except (WrongAnswer, HttpError):
        for name in rest:
            person.record_abandoned(name, at_s)


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
    """Make a catalogue and start it, and wait for its rows. Each is timed from when the catalogue was due."""
    settings = person.world.plan.scenario.personas.catalogue
    at_s, tenant = person.arrival.at_s, person.tenant
    skus = [f"{person.name}-{index}" for index in range(person.rng.randint(*settings.skus))]
    try:
        with person.op("catalogue", at_s) as op:
            made = person.json(op, "POST", "/v1/catalogues", _manifest(person, settings, skus), expect=201)
            person.json(op, "POST", f"{made['url']}/start", expect=202)
    except (WrongAnswer, HttpError):
        for _ in skus:
            person.record_abandoned("catalogue_shot", at_s)
        return
    ended: dict[str, AsyncResult] = {sku: AsyncResult() for sku in skus}  # its row

    def one(sku: str) -> None:
        try:
            with person.op("catalogue_shot", at_s) as op:
                op.answered_s = None  # the row's end is outstanding
                row = ended[sku].get()
                if row["state"] != "done":
                    raise WrongAnswer(row.get("code", row["state"]))
                (shot,) = row["shots"]
                found = person.json(op, "GET", f"/v1/shots/{shot['shot_id']}")
                person.finished(op, found, found["request"], tenant.photo_id)
        except (WrongAnswer, HttpError):
            return

    def watch() -> None:
        watching = Op({}, at_s + person.world.plan.scenario.patience_s)
        error: Exception = HttpError("timeout")
        try:
            while person.world.now() < watching.deadline_s:
                page = person.json(watching, "GET", f"{made['url']}/rows?limit=1000")
                for row in page["rows"]:
                    if row["state"] in ENDED_ROWS and not ended[row["sku"]].ready():
                        ended[row["sku"]].set(row)
                if all(result.ready() for result in ended.values()):
                    return
                gevent.sleep(ROWS_EVERY_S)
        except (WrongAnswer, HttpError) as broken:
            error = broken
        for result in ended.values():
            if not result.ready():
                result.set_exception(error)

    orders = [gevent.spawn(work) for work in (watch, *(partial(one, sku) for sku in skus))]
    try:
        gevent.joinall(orders)
    finally:
        gevent.killall(orders)


def _manifest(person: Person, settings: Catalogue, skus: list[str]) -> dict[str, Any]:
    """A catalogue of the tenant's product under each SKU, in one scene, each with seeds of its own."""
    side, tenant = settings.canvas_px, person.tenant
    look: dict[str, Any] = {"canvas": [side, side]}
    return {
        "name": person.name,
        "defaults": look | ({"steps": settings.steps} if settings.steps is not None else {}),
        "axes": [{"name": "scene", "values": {"one": person.rng.choice(PROMPTS)}}],
        "seeds": {"policy": "per_image", "base": person.arrival.seed},
        "choose": {"best_of": settings.images},
        "items": [{"sku": sku, "photo": tenant.photo_id, "mask": tenant.mask_id} for sku in skus],
    }


def probe(person: Person) -> None:
    """Send one small GET."""
    try:
        with person.op("probe", person.arrival.at_s) as op:
            person.call(op, "GET", person.world.plan.scenario.personas.probe.path, expect=200)
    except (WrongAnswer, HttpError):
        return
