"""A server with known stalls, to hold the harness against: `python -m loadtest.stall --port 0 --stall 0.2 --every 2`.

The whole process stops for `stall` seconds in every `every`, as a garbage collector or a swapped page would stop it. An
open loop then sees latencies that can be written down: a share `stall/every` of requests is evenly spread over (0, stall].
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import time

_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 15\r\n\r\n" + b'{"status":"ok"}'


def analytic_ms(share: float, *, stall_s: float, every_s: float) -> float:
    """The percentile (`share`, such as 0.99) that arrivals spread evenly over time see; 0 below the stalls' share."""
    return max(0.0, stall_s - (1 - share) * every_s) * 1000


class _Connection(asyncio.Protocol):
    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            _, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            if self._delay_s:
                asyncio.get_running_loop().call_later(self._delay_s, self._answer)
            else:
                self._answer()

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(_ANSWER)


async def serve(port: int, *, stall_s: float, every_s: float, delay_s: float) -> None:
    """Answer every GET with a small JSON object after `delay_s`, for ever; prints the base URL when it listens."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(delay_s), "127.0.0.1", port, backlog=4096)
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
