"""A server with known stalls, to hold the harness against: `python -m loadtest.stall --port 0 --stall 0.2 --every 2`.

The whole process stops for `stall` seconds in every `every`, as a garbage collector or a swapped page would stop it. An
open loop then sees latencies that can be written down: they fall evenly from the stall's length to nothing, during the
stall and while the line that it left is served. `GET /service` tells how long one of that line takes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import time


def _answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


_OK = _answer(b'{"status":"ok"}')


def analytic_ms(
    share: float, *, stall_s: float, every_s: float, rate_per_s: float = 0.0, service_s: float = 0.0
) -> float:
    """The percentile (`share`, such as 0.99) that arrivals spread evenly over time see;
    `service_s` outside the line's share.

    latency  stall + service ┤▇▅                     the first that a stall catches
                             ┤████▆▄                 falls by 1 - rate·service a second: who comes later waits less,
                             ┤████████▇▅             but behind more
             service         ┤████████████▁▁▁▁▁▁▁▁
                              |stall  |line  |       of every_s
    """
    slope = 1 - rate_per_s * service_s
    return max(service_s, stall_s + service_s - (1 - share) * every_s * slope) * 1000


class _Server:
    """Answers after `delay_s`, counting; `line_s`: seconds that each answer of the lines after stalls took, so far."""

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s
        self.answers = 0
        self._lined, self._lined_s = 0, 0.0

    async def serve_line(self) -> None:
        """Return when all that came during a stall has its answer."""
        began, before = time.perf_counter(), self.answers
        await asyncio.sleep(0)  # the loop takes in what is there, behind this
        await asyncio.sleep(0)  # and has served it
        if served := self.answers - before:
            self._lined += served
            self._lined_s += time.perf_counter() - began

    @property
    def service_s(self) -> float:
        return self._lined_s / self._lined if self._lined else 0.0


class _Connection(asyncio.Protocol):
    def __init__(self, server: _Server) -> None:
        self._server = server
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            asked, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            if asked.startswith(b"GET /service "):
                self._write(_answer(b'{"service_s":%.9f}' % self._server.service_s))
            elif self._server.delay_s:
                asyncio.get_running_loop().call_later(self._server.delay_s, self._write, _OK)
            else:
                self._write(_OK)

    def _write(self, answer: bytes) -> None:
        self._server.answers += 1
        if not self._transport.is_closing():
            self._transport.write(answer)


async def serve(port: int, *, stall_s: float, every_s: float, delay_s: float) -> None:
    """Answer every GET with a small JSON object after `delay_s`, for ever; prints the base URL when it listens."""
    loop, served = asyncio.get_running_loop(), _Server(delay_s)
    server = await loop.create_server(lambda: _Connection(served), "127.0.0.1", port, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    began = time.monotonic()
    while True:
        if not stall_s:
            await asyncio.sleep(3600)
            continue
        # Stalls end at whole multiples of `every_s`: a late one does not shift those that follow.
        passed = time.monotonic() - began
        await asyncio.sleep(every_s - passed % every_s - stall_s if passed % every_s < every_s - stall_s else 0)
        left_s = every_s - (time.monotonic() - began) % every_s
        time.sleep(min(left_s, stall_s))  # noqa: ASYNC251 - blocking is what it is for
        await served.serve_line()
        await asyncio.sleep(0.001)


def main() -> int:
    """Parse the options and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--stall", type=float, default=0.2, help="seconds, 0 = never")
    parser.add_argument("--every", type=float, default=2.0, help="seconds from one stall's end to the next one's")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds that every answer takes besides")
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(options.port, stall_s=options.stall, every_s=options.every, delay_s=options.delay))
    return 0


if __name__ == "__main__":
    sys.exit(main())
