"""An HTTP client for the generator's greenlets, with one connection per request in flight.

The pool has no limit: with a limit, a late answer would delay the next request, and the loop would not be open. Part of
the Locust child; it must be imported after gevent's monkey-patching.
"""

from __future__ import annotations

import json
import secrets
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
from geventhttpclient import HTTPClient
from geventhttpclient.response import HTTPParseError

CONNECT_S = 5.0
BLOCK_BYTES = 64 * 1024


class HttpError(Exception):
    """Raised when no complete answer was received. Its text is a short code: refused, reset, timeout, stream_ended."""


class Answer:
    """One complete answer: its HTTP status, headers and body.

    `headers` has a case-insensitive `get`. `at_s` is when the last byte was received, in seconds of the client's clock.
    """

    __slots__ = ("at_s", "body", "headers", "status")

    def __init__(self, status: int, headers: Any, body: bytes, at_s: float) -> None:
        self.status, self.headers, self.body, self.at_s = status, headers, body, at_s

    def json(self) -> Any:
        """The body as JSON. Raises ValueError when it is not JSON."""
        return json.loads(self.body)

    def stages_ms(self) -> dict[str, float]:
        """The `server-timing` header as a mapping of stages to milliseconds."""
        return server_timing(self.headers.get("server-timing") or "")


def server_timing(header: str) -> dict[str, float]:
    """Parse `queue;dur=1.5, render;dur=20` to {"queue": 1.5, "render": 20.0}. Entries that do not parse are skipped."""
    found: dict[str, float] = {}
    for part in header.split(","):
        name, *fields = (field.strip() for field in part.split(";"))
        for field in fields:
            if field.startswith("dur="):
                try:
                    found[name] = float(field[4:].strip('"'))
                except ValueError:
                    continue
    return found


class HttpClient:
    """An HTTP client of one server. Connections stay open and are reused, last in, first out.

    When many answers arrive at once, for example after a stall, each is timed before any is processed. Otherwise the
    time to process the first answers would be counted as the server's delay of the last.

    `host` is the server's base URL. `timeout_s` is the default time limit of a request in seconds. `now` is the clock
    by which answers are timed, in seconds.
    """

    def __init__(self, host: str, *, timeout_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self._host, self._timeout_s, self._now = host, timeout_s, now
        self._idle: list[HTTPClient] = []

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Answer:
        """Send one request and receive its answer. Raises HttpError when no complete answer is received in time.

        `timeout_s` overrides the client's default.
        """
        client = self._idle.pop() if self._idle else self._client()
        try:
            with gevent.Timeout(timeout_s or self._timeout_s, HttpError("timeout")):
                response = client.request(method, path, body=body, headers=headers)
                answer = Answer(response.status_code, response, bytes(response.read()), self._now())
        except BaseException as error:
            client.close()
            if (known := _as_http_error(error)) is error:
                raise
            raise known from error
        self._idle.append(client)
        gevent.idle()
        return answer

    def lines(self, path: str, headers: dict[str, str], timeout_s: float) -> Iterator[str | Answer]:
        """The lines of an event stream, as they are received. An answer other than 200 is given as one Answer.

        Raises HttpError when the connection fails, or when the stream is still open after `timeout_s`.
        """
        client = self._client()
        try:
            with gevent.Timeout(timeout_s, HttpError("timeout")):
                response = client.request("GET", path, headers={**headers, "accept": "text/event-stream"})
                if response.status_code != 200:
                    yield Answer(response.status_code, response, bytes(response.read()), self._now())
                    return
                while line := response.readline(b"\n"):
                    yield line.decode().rstrip("\r\n")
        except Exception as error:
            if (known := _as_http_error(error)) is error:
                raise
            raise known from error
        finally:
            client.close()

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    def _client(self) -> HTTPClient:
        options: dict[str, Any] = (
            {"ssl_context_factory": ssl.create_default_context} if self._host.startswith("https") else {}
        )
        return HTTPClient.from_url(
            self._host,
            concurrency=1,
            block_size=BLOCK_BYTES,
            connection_timeout=CONNECT_S,
            network_timeout=self._timeout_s,
            **options,
        )


def _as_http_error(error: BaseException) -> BaseException:
    """The HttpError for a network error; any other error unchanged."""
    if isinstance(error, ConnectionRefusedError):
        return HttpError("refused")
    if isinstance(error, TimeoutError):
        return HttpError("timeout")
    if isinstance(error, HTTPParseError | OSError):
        return HttpError("reset")
    return error


def multipart(data: bytes, media_type: str) -> tuple[bytes, str]:
    """A multipart body with the single part `file`, and its content type."""
    boundary = secrets.token_hex(16)
    head = (
        f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="photo"\r\n'
        f"content-type: {media_type}\r\n\r\n"
    )
    return head.encode() + data + f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
