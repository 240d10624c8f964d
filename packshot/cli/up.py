"""`packshot up` and `packshot down`: a server in the background, which `packshot shoot` then uses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from packshot.cli.config import DEFAULT_PROFILE
from packshot.cli.console import AsJson, put_json, report_errors, stderr
from packshot.cli.progress import waiting
from packshot.cli.running import LOG, Running, find_running
from packshot.errors import Unavailable

REPORT_S = 20.0
"""Seconds that `packshot serve` has to say why it did not start within the setting `start_timeout_s`."""

STOP_TIMEOUT_S = 120.0
POLL_S = 0.1
SERVE = [sys.executable, "-m", "packshot.cli", "serve"]
"""The command that runs in the background."""


@report_errors
def up(
    profile: Annotated[str, typer.Option(help="A profile's name, or the path of a YAML file.")] = DEFAULT_PROFILE,
    host: Annotated[str, typer.Option(help="Address to listen on. Without keys it must be loopback.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 chooses a free one.")] = 8000,
    as_json: AsJson = False,
) -> None:
    """Start a server in the background, and return when it is ready. `packshot down` stops it."""
    from packshot.settings import Settings

    home = Settings().home_dir
    log = home / LOG
    running = find_running(home)
    if running is None:
        home.mkdir(parents=True, exist_ok=True)
        options = ["--profile", profile, "--host", host, "--port", str(port)]
        with log.open("wb") as file:
            child = subprocess.Popen(  # noqa: S603
                [*SERVE, *options],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        running = _wait_until_ready(child, home, log)
        child.returncode = 0  # nobody waits for it: else Python would warn, when this process ends, that it still runs
        stderr().print(f"Packshot serves {running.url} in the background (log: {log}).", markup=False, soft_wrap=True)
    else:
        stderr().print(f"Packshot serves {running.url} already.", markup=False)
    if as_json:
        put_json({"url": running.url, "pid": running.pid, "version": running.version, "log": str(log)})


def _wait_until_ready(child: subprocess.Popen[bytes], home: Path, log: Path) -> Running:
    """The server, once it is ready. It is stopped when this is interrupted or takes too long."""
    from packshot.settings import Settings

    timeout_s = Settings().start_timeout_s + REPORT_S
    give_up_at = time.monotonic() + timeout_s
    try:
        with waiting("starting a local cluster"):
            while (running := find_running(home)) is None:
                if child.poll() is not None:
                    lines = log.read_text("utf-8", "replace").split("\n")
                    last = next((line.strip() for line in reversed(lines) if line.strip()), "nothing in its log")
                    raise Unavailable("not_ready", f"the server must start, it ended: {last} (the whole log: {log})")
                if time.monotonic() > give_up_at:
                    raise Unavailable("not_ready", f"the server must be ready within {timeout_s:g} s; see {log}")
                time.sleep(POLL_S)
    except BaseException:
        child.terminate()
        raise
    return running


@report_errors
def down(as_json: AsJson = False) -> None:
    """Stop the server that runs on this machine. Accepted shots are kept."""
    from packshot.settings import Settings

    home = Settings().home_dir
    running = find_running(home)
    if running is None:
        stderr().print(f"No server runs with PACKSHOT_HOME {home}.", markup=False)
    else:
        os.kill(running.pid, signal.SIGTERM)
        give_up_at = time.monotonic() + STOP_TIMEOUT_S
        with waiting(f"stopping {running.url}"):
            while find_running(home) is not None:
                if time.monotonic() > give_up_at:
                    detail = f"process {running.pid} must stop within {STOP_TIMEOUT_S:g} s, it did not; see its log"
                    raise Unavailable("not_ready", detail)
                time.sleep(POLL_S)
        stderr().print(f"Stopped {running.url}.", markup=False)
    if as_json:
        put_json({"stopped": None if running is None else running.url})
