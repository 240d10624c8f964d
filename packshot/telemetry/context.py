"""The context of a call: the request, shot and tenant that it works for, and who acts. Log lines carry these fields.

A context variable holds the fields, so they follow a request through coroutines, and through threads that
`asyncio.to_thread` starts. `carrier` packs the fields and the current span for another process, and `continued` unpacks
them there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from packshot.telemetry import traces

FIELDS = ("request", "shot", "tenant", "actor")
"""The fields, by the names that log lines use: the ids of the request, the shot and the tenant, and who acts.

The audit trail (docs/proof.md) takes `actor` and `request` from here. Without an actor the system acts.
"""

_fields: ContextVar[Mapping[str, str]] = ContextVar("packshot_fields", default={})  # noqa: B039 - never changed


def fields() -> Mapping[str, str]:
    """The fields of the current context."""
    return _fields.get()


def annotate(**more: str) -> None:
    """Add fields to the current context, until the enclosing `bound` or `continued` block ends."""
    _fields.set({**_fields.get(), **more})


@contextmanager
def bound(**more: str) -> Iterator[None]:
    """Add fields to the context inside the block."""
    before = _fields.get()
    _fields.set({**before, **more})
    try:
        yield
    finally:
        _fields.set(before)  # not `reset`, which fails when another task closes a generator that holds the block


def carrier() -> dict[str, str]:
    """The current context for another process: the fields, and the W3C `traceparent` of the current span."""
    return {**_fields.get(), **traces.injected()}


@contextmanager
def continued(carried: Mapping[str, str] | None) -> Iterator[None]:
    """Replace the context by one that another process packed, inside the block. None or an empty one changes nothing.

    Keys that are no field are ignored.
    """
    if not carried:
        yield
        return
    before = _fields.get()
    _fields.set({name: carried[name] for name in FIELDS if name in carried})
    try:
        with traces.continued(carried):
            yield
    finally:
        _fields.set(before)
