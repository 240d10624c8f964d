"""One cluster with three engines: each has its own generators, which sleep until its shots wake them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from tests.api_graph import png
from tests.graph.test_restart import served
from tests.tiny_pack import SIZE_PX, build_tiny_pack

ENGINES = ("tiny-a", "tiny-b", "tiny-c")


def generators() -> set[str]:
    """The deployments of generators that have a replica."""
    found = set()
    for process in psutil.Process().children(recursive=True):
        try:
            title = " ".join(process.cmdline())
        except psutil.Error:  # it has just ended
            continue
        if title.startswith("ray::ServeReplica:packshot:generator"):
            found.add(title.split(":")[4].split()[0].split(".")[0])
    return found


def ended(http: httpx.Client, shots: list[str], limit_s: float = 120) -> list[dict[str, Any]]:
    give_up_at = time.monotonic() + limit_s
    while True:
        found = [http.get(f"/v1/shots/{shot}").json() for shot in shots]
        if all(one["status"] in ("done", "failed") for one in found):
            return found
        assert time.monotonic() < give_up_at, [(one["request"]["engine"], one["status"]) for one in found]
        time.sleep(0.2)


@pytest.mark.timeout(400)
def test_rows_of_three_engines_wake_each_alone_and_none_starves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, name in enumerate(ENGINES):
        build_tiny_pack(tmp_path / "packs" / name, seed=seed)
    profile = tmp_path / "three.yaml"
    asleep = {"replicas": {"min": 0, "max": 1, "target_ongoing": 4}, "cpus": 0.1}
    described: dict[str, Any] = {"name": "three", "sentence": "Three engines.", "device": "cpu"}
    described |= {"engines": list(ENGINES), "autoscaling": {"start_s": 10, "idle_s": 300}}
    described |= {
        "pools": {"machine": {"cpus": 2, "memory_gib": 6, "object_store_mib": 128}},
        "stages": {"generator": asleep},
    }
    profile.write_text(yaml.safe_dump(described))
    monkeypatch.setenv("PACKSHOT_PACK_PATH", str(tmp_path / "packs"))
    with served(tmp_path / "home", "--profile", str(profile), limit_s=400) as http:
        told = http.get("/v1/engines").json()["engines"]
        assert [one["name"] for one in told] == list(ENGINES)
        photo = http.post("/v1/photos", files={"file": ("a.png", png(), "image/png")}).json()
        click = http.post(f"/v1/photos/{photo['id']}/masks", json={"boxes": [[20, 20, 80, 60]]}).json()
        body: dict[str, Any] = {
            "layers": [{"mask_id": click["masks"][0]["id"]}],
            "canvas": {"width": SIZE_PX, "height": SIZE_PX},
        }
        body |= {"prompt": "table", "steps": 3, "seed": 7}
        # Many of one engine, and then one of each other engine: these do not wait for the first engine's to end.
        busy = [http.post("/v1/shots", json={**body, "engine": "tiny-a", "steps": 40}).json()["id"] for _ in range(12)]
        (first,) = ended(http, [http.post("/v1/shots", json={**body, "engine": "tiny-b"}).json()["id"]])
        assert first["status"] == "done"
        assert "generator-tiny-b" in generators()
        assert "generator-tiny-c" not in generators(), "nobody has asked for it"
        (last,) = ended(http, [http.post("/v1/shots", json={**body, "engine": "tiny-c"}).json()["id"]])
        assert generators() == {"generator", "generator-tiny-b", "generator-tiny-c"}
        shots = [*ended(http, busy), first, last]
        assert {one["status"] for one in shots} == {"done"}
        unets = {one["request"]["engine"]: one["images"][0]["recipe"]["pack"]["unet"] for one in shots}
        assert set(unets) == set(ENGINES)
        assert len(set(unets.values())) == 3, "each was painted with its own pack"
        refused = http.post("/v1/shots", json={**body, "engine": "tiny-d"})
        assert (refused.status_code, refused.json()["code"]) == (422, "unknown_engine")
