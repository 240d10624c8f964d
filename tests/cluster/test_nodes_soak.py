"""Several nodes for longer (make soak): an upgrade under load, scaling by the pipeline's policy, a GCS that dies."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, Self

import pytest

from cluster.local import free_port
from tests.cluster.on_several_nodes import Nodes, Session, assert_each_done_once, started, wait_for, write_profile
from tests.debian_tools import missing

UPGRADE_S, REQUESTS, REDIS_DOWN_S = 120.0, 2_000, 40.0
PEOPLE = 6
STAGES: dict[str, dict[str, Any]] = {
    "gateway": {"replicas": {"min": 2, "max": 2}, "cpus": 0.1},
    "sam_encoder": {"cpus": 0.1, "gpu_share": 0.2, "tunables": {"max_batch_size": 2}},
    "mask_decoder": {"cpus": 0.1, "gpu_share": 0.07, "tunables": {"max_batch_size": 4}},
    "canny": {"cpus": 0.1},
    "finisher": {"cpus": 0.1},
    "generator": {"cpus": 0.1, "gpu_share": 0.67, "tunables": {"max_rows": 8}},
    "director": {"replicas": {"min": 2, "max": 2}, "cpus": 0.1},
}
NODE = {"num_cpus": 2, "num_gpus": 2}


def profile(path: Path, stages: dict[str, dict[str, Any]] = STAGES, threads: int = 1, **more: Any) -> str:
    machine: dict[str, Any] = {"nodes": {"min": 2, "max": 2}, "cpus": 2, "memory_gib": 6, "object_store_mib": 128}
    machine |= {"gpus": 2, "gpu": "L4"}
    asked = {"encoder": 1, "decoder": threads, "generator": 1}
    return write_profile(path, threads=asked, pools={"machine": machine}, stages=stages, **more)


@pytest.mark.soak
@pytest.mark.timeout(400)
def test_two_machines_on_sqlite_are_refused_before_a_replica_starts(tmp_path: Path) -> None:
    with started(tmp_path, [NODE, {**NODE, "node_ip_address": "127.0.0.2"}]) as nodes:
        with pytest.raises(AssertionError, match=r"a cluster of 2 nodes.*got a SQLite file; set PACKSHOT_DATABASE_URL"):
            nodes.deploy(profile(tmp_path / "plain.yaml"))
        assert replicas(nodes) == set()


def replicas(nodes: Nodes) -> set[str]:
    return {replica for node in nodes.nodes().values() for _, replica, _ in node["replicas"]}


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_an_upgrade_under_load_fails_no_request_and_loses_no_shot(tmp_path: Path) -> None:
    with started(tmp_path, [NODE, NODE]) as nodes, Session(nodes.deploy(profile(tmp_path / "old.yaml"))) as session:
        looked_at = session.accept(seed=1000)
        session.finished([looked_at])
        old, begun = replicas(nodes), time.monotonic()
        shots: list[str] = []
        upgraded_s: float | None = None
        with session.people(looked_at, count=PEOPLE, pause_s=0.05) as people:
            wait_for(lambda: len(people.answers) > REQUESTS / 10, 120)
            nodes.deploy(profile(tmp_path / "new.yaml", threads=2), False)
            deployed_at = time.monotonic()
            while time.monotonic() - begun < UPGRADE_S or len(people.answers) < REQUESTS or upgraded_s is None:
                shots.append(session.accept(seed=len(shots)))
                time.sleep(3)
                if upgraded_s is None and not replicas(nodes) & old and nodes.status()[0] == "RUNNING":
                    upgraded_s = time.monotonic() - deployed_at
                assert time.monotonic() - begun < 600, (nodes.status(), len(people.answers))
        lasted_s = time.monotonic() - begun
        ended = session.finished(shots)
        print(
            f"upgrade: {len(people.answers)} light requests in {lasted_s:.0f} s, {len(people.failures)} failed; "
            f"all replicas new after {upgraded_s:.0f} s; {len(shots)} shots"
        )
        assert people.failures == []
        assert_each_done_once(ended)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_replicas_follow_the_policy_up_and_down_and_do_not_flap(tmp_path: Path) -> None:
    stages = {**STAGES, "generator": {**STAGES["generator"], "replicas": {"min": 0, "max": 2}}}
    pipeline = {"answer_s": 2, "start_s": 10, "calm_s": 15, "idle_s": 40}
    file = profile(tmp_path / "scaled.yaml", stages=stages, autoscaling=pipeline)
    with started(tmp_path, [NODE, NODE]) as nodes, Session(nodes.deploy(file)) as session:
        counts: list[int] = []

        def painters() -> int:
            found = [name for node in nodes.nodes().values() for name, _, _ in node["replicas"]]
            counts.append(found.count("generator"))
            return counts[-1]

        shots = [session.accept(seed, steps=40) for seed in range(40)]
        wait_for(lambda: painters() == 2, 120, lambda: counts, every_s=1.0)
        on = [node for node in nodes.nodes().values() if "generator" in [name for name, _, _ in node["replicas"]]]
        share = sum(node["used"]["GPU"] for node in on)
        assert share >= 2 * 0.67
        while not session._ended(shots):
            painters()
            time.sleep(1)
        wait_for(lambda: painters() == 0, 180, lambda: counts, every_s=1.0)
        assert session.http.get("/readyz").status_code == 200  # the gateway is awake
        (late,) = session.finished([session.accept(seed=99)])
        seen = [count for count, _ in groupby(counts)]
        print("painters:", seen)
        top = seen.index(2)
        assert seen[: top + 1] == sorted(seen[: top + 1]), "up, and not down in between"
        assert seen[top:] == sorted(seen[top:], reverse=True), "down, and not up in between"
        assert_each_done_once([*session.finished(shots), late])


class Redis:
    """A Redis server on loopback that keeps its state in `folder`. Skips the test when Redis is not installed."""

    def __init__(self, folder: Path) -> None:
        server = shutil.which("redis-server")
        if server is None:
            missing("redis", "apt install redis-server")
        self._port = free_port("127.0.0.1")
        self._command = [server, "--port", str(self._port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self._command += ["--appendonly", "yes"]
        self.address = f"127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        wait_for(lambda: listens(self._port), 30)
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.wait()

    @contextmanager
    def down(self) -> Iterator[None]:
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def replaces_a_dead_replica(nodes: Nodes) -> None:
    """What controls the cluster works: a dead replica is replaced."""
    victim, pid = next(
        (replica, pid) for node in nodes.nodes().values() for name, replica, pid in node["replicas"] if name == "canny"
    )
    os.kill(pid, signal.SIGKILL)

    def another() -> bool:
        found = [(name, replica) for node in nodes.nodes().values() for name, replica, _ in node["replicas"]]
        return any(name == "canny" and replica != victim for name, replica in found)

    wait_for(another, 120, every_s=1.0)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("down_s", [5, 40])
def test_a_gcs_that_restarts_on_redis_loses_no_traffic(tmp_path: Path, down_s: int) -> None:
    with (
        Redis(tmp_path) as redis,
        started(tmp_path, [NODE, NODE], RAY_REDIS_ADDRESS=redis.address) as nodes,
        Session(nodes.deploy(profile(tmp_path / "plain.yaml"))) as session,
    ):
        looked_at = session.accept(seed=1000)
        session.finished([looked_at])
        with session.people(looked_at, count=PEOPLE, pause_s=0.05) as people:
            shots = [session.accept(seed) for seed in range(4)]
            wait_for(lambda: len(people.answers) > 50, 60)
            begun = time.monotonic()
            nodes.restart_gcs(down_s)  # shots are painted and clicks answered meanwhile
            shots += [session.accept(seed) for seed in range(4, 8)]
            ended = session.finished(shots)
            after = len(people.answers)
            wait_for(lambda: len(people.answers) > after + 200, 120)
            replaces_a_dead_replica(nodes)
        slowest_s = max(end - start for start, end, _ in people.answers)
        print(
            f"GCS down {down_s} s: {len(people.answers)} light requests in {time.monotonic() - begun:.0f} s, "
            f"{len(people.failures)} failed, slowest {slowest_s:.2f} s"
        )
        assert people.failures == []
        assert_each_done_once(ended)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_redis_alone_may_stop(tmp_path: Path) -> None:
    with (
        Redis(tmp_path) as redis,
        started(tmp_path, [NODE, NODE], RAY_REDIS_ADDRESS=redis.address) as nodes,
        Session(nodes.deploy(profile(tmp_path / "plain.yaml"))) as session,
    ):
        looked_at = session.accept(seed=1000)
        session.finished([looked_at])
        with session.people(looked_at, count=PEOPLE, pause_s=0.05) as people:
            wait_for(lambda: len(people.answers) > 50, 60)
            with redis.down():
                until = time.monotonic() + REDIS_DOWN_S
                shots = [session.accept(seed) for seed in range(4)]
                ended = session.finished(shots)
                time.sleep(max(0.0, until - time.monotonic()))
                ends = not nodes.gcs_runs()
            if ends:
                nodes.restart_gcs(0)  # as KubeRay does with the head's container
            shots = [session.accept(seed) for seed in range(4, 8)]
            ended += session.finished(shots)
            replaces_a_dead_replica(nodes)
        print(
            f"Redis down: {len(people.answers)} light requests, {len(people.failures)} failed; "
            f"the GCS {'ended and was started again' if ends else 'went on'}"
        )
        assert people.failures == []
        assert_each_done_once(ended)
