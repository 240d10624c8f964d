"""The connections to one server: they send a call, read its answer, and raise the error that the server raised."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import httpx

from packshot.client import calls
from packshot.client.call import Call
from packshot.client.errors import error_of, unreachable
from packshot.client.events import Event, async_follow, follow, shots_stream, trainings_stream
from packshot.contract.answers import UploadAnswer
from packshot.contract.base import VERSION_HEADER
from packshot.contract.trainings import TrainingAnswer
from packshot.errors import Unavailable

__all__ = ["AsyncConnection", "Connection"]

T = TypeVar("T")


class Connection:
    """A pool of connections to one server. `server_version` is the version that its last answer named, or None."""

    def __init__(self, base_url: str, key: str | None = None, *, timeout_s: float = 120.0) -> None:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        # trust_env=False: the environment's proxy is for the internet, not for the user's own cluster.
        self._http = httpx.Client(
            base_url=base_url, headers=headers, timeout=timeout_s, trust_env=False, follow_redirects=True
        )
        self.server_version: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Return when every stage answers. Raises Unavailable when that takes more than `timeout_s` seconds."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                self._do(calls.ready())
                return
            except Unavailable as error:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(min(error.retry_after_s or 0.5, 0.5))

    def events(self, shot_ids: Sequence[str]) -> Iterator[Event]:
        """Yield the events of the shots until the last one has ended. A broken connection is resumed without loss.

        Raises Unavailable when the server cannot be reached, or keeps closing the stream without an event.
        """
        return follow(self._http, shots_stream(shot_ids))

    def _follow_trainings(self, training_ids: Sequence[str]) -> Iterator[TrainingAnswer]:
        return follow(self._http, trainings_stream(training_ids))

    def _do(self, call: Call[T]) -> T:
        try:
            answer = self._http.request(call.method, call.url, **call.options)
        except httpx.TransportError as error:
            raise unreachable(error) from error
        self.server_version = answer.headers.get(VERSION_HEADER)
        if answer.is_error:
            raise error_of(answer)
        return call.read(answer)

    def _save(self, call: Call[None], path: Path) -> None:
        """Send a call and write its answer to `path`, which is whole or as it was."""
        part = path.with_name(f"{path.name}.part")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._http.stream(call.method, call.url, **call.options) as answer:
                self.server_version = answer.headers.get(VERSION_HEADER)
                if answer.is_error:
                    answer.read()
                    raise error_of(answer)
                with part.open("wb") as file:
                    for chunk in answer.iter_bytes():
                        file.write(chunk)
            part.replace(path)
        except httpx.TransportError as error:
            raise unreachable(error) from error
        finally:
            part.unlink(missing_ok=True)

    def _put_past_the_server(self, offer: UploadAnswer, data: bytes) -> None:
        """Send a file to where an upload was offered."""
        # Without the key, which is for the server alone: the URL holds its own permission.
        with httpx.Client(timeout=self._http.timeout, trust_env=False) as anyone:
            try:
                put = anyone.put(offer.url, content=data, headers=offer.headers)
            except httpx.TransportError as error:
                raise unreachable(error) from error
        if put.is_error:
            raise error_of(put)


class AsyncConnection:
    """A pool of connections to one server, for asyncio."""

    def __init__(self, base_url: str, key: str | None = None, *, timeout_s: float = 120.0) -> None:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        # trust_env=False: the environment's proxy is for the internet, not for the user's own cluster.
        self._http = httpx.AsyncClient(
            base_url=base_url, headers=headers, timeout=timeout_s, trust_env=False, follow_redirects=True
        )
        self.server_version: str | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Return when every stage answers. Raises Unavailable when that takes more than `timeout_s` seconds."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                await self._do(calls.ready())
                return
            except Unavailable as error:
                if time.monotonic() >= deadline:
                    raise
                await asyncio.sleep(min(error.retry_after_s or 0.5, 0.5))

    def events(self, shot_ids: Sequence[str]) -> AsyncIterator[Event]:
        """Yield the events of the shots until the last one has ended. A broken connection is resumed without loss."""
        return async_follow(self._http, shots_stream(shot_ids))

    def _follow_trainings(self, training_ids: Sequence[str]) -> AsyncIterator[TrainingAnswer]:
        return async_follow(self._http, trainings_stream(training_ids))

    async def _do(self, call: Call[T]) -> T:
        try:
            answer = await self._http.request(call.method, call.url, **call.options)
        except httpx.TransportError as error:
            raise unreachable(error) from error
        self.server_version = answer.headers.get(VERSION_HEADER)
        if answer.is_error:
            raise error_of(answer)
        return call.read(answer)

    async def _save(self, call: Call[None], path: Path) -> None:
        """Send a call and write its answer to `path`, which is whole or as it was."""
        part = path.with_name(f"{path.name}.part")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            async with self._http.stream(call.method, call.url, **call.options) as answer:
                self.server_version = answer.headers.get(VERSION_HEADER)
                if answer.is_error:
                    await answer.aread()
                    raise error_of(answer)
                with part.open("wb") as file:
                    async for chunk in answer.aiter_bytes():
                        file.write(chunk)
            part.replace(path)
        except httpx.TransportError as error:
            raise unreachable(error) from error
        finally:
            part.unlink(missing_ok=True)

    async def _put_past_the_server(self, offer: UploadAnswer, data: bytes) -> None:
        """Send a file to where an upload was offered."""
        # Without the key, which is for the server alone: the URL holds its own permission.
        async with httpx.AsyncClient(timeout=self._http.timeout, trust_env=False) as anyone:
            try:
                put = await anyone.put(offer.url, content=data, headers=offer.headers)
            except httpx.TransportError as error:
                raise unreachable(error) from error
        if put.is_error:
            raise error_of(put)
