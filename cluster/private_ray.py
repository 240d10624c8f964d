"""Ray for one user of one machine: it listens on loopback alone, and its token and its files are the user's.

Ray's processes exchange pickles: whoever reaches one of its ports with the token can run code. By itself Ray 2.60 binds
a dozen ports to every address, whatever `_node_ip_address` says, and leaves its token readable and its folder writable
for every user.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Any

from packshot.errors import BadInput

LOOPBACK_ONLY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Ray's mode for machines of one node. Its own name is from where it is the default: Windows and macOS."""

TOKEN_VARIABLES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


def private_environment(folder: Path) -> dict[str, str]:
    """The variables with which Ray starts: loopback, and a token that is kept in `folder` (mode 0600).

    A token that the environment names already stays.
    """
    variables = {**LOOPBACK_ONLY, "RAY_AUTH_MODE": "token"}
    if not any(os.environ.get(name) for name in TOKEN_VARIABLES):
        variables["RAY_AUTH_TOKEN_PATH"] = str(_token(folder))
    return variables


def ray_folder() -> Path:
    """The folder for Ray's sessions and the token, which only this user may enter (mode 0700).

    It has a short path, because sockets lie in it. Raises BadInput `bad_usage` when somebody else made it.
    """
    folder = Path("/tmp") / f"packshot-ray-{os.getuid()}"  # noqa: S108 - a name that is checked below
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        got = f"{stat.filemode(found.st_mode)} of user {found.st_uid}"
        raise BadInput("bad_usage", f"{folder} must be a folder of user {os.getuid()}, got {got}; remove it")
    folder.chmod(0o700)
    return folder


def bind_to_loopback() -> None:
    """Make Ray's processes bind to loopback, also when Ray was imported before the environment said so."""
    from ray import _raylet
    from ray._private import ray_constants

    ray_constants.ENABLE_RAY_CLUSTER = False
    compiled: Any = _raylet  # without annotations
    compiled.AuthenticationTokenLoader.instance().reset_cache()
    compiled.Config.initialize("")


def _token(folder: Path) -> Path:
    file = folder / "token"
    if not file.exists():
        new = folder / f"token.{os.getpid()}"
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as out:
            out.write(secrets.token_hex(32))
        try:
            os.link(new, file)  # unlike a rename, it leaves the token of a server that starts beside this one
        except FileExistsError:
            pass
        finally:
            new.unlink()
    return file
