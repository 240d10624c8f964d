"""The session cookie: what lets a page's images, downloads and event streams in, where no header can be set.

The cookie carries the key itself, with an end that only the key's holder could have signed. So no gateway keeps state,
every gateway knows the session, a revoked key ends it at once, and a stolen database holds nothing that makes one.
HttpOnly keeps it from scripts, SameSite=Strict from other sites.
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
    """(cookie value, its end in seconds since 1970) for a valid key."""
    ends_at = int((time.time() if now_s is None else now_s) + SESSION_S)
    return f"{ends_at}.{secret}.{_signature(secret, ends_at)}", ends_at


def tenant_of_cookie(store: Store, value: str) -> Tenant | None:
    """Whose session this is; None once it has ended, was altered, or its key was revoked."""
    shape = _SHAPE.fullmatch(value)
    if shape is None:
        return None
    ends_at, secret, signature = int(shape[1]), shape[2], shape[3]
    if not hmac.compare_digest(signature, _signature(secret, ends_at)) or ends_at <= time.time():
        return None
    return store.keys.tenant_of(secret)


def _signature(secret: str, ends_at: int) -> str:
    return hmac.new(secret.encode(), f"packshot session until {ends_at}".encode(), hashlib.sha256).hexdigest()
