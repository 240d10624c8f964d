"""A server with known stalls, to validate the harness: `python -m loadtest.stall --port 0 --stall 0.2 --every 2`.

The whole process stops for `stall` seconds in every `every` seconds, as a garbage collection or a page fault would stop
it. The latencies that an open loop then measures can be computed: they fall linearly from the stall's length to the
service time, during the stall and while the queue that it left is served. `GET /service` returns the measured service
time of a request in that queue.
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
    """The latency percentile (`share`, such as 0.99) of arrivals that are spread evenly over time, milliseconds.

    `stall_s` is the length of a stall, and `every_s` the time from one stall to the next. `rate_per_s` is the rate of
    arrivals, and `service_s` the time to serve one request of the queue that a stall leaves. All times are in seconds.

    latency  stall + service ┤▇▅                     the first request of a stall
                             ┤████▆▄                 falls by 1 - rate·service per second: a later request waits less
                             ┤████████▇▅             for the stall, but behind more requests
             service         ┤████████████▁▁▁▁▁▁▁▁
                              |stall  |queue |       of every_s
    """
    slope = 1 - rate_per_s * service_s
    return max(service_s, stall_s + service_s - (1 - share) * every_s * slope) * 1000


class _Server:
    """Counts the answers, and measures the service time in the queues that stalls leave.

    `delay_s` is the time in seconds by which every answer is delayed.
    """

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s
        self.answers = 0
        self._queued, self._queued_s = 0, 0.0

    async def serve_queue(self) -> None:
        """Return when every request that arrived during a stall has its answer."""
        began, before = time.perf_counter(), self.answers
        await asyncio.sleep(0)  # the loop polls its sockets and schedules the callbacks of what has arrived
        await asyncio.sleep(0)  # the callbacks have run
        if served := self.answers - before:
            self._queued += served
            self._queued_s += time.perf_counter() - began

    @property
    def service_s(self) -> float:
        """Mean service time of a request in the queues after stalls, seconds; 0 before the first."""
        return self._queued_s / self._queued if self._queued else 0.0


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
            request, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            if request.startswith(b"GET /service "):
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
    """Answer every GET with a small JSON object after `delay_s`, forever. Prints the base URL once it listens.

    `stall_s` is the length of a stall (0 = no stalls), and `every_s` the time from one stall's end to the next one's.
    All times are in seconds.
    """
    loop, served = asyncio.get_running_loop(), _Server(delay_s)
    server = await loop.create_server(lambda: _Connection(served), "127.0.0.1", port, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    began = time.monotonic()
    while True:
        if not stall_s:
            await asyncio.sleep(3600)
            continue
        # Stalls end at whole multiples of `every_s`, so that a late stall does not shift the following ones.
        passed = time.monotonic() - began
        await asyncio.sleep(every_s - passed % every_s - stall_s if passed % every_s < every_s - stall_s else 0)
        left_s = every_s - (time.monotonic() - began) % every_s
        time.sleep(min(left_s, stall_s))  # noqa: ASYNC251 - the stall must block the loop
        await served.serve_queue()
        await asyncio.sleep(0.001)


def main() -> int:
    """Parse the options and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--stall", type=float, default=0.2, help="seconds, 0 = never")
    parser.add_argument("--every", type=float, default=2.0, help="seconds from one stall's end to the next one's")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds by which every answer is delayed")
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(options.port, stall_s=options.stall, every_s=options.every, delay_s=options.delay))
    return 0


if __name__ == "__main__":
    sys.exit(main())
