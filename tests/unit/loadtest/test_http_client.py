"""Answers are timed when they are here, whatever this process then does with them."""

import socket
import threading
import time

import gevent

from loadtest.generator.http_client import HttpClient
from loadtest.generator.person import Person, Record, World
from loadtest.run.job import Job, Tenant
from loadtest.scenarios.scenario import load_scenario
from loadtest.scenarios.traffic import Arrival

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
AT_ONCE = 10


def test_answers_that_come_at_once_are_all_timed_before_one_is_looked_into() -> None:
    asked, may_answer, answered = threading.Event(), threading.Event(), threading.Event()

    def serve(listener: socket.socket) -> None:
        connections = [listener.accept()[0] for _ in range(AT_ONCE)]
        for connection in connections:
            connection.recv(4096)
        asked.set()
        may_answer.wait()
        for connection in connections:
            connection.sendall(ANSWER)
        answered.set()
        for connection in connections:
            connection.close()

    came: list[float] = []
    looked_into: list[float] = []

    def ask() -> None:
        came.append(http.request("GET", "/").at_s)
        looked_into.append(time.monotonic())

    with socket.create_server(("127.0.0.1", 0)) as listener:
        http = HttpClient(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout_s=60)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        greenlets = [gevent.spawn(ask) for _ in range(AT_ONCE)]
        while not asked.is_set():
            gevent.sleep(0.001)
        may_answer.set()
        answered.wait()  # this thread's greenlets stand still meanwhile: all answers wait for them
        gevent.joinall(greenlets, raise_error=True)
        thread.join()
    http.close()
    assert len(came) == AT_ONCE
    assert max(came) <= min(looked_into)


def test_what_is_done_with_an_answer_does_not_count_as_its_delay() -> None:
    plan = Job("run", load_scenario("smoke"), "http://127.0.0.1:1", (Tenant(None, "", "", (0, 0), 0),))
    now = [10.0]
    noted: list[Record] = []
    world = World(plan, HttpClient(plan.host, timeout_s=1), [], lambda: now[0], lambda at_s: None, noted.append)
    person = Person(world, Arrival(9.5, 0, "probe", 0, seed=1))
    with person.op("probe", 9.5) as op:
        op.answered_s = 10.5
        now[0] = 12.0
    with person.op("probe", 9.5):
        now[0] = 12.5
    assert [record["ms"] for record in noted] == [1000, 3000]
