"""Support for tests of the commands: calls of `packshot`, and a server whose shots a worker thread ends."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from packshot.cli import app
from tests.api_graph import Api, running


def call(*arguments: Path | float | str) -> Result:
    """Run `packshot` with these arguments in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def last_json(result: Result) -> dict[str, Any]:
    """The object that `--json` puts on the last line of stdout."""
    return json.loads(result.stdout.splitlines()[-1])


def shoot(served: Api, monkeypatch: pytest.MonkeyPatch, photo: Path | str, *arguments: float | str | Path) -> Result:
    """Run `packshot shoot` on the server; the results are in the folder `out` beside the photo."""
    monkeypatch.setenv("PACKSHOT_KEY", served.key)
    out = (photo if isinstance(photo, Path) else Path(photo)).parent / "out"
    return call("shoot", photo, "--host", served.url, "--out", out, "--json", *arguments)


@contextmanager
def working(home: Path) -> Iterator[Api]:
    """A server whose shots are finished by a worker thread. Shots with `fail` in their prompt fail."""
    stop = threading.Event()
    with running(home) as api:

        def work() -> None:
            while not stop.wait(0.02):
                while (claim := api.store.queue.claim("worker")) is not None:
                    if "fail" in claim.spec.prompt:
                        api.store.queue.fail(claim, "engine_nan", "not a number", retryable=False)
                        continue
                    api.store.queue.heartbeat(claim, step=8, steps=16)
                    api.commit(claim)

        worker = threading.Thread(target=work)
        worker.start()
        try:
            yield api
        finally:
            stop.set()
            worker.join()
