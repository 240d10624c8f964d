"""`/v1/trainings`: what is accepted, what is refused, and what a client sees of a training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import delete

from packshot.client import Client
from packshot.contract.trainings import MAX_PICTURES, TrainingRequest
from packshot.store.adapters import NewAdapter
from packshot.store.schema_trainings import training as training_table
from packshot.store.training_records import EndedTraining, Progress, TrainingClaim
from tests.api_graph import ENGINES, Api, code_of, events_of, png, running


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server whose only engine is the embedded pack, with adapters."""
    with running(tmp_path_factory.mktemp("trainings")) as api:
        setattr(api.graph, "engines", lambda: (engine_called("mini"),))  # noqa: B010 - mypy refuses the assignment
        yield api


def engine_called(name: str) -> Any:
    return ENGINES[1].model_copy(update={"name": name})


@pytest.fixture(scope="module")
def photo_ids(api: Api) -> list[str]:
    return [api.photo(shade)["id"] for shade in range(4)]


def request(photo_ids: list[str], **fields: Any) -> dict[str, Any]:
    captions = dict.fromkeys(photo_ids, "a mug on marble")
    return {"name": "Autumn look", "tag": "acmelook7", "photo_ids": photo_ids, "captions": captions, **fields}


def approved(api: Api, count: int = 4) -> list[str]:
    """The ids of pictures that were made and approved."""
    ids = []
    for seed in range(count):
        shot = api.finish(api.shot(prompt=f"on marble {seed}", seed=seed))
        (image,) = shot["images"]
        assert api.http.patch(f"/v1/images/{image['id']}", json={"review": "approved"}).status_code == 200
        ids.append(image["id"])
    return ids


def claim(api: Api) -> TrainingClaim:
    found = api.store.training_work.claim("w", ["mini"])
    assert found is not None
    return found


def test_a_training_is_stored_run_and_read(api: Api, photo_ids: list[str]) -> None:
    answer = api.http.post("/v1/trainings", json=request(photo_ids, samples=["acmelook7 mug"]))
    assert answer.status_code == 202, answer.text
    training = answer.json()
    assert answer.headers["location"] == training["url"]
    # 4 pictures x 6 repeats / batch 2 = 12 steps an epoch, x 10 epochs
    assert (training["status"], training["step"], training["steps"]) == ("queued", 0, 120)
    assert training["plan"]["pictures"] == 4
    assert code_of(api.http.get(f"{training['url']}/sheet")) == (404, "not_found")
    assert code_of(api.http.post("/v1/trainings", json=request(photo_ids))) == (409, "name_taken")
    assert code_of(api.http.delete(training["url"])) == (409, "in_use")
    assert code_of(api.stranger.get(training["url"])) == (404, "not_found")

    held = claim(api)
    assert {one.caption for one in held.order.pictures} == {"a mug on marble"}
    api.store.training_work.heartbeat(held, Progress(step=12, loss=0.25, spent_s=3.0, sheet=png(), curves=png()))
    seen = api.http.get(training["url"]).json()
    assert (seen["status"], seen["step"], seen["loss"], seen["device_s"]) == ("running", 12, 0.25, 3.0)
    assert api.http.get(seen["sheet_url"]).content == png()
    assert api.http.get(seen["loss_url"]).headers["content-type"] == "image/png"
    assert api.http.post(f"{training['url']}/cancel").json()["cancelling"] is True
    assert api.http.post(f"{training['url']}/cancel").status_code == 202  # twice

    new = NewAdapter(
        name="Autumn look (step 12)", kind="lora", engine="mini", family="mini", rank=8, trigger="a", licence=""
    )
    how = EndedTraining(status="cancelled", ended="it was cancelled", adapter=new, data=b"file", partial=True)
    api.store.training_work.end(held, how, step=12)
    ended = api.http.get(training["url"]).json()
    assert (ended["status"], ended["partial"], ended["cancelling"]) == ("cancelled", True, False)
    assert api.http.get(f"/v1/adapters/{ended['adapter_id']}").json()["name"] == "Autumn look (step 12)"
    assert [one["id"] for one in api.http.get("/v1/trainings").json()["trainings"]] == [training["id"]]
    assert api.http.delete(training["url"]).status_code == 204
    assert code_of(api.http.get(training["url"])) == (404, "not_found")
    assert api.http.get(f"/v1/adapters/{ended['adapter_id']}").status_code == 200


def test_approved_pictures_train_with_their_prompts(api: Api) -> None:
    ids = approved(api)
    body = {"name": "Approved", "image_ids": ids, "repeats": 1, "epochs": 1}
    answer = api.http.post("/v1/trainings", json=body, headers={"idempotency-key": "one"})
    again = api.http.post("/v1/trainings", json=body, headers={"idempotency-key": "one"})
    assert (answer.status_code, again.json()["id"]) == (202, answer.json()["id"])
    other = api.http.post("/v1/trainings", json=body | {"seed": 1}, headers={"idempotency-key": "one"})
    assert code_of(other) == (422, "idempotency_mismatch")
    held = claim(api)
    assert [one.caption for one in held.order.pictures] == [f"on marble {seed}" for seed in range(4)]
    api.store.training_work.end(held, EndedTraining(status="failed", code="dataset_refused", detail="gone"))
    failed = api.http.get(answer.json()["url"]).json()
    assert failed["error"] == {"code": "dataset_refused", "detail": "gone"}
    assert code_of(api.http.post(f"{failed['url']}/cancel")) == (409, "already_finished")
    shot = api.finish(api.shot(seed=99))
    assert code_of(api.http.post("/v1/trainings", json=body | {"image_ids": [*ids, shot["images"][0]["id"]]})) == (
        409,
        "not_approved",
    )


def test_a_projects_approved_pictures_train(api: Api) -> None:
    project = api.http.post("/v1/projects", json={"name": "Autumn"}).json()["id"]
    body = {"name": "Project look", "project_id": project}
    answer = api.http.post("/v1/trainings", json=body)
    assert code_of(answer) == (422, "dataset_refused")
    assert "needs at least 4 approved pictures, got 0" in answer.json()["detail"]
    assert code_of(api.http.post("/v1/trainings", json={"name": "x", "project_id": "pj_none"})) == (404, "not_found")
    assert code_of(api.http.post("/v1/trainings", json={"name": "x", "catalogue_id": "ct_none"})) == (404, "not_found")


@pytest.mark.parametrize(
    ("fields", "status", "code", "told"),
    [
        ({"photo_ids": []}, 422, "invalid_request", "got none; name one"),
        ({"catalogue_id": "ct_1"}, 422, "invalid_request", "got catalogue_id, image_ids and photo_ids"),
        ({"photo_ids": 3}, 422, "dataset_refused", "needs at least 4 pictures, got 3"),
        ({"photo_ids": MAX_PICTURES + 1}, 422, "invalid_request", "photo_ids"),
        ({"photo_ids": "twice"}, 422, "invalid_request", "may name a picture once, got 1 again"),
        ({"photo_ids": "unknown"}, 404, "not_found", "no photo 'ph_none' exists"),
        ({"tag": "marble"}, 422, "tag_refused", "must be no word of the pack's vocabulary"),
        ({"tag": "Two Words"}, 422, "invalid_request", "tag must be one word"),
        ({"kind": "inversion", "tag": ""}, 422, "invalid_request", "inversion needs one; make one up"),
        ({"kind": "dreambooth"}, 422, "invalid_request", "class_words say what kind of thing"),
        ({"kind": "finetune"}, 422, "invalid_request", "kind"),
        ({"rank": 0}, 422, "invalid_request", "rank"),
        ({"epochs": 100, "repeats": 1000}, 422, "invalid_request", "at most 20,000 steps, got 200,000"),
        ({"captions": {"ph_other": "a mug"}}, 422, "invalid_request", "must be of the training's pictures"),
        ({"captions": "long"}, 422, "prompt_invalid", "at most 2000 characters"),
        ({"samples": ["<lora:x:1>"]}, 422, "prompt_invalid", "must not name adapters"),
        ({"engine": "none"}, 422, "unknown_engine", "must be a served engine"),
        ({"name": " "}, 422, "name_invalid", "1 to 120"),
    ],
)
def test_a_request_that_cannot_be_trained_is_refused(
    api: Api, photo_ids: list[str], fields: dict[str, Any], status: int, code: str, told: str
) -> None:
    """The refusal names the rule and what was sent, and nothing is stored."""
    body = request(photo_ids)
    fields = dict(fields)
    match fields.get("photo_ids"):
        case int() as count:
            fields |= {"photo_ids": (photo_ids * count)[:count] if count > 4 else photo_ids[:count], "captions": {}}
        case "twice":
            fields["photo_ids"] = [*photo_ids, photo_ids[0]]
        case "unknown":
            fields |= {"photo_ids": [*photo_ids, "ph_none"]}
    if fields.get("captions") == "long":
        fields["captions"] = {photo_ids[0]: "mug " * 600}
    before = api.http.get("/v1/trainings").json()["trainings"]
    answer = api.http.post("/v1/trainings", json=body | fields)
    assert code_of(answer) == (status, code), answer.text
    assert told in answer.text
    assert api.http.get("/v1/trainings").json()["trainings"] == before


def test_a_server_without_a_trainer_says_so(api: Api, photo_ids: list[str]) -> None:
    api.graph.trains = False
    try:
        assert code_of(api.http.post("/v1/trainings", json=request(photo_ids))) == (422, "not_served")
    finally:
        api.graph.trains = True


def test_kinds_have_the_published_counts() -> None:
    """65 pictures x 6 / 2 = 195 steps an epoch, as the published LoRA recipe counts."""
    lora = TrainingRequest(name="a").counts
    assert (lora.steps_per_epoch(65), lora.steps_per_epoch(65) * lora.epochs) == (195, 1950)
    assert TrainingRequest(name="a", kind="dreambooth").counts == (100, 4, 1)


def test_only_the_last_state_is_kept_until_the_end(api: Api, photo_ids: list[str]) -> None:
    """A later state replaces the one before, whose file is deleted."""
    answer = api.http.post("/v1/trainings", json=request(photo_ids, name="Files"))
    held = claim(api)
    api.store.training_work.heartbeat(held, Progress(step=1, loss=None, spent_s=0.0, state=b"first"))
    api.store.training_work.heartbeat(held, Progress(step=2, loss=None, spent_s=0.0, state=b"second"))
    api.store.training_work.release(held)
    again = claim(api)
    assert again.state_key is not None
    assert api.store.assets.get(again.state_key) == b"second"
    api.store.training_work.end(again, EndedTraining(status="done"))
    assert api.http.get(answer.json()["url"]).json()["status"] == "done"
    assert not api.store.assets.exists(again.state_key)


def test_a_stream_tells_each_state_of_a_training_and_ends(api: Api, photo_ids: list[str]) -> None:
    """Each event has the whole training. The next state is written when the one before has arrived."""
    begun = api.http.post("/v1/trainings", json=request(photo_ids, name="Followed")).json()
    held: list[TrainingClaim] = []
    work = api.store.training_work
    steps: list[Callable[[], object]] = [
        lambda: held.append(claim(api)),
        lambda: work.heartbeat(held[0], Progress(step=12, loss=0.25, spent_s=3.0)),
        lambda: api.http.post(f"{begun['url']}/cancel"),
        lambda: work.end(held[0], EndedTraining(status="cancelled", ended="it was cancelled"), step=13),
    ]
    seen = []
    with Client(api.url, api.key) as client:
        for training in client.trainings.follow([begun["id"]]):
            seen.append((training.status, training.step, training.cancelling))
            if steps:
                steps.pop(0)()
        assert seen == [
            ("queued", 0, False),
            ("running", 0, False),
            ("running", 12, False),
            ("running", 12, True),
            ("cancelled", 13, False),
        ]
        assert client.trainings.wait(begun["id"]).ended == "it was cancelled"


def test_shots_and_trainings_share_a_stream_that_is_resumed(api: Api, photo_ids: list[str]) -> None:
    shot_id = api.shot()
    assert api.http.delete(f"/v1/shots/{shot_id}").status_code == 202
    first, second = (
        api.http.post("/v1/trainings", json=request(photo_ids, name=name)).json() for name in ("One", "Two")
    )
    for one in (first, second):
        assert api.http.post(f"{one['url']}/cancel").status_code == 202
    params = {"shots": shot_id, "trainings": f"{first['id']},{second['id']}"}
    told = events_of(api.http.get("/v1/events", params=params))
    assert [name for name, _, _ in told] == ["cancelled", "training", "training"]
    assert told[1][1]["training"] == api.http.get(first["url"]).json()
    after_the_first = api.http.get("/v1/events", params=params, headers={"last-event-id": told[1][2]})
    assert [data["training"]["id"] for _, data, _ in events_of(after_the_first)] == [second["id"]]
    assert api.http.get("/v1/events", params=params, headers={"last-event-id": told[2][2]}).status_code == 204
    assert code_of(api.stranger.get("/v1/events", params={"trainings": first["id"]})) == (404, "not_found")
    too_many = ",".join(f"tr_{nth}" for nth in range(100))
    answer = api.http.get("/v1/events", params={"shots": shot_id, "trainings": too_many})
    assert code_of(answer) == (422, "invalid_request")
    assert "must name 1 to 100 ids, got 101" in answer.text


def test_a_deleted_training_ends_its_stream(api: Api, photo_ids: list[str]) -> None:
    begun = api.http.post("/v1/trainings", json=request(photo_ids, name="Deleted")).json()
    with api.http.stream("GET", "/v1/events", params={"trainings": begun["id"]}) as answer:
        lines = answer.iter_lines()
        next(line for line in lines if line.startswith("data:"))  # the first state has arrived
        with api.store.database.write() as connection:
            connection.execute(delete(training_table).where(training_table.c.id == begun["id"]))
        assert not any(line.startswith("data:") for line in lines)
