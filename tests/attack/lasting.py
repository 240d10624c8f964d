"""Requests that last: bodies that drip and event streams that nobody ends. Everybody else must be served as before."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit

import httpx

from tests.attack.row import Row
from tests.attack.target import Target
from tests.waiting import WAIT_S

DRIP_EVERY_S = 0.5
AGAIN_S = 5.0
"""After an answer an attacker waits so long: this row is about requests that last, not about a flood of new ones."""
FACTOR = 2.0
"""How much longer the others' requests may take at the 95th percentile."""

FLOOR_S = 0.05
"""Below this, a percentile says more about the machine than about the server."""


def lasting(target: Target, bodies: int, streams: int, probes: int) -> Row:
    """Hold `bodies` bodies, half of them without a key, and `streams` event streams; send `probes` other requests."""
    return asyncio.run(_lasting(target, bodies, streams, probes))


async def _lasting(target: Target, bodies: int, streams: int, probes: int) -> Row:
    idle_s = await _p95_s(target, probes)
    seen: dict[str, int] = {}
    events = f"/v1/shots/{target.live_shot}/events"
    keyed = f"authorization: Bearer {target.key}\r\n"
    attacks = [
        asyncio.create_task(_drip(target, *(("/v1/session", "") if number % 2 else ("/v1/shots", keyed)), seen))
        for number in range(bodies)
    ]
    attacks += [asyncio.create_task(_stream(target, events, keyed, seen)) for _ in range(streams)]
    await asyncio.sleep(1.0)
    try:
        held_s = await _p95_s(target, probes)
    finally:
        for attack in attacks:
            attack.cancel()
        await asyncio.gather(*attacks, return_exceptions=True)
    figures: dict[str, float | int | str] = {"idle_p95_ms": round(idle_s * 1e3, 1), "p95_ms": round(held_s * 1e3, 1)}
    held = held_s <= max(FACTOR * idle_s, FLOOR_S) and seen.get("200", 0) > 0
    if bodies > 2 * 64:
        held = held and seen.get("429", 0) > 0  # more than a tenant's places
    figures |= {f"answers_{status}": count for status, count in sorted(seen.items())}
    return Row("lasting", f"others' p95 at most {FACTOR:g} x idle", bodies + streams, held, figures)


async def _p95_s(target: Target, probes: int) -> float:
    """The 95th percentile of health and another tenant's requests, sent by four clients. Each must succeed."""
    times: list[float] = []
    headers = {"authorization": f"Bearer {target.stranger}"}

    async def probe() -> None:
        async with httpx.AsyncClient(base_url=target.url, headers=headers, timeout=WAIT_S, trust_env=False) as client:
            for number in range(probes // 4):
                began_s = time.perf_counter()
                (await client.get(("/healthz", "/v1/shots", "/v1/photos")[number % 3])).raise_for_status()
                times.append(time.perf_counter() - began_s)

    await asyncio.gather(*(probe() for _ in range(4)))
    return sorted(times)[int(len(times) * 0.95)]


async def _drip(target: Target, path: str, key: str, seen: dict[str, int]) -> None:
    """Send a body one byte at a time for ever; begin again when the server has answered."""
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\n{key}content-type: application/json\r\ncontent-length: 1000\r\n\r\n"
    while True:
        reader, writer = await _connection(target, head)
        answer = asyncio.create_task(reader.read(12))
        try:
            while not answer.done():
                writer.write(b" ")
                await asyncio.wait({answer}, timeout=DRIP_EVERY_S)
            _count(seen, answer.result())
        except OSError:
            _count(seen, b"HTTP/1.1 ended")
        finally:
            answer.cancel()
            writer.close()
        await asyncio.sleep(AGAIN_S)


async def _stream(target: Target, path: str, key: str, seen: dict[str, int]) -> None:
    """Follow a shot that does not end; a refused stream is tried again."""
    while True:
        reader, writer = await _connection(target, f"GET {path} HTTP/1.1\r\nhost: x\r\n{key}\r\n")
        try:
            _count(seen, await reader.read(12))
            while await reader.read(4096):
                pass
        except OSError:
            pass
        finally:
            writer.close()
        await asyncio.sleep(AGAIN_S)


async def _connection(target: Target, head: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    address = urlsplit(target.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(head.encode())
    return reader, writer


def _count(seen: dict[str, int], start: bytes) -> None:
    status = start[9:].decode("ascii", "replace")
    seen[status] = seen.get(status, 0) + 1
