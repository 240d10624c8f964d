"""The generator: a Locust child process in which one dispatcher per worker starts every arrival when it is due.

Locust provides the processes, their connections, the web page and the distributed mode. Its user model is not used: a
user that waits for an answer before it sends again hides the delays that the test must measure. Do not import this
module, because Locust monkey-patches the process; generator_process.py runs it with `python -m locust -f`.
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
    """This process's part of the run: its share of the schedule, its records and its own delays.

        master ──PLAN──> worker   the worker draws its photos
        master <─READY── worker
        master ──GO────> worker   the time of second 0 of the schedule, slightly in the future
        master <─RECORDS, FINISHED── worker

    A process without workers is master and worker at once.
    """

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.records: list[Record] = []
        self.ready = self.finished = 0
        self.plan: Job | None = None
        self._photos: list[DrawnPhoto] = []
        self._started = Event()
        self._origin = 0.0
        path = os.environ.get(RECORDS_FILE)
        # Stays open for the life of the process.
        self._out = Path(path).open("a", encoding="utf-8") if path else None  # noqa: SIM115

    def prepare(self, plan_json: str) -> None:
        """Draw the photos that will be uploaded. This takes some seconds for large photos."""
        self.plan = Job.from_json(plan_json)
        scenario = self.plan.scenario
        if any(row.persona != "probe" for row in scenario.traffic):
            for photo in pool(scenario.photos, scenario.seed):
                self._photos.append(photo)
                gevent.sleep(0)  # let Locust's heartbeat to the master run

    def go(self, start_at: float) -> None:
        """Start the schedule.

        `start_at` is the Unix time of second 0, because all machines share the wall clock. From then on the monotonic
        clock is used.
        """
        self._origin = time.monotonic() + (start_at - time.time())
        gc.collect()
        gc.freeze()  # a collection that traverses everything that Locust imported would delay the generator
        self._started.set()

    @property
    def index(self) -> int:
        """The number of this worker, from 0."""
        runner = self.environment.runner
        return runner.worker_index if isinstance(runner, WorkerRunner) else 0

    def now(self) -> float:
        """The present time in seconds of the schedule."""
        return time.monotonic() - self._origin

    def sleep_until(self, at_s: float) -> None:
        """Return at second `at_s` of the schedule, or at once when it has passed."""
        if (left_s := at_s - self.now()) > 0:
            gevent.sleep(left_s)

    def note(self, record: Record) -> None:
        """Keep a record until the next flush, and report it to Locust's page and statistics."""
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
        """Start each arrival of this worker's share when it is due, and wait for the last answers."""
        self._started.wait()
        assert self.plan is not None, "prepare() is called before go()"
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
        """Record this process's delays, processor time and memory every second."""
        while True:
            began, used, cpu_before = time.monotonic(), time.process_time(), _cpu_times()
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
                    "taken": round(_steal_share(cpu_before, _cpu_times()), 4),
                    "open": len(people),
                    "lags_ms": lags.take(),
                }
            )
            self.flush()

    def flush(self) -> None:
        """Write the kept records, in a process that has the records file. A worker's records are sent to the master."""
        if self._out is not None and self.records:
            taken, self.records = self.records, []
            self.write(taken)

    def write(self, records: list[Record]) -> None:
        """Append records to the records file."""
        assert self._out is not None, "the process that writes has a records file"
        self._out.write("".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records))
        self._out.flush()


class Lags:
    """A histogram of the generator's own delays, whose counts the recorder can add up."""

    STEPS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000)

    def __init__(self) -> None:
        self._counts = [0] * (len(self.STEPS_MS) + 1)

    def add(self, seconds: float) -> None:
        """Count one delay."""
        ms = seconds * 1000
        self._counts[next((index for index, step in enumerate(self.STEPS_MS) if ms <= step), len(self.STEPS_MS))] += 1

    def take(self) -> list[int]:
        """The counts of each step since the last call."""
        taken, self._counts = self._counts, [0] * len(self._counts)
        return taken


def _cpu_times() -> tuple[float, float]:
    """CPU steal of this machine, and its whole processor time, in seconds since its start."""
    times = psutil.cpu_times()
    return getattr(times, "steal", 0.0), sum(times)


def _steal_share(before: tuple[float, float], after: tuple[float, float]) -> float:
    """CPU steal between two readings, as a share of the processor time."""
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
    assert generator.plan is not None, "a worker becomes ready after the plan was sent"
    if generator.ready == generator.plan.workers:
        environment.runner.send_message(GO, _start())


def _start() -> float:
    """The Unix time of second 0, which is also written to the records."""
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
    assert generator.plan is not None, "a worker finishes after the plan was sent"
    if generator.finished == generator.plan.workers:
        _end(environment)


def _end(environment: Environment) -> None:
    generator.write([{"k": "end"}])
    gevent.spawn_later(0.1, environment.runner.quit)


events.init.add_listener(_init)
events.test_start.add_listener(_test_start)
events.report_to_master.add_listener(_report)
events.worker_report.add_listener(_reported)


class Dispatcher(User):  # type: ignore[misc]  # mypy does not follow Locust's types: half of them are missing
    """The one Locust user of a worker. It starts arrivals and never waits for one."""

    @task  # type: ignore[untyped-decorator]  # likewise
    def dispatch(self) -> None:
        """Run the whole schedule once."""
        runner = self.environment.runner
        try:
            generator.run()
        except Exception:
            # Locust would restart the task. The missing "end" record makes the reader raise Broken.
            logging.exception("the generator failed")
            gevent.spawn(runner.quit)
            raise StopUser from None
        if isinstance(runner, WorkerRunner):
            taken, generator.records = generator.records, []
            runner.send_message(FINISHED, json.dumps(taken))
        else:
            generator.flush()
            _end(self.environment)
        raise StopUser
