"""A cluster of one's own for the length of a test: `packshot serve` as a child, with keys,
and its processes by their stages.

Only what is started here may be harmed (faults.py): by signals alone, nothing in the product knows of tests.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil

from loadtest.errors import Broken, Refused

START_S = 300.0
END_S = 60.0
BELOW_GENERATOR = 5
"""Steps of niceness."""
_REPLICA = re.compile(r"ray::ServeReplica:packshot:([a-z_]+)")
_CONTROLLER = "ray::ServeController"


class LocalCluster:
    """`packshot serve --profile` on a free loopback port, keys required, in a home of its own."""

    def __init__(self, profile: str, home: Path, log: Path) -> None:
        self.profile, self.home, self.log = profile, home, log
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._child: subprocess.Popen[bytes] | None = None
        self._environment = {**os.environ, "PACKSHOT_HOME": str(home), "PACKSHOT_OPEN_ACCESS": "false"}

    def start(self) -> None:
        """Return when the graph answers. Raises Broken."""
        with self.log.open("ab") as log:
            command = [
                sys.executable,
                "-m",
                "packshot.cli",
                "serve",
                "--profile",
                self.profile,
                "--port",
                str(self.port),
            ]
            self._child = subprocess.Popen(
                command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        # On one machine the generator shares the server's cores: it must come first to keep its schedule, for 2 % of a
        # core.
        os.setpriority(os.PRIO_PROCESS, self._child.pid, os.getpriority(os.PRIO_PROCESS, 0) + BELOW_GENERATOR)
        give_up_at = time.monotonic() + START_S
        while not self.ready():
            if self._child.poll() is not None:
                raise Broken(f"packshot serve ended with {self._child.returncode}: {_tail(self.log)}")
            if time.monotonic() > give_up_at:
                raise Broken(f"packshot serve must answer within {START_S:g} s; see {self.log}")
            time.sleep(0.5)

    def ready(self) -> bool:
        """Whether the graph answers now."""
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def processes(self) -> list[psutil.Process]:
        """Every process of the cluster, the first one `packshot serve` itself."""
        if self._child is None:
            return []
        try:
            root = psutil.Process(self._child.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def pids(self, part: str) -> list[int]:
        """Pids of a stage's replicas, of the `controller`, or of the whole `node`."""
        if part == "node":
            return [process.pid for process in self.processes()]
        return [pid for pid, name in self._named() if name == part]

    def replicas(self) -> Counter[str]:
        """How many replicas each stage has now."""
        return Counter(name for _, name in self._named() if name != "controller")

    def _named(self) -> Iterator[tuple[int, str]]:
        for process in self.processes():
            try:
                title = " ".join(process.cmdline())
            except psutil.Error:
                continue  # it has just ended
            if found := _REPLICA.search(title):
                yield process.pid, found[1]
            elif _CONTROLLER in title:
                yield process.pid, "controller"

    def signal(self, part: str, number: signal.Signals) -> list[int]:
        """Send a signal to every process of a part; their pids. Raises Broken when there is none."""
        pids = self.pids(part)
        if not pids:
            raise Broken(f"no process of {part} runs, it cannot be sent {number.name}")
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        return pids

    def restart(self) -> None:
        """Start again after the node was killed, as a supervisor would: same home, same port."""
        if self._child is not None:
            self._child.wait()
        self.start()

    def stop(self) -> None:
        """End the cluster, politely first; nothing of it is left."""
        child, processes = self._child, self.processes()
        if child is None:
            return
        child.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            child.wait(END_S)
        for process in processes:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        child.wait()
        self._child = None


@contextmanager
def local_cluster(profile: str, home: Path, log: Path) -> Iterator[LocalCluster]:
    """A running cluster whose things live in `home`, ended on the way out. Raises Refused when it does not start."""
    cluster = LocalCluster(profile, home, log)
    try:
        try:
            cluster.start()
        except Broken as error:
            raise Refused(str(error)) from error
        yield cluster
    finally:
        cluster.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _tail(log: Path) -> str:
    return log.read_text("utf-8", "replace").strip()[-300:]
