"""A hundred photos of 10 megapixels by four clients: decoding costs more than the gateway does (make soak)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from packshot.client import Client
from tests.large_photos import large_photo, numbered
from tests.s3_server import S3Server
from tests.waiting import WAIT_S

CLIENTS = 4
PHOTOS = 50
"""Of each way."""


@pytest.fixture
def gateway(tmp_path: Path, s3: S3Server, unused_tcp_port: int) -> Iterator[tuple[str, psutil.Process]]:
    settings = {"PACKSHOT_HOME": str(tmp_path), "PACKSHOT_OPEN_ACCESS": "true", "PACKSHOT_ASSETS_URL": s3.new_root()}
    command = [sys.executable, "-m", "tests.gateway_process", str(unused_tcp_port)]
    url = f"http://127.0.0.1:{unused_tcp_port}"
    with subprocess.Popen(command, env={**os.environ, **settings}) as process:
        children: list[psutil.Process] = []
        try:
            give_up_at = time.monotonic() + 120
            while True:
                try:
                    httpx.get(f"{url}/healthz", trust_env=False, timeout=WAIT_S)
                    break
                except httpx.TransportError:
                    assert time.monotonic() < give_up_at
                    time.sleep(0.2)
            yield url, psutil.Process(process.pid)
            children = psutil.Process(process.pid).children(recursive=True)
        finally:
            for one in children:
                one.kill()
            process.kill()


def cpu_s(gateway: psutil.Process) -> tuple[float, float]:
    """The processor seconds of the gateway, and of the decoder's processes."""
    decoders = sum(sum(one.cpu_times()[:2]) for one in gateway.children(recursive=True))
    return sum(gateway.cpu_times()[:2]), decoders


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_uploads_are_bound_by_decoding_and_not_by_the_gateway(gateway: tuple[str, psutil.Process]) -> None:
    url, process = gateway
    base = large_photo()

    def upload(number: int, direct: bool) -> None:
        with Client(url, timeout_s=600) as client:
            client.upload(numbered(base, number), "image/jpeg", direct=direct)

    for direct in (False, True):
        upload(direct, direct)  # first connections
        before = cpu_s(process)
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(upload, range(100 + direct * PHOTOS, 100 + (direct + 1) * PHOTOS), [direct] * PHOTOS))
        after = cpu_s(process)
        ours, decoding = ((now - then) / PHOTOS for then, now in zip(before, after, strict=True))
        print(f"direct={direct}: gateway {ours:.3f} s, decoder {decoding:.3f} s of processor time for a photo")
        assert ours <= (0.2 if direct else 0.5) * decoding
