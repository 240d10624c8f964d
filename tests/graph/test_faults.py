"""Replicas die while twenty shots run: all twenty finish, each image once. Only a death by fault counts as a crash."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import Row, select

from packshot.store.database import Database
from packshot.store.schema import shot

EVERY = ("generator", "sam_encoder", "finisher", "director", "gateway")
ALONE = (*EVERY, "mask_decoder", "canny")
RECOVERY_S = 400.0
"""Serve starts the dead again and twenty shots are painted: a minute on two idle cores, several on busy ones."""


@pytest.mark.timeout(RECOVERY_S + 60)
@pytest.mark.parametrize(
    "victims",
    [EVERY, *(pytest.param((one,), marks=pytest.mark.soak) for one in ALONE)],
    ids="+".join,
)
def test_twenty_shots_survive_the_death_of_their_replicas(
    http: httpx.Client,
    home: Path,
    shot_of: Callable[..., dict[str, Any]],
    finished: Callable[..., list[dict[str, Any]]],
    replica_pids: Callable[[], dict[str, list[int]]],
    victims: tuple[str, ...],
) -> None:
    accepted = [http.post("/v1/shots", json=shot_of(seed=seed, steps=4)).json()["id"] for seed in range(20)]
    give_up_at = time.monotonic() + RECOVERY_S
    before = replica_pids()
    dead = {victim: before[victim] for victim in victims}
    for pids in dead.values():
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
    wait_for_others(http, replica_pids, dead, give_up_at)
    ended = finished(accepted, timeout_s=give_up_at - time.monotonic())
    assert [(shot["status"], shot.get("error")) for shot in ended] == [("done", None)] * 20
    assert [len(shot["images"]) for shot in ended] == [1] * 20
    assert len({image["id"] for shot in ended for image in shot["images"]}) == 20
    assert {row.crashes for row in rows_of(home, accepted)} == {0}


@pytest.mark.soak
@pytest.mark.timeout(RECOVERY_S + 60)
def test_a_generator_that_ends_by_a_fault_is_a_crash_of_its_shots(
    http: httpx.Client,
    home: Path,
    shot_of: Callable[..., dict[str, Any]],
    finished: Callable[..., list[dict[str, Any]]],
    replica_pids: Callable[[], dict[str, list[int]]],
) -> None:
    give_up_at = time.monotonic() + RECOVERY_S
    accepted = http.post("/v1/shots", json=shot_of(steps=60)).json()["id"]
    while http.get(f"/v1/shots/{accepted}").json()["step"] == 0:
        assert time.monotonic() < give_up_at
        time.sleep(0.05)
    dead = {"generator": replica_pids()["generator"]}
    for pid in dead["generator"]:
        os.kill(pid, signal.SIGSEGV)
    wait_for_others(http, replica_pids, dead, give_up_at)
    (ended,) = finished([accepted], timeout_s=give_up_at - time.monotonic())
    assert (ended["status"], len(ended["images"])) == ("done", 1)
    (row,) = rows_of(home, [accepted])
    assert (row.crashes, row.attempt, row.interruptions or 0) == (1, 2, 0)


@pytest.mark.soak
@pytest.mark.timeout(RECOVERY_S + 60)
@pytest.mark.parametrize("title", ["ray::ServeController", "ray::ProxyActor"])
def test_shots_survive_the_death_of_what_serves_them(
    http: httpx.Client,
    shot_of: Callable[..., dict[str, Any]],
    finished: Callable[..., list[dict[str, Any]]],
    replica_pids: Callable[[], dict[str, list[int]]],
    title: str,
) -> None:
    give_up_at = time.monotonic() + RECOVERY_S
    accepted = [http.post("/v1/shots", json=shot_of(seed=seed, steps=4)).json()["id"] for seed in range(8)]
    victims = [process for process in psutil.Process().children(recursive=True) if title in " ".join(process.cmdline())]
    assert victims
    for victim in victims:
        victim.kill()
    wait_for_others(http, replica_pids, {}, give_up_at)
    ended = finished(accepted, timeout_s=give_up_at - time.monotonic())
    assert [(shot["status"], len(shot["images"])) for shot in ended] == [("done", 1)] * 8


def rows_of(home: Path, shots: list[str]) -> Sequence[Row[Any]]:
    """The shots' rows in the server's database."""
    opened = Database(f"sqlite:///{home / 'packshot.sqlite'}")
    try:
        with opened.read() as connection:
            return connection.execute(select(shot).where(shot.c.id.in_(shots))).all()
    finally:
        opened.close()


def wait_for_others(
    http: httpx.Client, replica_pids: Callable[[], dict[str, list[int]]], dead: dict[str, list[int]], give_up_at: float
) -> None:
    """Wait until each deployment has a replica that is not one of the `dead`, and the gateway answers."""
    while time.monotonic() < give_up_at:
        now = replica_pids()
        if all(set(now.get(name, ())) - set(pids) for name, pids in dead.items()):
            try:
                if http.get("/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
        time.sleep(0.25)
    raise AssertionError(f"no other replicas within {RECOVERY_S:.0f} s: {dead} died, {replica_pids()} live")
