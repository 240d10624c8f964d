"""Spans: their place in a trace across processes, failures, and what they cost while they are off."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from packshot.api.request_log import RequestLog
from packshot.meter import NoMeter
from packshot.telemetry import traces
from packshot.telemetry.context import carrier, continued

Spans = Callable[[], dict[str, ReadableSpan]]
TRACE = "0af7651916cd43dd8448eb211c80319c"
HEADER = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture
def spans() -> Iterator[Spans]:
    """Call it for the finished spans by name."""
    exporter = InMemorySpanExporter()
    traces.configure_traces(traces.OFF, "test", SimpleSpanProcessor(exporter))
    yield lambda: {span.name: span for span in exporter.get_finished_spans()}
    traces.configure_traces(traces.OFF, "test")


def trace_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


def test_another_process_continues_the_trace(spans: Spans) -> None:
    with traces.span("caller"):
        carried = carrier()
        ids = traces.ids()
    with continued(carried), traces.span("callee", rows=2):
        pass
    caller, callee = spans()["caller"], spans()["callee"]
    assert trace_of(caller) == trace_of(callee) == ids["trace"]
    assert callee.parent is not None
    assert caller.context is not None
    assert callee.parent.span_id == caller.context.span_id
    assert callee.attributes == {"rows": 2}


async def test_a_request_continues_its_clients_trace_and_probes_leave_none(spans: Spans) -> None:
    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("seen", status_code=202)(scope, receive, send)

    transport = httpx.ASGITransport(RequestLog(inner, meter=NoMeter()))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        await client.post("/v1/photos/ph_a1/masks", headers={"traceparent": HEADER})
        await client.get("/healthz")
        await client.get("/v1/shots", headers={"traceparent": "00-nonsense"})
    found = spans()
    assert set(found) == {"POST /v1/photos/{id}/masks", "GET /v1/shots"}
    click = found["POST /v1/photos/{id}/masks"]
    assert trace_of(click) == TRACE
    assert click.attributes is not None
    assert click.attributes["http.response.status_code"] == 202
    assert trace_of(found["GET /v1/shots"]) != TRACE


def test_a_failure_marks_its_span_and_the_context_is_restored(spans: Spans) -> None:
    with pytest.raises(ValueError, match="no"), traces.span("fails"):
        raise ValueError("no")
    assert not spans()["fails"].status.is_ok
    assert traces.ids() == {}


def test_an_ended_span_is_recorded_at_its_time_and_place(spans: Spans) -> None:
    with traces.span("scene"):
        place = traces.current()
    traces.record("step batch", 1_000, 2_000, place, rows=4)
    step, scene = spans()["step batch"], spans()["scene"]
    assert (step.start_time, step.end_time) == (1_000, 2_000)
    assert trace_of(step) == trace_of(scene)


def test_a_folder_gets_a_file_of_json_lines(tmp_path: Path) -> None:
    traces.configure_traces(str(tmp_path / "spans"), "generator")
    try:
        with traces.span("paint"):
            pass
    finally:
        traces.configure_traces(traces.OFF, "generator")
    (file,) = (tmp_path / "spans").iterdir()
    (line,) = file.read_text().splitlines()
    assert json.loads(line)["name"] == "paint"
    assert json.loads(line)["resource"]["attributes"]["service.name"] == "generator"


def test_the_exporter_otlp_sends_to_its_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of our own stands for the collector: the exporter's own protocol reaches it."""
    import http.server
    import threading

    got: list[str] = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            got.append(f"{self.path} {self.headers['content-type']}")
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        traces.configure_traces(traces.OTLP, "gateway")
        try:
            with traces.span("request"):
                pass
            give_up_at = time.monotonic() + 120
            while not got and time.monotonic() < give_up_at:
                time.sleep(0.02)
        finally:
            traces.configure_traces(traces.OFF, "gateway")
            server.shutdown()
    assert got[:1] == ["/v1/traces application/x-protobuf"]


def test_what_is_off_costs_less_than_a_hundredth_of_the_fastest_call() -> None:
    """A click takes 30 ms or more and opens at most 4 spans, with their carriers. All of that off: below 0.3 ms."""
    traces.configure_traces(traces.OFF, "test")

    def one_call() -> None:
        carried = carrier()
        with continued(carried), traces.span("a"):
            traces.record("b", 0, 1)
            traces.ids()

    best = min(_timed_s(one_call) for _ in range(20))
    assert 4 * best < 0.3e-3
    assert asyncio.run(_in_task()) == {}


def _timed_s(call: Callable[[], None]) -> float:
    began = time.perf_counter()
    for _ in range(100):
        call()
    return (time.perf_counter() - began) / 100


async def _in_task() -> dict[str, str]:
    return traces.injected()
