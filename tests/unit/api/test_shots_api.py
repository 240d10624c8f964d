"""`/v1/shots`: accepted means stored."""

import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from packshot.api.shots import wanted_wait_s
from packshot.models.packs.framing import framing
from tests.api_graph import Api, code_of, running


def test_an_accepted_shot_answers_202_with_its_place_and_urls(api: Api) -> None:
    submitted_before = api.graph.submissions
    answer = api.http.post("/v1/shots", json=api.request())
    shot = answer.json()
    assert answer.status_code == 202
    assert shot == {
        "id": shot["id"],
        "kind": "shot",
        "status": "queued",
        "position": shot["position"],
        "url": f"/v1/shots/{shot['id']}",
        "events_url": f"/v1/shots/{shot['id']}/events",
        "request": shot["request"],
        "sku": None,
        "meta": {},
    }
    assert answer.headers["location"] == shot["url"]
    assert api.graph.submissions == submitted_before + 1


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"layers": []}, "layers: a shot must have at least one layer, got none; send the mask of a product"),
        ({"seed": "7"}, "seed: must be a valid integer, got '7'"),
        ({"images": 0}, "images: must be greater than or equal to 1, got 0"),
    ],
)
def test_a_refused_value_is_named_once(api: Api, fields: dict[str, Any], detail: str) -> None:
    answer = api.http.post("/v1/shots", json={**api.request(), **fields})
    assert code_of(answer) == (422, "invalid_request")
    assert answer.json()["detail"] == detail


def test_defaults_are_the_engines_own_and_stored_resolved(api: Api) -> None:
    shot_id = api.shot()
    assert api.store.shots.get(api.tenant_id, shot_id).spec.to_json() == {
        "canvas": {"width": 1024, "height": 1024},
        "layers": [{**api.store.shots.get(api.tenant_id, shot_id).spec.to_json()["layers"][0]}],
        "background": "generate",
        "prompt": "",
        "negative_prompt": "",
        "images": 1,
        "seed": 0,
        "steps": 16,
        "guidance_scale": 2.5,
        "control_scale": 0.9,
        "control_start": 0.0,
        "control_end": 1.0,
        "shadow": "contact",
        "engine": "mini",
        "priority": "interactive",
    }


@pytest.mark.parametrize(
    ("fields", "shadow"),
    [({}, "none"), ({"shadow": "contact"}, "contact"), ({"shadow": "none"}, "none")],
)
def test_a_transparent_picture_has_the_shadow_that_was_asked_for(api: Api, fields: dict[str, Any], shadow: str) -> None:
    shot_id = api.shot(background="transparent", **fields)
    assert api.store.shots.get(api.tenant_id, shot_id).spec.shadow.kind == shadow


def test_a_wide_canvas_counts_a_row_for_each_window_of_its_scene(api: Api) -> None:
    """The autoscaler plans for these row-steps. 16 steps with guidance; the first 6 paint the outline."""
    waiting = [api.store.queue.load().interactive.waiting.row_steps]
    for canvas in ({"width": 1024, "height": 1024}, {"width": 2000, "height": 400}):
        assert api.http.post("/v1/shots", json=api.request(canvas=canvas)).status_code == 202
        waiting.append(api.store.queue.load().interactive.waiting.row_steps)
    before, after_square, after_wide = waiting
    engine = api.graph.engines()[0]
    windows = framing((2000, 400), engine.native_px, engine.buckets, engine.native_px).windows
    assert windows > 1
    assert after_square - before == 2 * 16
    assert after_wide - after_square == 2 * (6 + 10 * windows)


def test_what_a_client_says_is_what_is_stored(api: Api) -> None:
    said = {
        "canvas": {"width": 640, "height": 480},
        "layers": [
            {"mask_id": api.mask()["id"], "x": 0.4, "y": 0.62, "scale": 0.55, "rotation_deg": -12.5, "flip": True}
        ],
        "background": "#FFaa00",
        "prompt": "on a marble table",
        "negative_prompt": "text",
        "images": 2,
        "seed": 7,
        "steps": 20,
        "guidance_scale": 7.5,
        "control_scale": 0.8,
        "control_start": 0.1,
        "control_end": 0.9,
        "shadow": "none",
        "engine": "second",
        "priority": "catalogue",
    }
    shot_id = api.http.post("/v1/shots", json=said).json()["id"]
    assert api.store.shots.get(api.tenant_id, shot_id).spec.to_json() == {**said, "background": "#ffaa00"}


def test_prompts_are_stored_in_nfc(api: Api) -> None:
    shot_id = api.shot(prompt="cafe\u0301")
    assert api.store.shots.get(api.tenant_id, shot_id).spec.prompt == "caf\u00e9"


def test_a_finished_shot_shows_its_images_and_times(api: Api) -> None:
    shot = api.finish(api.shot(images=2, seed=7))
    assert (shot["status"], shot["position"]) == ("done", 0)
    assert [image["seed"] for image in shot["images"]] == [7, 8]
    assert (shot["images"][0]["review"], shot["images"][0]["version"]) == (None, 1)
    assert {"pack", "dtype", "seed", "timing_ms", "version"} <= set(shot["images"][0]["recipe"])
    assert "error" not in shot
    times = [datetime.fromisoformat(shot[name]) for name in ("created_at", "started_at", "finished_at")]
    assert times == sorted(times)
    assert shot["created_at"].endswith("Z")


def test_the_request_of_an_answer_is_the_resolved_one_and_can_be_sent_again(api: Api) -> None:
    accepted = api.http.post("/v1/shots", json=api.request(prompt="again", images=2)).json()
    assert (accepted["request"]["prompt"], accepted["request"]["steps"]) == ("again", 16)
    shot = api.http.get(accepted["url"]).json()
    assert shot["request"] == accepted["request"]
    repeated = api.http.post("/v1/shots", json=shot["request"]).json()
    assert repeated["request"] == shot["request"]


def test_a_shot_keeps_sku_and_meta_and_is_listed_by_them(api: Api) -> None:
    words = {"sku": "MUG-01/ä", "meta": {"season": "spring", "note": "two: colons"}}
    accepted = api.http.post("/v1/shots", json=api.request(**words)).json()
    shot = api.http.get(accepted["url"]).json()
    for answer in (accepted, shot):
        assert {"sku": answer["sku"], "meta": answer["meta"]} == words
    assert not {"sku", "meta"} & set(shot["request"])
    other = api.shot(sku="MUG-01/ä", meta={"season": "autumn"})

    def listed(*query: tuple[str, str]) -> list[str]:
        return [one["id"] for one in api.http.get("/v1/shots", params=list(query)).json()["shots"]]

    assert listed(("sku", "MUG-01/ä")) == [other, shot["id"]]
    assert listed(("meta", "season:spring"), ("meta", "note:two: colons")) == [shot["id"]]
    assert listed(("sku", "MUG-01/ä"), ("created_before", shot["created_at"])) == []
    assert listed(("sku", "MUG-01/ä"), ("created_after", shot["created_at"]), ("limit", "1")) == [other]


@pytest.mark.parametrize(
    "labels",
    [
        {"sku": ""},
        {"sku": "x" * 101},
        {"sku": "a\u202eb"},
        {"meta": {"with space": "x"}},
        {"meta": {"a": 1}},
        {"meta": {"a": "x" * 501}},
        {"meta": {"a": "\u0000"}},
        {"meta": {f"n{index}": "x" for index in range(21)}},
    ],
)
def test_labels_are_bounded(api: Api, labels: dict[str, object]) -> None:
    answer = api.http.post("/v1/shots", json=api.request(**labels))
    assert code_of(answer) == (422, "invalid_request")
    assert answer.json()["errors"][0]["loc"][0].partition(".")[0] == next(iter(labels))


def test_a_failed_shot_says_why(api: Api) -> None:
    shot_id = api.shot(prompt="fails")
    claim = api.claim(shot_id)
    api.store.queue.fail(claim, "engine_nan", "a latent was not a number", retryable=False)
    shot = api.http.get(f"/v1/shots/{shot_id}").json()
    assert shot["status"] == "failed"
    assert shot["error"] == {"code": "engine_nan", "detail": "a latent was not a number"}


def test_shots_are_listed_newest_first_in_pages(tmp_path: Path) -> None:
    with running(tmp_path) as api:
        request = api.request(background="white")
        ids = [api.http.post("/v1/shots", json=request).json()["id"] for _ in range(5)]
        page = api.http.get("/v1/shots", params={"limit": 3}).json()
        rest = api.http.get("/v1/shots", params={"cursor": page["next_cursor"], "status": ""}).json()
        assert [shot["id"] for shot in page["shots"] + rest["shots"]] == ids[::-1]
        assert (len(page["shots"]), rest["next_cursor"]) == (3, None)
        api.http.delete(f"/v1/shots/{ids[0]}")
        listed = api.http.get("/v1/shots", params={"status": "cancelled"}).json()["shots"]
        assert [shot["id"] for shot in listed] == ids[:1]
        assert api.stranger.get("/v1/shots").json() == {"shots": [], "next_cursor": None}


@pytest.mark.parametrize(
    "params",
    [
        {"status": "sleeping"},
        {"cursor": "sh_nowhere"},
        {"cursor": "\x00"},
        {"limit": "0"},
        {"limit": "101"},
        {"meta": "season"},
        {"meta": "a b:c"},
        {"review": "maybe"},
        {"created_after": "yesterday"},
        {"created_after": "2026-11-26T08:00:00"},
    ],
)
def test_a_listing_that_cannot_be_meant_is_refused(api: Api, params: dict[str, str]) -> None:
    assert code_of(api.http.get("/v1/shots", params=params)) == (422, "invalid_request")


def test_a_cancelled_shot_ends_cancelled_and_cannot_be_cancelled_again(api: Api) -> None:
    shot_id = api.shot()
    answer = api.http.delete(f"/v1/shots/{shot_id}")
    assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")
    assert code_of(api.http.delete(f"/v1/shots/{shot_id}")) == (409, "already_finished")


def test_an_idempotency_key_gives_one_shot_in_its_present_state(api: Api) -> None:
    request, key = api.request(prompt="once"), {"idempotency-key": "order 66/a"}
    submitted_before = api.graph.submissions
    first = api.http.post("/v1/shots", json=request, headers=key).json()
    api.finish(first["id"])
    again = api.http.post("/v1/shots", json=request, headers=key)
    assert (again.status_code, again.json()["id"], again.json()["status"]) == (202, first["id"], "done")
    assert api.graph.submissions == submitted_before + 1
    waited = api.http.post("/v1/shots", json=request, headers={**key, "prefer": "wait=5"})
    assert (waited.status_code, len(waited.json()["images"])) == (200, 1)
    assert code_of(api.http.post("/v1/shots", json={**request, "seed": 8}, headers=key)) == (
        422,
        "idempotency_mismatch",
    )
    assert api.stranger.get(f"/v1/shots/{first['id']}").status_code == 404


def test_a_repeat_answers_also_when_its_mask_is_gone(api: Api) -> None:
    request, key = api.request(layers=[{"mask_id": api.mask()["id"]}]), {"idempotency-key": "gone"}
    first = api.http.post("/v1/shots", json=request, headers=key).json()
    api.finish(first["id"])
    assert api.http.delete(f"/v1/masks/{request['layers'][0]['mask_id']}").status_code == 204
    again = api.http.post("/v1/shots", json=request, headers=key)
    assert (again.status_code, again.json()["id"]) == (202, first["id"])


@pytest.mark.parametrize("key", ["", "k" * 256, "tab\there"])
def test_an_idempotency_key_is_1_to_255_printable_characters(api: Api, key: str) -> None:
    answer = api.http.post("/v1/shots", json=api.request(), headers={"idempotency-key": key})
    assert code_of(answer) == (422, "invalid_request")


def test_prefer_wait_holds_the_answer_until_done(api: Api) -> None:
    request, key = api.request(prompt="waits"), {"idempotency-key": "waits"}
    shot_id = api.http.post("/v1/shots", json=request, headers=key).json()["id"]
    worker = threading.Timer(0.5, lambda: api.finish(shot_id))
    worker.start()
    answer = api.http.post("/v1/shots", json=request, headers={**key, "prefer": "respond-async, wait=20"})
    worker.join()
    assert (answer.status_code, answer.json()["status"]) == (200, "done")
    assert answer.headers["preference-applied"] == "wait=20"
    told = dict(part.split(";dur=") for part in answer.headers["server-timing"].split(", "))
    assert set(told) == {"queue", "render", "steps", "decode"}
    assert float(told["steps"]) == 1 + len(answer.json()["images"])


def test_prefer_wait_falls_back_to_202_and_does_not_cancel(api: Api) -> None:
    answer = api.http.post("/v1/shots", json=api.request(), headers={"prefer": "wait=0"})
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")


@pytest.mark.parametrize(
    ("prefer", "wait_s"),
    [
        ("wait=60", 60),
        ("wait=100000", 120),
        ("return=minimal; wait=3", 3),
        ('wait="4"', 4),
        ("wait=x", None),
        ("await=3", None),
    ],
)
def test_the_wait_is_read_from_prefer_and_bounded(prefer: str, wait_s: int | None) -> None:
    from fastapi import Request

    request = Request({"type": "http", "headers": [(b"prefer", prefer.encode())]})
    assert wanted_wait_s(request) == wait_s


def test_a_full_queue_answers_429_with_retry_after(tmp_path: Path) -> None:
    with running(tmp_path, max_queued_shots=2) as api:
        request = api.request(background="white")
        for _ in range(2):
            assert api.http.post("/v1/shots", json=request).status_code == 202
        answer = api.http.post("/v1/shots", json=request)
        assert code_of(answer) == (429, "queue_full")
        assert int(answer.headers["retry-after"]) >= 1


def test_a_preview_is_found_once_there_is_one(api: Api) -> None:
    shot_id = api.shot(prompt="preview")
    assert code_of(api.http.get(f"/v1/shots/{shot_id}/preview")) == (404, "not_found")
    claim = api.claim(shot_id)
    api.store.assets.put_at(f"previews/{shot_id}.png", b"\x89PNG")
    api.store.queue.heartbeat(claim, step=3, steps=16, preview_version=1)
    answer = api.http.get(f"/v1/shots/{shot_id}/preview")
    assert (answer.content, answer.headers["cache-control"]) == (b"\x89PNG", "private, no-cache")


def test_foreign_shots_do_not_exist(api: Api) -> None:
    shot_id = api.shot()
    for path in ("", "/events", "/preview"):
        assert code_of(api.stranger.get(f"/v1/shots/{shot_id}{path}")) == (404, "not_found")
    assert code_of(api.stranger.delete(f"/v1/shots/{shot_id}")) == (404, "not_found")
    assert code_of(api.stranger.get("/v1/events", params={"shots": shot_id})) == (404, "not_found")
    theft = {"layers": [{"mask_id": api.mask()["id"]}]}
    assert code_of(api.stranger.post("/v1/shots", json=theft)) == (404, "not_found")


def test_a_repeat_finds_its_shot_although_the_engines_defaults_and_limits_have_changed(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pack was replaced between the two requests: the key belongs to what the client sent."""
    body = api.request(prompt="repeated after a new pack", guidance_scale=15.0)
    headers = {"idempotency-key": "across-packs"}
    first = api.http.post("/v1/shots", json=body, headers=headers)
    engine = api.graph.engines()[0]
    other = engine.model_copy(
        update={
            "defaults": engine.defaults.model_copy(update={"steps": 7}),
            "limits": engine.limits.model_copy(update={"max_guidance_scale": 10.0}),
        }
    )
    monkeypatch.setattr(api.graph, "engines", lambda: (other,))
    again = api.http.post("/v1/shots", json=body, headers=headers)
    assert (first.status_code, again.status_code) == (202, 202), again.text
    assert again.json()["id"] == first.json()["id"]
    changed = api.http.post("/v1/shots", json=body | {"seed": 3, "guidance_scale": 1.0}, headers=headers)
    assert code_of(changed) == (422, "idempotency_mismatch")
