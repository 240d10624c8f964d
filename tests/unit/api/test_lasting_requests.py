"""Requests that last: bodies that stop, event streams, held answers. They must leave room for all others."""

from __future__ import annotations

import asyncio
import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Message

from packshot.api.bodies import ARRIVING_EACH, BODY_TIMEOUT_S, PROGRESS_BYTES, Body, arriving
from packshot.api.concurrency_limit import ConcurrencyLimit
from packshot.errors import Overloaded, TooSlow
from tests.api_graph import Api, code_of, running
from tests.waiting import WAIT_S


@contextmanager
def half_sent(api: Api, path: str, key: str | None = None, sent: bytes = b"{") -> Iterator[socket.socket]:
    """A request whose body stops after `sent`."""
    lines = [f"POST {path} HTTP/1.1", "host: x", "content-length: 1000", "content-type: application/json"]
    lines += [f"authorization: Bearer {key}"] if key else []
    with socket.create_connection(("127.0.0.1", int(api.url.rpartition(":")[2])), timeout=WAIT_S) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + sent)
        yield connection


@pytest.mark.parametrize("path", ["/v1/session", "/v1/shots"])
def test_a_body_that_stops_is_refused_and_its_connection_closed(
    api: Api, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("packshot.api.bodies.BODY_TIMEOUT_S", 0.2)
    with half_sent(api, path, None if path == "/v1/session" else api.key) as connection:
        told = b"".join(iter(lambda: connection.recv(4096), b""))  # to the end: the server closes
    assert told.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in told.lower()
    assert b'"code":"body_timeout"' in told


class Skipping(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer when nothing else is to do: hours pass at once, on any machine."""

    def __init__(self) -> None:
        self._now_s = 0.0
        super().__init__(self._Selector(self))

    def time(self) -> float:
        return self._now_s

    class _Selector(selectors.DefaultSelector):
        def __init__(self, loop: Skipping) -> None:
            super().__init__()
            self._loop = loop

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            self._loop._now_s += timeout or 0.0
            return super().select(0)


def test_a_body_that_drips_is_refused_and_one_that_flows_is_not() -> None:
    assert BODY_TIMEOUT_S == 10

    async def read(chunk: bytes, count: int, every_s: float) -> int:
        sent = 0

        async def receive() -> Message:
            nonlocal sent
            await asyncio.sleep(every_s)
            sent += 1
            return {"type": "http.request", "body": chunk, "more_body": sent < count}

        body = Body(receive, {}, limit=10**6, slots=arriving())
        while not body.whole:
            await body.receive()
        return sent

    with asyncio.Runner(loop_factory=Skipping) as runner:
        assert runner.run(read(bytes(PROGRESS_BYTES), 20, 1.0)) == 20
        with pytest.raises(TooSlow, match=r"every 10 s, got \d+ bytes and then too few"):
            runner.run(read(b"x", 20, 1.0))


def test_three_hundred_bodies_without_a_key_leave_everybody_else_served(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("packshot.api.bodies.BODY_TIMEOUT_S", 10 * WAIT_S)  # all stay, however slow the machine is
    with ExitStack() as held:
        for _ in range(300):
            held.enter_context(half_sent(api, "/v1/session"))
        give_up_at = time.monotonic() + WAIT_S
        while code_of(api.anyone.post("/v1/session", content=_in_two_pieces())) != (429, "busy"):
            assert time.monotonic() < give_up_at
        assert api.anyone.get("/healthz").status_code == 200
        assert api.http.get("/v1/shots").status_code == 200
        assert api.http.post("/v1/shots", content=_in_two_pieces()).status_code == 422  # its key has its own places


def _in_two_pieces() -> Iterator[bytes]:
    yield b"{"
    time.sleep(0.05)
    yield b"}"


def test_bodies_give_their_places_back(api: Api) -> None:
    for _ in range(ARRIVING_EACH + 10):
        with half_sent(api, "/v1/shots", api.key):
            pass  # the client goes away
    give_up_at = time.monotonic() + WAIT_S
    while code_of(api.http.post("/v1/shots", content=_in_two_pieces())) == (429, "busy"):
        assert time.monotonic() < give_up_at


def test_a_tenant_has_a_number_of_streams_and_others_have_theirs(tmp_path: Path) -> None:
    with running(tmp_path, max_streams=3) as api, ExitStack() as held:
        path = f"/v1/shots/{api.shot()}/events"
        for _ in range(3):
            held.enter_context(api.http.stream("GET", path))
        fourth = api.http.get(path)
        assert code_of(fourth) == (429, "busy")
        assert fourth.headers["retry-after"]
        body = api.request(prompt="never stored")
        assert code_of(api.http.post("/v1/shots", json=body, headers={"prefer": "wait=5"})) == (429, "busy")
        assert len(api.http.get("/v1/shots").json()["shots"]) == 1
        assert api.http.post("/v1/shots", json=body).status_code == 202  # without a wait it needs no place
        assert code_of(api.stranger.get(path)) == (404, "not_found")
        held.close()
        give_up_at = time.monotonic() + WAIT_S
        while True:
            with api.http.stream("GET", path) as again:
                if again.status_code == 200:
                    break
            assert time.monotonic() < give_up_at


def test_held_answers_take_places_too(tmp_path: Path) -> None:
    with running(tmp_path, max_streams=1) as api:
        body = api.request()
        with api.http.stream("POST", "/v1/shots", json=body, headers={"prefer": "wait=1"}) as waited:
            assert waited.status_code == 202
        assert api.http.post("/v1/shots", json=body, headers={"prefer": "wait=1"}).status_code == 202


def test_places_count_by_tenant_and_in_all() -> None:
    limit = ConcurrencyLimit(2, 3, "streams")
    with limit.slot("a"), limit.slot("a"):
        with pytest.raises(Overloaded, match="A tenant may have 2 streams"), limit.slot("a"):
            pass
        with limit.slot("b"), pytest.raises(Overloaded, match="At most 3 streams"), limit.slot("c"):
            pass
    with limit.slot("a"), limit.slot("b"), limit.slot("c"):
        pass


def test_the_gateway_has_room_for_all_requests_that_last_and_for_others() -> None:
    from deployments.gateway import GatewayDeployment
    from packshot.api.bodies import ARRIVING_TOTAL
    from packshot.api.services import STREAMS_IN_ALL

    gateway: Any = GatewayDeployment  # a Deployment, which its decorator hides
    at_once = gateway._deployment_config.max_ongoing_requests
    assert at_once >= 1.5 * (ARRIVING_TOTAL + STREAMS_IN_ALL)


def test_a_timed_out_body_is_told_from_a_lost_client(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is a 408, not a 500, and the log has no traceback."""
    monkeypatch.setattr("packshot.api.bodies.BODY_TIMEOUT_S", 0.2)
    before = api.registry.get_sample_value("packshot_errors_total", {"code": "internal"}) or 0
    form = {"content-type": "multipart/form-data; boundary=b", "content-length": "5000"}
    with httpx.Client(base_url=api.url, timeout=WAIT_S, trust_env=False) as client:
        request = client.build_request("POST", "/v1/photos", headers={**form, "authorization": f"Bearer {api.key}"})
    head = f"POST /v1/photos HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {api.key}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in form.items())
    with socket.create_connection((request.url.host, request.url.port or 0), timeout=WAIT_S) as connection:
        connection.sendall(head.encode() + b"\r\n--b\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 408")
    assert (api.registry.get_sample_value("packshot_errors_total", {"code": "internal"}) or 0) == before
