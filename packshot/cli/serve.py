"""`packshot serve`: run the graph and the API on this machine."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Annotated

import typer

from packshot.cli.config import DEFAULT_PROFILE
from packshot.cli.console import report_errors, stderr
from packshot.cli.progress import waiting
from packshot.cli.running import announced
from packshot.errors import BadInput

OPEN_ACCESS = "PACKSHOT_OPEN_ACCESS"
_TRUE = ("1", "true", "yes", "on", "t", "y")


@report_errors
def serve(
    profile: Annotated[str, typer.Option(help="A profile's name, or the path of a YAML file.")] = DEFAULT_PROFILE,
    host: Annotated[str, typer.Option(help="Address to listen on. Without keys it must be loopback.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 chooses a free one.")] = 8000,
) -> None:
    """Serve the graph and the API until Ctrl-C.

    A loopback host needs no key unless PACKSHOT_OPEN_ACCESS is false."""
    from cluster.local import run_forever
    from cluster.profiles import load_profile
    from packshot.delivery.signing import load_signer
    from packshot.settings import Settings

    opened = open_access(host)
    loaded = load_profile(profile)
    require_packs(loaded.pack or Settings().pack)
    load_signer(Settings())  # a replica would refuse the certificate a minute later
    with ExitStack() as until_end, ExitStack() as until_ready:
        until_ready.enter_context(waiting(f"starting {profile} on {host}:{port}"))

        def ready(url: str) -> None:
            until_ready.close()
            until_end.enter_context(announced(Settings().home_dir, url, opened=opened))
            access = "open to this machine" if opened else "needs a key: packshot keys create TENANT"
            said = f"Packshot serves {url} ({access}). Ctrl-C stops it; accepted shots are kept."
            stderr().print(said, markup=False, soft_wrap=True)

        settings = {OPEN_ACCESS: str(opened).lower()}
        run_forever(loaded, host=host, port=port, settings=settings, on_ready=ready)


def require_packs(*names: str) -> None:
    """Check that the packs can be served: the first paints, and the files of all are here, or are fetched.

    A replica without its files fails after a minute, and Ray would hide why. Raises PackRefused.
    """
    from packshot.models.packs.pack import find_pack
    from packshot.models.packs.ready import require_ready
    from packshot.settings import Settings

    packs = [find_pack(name, Settings()) for name in dict.fromkeys(names)]
    packs[0].check()
    require_ready(packs, lambda line: stderr().print(line, markup=False, soft_wrap=True))


def open_access(host: str) -> bool:
    """Whether to serve without keys: on a loopback host, unless PACKSHOT_OPEN_ACCESS is false.

    Raises BadInput `bad_usage` when PACKSHOT_OPEN_ACCESS is true and the host is not loopback.
    """
    from packshot.settings import LOOPBACK_HOSTS

    value = os.environ.get(OPEN_ACCESS, "").strip().lower()
    if host in LOOPBACK_HOSTS:
        return value in ("", *_TRUE)
    if value in _TRUE:
        raise BadInput(
            "bad_usage", f"{OPEN_ACCESS} needs a loopback host ({', '.join(LOOPBACK_HOSTS)}), got {host!r}; use keys"
        )
    return False
