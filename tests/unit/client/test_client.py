"""The client against a scripted server: broken streams, newer servers, servers that are not Packshot."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import packshot
from packshot.client import AsyncClient, Client, Event, LayerIn, ShotRequest
from packshot.client.catalogues import AsyncCatalogues, Catalogues
from packshot.client.trainings import AsyncTrainings, Trainings
from packshot.client.webhooks import AsyncWebhooks, Webhooks
from packshot.contract import examples
from packshot.contract.events import CancelledEvent, ProgressEvent, QueuedEvent, ShotEvent
from packshot.errors import BadInput, EngineFailed, NotFound, Overloaded, Unavailable
from tests.waiting import WAIT_S

Answer = tuple[int, str, bytes]
JSON, STREAM, PROBLEM = "application/json", "text/event-stream", "application/problem+json"


class Script(ThreadingHTTPServer):
    """Returns the next response to each request, and records the requests: (method, path, headers, body)."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Answer] = []
        self.version = ""
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []


class Handler(BaseHTTPRequestHandler):
    server: Script

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        self.server.asked.append((self.command, self.path, headers, body))
        status, media_type, data = self.server.answers.pop(0)
        self.send_response(status)
        self.send_header("content-type", media_type)
        self.send_header("retry-after", "7")
        if self.server.version:
            self.send_header("x-packshot-version", self.server.version)
        self.send_header("connection", "close")  # without a length: the body ends with the connection
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_DELETE = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def script() -> Iterator[Script]:
    with Script() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def client(script: Script, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setattr("packshot.client.events.RECONNECT_S", 0.01)
    with Client(f"http://127.0.0.1:{script.server_port}", "pk_key", timeout_s=WAIT_S) as client:
        yield client


def problem(code: str, status: int) -> Answer:
    body = {"type": "urn:x", "title": "t", "status": status, "detail": "because", "code": code, "more": {"new": 1}}
    return status, PROBLEM, json.dumps(body).encode()


def test_a_broken_stream_is_resumed_behind_the_last_event(script: Script, client: Client) -> None:
    script.answers = [
        (
            200,
            STREAM,
            b': ping\r\n\r\nid: 3.9\r\nevent: queued\r\ndata: {"shot": "a", "position": 2}\r\n\r\n: ping\r\n\r\n',
        ),
        (200, STREAM, b'id: 4.9\nevent: progress\ndata: {"shot": "a", "step": 1, "steps": 8}\n\nid: 5.9\nevent: can'),
        (
            200,
            STREAM,
            b'id: 5.9\nevent: cancelled\ndata: {"shot": "a"}\n\nid: 5.10\nevent: cancelled\ndata: {"shot": "b"}\n\n',
        ),
    ]
    assert list(client.events(["a", "b"])) == [
        Event("queued", QueuedEvent(shot="a", position=2), "3.9"),
        Event("progress", ProgressEvent(shot="a", step=1, steps=8), "4.9"),
        Event("cancelled", CancelledEvent(shot="a"), "5.9"),
        Event("cancelled", CancelledEvent(shot="b"), "5.10"),
    ]
    assert [headers.get("last-event-id") for _, _, headers, _ in script.asked] == [None, "3.9", "4.9"]
    assert {path for _, path, _, _ in script.asked} == {"/v1/events?shots=a%2Cb"}


def test_a_stream_of_shots_that_ended_before_is_empty(script: Script, client: Client) -> None:
    script.answers = [(204, STREAM, b"")]
    assert list(client.events(["a"])) == []


def test_an_event_of_a_newer_server_names_its_shot(script: Script, client: Client) -> None:
    script.answers = [
        (200, STREAM, b'event: parked\ndata: {"shot": "a", "why": "busy"}\n\nevent: cancelled\ndata: {"shot": "a"}\n\n')
    ]
    parked, cancelled = client.events(["a"])
    assert (parked.name, type(parked.data), parked.data.shot) == ("parked", ShotEvent, "a")
    assert cancelled.name == "cancelled"


def test_a_refused_stream_raises_and_is_not_asked_for_again(script: Script, client: Client) -> None:
    script.answers = [problem("not_found", 404)]
    with pytest.raises(NotFound):
        next(client.events(["a"]))


@pytest.mark.parametrize("answer", [(200, "text/html", b"<html>"), (200, JSON, b"{}")])
def test_what_is_no_stream_is_given_up(
    script: Script, client: Client, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    monkeypatch.setattr("packshot.client.events.RECONNECTS", 2)
    script.answers = [answer] * 3
    with pytest.raises(Unavailable, match="must be reachable"):
        list(client.events(["a"]))


def test_a_problem_is_the_error_that_the_server_raised(script: Script, client: Client) -> None:
    script.answers = [problem("queue_full", 429)]
    with pytest.raises(Overloaded) as caught:
        client.engines()
    assert (caught.value.code, caught.value.detail, caught.value.retry_after_s) == ("queue_full", "because", 7.0)


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (problem("of_a_later_version", 418), EngineFailed, "of_a_later_version: because"),
        ((404, "text/html", b"<h1>nginx</h1>"), EngineFailed, "GET /v1/shots/a answered 404 '<h1>nginx</h1>'"),
        ((502, "text/html", b"<h1>nginx</h1>"), Unavailable, "answered 502"),
        ((200, JSON, b'{"id": "sh_1"}'), EngineFailed, "answered 200"),
        ((200, "text/html", b"<html>"), EngineFailed, "answered 200"),
    ],
)
def test_a_foreign_answer_is_named(
    script: Script, client: Client, answer: Answer, kind: type[Exception], words: str
) -> None:
    script.answers = [answer]
    with pytest.raises(kind) as caught:
        client.shot("a")
    assert words in str(caught.value)


def test_a_shot_goes_out_as_a_model_or_as_it_is(script: Script, client: Client) -> None:
    accepted = {**examples.ACCEPTED.model_dump(mode="json"), "id": "sh_1", "new": 1}
    script.answers = [(202, JSON, json.dumps(accepted).encode())] * 2
    assert client.shoot(ShotRequest(layers=[LayerIn(mask_id="mk_1")], images=2)).id == "sh_1"
    client.shoot({"of_a_later_version": True}, idempotency_key="k")
    first, second = (json.loads(body) for _, _, _, body in script.asked)
    assert ShotRequest.model_validate(first) == ShotRequest(layers=[LayerIn(mask_id="mk_1")], images=2)
    assert second == {"of_a_later_version": True}
    headers = script.asked[1][2]
    assert (headers["authorization"], headers["idempotency-key"]) == ("Bearer pk_key", "k")


@pytest.mark.parametrize(
    ("waits", "asynchronous"),
    [(Client, AsyncClient), (Catalogues, AsyncCatalogues), (Webhooks, AsyncWebhooks), (Trainings, AsyncTrainings)],
)
def test_the_asynchronous_client_has_the_same_methods(waits: type, asynchronous: type) -> None:
    """Each takes the same arguments; only what is awaited differs."""
    public = {name for name in vars(waits) if not name.startswith("_")}
    assert public == {name for name in vars(asynchronous) if not name.startswith("_")}
    for name in public:
        ours, theirs = inspect.signature(getattr(waits, name)), inspect.signature(getattr(asynchronous, name))
        assert ours.parameters == theirs.parameters, name


async def test_the_asynchronous_client_resumes_a_broken_stream_too(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("packshot.client.events.RECONNECT_S", 0.01)
    script.answers = [
        (200, STREAM, b'id: 4\nevent: progress\ndata: {"shot": "a", "step": 1, "steps": 8}\n\nid: 5\nevent: can'),
        (200, STREAM, b'id: 5\nevent: cancelled\ndata: {"shot": "a"}\n\n'),
        problem("queue_full", 429),
    ]
    async with AsyncClient(f"http://127.0.0.1:{script.server_port}", "pk_key", timeout_s=WAIT_S) as client:
        assert [event.name async for event in client.events(["a"])] == ["progress", "cancelled"]
        with pytest.raises(Overloaded):
            await client.shot("a")
    assert [headers.get("last-event-id") for _, _, headers, _ in script.asked] == [None, "4", None]


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("9.9.9", f"The server is packshot 9.9.9; this client is packshot {packshot.__version__}."),
        ("", f"or another program; this client is packshot {packshot.__version__}."),
    ],
)
def test_an_error_that_another_version_may_explain_names_both(
    script: Script, client: Client, version: str, words: str
) -> None:
    script.version = version
    script.answers = [problem("invalid_request", 422), (200, JSON, b'{"engines": 1}'), problem("queue_full", 429)]
    for kind in (BadInput, EngineFailed):
        with pytest.raises(kind) as caught:
            client.engines()
        assert words in str(caught.value)
        assert client.server_version == (version or None)
    with pytest.raises(Overloaded) as full:
        client.engines()
    assert "packshot" not in str(full.value)


def test_servers_of_the_same_version_are_not_mentioned(script: Script, client: Client) -> None:
    script.version = packshot.__version__
    script.answers = [problem("invalid_request", 422)]
    with pytest.raises(BadInput) as caught:
        client.engines()
    assert str(caught.value) == "invalid_request: because"


def test_a_field_that_was_not_set_is_not_sent(script: Script, client: Client) -> None:
    """An older server refuses fields that it does not know."""
    script.answers = [(202, JSON, examples.ACCEPTED.model_dump_json().encode())]
    client.shoot(ShotRequest(layers=[LayerIn(mask_id="mk_1")], images=2))
    assert json.loads(script.asked[0][3]) == {"layers": [{"mask_id": "mk_1"}], "images": 2}


def test_an_upload_tells_how_much_of_the_file_was_sent(script: Script, client: Client) -> None:
    script.answers = [(201, JSON, examples.PHOTO.model_dump_json().encode())]
    told: list[tuple[int, int]] = []
    client.upload(bytes(150_000), sent=lambda done, total: told.append((done, total)))
    assert told[-1] == (150_000, 150_000)
    assert len(told) > 1
    assert [done for done, _ in told] == sorted({done for done, _ in told})


def test_importing_the_client_loads_nothing_of_the_server() -> None:
    heavy = {"torch", "ray", "numpy", "fastapi", "sqlalchemy", "cv2", "PIL", "yaml", "pydantic_settings"}
    code = f"import sys, packshot.client; print(sorted({heavy} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout == "[]\n"


def test_a_stream_that_is_closed_again_and_again_without_an_event_is_an_error(
    script: Script, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("packshot.client.events.RECONNECTS", 2)
    script.answers = [(200, STREAM, b": ping\r\n\r\n")] * 3
    with pytest.raises(Unavailable, match="1 are live"):
        list(client.events(["a"]))
    assert script.answers == []
