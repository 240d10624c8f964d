"""Event streams: each event once, and resumption after the last one received."""

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from packshot.client import Client
from packshot.contract.events import PreviewEvent
from packshot.errors import Unauthorized
from tests.api_graph import Api, code_of, events_of
from tests.waiting import WAIT_S


def test_a_stream_tells_the_way_of_a_shot_and_ends(api: Api) -> None:
    shot_id = api.shot(images=2)
    position = api.http.get(f"/v1/shots/{shot_id}").json()["position"]
    told: list[Any] = []

    def has_told(step: int) -> bool:
        return any(getattr(event.data, "step", None) == step for event in told)

    def work() -> None:
        claim = api.claim(shot_id)
        for step in (4, 8):
            api.store.queue.heartbeat(claim, step=step, steps=32, preview_version=step // 4)
            wait_for(partial(has_told, step))
        api.commit(claim)

    with Client(api.url, api.key) as client:
        worker = threading.Thread(target=work)
        for event in client.events([shot_id]):
            if not told:
                worker.start()
            told.append(event)
        worker.join()
    names = [event.name for event in told]
    assert names[0] == "queued"
    assert told[0].data.position == position
    assert [event.data.step for event in told if event.name == "progress"][-2:] == [4, 8]
    preview = PreviewEvent(shot=shot_id, url=f"/v1/shots/{shot_id}/preview")
    assert preview in [event.data for event in told if event.name == "preview"]
    assert names[-1] == "done"
    assert len([name for name in names if name in ("done", "failed", "cancelled")]) == 1
    assert [image.seed for image in told[-1].data.images] == [0, 1]


def wait_for(condition: Callable[[], object]) -> None:
    give_up_at = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


def test_an_ended_shot_has_one_event_and_its_stream_ends(api: Api) -> None:
    shot_id = api.shot()
    api.http.delete(f"/v1/shots/{shot_id}")
    answer = api.http.get(f"/v1/shots/{shot_id}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    ((name, data, event_id),) = events_of(answer)
    assert (name, data) == ("cancelled", {"shot": shot_id})
    assert event_id == str(api.store.shots.get(api.tenant_id, shot_id).version)


def test_who_saw_the_ending_is_told_that_nothing_more_comes(api: Api) -> None:
    shot_id = api.shot()
    api.finish(shot_id)
    ((_, _, event_id),) = events_of(api.http.get(f"/v1/shots/{shot_id}/events"))
    again = api.http.get(f"/v1/shots/{shot_id}/events", headers={"last-event-id": event_id})
    assert (again.status_code, again.content) == (204, b"")


def test_who_missed_the_ending_gets_it_after_coming_back(api: Api) -> None:
    shot_id = api.shot()
    queued_version = api.store.shots.get(api.tenant_id, shot_id).version
    api.finish(shot_id)
    back = api.http.get(f"/v1/shots/{shot_id}/events", headers={"last-event-id": str(queued_version)})
    assert [name for name, _, _ in events_of(back)] == ["done"]


@pytest.mark.parametrize("last_id", ["", "nonsense", "1.2.3", "99999999999999999999999", "-1"])
def test_an_id_of_no_stream_of_ours_means_from_the_start(api: Api, last_id: str) -> None:
    shot_id = api.shot()
    api.http.delete(f"/v1/shots/{shot_id}")
    answer = api.http.get(f"/v1/shots/{shot_id}/events", headers={"last-event-id": last_id})
    assert [name for name, _, _ in events_of(answer)] == ["cancelled"]


def test_several_shots_share_a_stream_and_are_told_apart(api: Api) -> None:
    ids = [api.shot(prompt=f"scene {number}") for number in range(3)]
    api.finish(ids[1])
    for one in (ids[0], ids[2]):
        if api.store.shots.get(api.tenant_id, one).status == "queued":
            api.http.delete(f"/v1/shots/{one}")
    events = events_of(api.http.get("/v1/events", params={"shots": ",".join(ids)}))
    assert [data["shot"] for _, data, _ in events] == ids
    assert events[1][0] == "done"
    last_id = events[-1][2]
    assert last_id.count(".") == 2
    resumed = api.http.get("/v1/events", params={"shots": ",".join(ids)}, headers={"last-event-id": events[1][2]})
    assert [data["shot"] for _, data, _ in events_of(resumed)] == ids[2:]
    assert (
        api.http.get("/v1/events", params={"shots": ",".join(ids)}, headers={"last-event-id": last_id}).status_code
        == 204
    )


def test_a_preview_lost_in_between_is_sent_again(api: Api) -> None:
    """The events of one change share a commit, and only the last of them has a new id."""
    from packshot.api.events import Progress

    shot_id = api.shot()
    claim = api.claim(shot_id)
    api.store.queue.heartbeat(claim, step=2, steps=16, preview_version=1)
    (record,) = api.store.shots.watch([(api.tenant_id, shot_id)]).values()
    first = Progress([shot_id], "").changes(record)
    assert [event.event for event in first] == ["progress", "preview"]
    resumed = Progress([shot_id], str(first[0].id)).changes(record)
    assert [event.event for event in resumed] == ["progress", "preview"]
    assert Progress([shot_id], str(first[1].id)).changes(record) == []
    api.commit(claim)


def test_a_stream_ends_when_its_key_is_revoked_and_the_shot_goes_on(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("packshot.api.events.KEY_CHECK_S", 0.0)
    shot_id = api.shot(prompt="outlives its key")
    second = api.store.keys.create("brand")
    with Client(api.url, second.secret) as client:
        events = client.events([shot_id])
        assert next(events).name == "queued"
        api.store.keys.revoke(second.record.id)
        with pytest.raises(Unauthorized, match="is kept"):
            list(events)
    assert api.finish(shot_id)["status"] == "done"


@pytest.mark.parametrize("shots", ["", ",,", ",".join(f"sh_{n}" for n in range(101))])
def test_a_stream_names_1_to_100_shots(api: Api, shots: str) -> None:
    assert code_of(api.http.get("/v1/events", params={"shots": shots})) == (422, "invalid_request")


def test_one_unknown_shot_refuses_the_whole_stream(api: Api) -> None:
    answer = api.http.get("/v1/events", params={"shots": f"{api.shot()},sh_unknown"})
    assert code_of(answer) == (404, "not_found")
