"""A hundred photos of 10 megapixels by four clients, on Ray: decoders are busy, not the gateway (make soak).

Half of them pass through the gateway, the others go to the bucket and are decoded from there.
"""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from packshot.client import Client
from tests.cluster.on_several_nodes import started, write_profile
from tests.large_photos import large_photo, numbered
from tests.s3_server import S3Server, s3_server

CLIENTS = 4
PHOTOS = 50
"""Of each way."""
STAGES = {
    "gateway": {"cpus": 0.1},
    "photo_decoder": {"cpus": 0.5},
    "sam_encoder": {"cpus": 0.1, "gpu_share": 0.2, "tunables": {"max_batch_size": 2}},
    "mask_decoder": {"cpus": 0.1, "gpu_share": 0.07, "tunables": {"max_batch_size": 4}},
    "canny": {"cpus": 0.1},
    "finisher": {"cpus": 0.1},
    "generator": {"cpus": 0.1, "gpu_share": 0.67, "tunables": {"max_rows": 8}},
    "director": {"cpus": 0.1},
}
REPLICA = "ray::ServeReplica:packshot:"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


def cpu_s() -> Counter[str]:
    """Processor seconds of each deployment's replicas so far, their worker processes included."""
    used: Counter[str] = Counter()
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            title = " ".join(process.cmdline())
            if title.startswith(REPLICA):
                name = title.split(":")[4].split()[0].split(".")[0]
                used[name] += sum(process.cpu_times()[:4])  # with children that have ended
                used[name] += sum(sum(one.cpu_times()[:2]) for one in process.children(recursive=True))
    return used


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_decoders_bound_uploads_and_not_the_gateway(s3: S3Server, tmp_path: Path) -> None:
    machine = {"nodes": {"min": 1, "max": 1}, "cpus": 2, "memory_gib": 6, "object_store_mib": 256}
    threads = {"encoder": 1, "decoder": 1, "generator": 1}
    pools = {"machine": {**machine, "gpus": 1, "gpu": "L4"}}
    profile = write_profile(tmp_path / "one.yaml", threads=threads, pools=pools, stages=STAGES)
    base = large_photo()
    settings = {"PACKSHOT_ASSETS_URL": s3.new_root(), "PACKSHOT_HOME": str(tmp_path / "home")}
    with started(tmp_path, [{"num_cpus": 2, "num_gpus": 1}], **settings) as nodes:
        url = nodes.deploy(profile)

        def upload(number: int, direct: bool) -> None:
            with Client(url, timeout_s=600) as client:
                client.upload(numbered(base, number), "image/jpeg", direct=direct)

        for direct in (False, True):
            upload(direct, direct)  # first connections
            before = cpu_s()
            with ThreadPoolExecutor(CLIENTS) as pool:
                list(pool.map(upload, range(100 + direct * PHOTOS, 100 + (direct + 1) * PHOTOS), [direct] * PHOTOS))
            used = cpu_s()
            each = {name: (used[name] - before[name]) / PHOTOS for name in used}
            print(f"direct={direct}: processor seconds for a photo:", {name: round(s, 3) for name, s in each.items()})
            assert max(each, key=each.__getitem__) == "photo_decoder"
            assert each["gateway"] <= 0.5 * each["photo_decoder"]  # with what idle replicas take on a busy machine
