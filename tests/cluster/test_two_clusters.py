"""An upgrade as KubeRay makes it, N -> N+1 -> N: a second cluster beside the first, on one database (make soak).

N is code of an older schema, from the repository's history. Both serve the same PostgreSQL and the same files. Clients
use one address, as behind a Kubernetes service: new connections go to the cluster that has the traffic.
"""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self
from urllib.parse import SplitResult, urlsplit

import pytest
from sqlalchemy import text

from packshot.store.database import open_engine
from packshot.store.schema import REVISION
from tests.cluster.on_several_nodes import ROOT, Session, assert_each_done_once, started, write_profile
from tests.debian_tools import missing
from tests.old_code import old_code
from tests.unit.store.postgres_server import NoPostgres, postgres_server

BEFORE, ITS_REVISION = "10cd6b3", "0012"
"""N. Its code admits newer schemas, as every later one does."""

STAGES = {
    "gateway": {"cpus": 0.1},
    "sam_encoder": {"cpus": 0.1, "gpu_share": 0.2, "tunables": {"max_batch_size": 2}},
    "mask_decoder": {"cpus": 0.1, "gpu_share": 0.07, "tunables": {"max_batch_size": 4}},
    "canny": {"cpus": 0.1},
    "finisher": {"cpus": 0.1},
    "generator": {"cpus": 0.1, "gpu_share": 0.67, "tunables": {"max_rows": 8}},
    "director": {"cpus": 0.1},
}
NODE = {"num_cpus": 2, "num_gpus": 1}
PEOPLE, SERVED_S, DRAIN_S = 3, 20.0, 20.0
"""Clients; seconds for which each cluster serves before the next comes; seconds in which the old one ends its work."""


class Service:
    """A TCP forwarder on loopback. New connections go to `target`; open ones stay where they are."""

    def __init__(self) -> None:
        self.target = ""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._connect, args=(client, urlsplit(self.target)), daemon=True).start()

    def _connect(self, client: socket.socket, to: SplitResult) -> None:
        with client, suppress(OSError), socket.create_connection((to.hostname, to.port)) as server:
            answering = threading.Thread(target=self._forward, args=(server, client), daemon=True)
            answering.start()
            self._forward(client, server)
            answering.join()

    @staticmethod
    def _forward(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):  # the other direction broke
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def database_url() -> Iterator[str]:
    try:
        with postgres_server(max_connections=100) as url:
            yield url
    except NoPostgres as reason:
        missing("postgres", str(reason))


def schema_of(url: str) -> str:
    engine = open_engine(url)
    with engine.begin() as connection:
        revision: str = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    engine.dispose()
    return revision


class Clusters:
    """Clusters that share a database and files. `stack` ends those that `end` has not ended."""

    def __init__(self, folder: Path, database_url: str, stack: ExitStack) -> None:
        (folder / "old").mkdir()
        self._trees = {"N": old_code(folder / "old", BEFORE), "N+1": ROOT}
        machine = {"nodes": {"min": 1, "max": 1}, "cpus": 2, "memory_gib": 6, "object_store_mib": 128}
        threads = {"encoder": 1, "decoder": 1, "generator": 1}
        pools = {"machine": {**machine, "gpus": 1, "gpu": "L4"}}
        self._profile = write_profile(folder / "one.yaml", threads=threads, pools=pools, stages=STAGES)
        self._settings = {"PACKSHOT_DATABASE_URL": database_url, "PACKSHOT_HOME": str(folder / "home")}
        self._settings["RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S"] = "60"  # as our own code of today sets it
        self._folder, self._stack, self._running = folder, stack, dict[str, ExitStack]()

    def start(self, name: str, version: str) -> str:
        """Start a cluster. Returns its address once it is ready."""
        began = time.monotonic()
        own = self._running[name] = self._stack.enter_context(ExitStack())
        nodes = own.enter_context(started(self._folder / name, [NODE], self._trees[version], **self._settings))
        url: str = nodes.deploy(self._profile)
        print(f"{name} ({version}): ready after {time.monotonic() - began:.0f} s")
        return url

    def end(self, name: str) -> None:
        """Kill a cluster, as when the time of its pods is over."""
        self._running[name].close()


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_an_upgrade_and_its_way_back_lose_no_shot_and_fail_no_request(database_url: str, tmp_path: Path) -> None:
    shots: list[str] = []
    stop = threading.Event()

    def accept() -> None:
        while not stop.wait(2.0):
            shots.append(session.accept(seed=len(shots)))

    with ExitStack() as stack:
        clusters, service = Clusters(tmp_path, database_url, stack), stack.enter_context(Service())
        service.target = clusters.start("first", "N")
        assert schema_of(database_url) == ITS_REVISION
        session = stack.enter_context(Session(service.url, keep_alive=False))
        looked_at = session.accept(seed=1000)
        session.finished([looked_at])
        with (
            session.people(looked_at, count=PEOPLE, pause_s=0.1, keep_alive=False) as people,
            ThreadPoolExecutor(1) as one,
        ):
            accepting = one.submit(accept)
            try:
                time.sleep(SERVED_S)
                for before, name, version in (("first", "second", "N+1"), ("second", "third", "N")):
                    service.target = clusters.start(name, version)
                    assert schema_of(database_url) == REVISION != ITS_REVISION
                    time.sleep(DRAIN_S)
                    clusters.end(before)
                    time.sleep(SERVED_S)
            finally:
                stop.set()
            accepting.result()
            ended = session.finished(shots)
        print(f"{len(people.answers)} light requests, {len(people.failures)} failed; {len(shots)} shots")
        assert people.failures == []
        assert_each_done_once(ended)
