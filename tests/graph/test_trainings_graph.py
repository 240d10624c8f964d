"""Trainings through the real graph: a trainer is woken, trains the embedded pack, and its adapter paints."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import httpx
import psutil
import pytest

from tests.api_graph import png

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1500)]
WITHIN_S = 700.0


def begin(http: httpx.Client, name: str, **fields: Any) -> str:
    """Upload four photos and begin a training of a few steps. Returns its path."""
    ids = []
    for shade in range(4):
        answer = http.post("/v1/photos", files={"file": ("a.png", png(200, 160, shade=60 * shade), "image/png")})
        assert answer.status_code == 201, answer.text
        ids.append(answer.json()["id"])
    captions = dict.fromkeys(ids, "a mug on marble")
    body = {"name": name, "tag": "acmelook7", "photo_ids": ids, "captions": captions, "repeats": 1, "epochs": 2}
    answer = http.post("/v1/trainings", json=body | fields)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["url"])


def until(http: httpx.Client, url: str, holds: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    give_up_at = time.monotonic() + WITHIN_S
    while not holds(found := http.get(url).json()):
        assert time.monotonic() < give_up_at, found
        time.sleep(0.5)
    return dict(found)


def child_of_the_trainer() -> psutil.Process | None:
    for one in psutil.Process().children(recursive=True):
        try:
            if "packshot.training.jobs.child" in one.cmdline():
                return one
        except psutil.Error:
            continue
    return None


def test_a_training_wakes_its_trainer_and_its_adapter_paints(
    http: httpx.Client,
    shot_of: Callable[..., dict[str, Any]],
    finished: Callable[[list[str]], list[dict[str, Any]]],
) -> None:
    done = until(http, begin(http, "Graph look"), lambda one: one["status"] not in ("queued", "running"))
    assert (done["status"], done["step"], done["partial"]) == ("done", 4, False), done
    assert http.get(done["loss_url"]).content.startswith(b"\x89PNG")
    plain, looked = (
        http.post("/v1/shots", json=shot_of(adapters=adapters)).json()["id"]
        for adapters in ([], [{"id": done["adapter_id"], "scale": 2.0}])
    )
    shots = finished([plain, looked])
    assert [shot["status"] for shot in shots] == ["done", "done"]
    assert len({http.get(shot["images"][0]["url"]).content for shot in shots}) == 2


def test_a_training_survives_the_death_of_its_replica(http: httpx.Client) -> None:
    """The process ends with its replica, and the training is claimed again when the lease has run out."""
    url = begin(http, "Killed look", epochs=20)
    until(http, url, lambda one: one["step"] > 0)
    child = child_of_the_trainer()
    assert child is not None
    replica = child.ppid()
    os.kill(replica, signal.SIGKILL)
    child.wait(30)
    done = until(http, url, lambda one: one["status"] not in ("queued", "running"))
    assert (done["status"], done["step"], done["partial"]) == ("done", 40, False), done
