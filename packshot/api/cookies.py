"""The session cookie. It authorises a page's images, downloads and event streams, which cannot set a header.

The cookie contains the key itself and an expiry time, signed with the key. Gateways therefore keep no session state,
every gateway accepts every session, revoking the key ends its sessions at once, and nobody can make a cookie from a
stolen database. HttpOnly hides the cookie from scripts; SameSite=Strict keeps it out of other sites' requests.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time

from packshot.store.records import Tenant
from packshot.store.store import Store

COOKIE = "packshot_session"
SESSION_S = 12 * 3600

_SHAPE = re.compile(r"(\d{1,12})\.([A-Za-z0-9_-]{1,256})\.([0-9a-f]{64})")


def new_cookie(secret: str, *, now_s: float | None = None) -> tuple[str, int]:
    """Make a cookie for the valid key `secret`. Returns (value, expiry in seconds since 1970).

    `now_s` is the present time in seconds since 1970; None reads the clock.
    """
    expires_at = int((time.time() if now_s is None else now_s) + SESSION_S)
    return f"{expires_at}.{secret}.{_signature(secret, expires_at)}", expires_at


def tenant_of_cookie(store: Store, value: str) -> Tenant | None:
    """The tenant of a session, or None when the cookie has expired, was altered, or its key was revoked."""
    shape = _SHAPE.fullmatch(value)
    if shape is None:
        return None
    expires_at, secret, signature = int(shape[1]), shape[2], shape[3]
    if not hmac.compare_digest(signature, _signature(secret, expires_at)) or expires_at <= time.time():
        return None
    return store.keys.tenant_of(secret)


def _signature(secret: str, expires_at: int) -> str:
    return hmac.new(secret.encode(), f"packshot session until {expires_at}".encode(), hashlib.sha256).hexdigest()
