"""The session cookie. It authorises a page's images, downloads and event streams, which cannot set a header.

The cookie contains a session's token (`packshot.store.sessions`), which is no key and says nothing about one. HttpOnly
hides it from scripts; SameSite=Strict keeps it out of other sites' requests.
"""

from __future__ import annotations

import re

COOKIE = "packshot_session"

_WITH_KEY = re.compile(r"\d{1,12}\.[A-Za-z0-9_-]{1,256}\.[0-9a-f]{64}")


def is_of_0_1_0(value: str) -> bool:
    """Whether a cookie has the form of version 0.1.0, which contained the key. Such cookies are refused."""
    return _WITH_KEY.fullmatch(value) is not None
