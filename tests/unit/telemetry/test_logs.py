"""Log lines carry the request, shot, tenant and stage, in JSON that a log store reads."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from packshot.telemetry.context import annotate, bound, carrier, continued, fields
from packshot.telemetry.logs import configure_logs

log = logging.getLogger("packshot.test")


@pytest.fixture
def lines() -> Iterator[Any]:
    """Call it for the JSON lines that were logged since the test began."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    out = io.StringIO()
    configure_logs("json", "director", out)
    yield lambda: [json.loads(line) for line in out.getvalue().splitlines()]
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_is_one_object_with_the_context(lines: Any) -> None:
    with bound(request="r1", shot="sh_1", tenant="tn_1"):
        log.warning("took %d ms\nand more", 7, extra={"ms": 7})
    (line,) = lines()
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "warning",
        "logger": "packshot.test",
        "message": "took 7 ms\nand more",
        "stage": "director",
        "request": "r1",
        "shot": "sh_1",
        "tenant": "tn_1",
        "ms": 7,
    }


def test_an_exception_is_in_its_line(lines: Any) -> None:
    try:
        raise ValueError("no such brush")
    except ValueError:
        log.exception("failed")
    (line,) = lines()
    assert line["message"] == "failed"
    assert "ValueError: no such brush" in line["error"]


async def test_each_task_has_its_own_fields_and_a_thread_has_its_callers() -> None:
    async def request(name: str) -> tuple[dict[str, str], dict[str, str]]:
        with bound(request=name):
            annotate(tenant=f"tn_{name}")
            await asyncio.sleep(0)
            return dict(fields()), dict(await asyncio.to_thread(fields))

    for name, (here, in_thread) in zip("ab", await asyncio.gather(request("a"), request("b")), strict=True):
        assert here == in_thread == {"request": name, "tenant": f"tn_{name}"}
    assert fields() == {}


def test_a_carrier_replaces_the_context_and_cannot_bring_other_fields() -> None:
    with bound(request="r1", shot="sh_1"):
        carried = carrier()
    with bound(request="mine", tenant="tn_1"):
        with continued({**carried, "level": "page"}):
            assert fields() == {"request": "r1", "shot": "sh_1"}
        with continued({}):
            assert fields()["request"] == "mine"
