"""Requests to URLs that tenants name. They reach public addresses only, and never this machine's network.

A name is resolved once, every address that it has must be public, and the connection goes to one of these very
addresses: a name that resolves to another address a moment later (DNS rebinding) changes nothing. TLS checks the
certificate against the name. No redirect is followed, and no proxy of the environment is used.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import httpx

from packshot.errors import BadInput

TIMEOUT_S = 10.0
"""Seconds for one attempt: resolve the name, connect, send the body and read the answer."""

MAX_ANSWER_BYTES = 64 * 1024
"""How much of an answer's body is read."""

MAX_BODY_BYTES = 64 * 1024
"""Longest body that is sent."""

MAX_ADDRESSES = 4
"""Addresses of a name that are tried, one after the other."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Maps a host and a port to IP addresses. Raises OSError when the name cannot be resolved."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_PROTOCOLS = ipaddress.IPv4Network("192.0.0.0/24")  # for protocols; Python counts a part of it as public


@dataclass(frozen=True)
class Answered:
    """What came of an attempt. `status` is None when no answer came. `error` is None when the answer was 2xx."""

    status: int | None
    error: str | None


class Egress:
    """Sends requests to URLs of tenants.

    `allow_loopback` admits this machine's loopback addresses, and plain http to them. Set it only on a server that
    itself is on loopback without keys: there, whoever can name a URL can reach these addresses anyway. `resolve` and
    `tls` are for tests; None = the system's resolver, and its usual certificate authorities.
    """

    def __init__(
        self, *, allow_loopback: bool = False, resolve: Resolve | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._allow_loopback = allow_loopback
        self._resolve = resolve or _system_addresses
        self._tls = tls

    async def check(self, url: str) -> None:
        """Raise BadInput `url_refused` unless events could be sent to `url` now. Nothing is sent."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._addresses(_parsed(url))
        except TimeoutError:
            raise _refused("its host must resolve, and no name server answered") from None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answered:
        """Send one request, and tell what came of it. It ends after `TIMEOUT_S`, whatever the receiver does."""
        if len(body) > MAX_BODY_BYTES:
            return Answered(None, f"an event may have {MAX_BODY_BYTES} bytes, got {len(body)}")
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._post(_parsed(url), body, headers)
        except TimeoutError:
            return Answered(None, f"no complete answer within {TIMEOUT_S:g} s")
        except BadInput as refusal:
            return Answered(None, refusal.detail[:200])

    async def _post(self, url: httpx.URL, body: bytes, headers: Mapping[str, str]) -> Answered:
        addresses = await self._addresses(url)
        sent = {**headers, "host": url.netloc.decode("ascii"), "connection": "close"}
        failed: httpx.HTTPError | None = None
        for address in addresses[:MAX_ADDRESSES]:
            there = url.copy_with(host=address)
            named = {"sni_hostname": url.raw_host.decode("ascii")}  # the certificate is checked against this name
            try:
                async with self._client.stream("POST", there, content=body, headers=sent, extensions=named) as answer:
                    read = 0
                    async for chunk in answer.aiter_raw():
                        read += len(chunk)
                        if read > MAX_ANSWER_BYTES:
                            break
                return _answered(answer.status_code)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failed = error
            except httpx.HTTPError as error:
                return Answered(None, f"no answer: {type(error).__name__}"[:200])
        return Answered(None, f"no connection: {failed}"[:200])

    async def _addresses(self, url: httpx.URL) -> list[str]:
        """The addresses of a URL's host, each of which is allowed. Raises BadInput `url_refused`."""
        host = url.raw_host.decode("ascii").strip("[]")
        try:
            addresses = list(await self._resolve(host, url.port or (443 if url.scheme == "https" else 80)))
        except (OSError, UnicodeError):
            addresses = []
        local = [self._allow_loopback and is_loopback(address) for address in addresses]
        # one text for a name that does not exist and for one inside a private network: it tells nothing about either
        if not addresses or not all(here or is_public(one) for one, here in zip(addresses, local, strict=True)):
            raise _refused("its host must have public addresses, and no others")
        if url.scheme != "https" and not all(local):
            raise _refused("it must be https")
        return addresses

    @cached_property
    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            verify=self._tls or httpx.create_ssl_context(),
            trust_env=False,
            follow_redirects=False,
            timeout=TIMEOUT_S,
            limits=httpx.Limits(max_keepalive_connections=0),  # each attempt connects to addresses checked for it
        )


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, and hides no other address in it."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.teredo or ip.is_site_local:
            return False
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    elif ip in _PROTOCOLS:
        return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def is_loopback(address: str) -> bool:
    """Whether an IP address is this machine's loopback."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _parsed(url: str) -> httpx.URL:
    """The URL's parts. Raises BadInput `url_refused` when its form is not allowed."""
    try:
        parsed = httpx.URL(url)
        host, port = parsed.host, parsed.port  # both may raise, for a name that is not one and for a long number
    except (httpx.InvalidURL, ValueError):
        raise _refused("it must be a URL such as https://example.com/hooks") from None
    if parsed.scheme not in ("https", "http") or not host or port == 0:
        raise _refused("it must be a URL such as https://example.com/hooks")
    if parsed.userinfo or parsed.fragment:
        raise _refused("it must have no user, password or fragment")
    return parsed


def _refused(rule: str) -> BadInput:
    return BadInput("url_refused", f"A webhook's URL was refused: {rule}; name another URL.")


def _answered(status: int) -> Answered:
    if 200 <= status < 300:
        return Answered(status, None)
    if 300 <= status < 400:
        return Answered(status, f"{status}: redirects are not followed; name the URL that answers itself")
    return Answered(status, f"the receiver answered {status}")


async def _system_addresses(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
