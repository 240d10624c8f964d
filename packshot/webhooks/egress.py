"""Requests to URLs that tenants and manifests name. They reach public addresses only, never this machine's network.

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


@dataclass(frozen=True)
class Reply:
    """A whole answer. The names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NoReply(Exception):
    """Raised when a request has no whole answer. `reached` says whether the receiver may have got the request."""

    def __init__(self, reason: str, *, reached: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.reached = reached


class Egress:
    """Sends requests to URLs of tenants and manifests.

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
        try:
            answer = await self._open(url, body, headers)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            return Answered(None, f"no connection: {error}"[:200])
        except httpx.HTTPError as error:
            return Answered(None, f"no answer: {type(error).__name__}"[:200])
        try:
            await _read(answer, MAX_ANSWER_BYTES)
        except httpx.HTTPError as error:
            return Answered(None, f"no answer: {type(error).__name__}"[:200])
        finally:
            await answer.aclose()
        return _answered(answer.status_code)

    async def fetch(
        self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float, max_bytes: int
    ) -> Reply:
        """Send one POST, and return the whole answer, whatever its status. It ends after `timeout_s`.

        Raises NoReply when there is no whole answer, or one of more than `max_bytes`, and BadInput `url_refused` when
        the URL leads to an address that is not allowed.
        """
        plain = {**headers, "accept-encoding": "identity"}  # so that the bytes that are counted are all there are
        reached = False
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._open(_parsed(url), body, plain)
                reached = True
                try:
                    if int(answer.headers.get("content-length") or 0) > max_bytes:
                        raise _too_large(max_bytes)
                    read = await _read(answer, max_bytes)
                finally:
                    await answer.aclose()
        except TimeoutError:
            raise NoReply(f"no complete answer within {timeout_s:g} s", reached=True) from None
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise NoReply(f"no connection: {error}"[:200], reached=reached) from None
        except (httpx.HTTPError, ValueError) as error:
            raise NoReply(f"no answer: {type(error).__name__}", reached=True) from None
        if read is None:
            raise _too_large(max_bytes)
        named = {name.lower(): value for name, value in answer.headers.items()}
        return Reply(answer.status_code, named, read)

    async def _open(self, url: httpx.URL, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
        """Send a POST, and return the answer before its body. Close it. Raises httpx.HTTPError without an answer.

        The caller limits the time. A second clock here, of the same length, would sometimes be first.
        """
        addresses = await self._addresses(url)
        sent = {**headers, "host": url.netloc.decode("ascii"), "connection": "close"}
        named = {"sni_hostname": url.raw_host.decode("ascii")}  # the certificate is checked against this name
        failed: httpx.HTTPError = httpx.ConnectError("no address")
        for address in addresses[:MAX_ADDRESSES]:
            request = self._client.build_request(
                "POST", url.copy_with(host=address), content=body, headers=sent, extensions=named, timeout=None
            )
            try:
                return await self._client.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failed = error
        raise failed

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
            limits=httpx.Limits(max_keepalive_connections=0),  # each attempt connects to addresses checked for it
        )


async def _read(answer: httpx.Response, max_bytes: int) -> bytes | None:
    """The bytes of an answer's body, or None when it has more than `max_bytes`."""
    chunks, size = [], 0
    async for chunk in answer.aiter_raw():
        size += len(chunk)
        if size > max_bytes:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large(max_bytes: int) -> NoReply:
    return NoReply(f"an answer may have {max_bytes} bytes, got more", reached=True)


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
