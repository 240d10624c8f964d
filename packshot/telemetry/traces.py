"""OpenTelemetry spans. `PACKSHOT_TRACES` says where they go; by default nowhere, and then a span costs nothing.

The exporter `otlp` and the sampler read OpenTelemetry's own variables, such as OTEL_EXPORTER_OTLP_ENDPOINT and
OTEL_TRACES_SAMPLER. Without `configure_traces`, opentelemetry is not even imported.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from packshot.errors import BadInput

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Span, Tracer

OFF, OTLP = "off", "otlp"

Attribute: TypeAlias = "str | int | float | bool"
SpanContext: TypeAlias = "Context | None"
"""A place in a trace, under which later spans can be recorded; None while tracing is off."""

_tracer: Tracer | None = None
_NO_SPAN: nullcontext[None] = nullcontext(None)


def configure_traces(target: str, stage: str, processor: SpanProcessor | None = None) -> None:
    """Export this process's spans.

    `target` is the setting: `off`, `otlp`, or a folder in which each process writes one file of JSON lines. `stage` is
    the process's place in the graph. `processor` receives the spans instead, for tests. Raises BadInput `bad_usage`
    when the exporter of `otlp` is not installed.
    """
    global _tracer
    if target == OFF and processor is None:
        _tracer = None
        return
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    resource = Resource.create({"service.namespace": "packshot", "service.name": stage})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(processor or _processor(target, stage))
    _tracer = provider.get_tracer("packshot")


def _processor(target: str, stage: str) -> SpanProcessor:
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor

    if target == OTLP:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        except ImportError as error:
            raise BadInput(
                "bad_usage", "PACKSHOT_TRACES=otlp needs its exporter; install packshot[otlp], or set a folder"
            ) from error
        return BatchSpanProcessor(OTLPSpanExporter())
    folder = Path(target).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / f"{stage}-{os.getpid()}.jsonl").open("a", encoding="utf-8")
    return SimpleSpanProcessor(ConsoleSpanExporter(out=file, formatter=lambda span: span.to_json(indent=None) + "\n"))


def span(name: str, **attributes: Attribute) -> AbstractContextManager[Span | None]:
    """Open a span around a block. An exception marks it as failed. Gives None while tracing is off."""
    return _NO_SPAN if _tracer is None else _open(_tracer, name, attributes)


@contextmanager
def _open(tracer: Tracer, name: str, attributes: Mapping[str, Attribute]) -> Iterator[Span]:
    from opentelemetry import context, trace

    before = context.get_current()
    opened = tracer.start_span(name, attributes=attributes)
    context.attach(trace.set_span_in_context(opened))
    try:
        yield opened
    except Exception as error:
        opened.record_exception(error)
        opened.set_status(trace.StatusCode.ERROR, str(error))
        raise
    finally:
        opened.end()
        context.attach(before)  # not `detach`, which fails when another task closes a generator that holds the block


def current() -> SpanContext:
    """The place in the trace where this code runs, for `record`; None while tracing is off or no span is open."""
    if _tracer is None:
        return None
    from opentelemetry import context, trace

    here = context.get_current()
    return here if trace.get_current_span(here).is_recording() else None


def record(name: str, began_ns: int, ended_ns: int, parent: SpanContext = None, **attributes: Attribute) -> None:
    """Record a span that has ended. Times are nanoseconds of `time.time_ns`. None as `parent` is the open span."""
    if _tracer is not None:
        _tracer.start_span(name, parent, start_time=began_ns, attributes=attributes).end(ended_ns)


def injected() -> dict[str, str]:
    """The W3C headers of the current span; empty while tracing is off."""
    headers: dict[str, str] = {}
    if _tracer is not None:
        _propagator().inject(headers)
    return headers


@contextmanager
def continued(headers: Mapping[str, str]) -> Iterator[None]:
    """Let spans inside the block continue the trace of W3C headers. Malformed headers change nothing."""
    if _tracer is None or "traceparent" not in headers:
        yield
        return
    from opentelemetry import context

    before = context.get_current()
    context.attach(_propagator().extract(headers, context=before))
    try:
        yield
    finally:
        context.attach(before)


def ids() -> dict[str, str]:
    """The current span's ids for a log line, as hexadecimal text: `trace` and `span`. Empty without a span."""
    if _tracer is None:
        return {}
    from opentelemetry import trace

    here = trace.get_current_span().get_span_context()
    if not here.is_valid:
        return {}
    return {"trace": trace.format_trace_id(here.trace_id), "span": trace.format_span_id(here.span_id)}


def _propagator() -> Any:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator()
