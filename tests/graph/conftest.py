"""One laptop cluster for every test of the graph: the real deployments and the mini pack, on loopback.

The pack also has a ControlNet for depth, whose weights are those of its edges.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import skimage.data

from bench.demo import CUP_AND_SAUCER_BOX_XYXY
from bench.p16_conditions import mini_with_depth
from cluster.local import serving
from cluster.profiles import load_profile
from packshot.imaging.codec import encode_png

METRICS_EVERY_S = 0.5
"""How often processes of the cluster report their metrics. `serving` itself asks for 2 s."""


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def routes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to which catalogues may write their files."""
    return tmp_path_factory.mktemp("routes")


@pytest.fixture(scope="session")
def url(home: Path, routes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = {
        "PACKSHOT_PACK_PATH": str(mini_with_depth(tmp_path_factory.mktemp("packs"))),
        "PACKSHOT_CATALOGUE_ROUTE_URLS": routes.as_uri(),
        "PACKSHOT_HOME": str(home),
        "PACKSHOT_OPEN_ACCESS": "true",
        "PACKSHOT_POLL_S": "1",
        "PACKSHOT_LEASE_S": "6",
    }
    settings |= {"PACKSHOT_HEARTBEAT_S": "1", "RAY_metrics_report_interval_ms": f"{1000 * METRICS_EVERY_S:.0f}"}
    with serving(load_profile("laptop"), port=0, settings=settings) as base_url:
        yield base_url


@pytest.fixture(scope="session")
def metrics_every_s() -> float:
    """The seconds between two reports of a process's metrics."""
    return METRICS_EVERY_S


@pytest.fixture(scope="session")
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=180) as client:
        yield client


@pytest.fixture(scope="session")
def coffee(http: httpx.Client) -> dict[str, Any]:
    """The coffee photo, uploaded."""
    answer = http.post("/v1/photos", files={"file": ("coffee.png", encode_png(skimage.data.coffee()), "image/png")})
    assert answer.status_code == 201, answer.text
    return answer.json()


@pytest.fixture(scope="session")
def cup(http: httpx.Client, coffee: dict[str, Any]) -> dict[str, Any]:
    """The best mask of cup and saucer."""
    answer = http.post(f"/v1/photos/{coffee['id']}/masks", json={"boxes": [CUP_AND_SAUCER_BOX_XYXY]})
    assert answer.status_code == 200, answer.text
    return answer.json()["masks"][0]


@pytest.fixture
def shot_of(cup: dict[str, Any]) -> Callable[..., dict[str, Any]]:
    """A shot request of the cup: small and fast unless `fields` say otherwise."""

    def request(**changes: Any) -> dict[str, Any]:
        small = {"layers": [{"mask_id": cup["id"]}], "canvas": {"width": 256, "height": 256}, "images": 1, "steps": 4}
        return {**small, "prompt": "on a marble table", "seed": 1, **changes}

    return request


@pytest.fixture
def finished(http: httpx.Client) -> Callable[..., list[dict[str, Any]]]:
    """Wait until each shot has ended, and return them."""

    def wait(ids: list[str], timeout_s: float = 240.0) -> list[dict[str, Any]]:
        give_up_at = time.monotonic() + timeout_s
        while True:
            shots = [http.get(f"/v1/shots/{shot}").json() for shot in ids]
            if all(shot["status"] in ("done", "failed", "cancelled") for shot in shots):
                return shots
            assert time.monotonic() < give_up_at, [shot["status"] for shot in shots]
            time.sleep(0.2)

    return wait


@pytest.fixture(scope="session")
def replica_pids() -> Callable[[], dict[str, list[int]]]:
    """Deployment name -> pids of its replicas on this machine."""

    def find() -> dict[str, list[int]]:
        pids: dict[str, list[int]] = {}
        for process in psutil.Process().children(recursive=True):
            try:
                title = " ".join(process.cmdline())
            except psutil.Error:  # it has just ended
                continue
            if title.startswith("ray::ServeReplica:packshot:"):
                pids.setdefault(title.split(":")[4].split()[0].split(".")[0], []).append(process.pid)
        return pids

    return find
