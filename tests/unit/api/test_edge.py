"""The middleware around every request and response."""

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.types import Message, Receive, Scope, Send

import packshot
from packshot.api.limits import MAX_JSON_BYTES
from tests.api_graph import Api, code_of, running
from tests.waiting import WAIT_S


def test_every_answer_carries_one_request_id(api: Api) -> None:
    for path in ("/healthz", "/v1/shots", "/nowhere"):
        (request_id,) = api.http.get(path).headers.get_list("x-request-id")
        assert len(request_id) >= 16


@pytest.mark.parametrize(("sent", "kept"), [("trace-12345678", True), ("short", False), ("with space in it", False)])
def test_a_proxys_request_id_is_kept_when_it_looks_like_one(api: Api, sent: str, kept: bool) -> None:
    assert (api.anyone.get("/healthz", headers={"x-request-id": sent}).headers["x-request-id"] == sent) is kept


def test_unknown_routes_and_methods_are_problems_too(api: Api) -> None:
    assert code_of(api.http.get("/v2/photos")) == (404, "not_found")
    assert code_of(api.http.put("/v1/photos")) == (405, "method_not_allowed")


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v1/photos", "GET, POST"),
        ("/v1/photos/ph_1/masks", "POST, PUT"),
        ("/v1/images/im_1", "GET, PATCH"),
        ("/v1/shots/sh_1", "GET, DELETE"),
        ("/healthz", "GET"),
        ("/docs/page.js", "GET, HEAD"),
    ],
)
def test_allow_lists_all_methods_of_a_path(api: Api, path: str, methods: str) -> None:
    """Each method of a path is a route of its own, so no route knows the others' methods."""
    answer = api.http.request("OPTIONS", path)
    assert code_of(answer) == (405, "method_not_allowed")
    assert answer.headers["allow"] == methods
    assert methods in answer.json()["detail"]


def test_every_answer_names_the_servers_version(api: Api) -> None:
    for path in ("/healthz", "/v1/shots", "/nowhere", "/docs"):
        assert api.anyone.get(path).headers.get_list("x-packshot-version") == [packshot.__version__]


def test_a_body_declared_over_the_limit_is_refused_unread(api: Api) -> None:
    head = b"POST /v1/photos HTTP/1.1\r\nhost: x\r\ncontent-length: 999999999\r\n\r\n"
    with socket.create_connection(("127.0.0.1", int(api.url.rpartition(":")[2])), timeout=WAIT_S) as connection:
        connection.sendall(head)
        assert connection.recv(1000).startswith(b"HTTP/1.1 413")


def test_a_body_that_grows_over_the_limit_is_refused_while_it_streams(api: Api) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(20):
            yield bytes(64 * 1024)

    answer = api.http.post("/v1/photos", content=chunks(), headers={"content-type": "multipart/form-data; boundary=b"})
    assert code_of(answer) == (413, "body_too_large")


def test_a_photos_upload_has_a_limit_of_its_own(api: Api) -> None:
    """96 MiB where other bodies may have 32; both are smaller in this test."""
    body = b"x" * (700 * 1024)
    assert code_of(api.http.put(f"{api.photo()['url']}/masks", content=body)) == (413, "body_too_large")
    assert code_of(api.http.post("/v1/photos", files={"file": ("a", body)})) == (415, "photo_format")
    answer = api.http.post("/v1/photos", files={"file": ("a", body * 2)})
    assert (code_of(answer), "1048576 bytes" in answer.json()["detail"]) == ((413, "body_too_large"), True)


def test_json_has_a_smaller_limit_of_its_own(api: Api) -> None:
    body = b'{"prompt": "' + b"a" * MAX_JSON_BYTES + b'"}'
    assert code_of(api.http.post("/v1/shots", content=body)) == (413, "body_too_large")


def test_headers_that_change_serves_policy_never_reach_a_route(api_server: Api) -> None:
    from packshot.api.limits import Edge
    from packshot.meter import NoMeter

    seen: list[dict[bytes, bytes]] = []

    async def receive() -> Message:
        raise AssertionError("this app reads no body")

    async def send(message: Message) -> None:
        raise AssertionError("this app answers nothing")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(dict(scope["headers"]))

    scope = {
        "type": "http",
        "headers": [
            (b"x-request-timeout-seconds", b"0"),
            (b"x-request-disconnect-disabled", b"?1"),
            (b"accept", b"*/*"),
        ],
    }
    import asyncio

    asyncio.run(
        Edge(app, max_body_bytes=10, max_photo_bytes=20, max_zip_bytes=30, max_adapter_bytes=40, meter=NoMeter())(
            scope, receive, send
        )
    )
    assert seen == [{b"accept": b"*/*"}]


def test_errors_are_counted_by_code(api: Api) -> None:
    name = "packshot_errors_total"
    before = api.registry.get_sample_value(name, {"code": "not_found"}) or 0
    api.http.get("/v1/shots/sh_unknown")
    assert api.registry.get_sample_value(name, {"code": "not_found"}) == before + 1
    assert f'{name}{{code="not_found"}}' in api.http.get("/metrics").text


def test_readiness_is_the_graphs(api: Api) -> None:
    assert api.anyone.get("/readyz").json() == {"status": "ok"}
    api.graph.is_ready = False
    answer = api.anyone.get("/readyz")
    assert code_of(answer) == (503, "not_ready")
    assert answer.headers["retry-after"]
    assert api.anyone.get("/healthz").json() == {"status": "ok"}


def test_engines_are_told_as_the_graph_tells_them(api: Api) -> None:
    assert api.http.get("/v1/engines").json() == {
        "engines": [engine.model_dump(mode="json") for engine in api.graph.engines()],
        "finds_words": api.graph.finds_words,
    }


def test_the_root_is_a_few_lines_without_a_studio_and_its_page_with_one(api: Api, tmp_path: Path) -> None:
    assert api.anyone.get("/").headers["content-type"].startswith("text/plain")
    page = tmp_path / "page"
    page.mkdir()
    (page / "index.html").write_text("<p>studio</p>")
    (page / "main.js").write_text("1")
    with running(tmp_path, studio_dir=page) as served:
        assert served.anyone.get("/").text == "<p>studio</p>"
        assert served.anyone.get("/studio/main.js").text == "1"
        for path in ("/", "/studio/main.js"):
            policy = served.anyone.get(path).headers["content-security-policy"]
            assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
            assert "unsafe" not in policy
        assert "content-security-policy" not in served.anyone.get("/healthz").headers
        assert code_of(served.anyone.get("/studio/../../packshot.sqlite"))[0] == 404


def test_the_reference_loads_from_this_server_alone(api: Api) -> None:
    page = api.anyone.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) > 3
    assert [path for path in loaded if not path.startswith(("/docs/", "data:"))] == []
    for path in ("/docs", *(path for path in loaded if path.startswith("/"))):
        answer = api.anyone.get(path)
        assert answer.status_code == 200, path
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
    assert code_of(api.anyone.get("/redoc")) == (404, "not_found")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (
            "/v1/shots?stauts=done",
            "'stauts' is not a query parameter of this route, which takes limit, ",
        ),
        ("/v1/shots?limit=1&limit=2", "'limit' may be sent once, got it 2 times; keep one"),
        ("/v1/engines?all=1", "'all' is not a query parameter of this route, which takes none"),
        ("/v1/images/im_1?presset=amazon-main", "takes preset, redirect;"),
        ("/v1/images/im_1.json?preset=amazon-main", "takes none;"),
    ],
)
def test_an_unknown_query_parameter_is_refused_and_named(api: Api, path: str, words: str) -> None:
    answer = api.http.get(path)
    assert code_of(answer) == (422, "invalid_request")
    assert words in answer.json()["detail"]
    assert answer.json()["errors"][0]["loc"] == ["query", path.partition("?")[2].partition("=")[0]]


def test_probes_take_any_query(api: Api) -> None:
    """A load balancer may add one, and its probe must not fail for it."""
    assert api.anyone.get("/healthz?from=lb").status_code == 200


@pytest.mark.parametrize("body", ['{"prompt": "a", "prompt": "b"}', '{"layers": [{"x": 0.1, "x": 0.2}]}'])
def test_a_field_that_is_named_twice_is_refused(api: Api, body: str) -> None:
    answer = api.http.post("/v1/shots", content=body)
    assert code_of(answer) == (422, "invalid_json")
    assert "twice" in answer.json()["detail"]


@pytest.mark.parametrize("media_type", ["text/plain", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded"])
def test_json_that_says_it_is_something_else_is_refused(api: Api, media_type: str) -> None:
    """A page of another site can send these types without the browser's asking first."""
    answer = api.http.post("/v1/shots", json=api.request(), headers={"content-type": media_type})
    assert code_of(answer) == (415, "body_type")
    assert "content-type: application/json" in answer.json()["detail"]


@pytest.mark.parametrize("media_type", ["Application/JSON; charset=utf-8", "application/merge-patch+json", None])
def test_json_by_its_names_or_without_one_is_taken(api: Api, media_type: str | None) -> None:
    headers = {"content-type": media_type} if media_type else {}
    answer = api.http.post("/v1/shots", content=json.dumps(api.request()), headers=headers)
    assert answer.status_code == 202
