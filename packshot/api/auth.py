"""Authentication: a key (`Authorization: Bearer`), a session cookie made from a key, or open access on loopback.

A browser also sends cookies with requests that other sites make. A cookie therefore authorises an unsafe method only
together with a same-origin `Origin`. Open access needs a loopback `Host`; any port is accepted, because people use
tunnels. A site that rebinds its name to 127.0.0.1 still sends its own name as `Host` and is refused.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyCookie, HTTPBearer

from packshot.api.bodies import TENANT
from packshot.api.cookies import COOKIE, is_of_0_1_0
from packshot.api.services import Services, Wired, in_thread
from packshot.errors import Forbidden, Unauthorized
from packshot.settings import LOOPBACK_HOSTS
from packshot.store.records import Tenant
from packshot.telemetry.context import annotate

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_KEPT = "What an earlier key made is kept; any key of the same tenant shows it."
_REMEDY = "send `Authorization: Bearer <key>` with a key from `packshot keys create`"


_KEY = HTTPBearer(scheme_name="key", description="A key from `packshot keys create`.", auto_error=False)
_SESSION = APIKeyCookie(
    name=COOKIE, scheme_name="session", description="The cookie that POST /v1/session sets.", auto_error=False
)


async def caller(
    request: Request,
    services: Wired,
    _bearer: Annotated[object, Security(_KEY)],  # documents the scheme in /openapi.json; `bearer_of` reads the header
    cookie: Annotated[str | None, Security(_SESSION)],
) -> Tenant:
    """The tenant that sent the request.

    Raises Unauthorized when the key or session is missing or not valid, and Forbidden when the request's Host or Origin
    is not allowed.
    """
    tenant = await _tenant_of(request, services, cookie)
    request.scope[TENANT] = tenant.id
    return tenant


async def _tenant_of(request: Request, services: Services, cookie: str | None) -> Tenant:
    if services.settings.open_access:
        require_loopback(request)
    secret = bearer_of(request)
    if secret is not None:
        return await tenant_of_key(services, secret)
    if services.settings.open_access:
        return await in_thread(services.store.tenants.local)
    if cookie is None:
        raise Unauthorized("unauthorized", f"This route needs a key, got none; {_REMEDY}.")
    if is_of_0_1_0(cookie):
        rule = "The session is of an earlier version, which is no longer accepted"
        raise Unauthorized("unauthorized", f"{rule}; repeat POST /v1/session with a valid key. {_KEPT}")
    tenant = await in_thread(services.store.sessions.tenant_of, cookie)
    if tenant is None:
        raise Unauthorized(
            "unauthorized",
            f"The session has ended or its key was revoked; repeat POST /v1/session with a valid key. {_KEPT}",
        )
    if request.method not in _SAFE_METHODS:
        require_same_origin(request)
    return tenant


async def named_caller(tenant: Annotated[Tenant, Depends(caller)]) -> Tenant:
    """The tenant that sent the request, whom the request's log lines name from here on."""
    annotate(tenant=tenant.id, actor=tenant.actor)
    return tenant


Caller = Annotated[Tenant, Depends(named_caller)]


async def asker(
    request: Request,
    services: Wired,
    _bearer: Annotated[object, Security(_KEY)],
    cookie: Annotated[str | None, Security(_SESSION)],
) -> Tenant | None:
    """The tenant that sent the request; None for anyone without a key, where the setting `public_verify` lets them.

    Raises Overloaded `busy` when more of them ask than it lets, and else as `caller` does.
    """
    keyless = cookie is None and request.headers.get("authorization") is None
    if keyless and services.settings.public_verify and not services.settings.open_access:
        services.public_limit.take()
        return None
    return await named_caller(await caller(request, services, _bearer, cookie))


Asker = Annotated[Tenant | None, Depends(asker)]


def bearer_of(request: Request) -> str | None:
    """The key in the Authorization header, or None when there is no such header.

    Raises Unauthorized when the header has another scheme than Bearer, or no key.
    """
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, secret = header.partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise Unauthorized("unauthorized", f"Authorization must have the Bearer scheme and a key; {_REMEDY}.")
    return secret.strip()


async def tenant_of_key(services: Services, secret: str) -> Tenant:
    """The tenant that owns a key. Raises Unauthorized when the key is unknown or revoked."""
    tenant = await in_thread(services.store.keys.tenant_of, secret)
    if tenant is None:
        raise wrong_key()
    return tenant


def wrong_key() -> Unauthorized:
    """The error for a key that is unknown or revoked."""
    return Unauthorized("unauthorized", f"This key is not valid or was revoked; {_REMEDY}. {_KEPT}")


def require_same_origin(request: Request) -> None:
    """Raise Forbidden when `Origin` is missing or is not the host that the request was sent to."""
    origin = request.headers.get("origin")
    host = request.headers.get("host", "")
    if origin is None or _netloc(origin) != host.lower():
        raise Forbidden(
            "origin_refused",
            f"With a session cookie, Origin must be this host ({host}), got {origin or 'none'}; "
            "send a Bearer key from another origin.",
        )


def require_loopback(request: Request) -> None:
    """Raise Forbidden when Host is not a loopback name, or when Origin is present and has another host or port."""
    host = request.headers.get("host", "")
    if not _is_loopback(host):
        raise Forbidden("origin_refused", f"Without keys, Host must be a loopback name, got {host!r}; use 127.0.0.1.")
    origin = request.headers.get("origin")
    if origin is not None and _netloc(origin) != host.lower():
        raise Forbidden("origin_refused", f"Without keys, Origin must be {host!r}, got {origin!r}; serve with keys.")


def _netloc(origin: str) -> str:
    scheme, _, netloc = origin.lower().partition("://")
    return netloc if scheme in ("http", "https") else ""


def _is_loopback(netloc: str) -> bool:
    try:
        parts = urlsplit(f"//{netloc}")
        return (
            parts.hostname in LOOPBACK_HOSTS
            and parts.username is None
            and not (parts.path or parts.query or parts.fragment)
            and parts.port != 0  # `port` raises ValueError when it is not a valid port number
        )
    except ValueError:  # an invalid port, or a bracket that is not closed
        return False
