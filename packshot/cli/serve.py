"""`packshot serve`: the graph and the API on this machine, in one command."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from packshot.cli.config import DEFAULT_PROFILE
from packshot.cli.console import report_errors, stderr
from packshot.errors import BadInput

OPEN_ACCESS = "PACKSHOT_OPEN_ACCESS"
_TRUE = ("1", "true", "yes", "on", "t", "y")


@report_errors
def serve(
    profile: Annotated[str, typer.Option(help="A profile's name, or the path of a YAML file.")] = DEFAULT_PROFILE,
    host: Annotated[str, typer.Option(help="Address to listen on; without keys only a loopback one.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8000,
) -> None:
    """Serve the graph and the API until Ctrl-C. On a loopback host no key is needed;
    PACKSHOT_OPEN_ACCESS=false asks for keys there too."""
    from cluster.local import run_forever
    from cluster.profiles import load_profile

    opened = open_access(host)
    console = stderr()
    status = console.status(f"starting {profile} on {host}:{port}")

    def ready(url: str) -> None:
        status.stop()
        who = "open to this machine" if opened else "keys needed: packshot keys create TENANT"
        console.print(f"Packshot serves {url} ({who}). Ctrl-C ends it; accepted shots wait.", markup=False)

    settings = {OPEN_ACCESS: str(opened).lower()}
    with status:
        run_forever(load_profile(profile), host=host, port=port, settings=settings, on_ready=ready)


def open_access(host: str) -> bool:
    """Whether to serve without keys: on loopback, unless the environment says no. Raises BadInput elsewhere."""
    from packshot.settings import LOOPBACK_HOSTS

    wish = os.environ.get(OPEN_ACCESS, "").strip().lower()
    if host in LOOPBACK_HOSTS:
        return wish in ("", *_TRUE)
    if wish in _TRUE:
        raise BadInput(
            "bad_usage", f"{OPEN_ACCESS} needs a loopback host ({', '.join(LOOPBACK_HOSTS)}), got {host!r}; use keys"
        )
    return False
