"""What compose/cpu.yaml starts, without containers: the API's command and environment, with its nginx, on a real
PostgreSQL and a real S3 API (make soak)."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import skimage.data
import yaml

from bench.demo import CUP_AND_SAUCER_BOX_XYXY
from cluster.local import free_port
from packshot.imaging.codec import encode_png
from tests.debian_tools import missing
from tests.s3_server import s3_server
from tests.unit.store.postgres_server import NoPostgres, postgres_server

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
HERE = "127.0.0.2"
"""Counts as beyond loopback."""


@pytest.fixture(scope="module")
def file() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "compose/cpu.yaml").read_text())


@pytest.fixture(scope="module")
def environment(file: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The API's environment, in which only folders and addresses differ from the file."""
    with ExitStack() as stack:
        try:
            database = stack.enter_context(postgres_server())
        except NoPostgres as reason:
            missing("postgres", str(reason))
        store = stack.enter_context(s3_server())
        told: dict[str, str] = file["services"]["api"]["environment"]
        bucket = told["PACKSHOT_ASSETS_URL"].removeprefix("s3://").partition("/")[0]
        assert file["services"]["bucket"]["command"][-1] == f"store/{bucket}"
        store.client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        here = {
            "PACKSHOT_HOME": str(tmp_path_factory.mktemp("home")),
            "PACKSHOT_DATABASE_URL": database,
            "AWS_ENDPOINT_URL": store.url,
            "AWS_SECRET_ACCESS_KEY": "of-moto",
        }
        assert here.keys() <= told.keys()
        yield {**os.environ, **told, **here, "COLUMNS": "200"}


@pytest.fixture(scope="module")
def api(file: dict[str, Any], environment: dict[str, str]) -> Iterator[str]:
    """The API's URL, when it is ready."""
    port = free_port(HERE)
    program, *arguments = file["services"]["api"]["command"]
    arguments = [{"0.0.0.0": HERE, "8000": str(port)}.get(one, one) for one in arguments]
    process = subprocess.Popen([BIN / program, *arguments], env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    killer = threading.Timer(600, process.kill)
    killer.start()
    drain = threading.Thread(target=process.stderr.read, daemon=True)
    try:
        told = []
        for line in process.stderr:
            told.append(line)
            if re.search(r"serves http://\S+", line):
                break
        else:
            pytest.fail("".join(told))
        drain.start()
        yield f"http://{HERE}:{port}"
        process.terminate()
        assert process.wait(timeout=180) == 0
    finally:
        killer.cancel()
        process.kill()
        process.wait()
        if drain.ident:
            drain.join(10)
        process.stderr.close()


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_the_services_of_the_file_paint_a_picture(api: str, environment: dict[str, str]) -> None:
    command = [str(BIN / "packshot"), "keys", "create", "studio"]
    key = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120).stdout
    with httpx.Client(base_url=api, timeout=150) as http:
        assert http.get("/readyz").json() == {"status": "ok"}
        assert http.get("/v1/photos").status_code == 401
        http.headers["authorization"] = f"Bearer {key.strip()}"
        photo = http.post(
            "/v1/photos", files={"file": ("c.png", encode_png(skimage.data.coffee()), "image/png")}
        ).json()
        click = http.post(f"/v1/photos/{photo['id']}/masks", json={"boxes": [CUP_AND_SAUCER_BOX_XYXY]}).json()
        wanted = {"layers": [{"mask_id": click["masks"][0]["id"]}], "canvas": {"width": 256, "height": 256}, "steps": 4}
        shot = http.post(
            "/v1/shots", json={**wanted, "images": 1, "prompt": "on a marble table"}, headers={"prefer": "wait=120"}
        ).json()
        assert shot["status"] == "done", shot
        assert http.get(shot["images"][0]["url"]).content.startswith(b"\x89PNG")
