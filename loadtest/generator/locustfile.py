"""The generator: a Locust child process in which one dispatcher per worker begins every arrival when it is due.

Locust gives the processes, their connections, the web page and the distributed mode; its own users are not used,
because a user that waits for an answer before it sends again hides the very delays that are to be measured. Never
import this module: Locust monkey-patches. It is run as `python -m locust -f locustfile.py` by runner.py.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import time
from pathlib import Path
from typing import Any

import gevent
import gevent.pool
import locust.runners
import psutil
from gevent.event import Event
from locust import User, events, task
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import MasterRunner, WorkerRunner

from loadtest.generator.hostile import hostile
from loadtest.generator.http_client import HttpClient
from loadtest.generator.person import Person, Record, World
from loadtest.generator.personas import catalogue, designer, integrator, probe
from loadtest.run.job import JOB_FILE, LEAD_S, RECORDS_FILE, Job
from loadtest.scenarios.photos import DrawnPhoto, pool
from loadtest.scenarios.traffic import share_of

PERSONAS = {"designer": designer, "integrator": integrator, "catalogue": catalogue, "hostile": hostile, "probe": probe}
TICK_S = 0.02
REPORT_S = 1.0
PLAN, READY, GO, RECORDS, FINISHED = (f"packshot_{name}" for name in ("plan", "ready", "go", "records", "finished"))

locust.runners.WORKER_REPORT_INTERVAL = REPORT_S


class Generator:
    """This process's part of the run: its share of the schedule, its records, its own lag.

        master ──PLAN──> worker   draws its photos
        master <─READY── worker
        master ──GO────> worker   second 0 of the schedule, a moment ahead
        master <─RECORDS, FINISHED── worker

    A process without workers does all of it by itself.
    """

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.records: list[Record] = []
        self.ready = self.finished = 0
        self.plan: Job | None = None
        self._photos: list[DrawnPhoto] = []
        self._gone = Event()
        self._origin = 0.0
        path = os.environ.get(RECORDS_FILE)
        # Open for the process's life.
        self._out = Path(path).open("a", encoding="utf-8") if path else None  # noqa: SIM115

    def prepare(self, plan_json: str) -> None:
        """Draw what will be uploaded, which takes a while."""
        self.plan = Job.from_json(plan_json)
        scenario = self.plan.scenario
        if any(row.persona != "probe" for row in scenario.traffic):
            for photo in pool(scenario.photos, scenario.seed):
                self._photos.append(photo)
                gevent.sleep(0)  # the master must hear of this worker meanwhile

    def go(self, start_at: float) -> None:
        """`start_at`: second 0 of the schedule by the wall's clock, which all machines share;
        from there the monotonic one counts."""
        self._origin = time.monotonic() + (start_at - time.time())
        gc.collect()
        gc.freeze()  # a collection that goes through all that Locust imported is a delay of our own
        self._gone.set()

    @property
    def index(self) -> int:
        runner = self.environment.runner
        return runner.worker_index if isinstance(runner, WorkerRunner) else 0

    def now(self) -> float:
        """Seconds of the schedule."""
        return time.monotonic() - self._origin

    def sleep_until(self, at_s: float) -> None:
        if (left_s := at_s - self.now()) > 0:
            gevent.sleep(left_s)

    def note(self, record: Record) -> None:
        """Keep a record until the next flush; Locust's page and table hear of it too."""
        self.records.append(record)
        if record["k"] == "op" and record["ms"] is not None:
            events.request.fire(
                request_type="open loop",
                name=record["c"],
                response_time=record["ms"],
                response_length=0,
                exception=None if record["ok"] else RuntimeError(record["why"]),
                context={},
            )

    def run(self) -> None:
        """Send this worker's share of the schedule, each arrival when it is due, and wait for the last answers."""
        self._gone.wait()
        assert self.plan is not None, "whoever says go has prepared"
        scenario = self.plan.scenario
        http = HttpClient(self.plan.host, timeout_s=scenario.patience_s, now=self.now)
        world = World(self.plan, http, self._photos, self.now, self.sleep_until, self.note)
        people, lags = gevent.pool.Group(), Lags()
        watch = gevent.spawn(self._watch, people, lags)
        sent = 0
        for arrival in share_of(scenario.arrivals(self.plan.factor), self.index, self.plan.workers):
            self.sleep_until(arrival.at_s)
            lags.add(self.now() - arrival.at_s)
            people.add(gevent.spawn(PERSONAS[arrival.persona], Person(world, arrival)))
            sent += 1
        self.sleep_until(scenario.seconds)
        people.join(timeout=2 * scenario.patience_s)
        people.kill()
        watch.kill()
        http.close()
        self.records.append({"k": "sent", "w": self.index, "count": sent})

    def _watch(self, people: gevent.pool.Group, lags: Lags) -> None:
        """Every second: how late this process is, and how busy."""
        while True:
            began, used, taken = time.monotonic(), time.process_time(), _taken()
            while (passed := time.monotonic() - began) < REPORT_S:
                due = time.monotonic() + TICK_S
                gevent.sleep(TICK_S)
                lags.add(time.monotonic() - due)
            cpu = (time.process_time() - used) / passed
            self.records.append(
                {
                    "k": "gen",
                    "w": self.index,
                    "at": self.now(),
                    "cpu": round(cpu, 4),
                    "rss_mib": _rss_mib(),
                    "taken": round(_share(taken, _taken()), 4),
                    "open": len(people),
                    "lags_ms": lags.taken(),
                }
            )
            self.flush()

    def flush(self) -> None:
        if self._out is not None and self.records:
            taken, self.records = self.records, []
            self.write(taken)

    def write(self, records: list[Record]) -> None:
        assert self._out is not None, "the process that writes was given a file"
        self._out.write("".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records))
        self._out.flush()


class Lags:
    """Delays of the generator itself, milliseconds, in steps that a report can add up."""

    STEPS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000)

    def __init__(self) -> None:
        self._counts = [0] * (len(self.STEPS_MS) + 1)

    def add(self, seconds: float) -> None:
        ms = seconds * 1000
        self._counts[next((index for index, step in enumerate(self.STEPS_MS) if ms <= step), len(self.STEPS_MS))] += 1

    def taken(self) -> list[int]:
        """The counts since the last call, by step."""
        taken, self._counts = self._counts, [0] * len(self._counts)
        return taken


def _taken() -> tuple[float, float]:
    """Processor seconds of this machine that its host gave to others, and all there were, since the start."""
    times = psutil.cpu_times()
    return getattr(times, "steal", 0.0), sum(times)


def _share(before: tuple[float, float], after: tuple[float, float]) -> float:
    return (after[0] - before[0]) / max(after[1] - before[1], 1e-6)


def _rss_mib() -> float:
    with open("/proc/self/statm", encoding="ascii") as statm:
        return round(int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


generator: Generator


def _init(environment: Environment, **_: Any) -> None:
    global generator
    generator = Generator(environment)
    runner = environment.runner
    if isinstance(runner, WorkerRunner):
        runner.register_message(PLAN, _planned)
        runner.register_message(GO, lambda environment, msg, **_: generator.go(msg.data))
    elif isinstance(runner, MasterRunner):
        runner.register_message(READY, _worker_ready)
        runner.register_message(FINISHED, _worker_finished)


def _test_start(environment: Environment, **_: Any) -> None:
    runner = environment.runner
    if isinstance(runner, WorkerRunner):
        return
    plan_json = Path(os.environ[JOB_FILE]).read_text("utf-8")
    if isinstance(runner, MasterRunner):
        generator.plan = Job.from_json(plan_json)
        runner.send_message(PLAN, plan_json)
    else:
        generator.prepare(plan_json)
        generator.go(_start())


def _planned(environment: Environment, msg: Any, **_: Any) -> None:
    generator.prepare(msg.data)
    environment.runner.send_message(READY, None)


def _worker_ready(environment: Environment, msg: Any, **_: Any) -> None:
    generator.ready += 1
    assert generator.plan is not None, "a worker is ready for the plan that it was sent"
    if generator.ready == generator.plan.workers:
        environment.runner.send_message(GO, _start())


def _start() -> float:
    """Second 0 by the wall's clock, written down for whoever reads the records."""
    start_at = time.time() + LEAD_S
    generator.write([{"k": "start", "epoch": start_at}])
    return start_at


def _report(data: dict[str, Any], **_: Any) -> None:
    taken, generator.records = generator.records, []
    data[RECORDS] = json.dumps(taken)


def _reported(data: dict[str, Any], **_: Any) -> None:
    generator.write(json.loads(data.get(RECORDS, "[]")))


def _worker_finished(environment: Environment, msg: Any, **_: Any) -> None:
    generator.write(json.loads(msg.data))
    generator.finished += 1
    assert generator.plan is not None, "a worker has finished the plan that it was sent"
    if generator.finished == generator.plan.workers:
        _end(environment)


def _end(environment: Environment) -> None:
    generator.write([{"k": "end"}])
    gevent.spawn_later(0.1, environment.runner.quit)


events.init.add_listener(_init)
events.test_start.add_listener(_test_start)
events.report_to_master.add_listener(_report)
events.worker_report.add_listener(_reported)


class Dispatcher(User):  # type: ignore[misc]  # Locust's types are not followed: half of them are missing
    """The one user of a worker: it begins arrivals and never waits for one."""

    @task  # type: ignore[untyped-decorator]  # likewise
    def dispatch(self) -> None:
        runner = self.environment.runner
        try:
            generator.run()
        except Exception:
            # Locust would begin the schedule again; ended without its last record, the run is told as broken.
            logging.exception("the generator broke")
            gevent.spawn(runner.quit)
            raise StopUser from None
        if isinstance(runner, WorkerRunner):
            taken, generator.records = generator.records, []
            runner.send_message(FINISHED, json.dumps(taken))
        else:
            generator.flush()
            _end(self.environment)
        raise StopUser
