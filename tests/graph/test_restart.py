"""`packshot serve` stopped and started again: what was accepted goes on (make soak: two starts of a cluster)."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import skimage.data

from bench.demo import CUP_AND_SAUCER_BOX_XYXY
from packshot.imaging.codec import encode_png
from tests.waiting import WAIT_S


@contextmanager
def served(home: Path, *options: str, limit_s: int = 240) -> Iterator[httpx.Client]:
    """A `packshot serve` of its own, for `limit_s` at most; an HTTP client on it. Ends it as a person does,
    with Ctrl-C."""
    command = [str(Path(sys.executable).with_name("packshot")), "serve", "--port", "0", *options]
    environment = {**os.environ, "PACKSHOT_HOME": str(home), "PACKSHOT_POLL_S": "1", "COLUMNS": "200"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    killer = threading.Timer(limit_s, process.kill)
    killer.start()
    try:
        heard = []
        for line in process.stderr:
            heard.append(line)
            if found := re.search(r"serves (http://\S+)", line):
                break
        else:
            raise AssertionError("".join(heard))
        drain = threading.Thread(target=process.stderr.read, daemon=True)
        drain.start()
        with httpx.Client(base_url=found[1], timeout=WAIT_S) as http:
            yield http
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=180) == 0
    finally:
        process.kill()
        process.wait()
        killer.cancel()
        process.stderr.close()


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_queued_shots_go_on_after_a_restart(tmp_path: Path) -> None:
    with served(tmp_path) as http:
        photo = http.post(
            "/v1/photos", files={"file": ("c.png", encode_png(skimage.data.coffee()), "image/png")}
        ).json()
        click = http.post(f"/v1/photos/{photo['id']}/masks", json={"boxes": [CUP_AND_SAUCER_BOX_XYXY]}).json()
        shot = {"layers": [{"mask_id": click["masks"][0]["id"]}], "canvas": {"width": 256, "height": 256}, "steps": 60}
        body = {**shot, "images": 2, "prompt": "on marble", "seed": 1}
        ids = [http.post("/v1/shots", json=body).json()["id"] for _ in range(8)]
        assert {http.get(f"/v1/shots/{id}").json()["status"] for id in ids} & {"queued", "running"}
    with served(tmp_path) as http:
        with http.stream("GET", "/v1/events", params={"shots": ",".join(ids)}, timeout=WAIT_S) as stream:
            ends = [line for line in stream.iter_lines() if line.startswith("event: done")]
        ended = [http.get(f"/v1/shots/{id}").json() for id in ids]
    assert [(shot["status"], len(shot["images"])) for shot in ended] == [("done", 2)] * 8
    assert ends
