"""The Locust child process and its workers: starts them with a plan, reads their records, and ends them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtest.errors import Broken
from loadtest.run.job import JOB_FILE, RECORDS_FILE, Job
from loadtest.run.ports import free_port
from loadtest.run.recorder import Record

LOCUSTFILE = Path(__file__).parents[1] / "generator/locustfile.py"
MASTER_PORT = 5557
"""Locust's default port, on which workers of other machines reach their master."""
WEB = ("127.0.0.1", 8089)
READ_S = 0.2
END_S = 6.0
"""Seconds for a child to exit by itself once it has written its last record. Killing it then loses no record."""
_SPAWN_AT_ONCE = "100"


@dataclass(frozen=True)
class Means:
    """How the load is generated.

    `workers` is the number of generator processes. With `bind`, the master listens on that address for workers that are
    started elsewhere; without it, the workers are started here. `web` serves Locust's web page.
    """

    workers: int = 1
    bind: str | None = None
    web: bool = False


@contextmanager
def generating(plan: Job, folder: Path, means: Means) -> Iterator[Iterator[Record]]:
    """Start the generator, and give an iterator over its records as they are written. All processes end on exit.

    `folder` keeps the plan, the records and Locust's log. The iterator raises Broken when the generator ends before its
    last record.
    """
    plan_file, records = folder / "plan.json", folder / "records.jsonl"
    plan_file.write_text(plan.to_json(), "utf-8")
    plan_file.chmod(0o600)  # it holds the tenants' keys
    records.write_text("", "utf-8")
    single_process = means.workers == 1 and means.bind is None
    bind, port = means.bind or "127.0.0.1", MASTER_PORT if means.bind else free_port()
    with ExitStack() as stack:
        log = stack.enter_context((folder / "locust.log").open("w", encoding="utf-8"))

        def start(*options: str, **variables: str) -> subprocess.Popen[str]:
            command = [
                sys.executable,
                "-m",
                "locust",
                "-f",
                str(LOCUSTFILE),
                "--loglevel",
                "WARNING",
                "--exit-code-on-error",
                "0",
            ]
            child = subprocess.Popen(
                [*command, *options],
                env=_environment(variables),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
            )
            stack.callback(_end, child)
            return child

        users = str(means.workers)
        options = ["--host", plan.host, "-u", users, "-r", _SPAWN_AT_ONCE]
        options += (
            ["--autostart", "--autoquit", "5", "--web-host", WEB[0], "--web-port", str(WEB[1])]
            if means.web
            else ["--headless"]
        )
        if not single_process:
            options += [
                "--master",
                "--master-bind-host",
                bind,
                "--master-bind-port",
                str(port),
                "--expect-workers",
                users,
            ]
        children = [start(*options, **{JOB_FILE: str(plan_file), RECORDS_FILE: str(records)})]
        if not single_process and means.bind is None:
            children += [start(*worker_options("127.0.0.1", port)) for _ in range(means.workers)]
        yield _read(records, children, folder / "locust.log")


def worker_options(master: str, port: int = MASTER_PORT) -> list[str]:
    """Locust's options for a worker of the master at host `master`."""
    return ["--worker", "--master-host", master, "--master-port", str(port)]


def run_worker(master: str) -> int:
    """Run a worker of the master at host `master` until the run ends. Returns Locust's exit code.

    This is `packshot loadtest worker`.
    """
    command = [
        sys.executable,
        "-m",
        "locust",
        "-f",
        str(LOCUSTFILE),
        "--exit-code-on-error",
        "0",
        *worker_options(master),
    ]
    return subprocess.run(command, env=_environment({}), check=False).returncode


def _environment(variables: dict[str, str]) -> dict[str, str]:
    """This process's environment with the repository on the Python path: Locust adds only the locustfile's folder."""
    path = os.pathsep.join(filter(None, (str(LOCUSTFILE.parents[2]), os.environ.get("PYTHONPATH", ""))))
    return {**os.environ, "PYTHONPATH": path, "LOCUST_SKIP_VERSION_CHECK": "1", **variables}


def _read(records: Path, children: list[subprocess.Popen[str]], log: Path) -> Iterator[Record]:
    rest = ""
    with records.open(encoding="utf-8") as file:
        while True:
            ended = [child for child in children if child.poll() is not None]
            chunk = file.read()
            *lines, rest = (rest + chunk).split("\n")
            for line in lines:
                record: Record = json.loads(line)
                yield record
                if record["k"] == "end":
                    return
            if not chunk:
                if ended:
                    tail = log.read_text("utf-8", "replace").strip()[-400:]
                    raise Broken(
                        f"the generator ended with {ended[0].returncode} before its schedule was complete: "
                        f"{tail or 'its log is empty'}"
                    )
                time.sleep(READ_S)


def _end(child: subprocess.Popen[str]) -> None:
    try:
        child.wait(END_S if child.poll() is None else 0)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
