"""A cluster for the length of a test: `packshot serve` as a child process, and the pids of its stages.

Faults are injected only into a cluster that is started here (faults.py). They are signals; the product has no test
hooks.
"""

from __future__ import annotations

import os
import re
import signal
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
from loadtest.run.ports import free_port

START_S = 300.0
"""Longest wait for the cluster to become ready, seconds."""
END_S = 60.0
"""Longest wait for the cluster to end after SIGINT, seconds."""
BELOW_GENERATOR = 5
"""Steps of niceness by which the cluster runs below the generator."""
_REPLICA = re.compile(r"ray::ServeReplica:packshot:([a-z_]+)")
_CONTROLLER = "ray::ServeController"


class LocalCluster:
    """`packshot serve --profile` on a free loopback port, with keys required.

    `home` is the folder of its data, and `log` the file to which its output is appended.
    """

    def __init__(self, profile: str, home: Path, log: Path) -> None:
        self.profile, self.home, self.log = profile, home, log
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._child: subprocess.Popen[bytes] | None = None
        self._environment = {**os.environ, "PACKSHOT_HOME": str(home), "PACKSHOT_OPEN_ACCESS": "false"}

    def start(self) -> None:
        """Start the server and return when the graph answers.

        Raises Broken when the server ends, or when the graph does not answer within START_S.
        """
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
        # On one machine the generator shares the server's cores. It takes 2 % of a core, and needs priority to keep its
        # schedule.
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
        """Every process of the cluster. The first is `packshot serve` itself."""
        if self._child is None:
            return []
        try:
            root = psutil.Process(self._child.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def pids(self, part: str) -> list[int]:
        """The pids of a part: a stage's replicas, the `controller` or the whole `node`."""
        if part == "node":
            return [process.pid for process in self.processes()]
        return [pid for pid, name in self._named() if name == part]

    def replicas(self) -> Counter[str]:
        """The present number of replicas of each stage."""
        return Counter(name for _, name in self._named() if name != "controller")

    def _named(self) -> Iterator[tuple[int, str]]:
        """(pid, stage or "controller") of the processes whose titles name one."""
        for process in self.processes():
            try:
                title = " ".join(process.cmdline())
            except psutil.Error:
                continue  # the process has just ended
            if found := _REPLICA.search(title):
                yield process.pid, found[1]
            elif _CONTROLLER in title:
                yield process.pid, "controller"

    def signal(self, part: str, number: signal.Signals) -> list[int]:
        """Send a signal to every process of a part, and return their pids. Raises Broken when there is none."""
        pids = self.pids(part)
        if not pids:
            raise Broken(f"no process of {part} runs that could receive {number.name}")
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        return pids

    def restart(self) -> None:
        """Start again with the same home and port after the node was killed, as a supervisor would."""
        if self._child is not None:
            self._child.wait()
        self.start()

    def stop(self) -> None:
        """End the cluster: SIGINT first, then SIGKILL to every process that is left after END_S."""
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
    """A running cluster with its data in `home`, which ends on exit. Raises Refused when it does not start."""
    cluster = LocalCluster(profile, home, log)
    try:
        try:
            cluster.start()
        except Broken as error:
            raise Refused(str(error)) from error
        yield cluster
    finally:
        cluster.stop()


def _tail(log: Path) -> str:
    return log.read_text("utf-8", "replace").strip()[-300:]
