"""An answer has one request id, whoever adds it: the API alone, or Ray's proxy in front of it."""

from __future__ import annotations

import httpx
import pytest
from ray.serve._private.http_util import RequestIdMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from packshot.api.limits import Edge
from packshot.meter import NoMeter


async def inner(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the id that the API works with."""
    await PlainTextResponse(scope["packshot_request_id"])(scope, receive, send)


@pytest.mark.parametrize("sent", [None, "trace-12345678", "short id"])
@pytest.mark.parametrize("behind_proxy", [False, True])
async def test_an_answer_has_one_request_id_and_it_is_the_apis(behind_proxy: bool, sent: str | None) -> None:
    edge = Edge(
        inner,
        max_body_bytes=10,
        max_photo_bytes=20,
        max_zip_bytes=30,
        max_adapter_bytes=40,
        meter=NoMeter(),
        adds_request_id=not behind_proxy,
    )
    app = RequestIdMiddleware(edge) if behind_proxy else edge
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
        answer = await client.get("/", headers={"x-request-id": sent} if sent else {})
    assert answer.headers.get_list("x-request-id") == [answer.text]
