"""What the commands that work on a finished picture share: the request, the wait, and the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from packshot.cli.progress import Progress, waiting
from packshot.cli.servers import chosen_server
from packshot.errors import BadInput, EngineFailed, StorageFull

if TYPE_CHECKING:
    from packshot.client import Client, Event
    from packshot.contract.answers import ShotAnswer
    from packshot.contract.requests import Request

__all__ = ["client_of", "request_of", "wait_for", "write"]

START_TIMEOUT_S = 120.0
"""Seconds for a server that answers to have all its stages ready."""

Body = TypeVar("Body", bound="Request")


def request_of(body: type[Body], fields: Mapping[str, object], command: str) -> Body:
    """A request from options. Raises BadInput `bad_usage`, which names the option, for a value that it refuses."""
    from pydantic import ValidationError

    try:
        return body.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        rule = f"--{first['loc'][-1]}: {first['msg'][0].lower()}{first['msg'][1:]}, got {first['input']!r}"
        raise BadInput("bad_usage", f"{rule}; see packshot {command} --help") from None


@contextmanager
def client_of(host: str | None, *, in_process: bool) -> Iterator[Client]:
    """A client of the chosen server (`chosen_server`), once it is ready."""
    from packshot.client import Client

    with (
        chosen_server(host, in_process=in_process) as server,
        Client(server.url, server.key, timeout_s=server.timeout_s) as client,
    ):
        with waiting(f"waiting until {server.url} is ready"):
            client.wait_ready(START_TIMEOUT_S)
        yield client


def wait_for(client: Client, accepted_id: str, image: str, what: str, unit: str) -> ShotAnswer:
    """Wait until the work on `image` is done, with its progress in `unit`s. Raises EngineFailed when it was not."""
    from packshot.contract.events import ProgressEvent

    with Progress() as progress:

        def show(event: Event) -> None:
            if isinstance(event.data, ProgressEvent):
                step, steps = event.data.step, event.data.steps
                progress.update(image, f"{unit} {step} of {steps}", step, steps)

        ended = client.wait(accepted_id, progress=show)
    if ended.error is not None:
        raise EngineFailed("internal", f"{what} was not made: {ended.error.detail} [{ended.error.code}]")
    if ended.status != "done":
        raise EngineFailed("internal", f"{what} {accepted_id} ended as {ended.status}; ask for it again")
    return ended


def write(file: Path, data: bytes) -> None:
    """Write a result's file, and its folder. Raises StorageFull when it cannot be written."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    except OSError as error:
        detail = f"{file} cannot be written: {error.strerror or error}; make room, or choose another --out"
        raise StorageFull("storage_full", detail) from error
