"""The middleware of Serve's proxies: policy headers are dropped, and the proxy's own errors are problems."""

import asyncio
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from deployments.ray_support.context import configure_proxy
from deployments.ray_support.proxy_middleware import ProxyMiddleware


async def answer(request: Request) -> Response:
    status = int(request.path_params["status"])
    ours = {"x-packshot-version": "0"} if request.query_params else {}
    if status == 200:
        return JSONResponse(dict(request.headers))
    return PlainTextResponse("Internal Server Error", status, headers={**ours, "x-request-id": "r-12345678"})


CLIENT = TestClient(ProxyMiddleware(Starlette(routes=[Route("/{status}", answer), Route("/-/{status}", answer)])))


def test_policy_headers_do_not_pass() -> None:
    headers = {"X-Request-Timeout-Seconds": "0", "x-request-disconnect-disabled": "?1", "x-kept": "1"}
    told: dict[str, Any] = CLIENT.get("/200", headers=headers).json()
    assert "x-kept" in told
    assert not [name for name in told if name.startswith("x-request-")]


@pytest.mark.parametrize(
    ("status", "code"), [(404, "not_found"), (408, "timeout"), (429, "busy"), (500, "internal"), (503, "not_ready")]
)
def test_the_proxys_errors_are_problems(status: int, code: str) -> None:
    got = CLIENT.get(f"/{status}")
    assert (got.status_code, got.json()["code"], got.json()["status"]) == (status, code, status)
    assert got.headers["content-type"] == "application/problem+json"
    assert got.headers["x-request-id"] == "r-12345678"
    assert ("retry-after" in got.headers) is (status in (429, 503))


def test_the_applications_errors_and_serves_own_routes_pass_unchanged() -> None:
    assert CLIENT.get("/500?ours=1").text == "Internal Server Error"
    assert CLIENT.get("/-/503").text == "Internal Server Error"


def test_serves_hook_installs_it() -> None:
    installed: list[Any] = [one.cls for one in configure_proxy()]
    assert installed == [ProxyMiddleware]
    assert asyncio.iscoroutinefunction(ProxyMiddleware.__call__)
