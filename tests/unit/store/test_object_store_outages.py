"""An object store that answers 500, or nothing: requests are refused as unavailable, and shots wait for its end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from s3fs import S3FileSystem

from packshot.errors import NotFound, Unavailable
from packshot.settings import Settings
from packshot.shots import Director, director
from packshot.store.assets import Assets
from packshot.store.store import Store
from tests.quick_stages import QuickStages, direct_the_rest
from tests.s3_server import S3Server
from tests.unit.store.store_rows import add_shots
from tests.waiting import WAIT_S


class Gate:
    """An HTTP server before the S3 server. While `trouble` is set, it answers 500, or later by `slow_s` seconds."""

    def __init__(self, behind: str) -> None:
        self.slow_s = 0.0
        self.trouble = threading.Event()
        self.refused = threading.Event()
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                in_trouble = gate.trouble.is_set()
                if in_trouble:
                    gate.refused.set()
                    time.sleep(gate.slow_s)
                if in_trouble and not gate.slow_s:
                    status, headers, content = 500, {}, b""
                else:
                    with httpx.Client(base_url=behind, trust_env=False, timeout=WAIT_S) as client:
                        answer = client.request(self.command, self.path, headers=dict(self.headers), content=body)
                    status, headers, content = answer.status_code, dict(answer.headers), answer.content
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in ("content-length", "transfer-encoding", "connection", "content-encoding"):
                        self.send_header(name, value)
                length = headers.get("content-length", "0") if self.command == "HEAD" else str(len(content))
                self.send_header("content-length", length)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = forward  # noqa: N815

            def log_message(self, *arguments: object) -> None:
                """Write nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def serving(self) -> Iterator[Gate]:
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self.trouble.clear()
            self._server.shutdown()
            thread.join()
            self._server.server_close()


@pytest.fixture
def gate(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    with Gate(s3.url).serving() as gate:
        monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)
        S3FileSystem.clear_instance_cache()  # a cached one keeps its endpoint
        yield gate
        S3FileSystem.clear_instance_cache()


@pytest.mark.parametrize("slow_s", [0.0, 1.0], ids=["500", "slow"])
async def test_shots_outlive_an_object_store_in_trouble(
    s3: S3Server, gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow_s: float
) -> None:
    gate.slow_s = slow_s
    monkeypatch.setattr(director, "PROGRESS_EVERY_S", 0.05)
    settings = Settings(home=tmp_path, assets_url=s3.new_root(), heartbeat_s=0.1, lease_s=2.0)
    store = Store.from_settings(settings)
    try:
        tenant = store.tenants.local()
        shots = add_shots(store, tenant, 3)
        stages = QuickStages(held=True)
        directors = [Director(store, stages, settings, worker=f"w{n}") for n in range(len(shots))]
        runs = [asyncio.create_task(one.run_next()) for one in directors]
        while stages.waiting < len(shots):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        gate.trouble.set()
        stages.let_go.set()
        began = time.monotonic()
        await asyncio.to_thread(gate.refused.wait)
        await asyncio.sleep(max(0.0, settings.lease_s + 1 - (time.monotonic() - began)))
        gate.trouble.clear()
        await asyncio.gather(*runs)
        await direct_the_rest(directors, store, shots)
        ended = [store.shots.get(tenant.id, shot) for shot in shots]
    finally:
        store.close()
    assert [(shot.status, shot.attempt, len(shot.images)) for shot in ended] == [("done", 1, 1)] * 3


@pytest.mark.soak
def test_a_root_that_does_not_answer_is_unavailable_and_a_missing_file_is_not_found(s3: S3Server, gate: Gate) -> None:
    assets = Assets(s3.new_root())
    key = assets.put(b"picture", ".png")
    gate.trouble.set()
    with pytest.raises(Unavailable):
        assets.get(key)
    gate.trouble.clear()
    assert assets.get(key) == b"picture"
    with pytest.raises(NotFound):
        assets.get(Assets.key_of(b"other", ".png"))


def test_a_folder_that_cannot_be_read_or_written_is_unavailable(tmp_path: Path) -> None:
    assets = Assets(tmp_path.as_uri())
    key = assets.put(b"picture", ".png")
    (tmp_path / key).unlink()
    (tmp_path / key).mkdir()  # reading and replacing it fails, for root as well
    with pytest.raises(Unavailable):
        assets.get(key)
    with pytest.raises(Unavailable):
        assets.put_derived(key, b"picture")
