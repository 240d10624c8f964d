"""A deploy that Serve has given up, and the runbook's way out of it: a real Ray, its dashboard's API and the real
application, without KubeRay (make soak)."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from cluster.local import ENVIRONMENT, free_port
from cluster.profiles import load_profile
from cluster.render import APPLICATION, serve_config
from tests.tiny_pack import build_tiny_pack
from tests.waiting import WAIT_S

LOOPBACK = "127.0.0.1"
LATE = "vae.safetensors"
BIN = Path(sys.executable).parent
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 32}
STAYS_FAILED_S = 20.0


class Head:
    """A head with the dashboard, as KubeRay starts it. Commands are those of the runbook, with its address added."""

    def __init__(self, environment: dict[str, str], dashboard: int) -> None:
        self._environment = environment
        self._address = f"http://127.0.0.1:{dashboard}"

    def serve(self, *arguments: str) -> str:
        command = [str(BIN / "serve"), *arguments, "--address", self._address]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def application(self) -> dict[str, Any]:
        """The application in `serve status`; empty when there is none."""
        found: dict[str, Any] = yaml.safe_load(self.serve("status"))["applications"]
        return found.get(APPLICATION, {})

    def wait_for(self, status: str, limit_s: float = 240) -> dict[str, Any]:
        give_up_at = time.monotonic() + limit_s
        while (found := self.application()).get("status") != status:
            assert time.monotonic() < give_up_at, found
            time.sleep(1)
        return found


@contextmanager
def started(home: Path) -> Iterator[Head]:
    folder, dashboard = tempfile.mkdtemp(prefix="ray"), free_port(LOOPBACK)
    environment = {**os.environ, **ENVIRONMENT, **TOKEN}
    environment |= {"PACKSHOT_HOME": str(home), "PACKSHOT_OPEN_ACCESS": "true", "PACKSHOT_PACK": "tiny"}
    options = ["--port=0", f"--dashboard-port={dashboard}", "--dashboard-agent-grpc-port=0", "--num-cpus=4"]
    options += [
        "--dashboard-agent-listen-port=0",
        f"--ray-client-server-port={free_port(LOOPBACK)}",
        "--node-ip-address=127.0.0.1",
    ]
    options += ["--num-gpus=0", "--object-store-memory=134217728", f"--temp-dir={folder}"]
    with tempfile.TemporaryFile() as told:
        command = [str(BIN / "ray"), "start", "--head", "--block", *options]
        process = subprocess.Popen(command, env=environment, stdout=told, stderr=subprocess.STDOUT)
        try:
            head = {"authorization": f"Bearer {TOKEN['RAY_AUTH_TOKEN']}"}
            give_up_at = time.monotonic() + 180
            while True:
                with suppress(httpx.HTTPError):
                    if httpx.get(
                        f"http://127.0.0.1:{dashboard}/api/serve/applications/", headers=head, timeout=WAIT_S
                    ).is_success:
                        break
                if process.poll() is not None or time.monotonic() > give_up_at:
                    told.seek(0)
                    pytest.fail(told.read().decode()[-3000:])
                time.sleep(1)
            yield Head(environment, dashboard)
        finally:
            ours = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)
            for one in [process, *ours]:
                with suppress(psutil.NoSuchProcess):
                    one.kill()
            process.wait()
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_pack(tmp_path_factory.mktemp("hub") / "tiny")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def head(home: Path) -> Iterator[Head]:
    with started(home) as cluster:
        yield cluster


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., tuple[str, str]]:
    """A new file with the Serve config of the laptop and the tiny pack, and its base URL. `args` are changed."""
    port = free_port(LOOPBACK)

    def write(**args: Any) -> tuple[str, str]:
        told = serve_config(load_profile("laptop").model_copy(update={"pack": "tiny"}), port=port)
        told["applications"][0]["args"] |= args
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump(told))
        return str(file), f"http://127.0.0.1:{port}"

    return write


def fail_for_weights(head: Head, file: str, packs: Path, whole: Path) -> None:
    """Deploy without weights until Serve gives up. Then bring them: neither time nor the same config helps."""
    (packs / LATE).unlink(missing_ok=True)
    head.serve("deploy", file)
    failed = head.wait_for("DEPLOY_FAILED")
    assert "pack_missing" in str(failed["deployments"])
    shutil.copy2(whole / LATE, packs / "arriving")
    (packs / "arriving").rename(packs / LATE)
    head.serve("deploy", file)
    give_up_at = time.monotonic() + STAYS_FAILED_S
    while time.monotonic() < give_up_at:
        assert head.application()["status"] == "DEPLOY_FAILED"


def is_ready(url: str) -> bool:
    return httpx.get(f"{url}/readyz", timeout=30).is_success


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_the_runbooks_recipe_starts_a_deploy_that_serve_has_given_up(
    head: Head, home: Path, whole: Path, config: Callable[..., tuple[str, str]]
) -> None:
    packs = home / "packs" / "tiny"
    shutil.copytree(whole, packs)

    # A first deploy: nothing serves. Without an application KubeRay sends the config again, as here.
    file, url = config()
    fail_for_weights(head, file, packs, whole)
    head.serve("shutdown", "--yes")
    assert head.application() == {}
    head.serve("deploy", file)
    head.wait_for("RUNNING")
    assert is_ready(url)

    # A change in place: the old replicas serve, and a config that differs starts anew.
    file, _ = config(generator_threads=3)
    fail_for_weights(head, file, packs, whole)
    assert httpx.get(f"{url}/v1/engines", timeout=30).is_success
    file, _ = config(generator_threads=1)
    head.serve("deploy", file)
    head.wait_for("RUNNING")
    assert is_ready(url)
