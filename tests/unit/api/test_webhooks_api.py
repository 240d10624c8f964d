"""`/v1/webhooks`: the secret is shown once, a URL leads to public addresses, and nothing is another tenant's."""

from __future__ import annotations

import pytest

from packshot.store.outbound import Batch, Message
from tests.api_graph import Api, code_of

PUBLIC = "https://93.184.216.34/hooks"
"""An address needs no name server. Nothing is sent there: this server has no sender."""


def taken_of(api: Api, shot_id: str) -> tuple[Batch, Message]:
    """The batch with a shot's message. Shots that other tests left over ended too, and theirs come before it."""
    while True:
        batch = api.store.outbound.take()
        assert batch is not None, "the shot must have a message"
        found = [one for one in batch.messages if f"/v1/shots/{shot_id}" in one.body]
        for other in batch.messages:
            if other not in found:
                api.store.outbound.record(batch, other, status=204, error=None, duration_ms=1.0)
        if found:
            [message] = found
            return batch, message
        api.store.outbound.release(batch)


def test_a_webhook_lives_from_its_creation_to_its_deletion(api: Api) -> None:
    made = api.http.post("/v1/webhooks", json={"url": PUBLIC, "events": ["shot.ended", "shot.ended"]})
    assert made.status_code == 201, made.text
    hook = made.json()
    path = f"/v1/webhooks/{hook['id']}"
    secret = hook.pop("secret")
    assert secret.startswith("whsec_")
    assert (made.headers["location"], made.headers["cache-control"]) == (path, "no-store")
    assert hook == {key: hook[key] for key in ("id", "url", "events", "created_at")}
    assert (hook["url"], hook["events"]) == (PUBLIC, ["shot.ended"])
    assert api.http.get(path).json() == hook
    assert hook in api.http.get("/v1/webhooks?limit=100").json()["webhooks"]

    shot = api.finish(api.shot(sku="MUG-01", images=2))
    batch, message = taken_of(api, shot["id"])
    assert all(image["id"] in message.body for image in shot["images"])
    api.store.outbound.record(batch, message, status=500, error="the receiver answered 500", duration_ms=3.5)
    api.store.outbound.release(batch)
    answer = api.http.get(f"{path}/attempts").json()
    attempt = answer["attempts"][0]
    assert (attempt["status"], attempt["message_id"]) == (500, message.id)
    number = attempt["n"]
    assert (attempt["event"], attempt["error"]) == ("shot.ended", "the receiver answered 500")
    assert attempt["next_at"] > attempt["at"]
    again = api.http.post(f"{path}/attempts/{number}/resend")
    assert (again.status_code, again.json()) == (202, {"message_id": message.id})
    resent = api.store.outbound.take()
    assert resent is not None
    assert [one.id for one in resent.messages] == [message.id]

    rotated = api.http.post(f"{path}/rotate").json()
    assert rotated["secret"] not in ("", secret)
    assert rotated["rotated_until"] > hook["created_at"]
    for method, url in (("GET", path), ("DELETE", path), ("POST", f"{path}/rotate"), ("GET", f"{path}/attempts")):
        assert code_of(api.stranger.request(method, url)) == (404, "not_found")
    assert code_of(api.stranger.post(f"{path}/attempts/{number}/resend")) == (404, "not_found")
    assert code_of(api.http.post(f"{path}/attempts/99/resend")) == (404, "not_found")
    assert code_of(api.http.get(f"{path}/attempts?cursor=x")) == (422, "invalid_request")
    assert hook["id"] not in api.stranger.get("/v1/webhooks").text
    assert api.http.delete(path).status_code == 204
    assert code_of(api.http.get(path)) == (404, "not_found")
    assert api.store.outbound.take() is None


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"url": "https://169.254.169.254/latest/meta-data"}, "url_refused"),
        ({"url": "http://93.184.216.34/"}, "url_refused"),
        ({"url": "https://127.0.0.1/"}, "url_refused"),  # this server is not open to loopback without keys
        ({"url": "https://user@93.184.216.34/"}, "url_refused"),
        ({"url": "https://" + "a" * 2000}, "invalid_request"),
        ({"events": []}, "invalid_request"),
        ({"events": ["shot.started"]}, "invalid_request"),
        ({"secret": "mine"}, "invalid_request"),
    ],
)
def test_a_webhook_that_cannot_be_served_is_refused(api: Api, changed: dict[str, object], code: str) -> None:
    body = {"url": PUBLIC, "events": ["shot.ended"], **changed}
    assert code_of(api.http.post("/v1/webhooks", json=body)) == (422, code)
