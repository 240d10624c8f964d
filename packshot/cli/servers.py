"""Which server a command uses: the one that is named, the one that runs here, this process, or a cluster of its own."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import packshot
from packshot.cli.config import DEFAULT_PROFILE
from packshot.cli.console import stderr
from packshot.cli.progress import waiting
from packshot.errors import BadInput, Unavailable

if TYPE_CHECKING:
    import httpx

__all__ = ["KEY_VARIABLE", "Server", "chosen_server", "require_answer"]

KEY_VARIABLE = "PACKSHOT_KEY"
VERSION_HEADER = "x-packshot-version"

OWN_TIMEOUT_S = 900.0
"""Seconds for one answer of this process, whose first one also loads the models; a busy laptop takes minutes."""

ANSWERS_WITHIN_S = 3.0
"""A server that does not answer its health check within this many seconds counts as dead."""


@dataclass(frozen=True)
class Server:
    """A server's base URL, the key for it, and how long one answer of it may take in seconds."""

    url: str
    key: str | None = None
    timeout_s: float = 120.0


@contextmanager
def chosen_server(
    host: str | None,
    *,
    in_process: bool = False,
    cluster: bool = False,
    engine: str | None = None,
    pictures: int = 1,
    own_cluster: bool = False,
) -> Iterator[Server]:
    """The server for a command that makes `pictures` pictures.

    `host` names one. Otherwise it is the server that runs on this machine, or else this process. `in_process` and
    `cluster` ask for this process, or a cluster of its own. `engine` is the pack that this process loads.
    `own_cluster`: where no server runs, start a cluster instead of this process. Raises BadInput for options that
    exclude each other, and Unavailable for a server that does not answer.
    """
    if (host is not None) + in_process + cluster > 1:
        raise BadInput("bad_usage", "--host, --in-process and --cluster exclude each other; give one of them")
    if host is not None:
        if not host.startswith(("http://", "https://")):
            raise BadInput("bad_usage", f"--host must be a URL such as http://127.0.0.1:8000, got {host!r}")
        _warn_of_other_version(require_answer(host).headers.get(VERSION_HEADER))
        yield Server(host, os.environ.get(KEY_VARIABLE))
    elif cluster:
        with _cluster() as server:
            yield server
    elif not in_process and (running := _running()) is not None:
        yield running
    elif own_cluster and not in_process:
        with _cluster() as server:
            yield server
    else:
        with _this_process(engine, pictures) as server:
            yield server


def _running() -> Server | None:
    from packshot.cli.running import find_running
    from packshot.settings import Settings

    found = find_running(Settings().home_dir)
    if found is None:
        return None
    require_answer(found.url)
    stderr().print(f"packshot: using the server {found.url}.", markup=False)
    _warn_of_other_version(found.version)
    return Server(found.url, os.environ.get(KEY_VARIABLE))


def _warn_of_other_version(version: str | None) -> None:
    """Say so if the server has another version than this command. None = it does not say which."""
    if version not in (None, packshot.__version__):
        said = f"packshot: the server has version {version}, this command {packshot.__version__}. It goes on; if the "
        said += "server refuses a field, install the same version on both (here: packshot down, then packshot up)."
        stderr().print(said, markup=False, soft_wrap=True)


@contextmanager
def _cluster() -> Iterator[Server]:
    from cluster.local import serving
    from cluster.profiles import load_profile

    with ExitStack() as stack:
        with waiting("starting a local cluster (packshot up keeps one running)"):
            settings = {"PACKSHOT_OPEN_ACCESS": "true"}
            url = stack.enter_context(serving(load_profile(DEFAULT_PROFILE), port=0, settings=settings))
        yield Server(url)


@contextmanager
def _this_process(engine: str | None, pictures: int) -> Iterator[Server]:
    # Before torch is loaded: threads that spin while they wait would take the cores from each other.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from packshot.settings import Settings

    settings = Settings().model_copy(update={"open_access": True} | ({"pack": engine, "engines": ""} if engine else {}))
    with ExitStack() as stack:
        with waiting(f"starting in this process, with the pack {settings.engines or settings.pack}"):
            from graphs.one_process import serving_in_process

            url = stack.enter_context(serving_in_process(settings, pictures=pictures))
        yield Server(url, timeout_s=OWN_TIMEOUT_S)


def require_answer(url: str, *, path: str = "/healthz", environment: bool = False) -> httpx.Response:
    """Ask a server whether it is there. Returns its answer, whatever that is.

    `path` is what is asked for. `environment` uses the environment's proxy. Raises Unavailable after ANSWERS_WITHIN_S
    seconds, the look-up of its name included.
    """
    import httpx

    answers: list[httpx.Response] = []
    errors: list[Exception] = []

    def ask() -> None:
        try:
            answers.append(httpx.get(url.rstrip("/") + path, timeout=ANSWERS_WITHIN_S, trust_env=environment))
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            errors.append(error)

    asking = threading.Thread(target=ask, daemon=True)  # the look-up of a name has no time limit of its own
    started_at = time.monotonic()
    asking.start()
    asking.join(ANSWERS_WITHIN_S)
    if answers:
        return answers[0]
    spent_s = time.monotonic() - started_at
    why = f"{type(errors[0]).__name__}: {errors[0]}" if errors else f"no answer within {ANSWERS_WITHIN_S:g} s"
    raise Unavailable(
        "not_ready",
        f"the server must answer, {url} did not ({why}; tried for {spent_s:.1f} s); check the address and that it runs",
    )
