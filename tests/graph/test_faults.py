"""Replicas die while twenty shots run: all twenty finish, each image once."""

import os
import signal

import pytest


@pytest.mark.timeout(240)
@pytest.mark.parametrize("victim", ["generator", "sam_encoder", "director", "gateway"])
def test_twenty_shots_survive_the_death_of_a_replica(http, shot_of, finished, replica_pids, victim):
    accepted = [http.post("/v1/shots", json=shot_of(seed=seed, steps=4)).json()["id"] for seed in range(20)]
    (pid,) = replica_pids()[victim]
    os.kill(pid, signal.SIGKILL)
    wait_for_another(http, replica_pids, victim, pid)
    ended = finished(accepted, timeout_s=200)
    assert [(shot["status"], shot.get("error")) for shot in ended] == [("done", None)] * 20
    assert [len(shot["images"]) for shot in ended] == [1] * 20
    assert len({image["id"] for shot in ended for image in shot["images"]}) == 20


def wait_for_another(http, replica_pids, victim, dead):
    import time

    import httpx

    give_up_at = time.monotonic() + 60
    while time.monotonic() < give_up_at:
        pids = replica_pids().get(victim, [])
        if pids and dead not in pids:
            try:
                if http.get("/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
        time.sleep(0.25)
    raise AssertionError(f"no new {victim} in 60 s: {pids}")
