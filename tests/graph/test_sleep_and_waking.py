"""The pipeline's policy in a real Serve: the generator sleeps when nothing is to do and wakes for a shot (make soak:
a cluster)."""

import time
from importlib import resources
from pathlib import Path

import psutil
import pytest
import skimage.data
import yaml

from bench.demo import CUP_AND_SAUCER_BOX_XYXY
from packshot.imaging.codec import encode_png
from tests.graph.test_restart import served

IDLE_S = 20


def generators() -> int:
    titles = []
    for process in psutil.Process().children(recursive=True):
        try:
            titles.append(" ".join(process.cmdline()))
        except psutil.Error:  # it has just ended
            continue
    return sum(title.startswith("ray::ServeReplica:packshot:generator") for title in titles)


def wait_for(count: int, timeout_s: float) -> None:
    give_up_at = time.monotonic() + timeout_s
    while generators() != count:
        assert time.monotonic() < give_up_at, f"generators must become {count}, there are {generators()}"
        time.sleep(0.5)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_the_generator_sleeps_and_wakes_for_a_shot(tmp_path: Path) -> None:
    profile = yaml.safe_load(resources.files("cluster").joinpath("profiles/laptop.yaml").read_text())
    profile["autoscaling"] = {"idle_s": IDLE_S, "calm_s": 5, "start_s": 15}
    profile["stages"] = {"generator": {"replicas": {"min": 0, "max": 1, "target_ongoing": 4}}}
    file = tmp_path / "sleepy.yaml"
    file.write_text(yaml.safe_dump(profile))
    with served(tmp_path / "home", "--profile", str(file), limit_s=500) as http:
        photo = http.post(
            "/v1/photos", files={"file": ("c.png", encode_png(skimage.data.coffee()), "image/png")}
        ).json()
        click = http.post(f"/v1/photos/{photo['id']}/masks", json={"boxes": [CUP_AND_SAUCER_BOX_XYXY]}).json()
        wait_for(0, IDLE_S + 90)
        assert http.get("/readyz").status_code == 200  # the gateway is awake
        body = {"layers": [{"mask_id": click["masks"][0]["id"]}], "canvas": {"width": 256, "height": 256}, "steps": 4}
        shot = http.post("/v1/shots", json={**body, "prompt": "on marble"}, headers={"prefer": "wait=120"}).json()
        while shot["status"] not in ("done", "failed"):
            shot = http.get(f"/v1/shots/{shot['id']}").json()
            time.sleep(0.5)
        assert shot["status"] == "done"
        assert generators() == 1
        wait_for(0, IDLE_S + 90)
