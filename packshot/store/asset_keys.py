"""The names of files in the asset root. What has another name is not Packshot's, and Packshot leaves it alone."""

from __future__ import annotations

import re

from packshot.errors import NotFound

TEMPORARY = "tmp"
"""The folder of files that are being written. They are renamed when they are whole."""

PREVIEWS = "previews"
"""The folder of the previews of running shots."""

CUTOUTS = "cutouts"
"""The folder of kept cutouts, each named by a hash of what it is made of."""

UPLOADS = "uploads"
"""The folder of files that clients put there themselves, until a photo is made of them."""

ANSWERS = "answers"
"""The folder of pictures that a vendor's service painted, each named by a hash of what was asked for."""

SHORT_LIVED = (f"{TEMPORARY}/", f"{PREVIEWS}/", f"{UPLOADS}/", f"{ANSWERS}/")
"""The folders of files that no row refers to. They are deleted by their age."""

CONTENT_FOLDERS = (*(f"{byte:02x}" for byte in range(256)), CUTOUTS)
"""The folders of files that rows of the database refer to. `Assets.put` spreads files over the first 256."""

SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")

_SAFE = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*(\.[a-z0-9]{1,8})?")
_OWN = re.compile(
    rf"([0-9a-f]{{2}})/\1[0-9a-f]{{62}}{SUFFIX.pattern}"
    rf"|{CUTOUTS}/[0-9a-f]{{64}}\.png"
    rf"|{PREVIEWS}/sh_[A-Za-z0-9_-]{{1,64}}\.png"
    rf"|{ANSWERS}/[0-9a-f]{{64}}\.png"
    rf"|{UPLOADS}/up_[A-Za-z0-9_-]{{1,64}}"
    rf"|{TEMPORARY}/[0-9a-f]{{32}}"
)


def upload_key(upload_id: str) -> str:
    """The key of the file that a client sends."""
    return f"{UPLOADS}/{upload_id}"


def answer_key(asked: str) -> str:
    """The key of the picture that came for the edit with the hash `asked`."""
    return f"{ANSWERS}/{asked}.png"


def checked(key: str) -> str:
    """Return `key`. Raises NotFound for one that could leave the root."""
    if not _SAFE.fullmatch(key):
        raise NotFound("not_found", "a file of this object does not exist; it may have been deleted")
    return key


def is_own(key: str) -> bool:
    """Whether Packshot itself gives files such a name."""
    return _OWN.fullmatch(key) is not None
